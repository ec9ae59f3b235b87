-- Every recognised invoice of a month stands in one place on its way to the tax authority.
with

invoices as (
    select
        company_id,
        period,
        count(*) as invoices,
    from {{ ref('invoices') }}
    where
        is_recognised and period is not null
        and company_id in (select company_id from {{ ref('stg_einvoices') }} where not is_deleted)
    group by company_id, period
)

select
    company_id,
    period,
    invoices.invoices,
    months.recognised,
from invoices
full outer join {{ ref('einvoice_compliance') }} as months using (company_id, period)
where
    invoices.invoices is distinct from months.recognised
    or months.recognised <> months.accepted + months.rejected + months.pending + months.missing + months.cancelled
