with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as invoice_id,
        "invoiceNumber" as invoice_number,
        coalesce(nullif("customerId", ''), nullif(customer.id, '')) as customer_id,
        customer.name as customer_name,
        "invoiceDate" as invoice_date,
        coalesce("dueDate", "invoiceDate") as due_date,
        lower(status) as status,
        currency as invoice_currency,
        "exchangeRate" as exchange_rate,
        reference,
        "purchaseOrder" as purchase_order,
        nullif("salesOrderId", '') as sales_order_id,
        items,
        {{ money('coalesce(subtotal, 0)') }} as subtotal,
        {{ money('coalesce("totalDiscount", 0)') }} as total_discount,
        {{ money('coalesce("totalTax", 0)') }} as total_tax,
        {{ money('coalesce("shippingCost", 0)') }} as shipping_cost,
        {{ money('coalesce(total, 0)') }} as total,
        {{ money('coalesce("amountPaid", 0)') }} as amount_paid,
        {{ money('coalesce("amountDue", total - coalesce("amountPaid", 0), 0)') }}
            as amount_due,
        lower("paymentStatus") as payment_status,
        "lastPaymentDate" as last_payment_date,
        lower(einvoice.status) as einvoice_status,
        {{ utc('einvoice."submittedAt"') }} as einvoice_submitted_at,
        {{ utc('einvoice."acceptedAt"') }} as einvoice_accepted_at,
        einvoice.uuid as einvoice_uuid,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('invoices') }}
    where _op = 'upsert' and {{ in_loads_not_held('invoices') }}
),
{{ versions(
    'invoices',
    key={'invoice_id': 'id'},
    changed_at='updated_at',
) }}
