with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as pos_transaction_id,
        "transactionNumber" as transaction_number,
        lower(type) as transaction_type,
        lower(status) as status,
        "businessDate" as business_date,
        {{ utc('"occurredAt"') }} as occurred_at,
        "sessionId" as pos_session_id,
        "locationId" as location_id,
        "registerId" as register_id,
        "cashierId" as cashier_id,
        nullif("customerId", '') as customer_id,
        nullif("originalTransactionId", '') as original_transaction_id,
        nullif("invoiceId", '') as invoice_id,
        currency as transaction_currency,
        items,
        {{ money('coalesce(subtotal, 0)') }} as subtotal,
        {{ money('coalesce("totalDiscount", 0)') }} as total_discount,
        {{ money('coalesce("totalTax", 0)') }} as total_tax,
        {{ money('coalesce(rounding, 0)') }} as rounding,
        {{ money('coalesce(total, 0)') }} as total,
        payments,
        notes,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('pos_transactions') }}
    where _op = 'upsert' and {{ in_loads_not_held('pos_transactions') }}
),
{{ versions(
    'pos_transactions',
    key={'pos_transaction_id': 'id'},
    changed_at='updated_at',
) }}
