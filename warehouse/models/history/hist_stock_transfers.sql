with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as transfer_id,
        "transferNumber" as transfer_number,
        date as transfer_date,
        lower(status) as status,
        coalesce(nullif("fromLocationId", ''), nullif("fromLocation".id, '')) as from_location_id,
        "fromLocation".name as from_location_name,
        coalesce(nullif("toLocationId", ''), nullif("toLocation".id, '')) as to_location_id,
        "toLocation".name as to_location_name,
        reference,
        items,
        shipping.method as shipping_method,
        shipping."trackingNumber" as tracking_number,
        {{ utc('shipping."shippedAt"') }} as shipped_at,
        shipping."estimatedDelivery" as estimated_delivery,
        shipping."actualDelivery" as actual_delivery,
        {{ money('"totalValue"') }} as total_value,
        approvals,
        notes,
        "createdBy" as created_by,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('stock_transfers') }}
    where _op = 'upsert' and {{ in_loads_not_held('stock_transfers') }}
),
{{ versions(
    'stock_transfers',
    key={'transfer_id': 'id'},
    changed_at='updated_at',
) }}
