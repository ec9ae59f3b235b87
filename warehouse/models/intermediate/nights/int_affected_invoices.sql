-- Invoices that the news may change: those in new loads, those whose e-invoice is, and those dated ahead
-- when last built, which are owed from their day on.
with

final as (
    select
        company_id,
        invoice_id,
    from {{ ref('hist_invoices') }}
    where {{ in_new_loads() }}
    union
    select
        company_id,
        invoice_id,
    from {{ ref('hist_einvoices') }}
    where
        invoice_id is not null
        and (company_id, einvoice_id) in (
            select (company_id, einvoice_id) from {{ ref('hist_einvoices') }} where {{ in_new_loads() }}
        )
    {%- if has_last_build() %}
    union
    select
        versions.company_id,
        versions.invoice_id,
    from {{ ref('hist_invoices') }} as versions
    inner join last_build.companies as companies using (company_id)
    where versions.invoice_date > companies.today
    {%- endif %}
)

select distinct * from final
