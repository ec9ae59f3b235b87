{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('stock_transfers')) }}"
) }}

with

stock_transfers as (
    select *
    from {{ ref('stg_stock_transfers') }}
    where {{ only_affected(affected('stock_transfers')) }}
),

-- Unnesting side by side in the select list takes an eighth of the time of a lateral join.
numbered as (
    select
        company_id,
        transfer_id,
        generate_subscripts(items, 1) as line_no,
        unnest(items) as line,
        load_id,
    from stock_transfers
),

final as (
    select
        company_id,
        transfer_id,
        cast(line_no as integer) as line_no,
        line.id as line_id,
        line."itemId" as item_id,
        line."itemCode" as item_code,
        line."itemName" as item_name,
        {{ quantity('coalesce(line."quantityRequested", 0)') }} as requested,
        {{ quantity('coalesce(line."quantityShipped", 0)') }} as shipped,
        {{ quantity('coalesce(line."quantityReceived", 0)') }} as received,
        {{ unit_cost('line."unitCost"') }} as unit_cost,
        {{ money('line."totalCost"') }} as total_cost,
        line.notes,
        load_id,
    from numbered
)

select * from final
