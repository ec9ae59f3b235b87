with

items as (
    select * from {{ ref('stg_items') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        items.company_id,
        items.item_id,
        items.item_code,
        items.item_name,
        items.category,
        items.item_type,
        items.unit,
        items.cost_price,
        items.selling_price,
        items.is_active,
        items.is_deleted,
        companies.currency,
        companies.built_at,
    from items
    inner join companies using (company_id)
)

select * from final
