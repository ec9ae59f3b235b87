{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices')) }}",
) }}

with

companies as (
    select * from {{ ref('stg_companies') }}
),

versions as (
    select
        invoices.*,
        companies.timezone,
        case
            when invoices.invoice_currency <> coalesce(companies.currency, '')
                then coalesce(invoices.exchange_rate, 1)
            else 1
        end as rate,
    from {{ ref('stg_invoices') }} as invoices
    inner join companies using (company_id)
    where
        not invoices.is_deleted
        and coalesce(invoices.status, '') not in ('draft', 'cancelled')
        and invoices.invoice_date is not null
        and {{ only_affected(affected('invoices')) }}
),

{{ taxed_documents('versions') }},

final as (
    select
        documents.company_id,
        documents.invoice_id,
        documents.invoice_number,
        documents.customer_id,
        documents.invoice_date,
        {{ period_of('documents.invoice_date', 'companies.today') }} as period,
        documents.tax_code,
        documents.tax_rate,
        documents.tax_type,
        documents.tariff_code,
        documents.line,
        {{ sum_of_money('documents.before_tax') }} as before_tax,
        {{ sum_of_money('documents.taxable') }} as taxable,
        {{ sum_of_money('documents.tax') }} as tax,
        {{ sum_of_money('documents.before_tax + documents.tax') }} as after_tax,
        documents.settled_on,
        documents.is_inferred,
        documents.due_on,
        companies.currency,
        companies.built_at,
    from tax_documents as documents
    inner join companies using (company_id)
)

select * from final
