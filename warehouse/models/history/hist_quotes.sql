with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as quote_id,
        "quoteNumber" as quote_number,
        coalesce(nullif("customerId", ''), nullif(customer.id, '')) as customer_id,
        customer.name as customer_name,
        "quoteDate" as quote_date,
        "validUntil" as valid_until,
        lower(status) as status,
        currency as quote_currency,
        reference,
        title,
        description,
        terms,
        items,
        {{ money('coalesce(subtotal, 0)') }} as subtotal,
        {{ money('coalesce("totalDiscount", 0)') }} as total_discount,
        {{ money('coalesce("totalTax", 0)') }} as total_tax,
        {{ money('coalesce(total, 0)') }} as total,
        {{ utc('"acceptedAt"') }} as accepted_at,
        "acceptedBy" as accepted_by,
        {{ utc('"convertedToOrderAt"') }} as converted_to_order_at,
        nullif("salesOrderId", '') as sales_order_id,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('quotes') }}
    where _op = 'upsert' and {{ in_loads_not_held('quotes') }}
),
{{ versions(
    'quotes',
    key={'quote_id': 'id'},
    changed_at='updated_at',
) }}
