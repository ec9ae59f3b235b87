{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices')) }}",
) }}

-- Invoices whose own sums do not hold. Amounts go into the sentence as text: `format` would make binary
-- fractions of them.
with

invoices as (
    select * from {{ ref('invoices') }} where {{ only_affected(affected('invoices')) }}
),

lines as (
    select
        company_id,
        invoice_id,
        {{ sum_of_money('sum(line_total)') }} as line_total,
        {{ sum_of_money('sum(tax_amount)') }} as tax_amount,
    from {{ ref('stg_invoice_lines') }}
    where {{ only_affected(affected('invoices')) }}
    group by company_id, invoice_id
),

sums as (
    select
        invoices.*,
        coalesce(lines.line_total, 0) as line_total,
        coalesce(lines.tax_amount, 0) as line_tax,
        {{ sum_of_money('invoices.subtotal + invoices.total_tax + invoices.shipping_cost') }} as sum_of_parts,
        {{ sum_of_money('invoices.total - invoices.amount_paid') }} as rest_to_pay,
    from invoices
    left join lines using (company_id, invoice_id)
),

judged as (
    select
        company_id,
        invoice_id,
        invoice_number,
        concat_ws(
            '; ',
            case when subtotal <> line_total
                then format('its lines add up to {}, its subtotal is {}', cast(line_total as varchar), cast(subtotal as varchar)) end,
            case when total_tax <> line_tax
                then format('its lines bear {} tax, its header {}', cast(line_tax as varchar), cast(total_tax as varchar)) end,
            case when total <> sum_of_parts
                then format('subtotal, tax and shipping are {}, its total is {}', cast(sum_of_parts as varchar), cast(total as varchar)) end,
            case when is_recognised and amount_due <> rest_to_pay
                then format('its total less what was paid is {}, {} is due', cast(rest_to_pay as varchar), cast(amount_due as varchar)) end
        ) as findings,
    from sums
),

final as (
    select
        company_id,
        invoice_id,
        format('{}: {}.', coalesce(invoice_number, 'The invoice'), findings) as evidence,
    from judged
    where findings <> ''
)

select * from final
