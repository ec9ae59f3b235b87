{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('pos_transactions')) }}"
) }}

with

pos_transactions as (
    select *
    from {{ ref('stg_pos_transactions') }}
    where {{ only_affected(affected('pos_transactions')) }}
),

-- Unnesting side by side in the select list takes an eighth of the time of a lateral join.
numbered as (
    select
        company_id,
        pos_transaction_id,
        generate_subscripts(items, 1) as line_no,
        unnest(items) as line,
        load_id,
    from pos_transactions
),

final as (
    select
        company_id,
        pos_transaction_id,
        cast(line_no as integer) as line_no,
        line.id as line_id,
        line."itemId" as item_id,
        line."itemCode" as item_code,
        line.description,
        {{ quantity('coalesce(line.quantity, 0)') }} as quantity,
        {{ unit_cost('line."unitPrice"') }} as unit_price,
        {{ money('coalesce(line."discountAmount", 0)') }} as discount_amount,
        {{ money('coalesce(line."lineTotal", 0)') }} as line_total,
        line."taxCode" as tax_code,
        cast(line."taxRate" as decimal(18, 4)) as tax_rate,
        {{ money('coalesce(line."taxAmount", 0)') }} as tax_amount,
        load_id,
    from numbered
)

select * from final
