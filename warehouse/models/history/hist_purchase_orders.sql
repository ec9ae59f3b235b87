with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as purchase_order_id,
        "poNumber" as po_number,
        coalesce(nullif("supplierId", ''), nullif(supplier.id, '')) as supplier_id,
        supplier.name as supplier_name,
        "orderDate" as order_date,
        "requiredDate" as required_date,
        lower(status) as status,
        currency as order_currency,
        "exchangeRate" as exchange_rate,
        reference,
        items,
        {{ money('coalesce(subtotal, 0)') }} as subtotal,
        {{ money('coalesce("discountTotal", 0)') }} as total_discount,
        {{ money('coalesce("taxTotal", 0)') }} as total_tax,
        {{ money('coalesce(total, 0)') }} as total,
        "deliveryAddress" as delivery_address,
        terms,
        notes,
        "requiresApproval" as requires_approval,
        "createdBy" as created_by,
        "approvedBy" as approved_by,
        {{ utc('"approvedAt"') }} as approved_at,
        {{ utc('"sentAt"') }} as sent_at,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('purchase_orders') }}
    where _op = 'upsert' and {{ in_loads_not_held('purchase_orders') }}
),
{{ versions(
    'purchase_orders',
    key={'purchase_order_id': 'id'},
    changed_at='updated_at',
) }}
