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
        items.category_path,
        items.item_type,
        items.unit,
        items.cost_price,
        items.selling_price,
        items.supplier_id,
        coalesce(suppliers.supplier_name, items.supplier_name) as supplier_name,
        items.lead_time_days,
        items.reorder_quantity,
        items.is_active,
        items.is_deleted,
        companies.currency,
        companies.built_at,
    from items
    inner join companies using (company_id)
    left join {{ ref('stg_suppliers') }} as suppliers using (company_id, supplier_id)
)

select * from final
