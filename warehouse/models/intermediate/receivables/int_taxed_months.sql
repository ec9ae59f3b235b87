{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('months')) }}",
) }}

-- What the recognised lines of a month's invoices say of tax.
with

final as (
    select
        company_id,
        period,
        tax_code,
        tax_rate,
        sum({{ in_company_currency('line_total', 'exchange_rate') }}) as taxable_amount,
        sum({{ in_company_currency('tax_amount', 'exchange_rate') }}) as tax_amount,
        count(distinct invoice_id) as invoice_count,
    from {{ ref('invoice_lines') }}
    where is_recognised and period is not null and {{ only_affected(affected('months')) }}
    group by company_id, period, tax_code, tax_rate
)

select * from final
