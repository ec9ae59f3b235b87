with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        "itemId" as item_id,
        "locationId" as location_id,
        {{ quantity('coalesce("currentStock", 0)') }} as current_stock,
        {{ quantity('"availableStock"') }} as available_stock,
        {{ quantity('"reservedStock"') }} as reserved_stock,
        {{ quantity('"onOrderStock"') }} as on_order_stock,
        {{ unit_cost('"averageCost"') }} as average_cost,
        {{ money('coalesce("stockValue", 0)') }} as stock_value,
        "lastMovement".type as last_movement_type,
        "lastMovement".quantity as last_movement_quantity,
        "lastMovement".reference as last_movement_reference,
        "binLocation" as bin_location,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('stock') }}
    where _op = 'upsert' and {{ in_loads_not_held('stock') }}
),
{{ versions(
    'stock',
    key={'item_id': 'itemId', 'location_id': 'locationId'},
    changed_at='updated_at',
) }}
