with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as sales_order_id,
        "orderNumber" as order_number,
        coalesce(nullif("customerId", ''), nullif(customer.id, '')) as customer_id,
        customer.name as customer_name,
        "orderDate" as order_date,
        "requiredDate" as required_date,
        "promisedDate" as promised_date,
        lower(status) as status,
        lower(priority) as priority,
        currency as order_currency,
        "exchangeRate" as exchange_rate,
        reference,
        items,
        {{ money('coalesce(subtotal, 0)') }} as subtotal,
        {{ money('coalesce("totalDiscount", 0)') }} as total_discount,
        {{ money('coalesce("totalTax", 0)') }} as total_tax,
        {{ money('coalesce("shippingCost", 0)') }} as shipping_cost,
        {{ money('coalesce(total, 0)') }} as total,
        lower(fulfillment.status) as fulfillment_status,
        {{ quantity('fulfillment."shippedQuantity"') }} as shipped_quantity,
        {{ quantity('fulfillment."remainingQuantity"') }} as remaining_quantity,
        fulfillment."shippingMethod" as shipping_method,
        fulfillment."trackingNumber" as tracking_number,
        fulfillment."estimatedDelivery" as estimated_delivery,
        "billingAddress" as billing_address,
        "shippingAddress" as shipping_address,
        terms,
        notes,
        "createdBy" as created_by,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('sales_orders') }}
    where _op = 'upsert' and {{ in_loads_not_held('sales_orders') }}
),
{{ versions(
    'sales_orders',
    key={'sales_order_id': 'id'},
    changed_at='updated_at',
) }}
