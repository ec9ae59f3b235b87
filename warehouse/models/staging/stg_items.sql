with

latest as (
    {{ latest_versions('items', keys=['id'], change_time='"updatedAt"') }}
),

final as (
    select
        landing._company_id as company_id,
        landing.id as item_id,
        landing."itemCode" as item_code,
        landing.barcode,
        landing.name as item_name,
        landing.description,
        landing.category.name as category,
        landing.category.path as category_path,
        lower(landing.type) as item_type,
        landing.unit,
        {{ unit_cost('landing.pricing."costPrice"') }} as cost_price,
        {{ unit_cost('landing.pricing."sellingPrice"') }} as selling_price,
        landing.inventory.tracked as is_tracked,
        {{ quantity('landing.inventory."currentStock"') }} as current_stock,
        {{ quantity('landing.inventory."minimumStock"') }} as minimum_stock,
        {{ quantity('landing.inventory."maximumStock"') }} as maximum_stock,
        {{ quantity('landing.inventory."reorderPoint"') }} as reorder_point,
        {{ quantity('landing.inventory."reorderQuantity"') }} as reorder_quantity,
        landing.supplier.id as supplier_id,
        try_cast(landing.supplier."leadTimeDays" as integer) as lead_time_days,
        landing.accounting."incomeAccountId" as income_account_id,
        landing.accounting."expenseAccountId" as expense_account_id,
        landing.accounting."assetAccountId" as asset_account_id,
        landing.tax."salesTaxCode" as sales_tax_code,
        landing.tax."purchaseTaxCode" as purchase_tax_code,
        landing."customFields" as custom_fields,
        coalesce(landing."isActive", true) as is_active,
        {{ utc('landing."createdAt"') }} as created_at,
        {{ utc('landing."updatedAt"') }} as updated_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'items') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
