{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices')) }}",
) }}

with

invoices as (
    select * from {{ ref('invoices') }} where {{ only_affected(affected('invoices')) }}
),

lines as (
    select * from {{ ref('stg_invoice_lines') }}
),

final as (
    select
        invoices.company_id,
        invoices.invoice_id,
        invoices.invoice_number,
        lines.line_no,
        invoices.customer_id,
        invoices.invoice_date,
        invoices.due_date,
        invoices.period,
        invoices.status,
        lines.item_id,
        lines.item_code,
        lines.description,
        lines.quantity,
        lines.unit_price,
        lines.discount_amount,
        lines.line_total,
        lines.tax_code,
        lines.tax_rate,
        lines.tax_amount,
        invoices.is_recognised,
        invoices.invoice_currency,
        invoices.exchange_rate,
        invoices.currency,
        invoices.built_at,
    from lines
    inner join invoices using (company_id, invoice_id)
)

select * from final
