with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as item_id,
        "itemCode" as item_code,
        barcode,
        name as item_name,
        description,
        category.name as category,
        category.path as category_path,
        lower(type) as item_type,
        unit,
        {{ unit_cost('pricing."costPrice"') }} as cost_price,
        {{ unit_cost('pricing."sellingPrice"') }} as selling_price,
        inventory.tracked as is_tracked,
        {{ quantity('inventory."currentStock"') }} as current_stock,
        {{ quantity('inventory."minimumStock"') }} as minimum_stock,
        {{ quantity('inventory."maximumStock"') }} as maximum_stock,
        {{ quantity('inventory."reorderPoint"') }} as reorder_point,
        {{ quantity('inventory."reorderQuantity"') }} as reorder_quantity,
        supplier.id as supplier_id,
        supplier.name as supplier_name,
        try_cast(supplier."leadTimeDays" as integer) as lead_time_days,
        accounting."incomeAccountId" as income_account_id,
        accounting."expenseAccountId" as expense_account_id,
        accounting."assetAccountId" as asset_account_id,
        tax."salesTaxCode" as sales_tax_code,
        tax."purchaseTaxCode" as purchase_tax_code,
        "customFields" as custom_fields,
        coalesce("isActive", true) as is_active,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('items') }}
    where _op = 'upsert' and {{ in_loads_not_held('items') }}
),
{{ versions(
    'items',
    key={'item_id': 'id'},
    changed_at='updated_at',
) }}
