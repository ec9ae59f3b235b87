with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as bill_id,
        "billNumber" as bill_number,
        "supplierInvoiceNumber" as supplier_invoice_number,
        coalesce(nullif("supplierId", ''), nullif(supplier.id, '')) as supplier_id,
        supplier.name as supplier_name,
        nullif("purchaseOrderId", '') as purchase_order_id,
        "billDate" as bill_date,
        coalesce("dueDate", "billDate") as due_date,
        lower(status) as status,
        currency as bill_currency,
        reference,
        items,
        {{ money('coalesce(subtotal, 0)') }} as subtotal,
        {{ money('coalesce("taxTotal", 0)') }} as total_tax,
        {{ money('coalesce(total, 0)') }} as total,
        {{ money('coalesce("paidAmount", 0)') }} as amount_paid,
        {{ money('coalesce("balanceDue", total - coalesce("paidAmount", 0), 0)') }} as amount_due,
        "paymentTerms" as payment_terms,
        notes,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('bills') }}
    where _op = 'upsert' and {{ in_loads_not_held('bills') }}
),
{{ versions(
    'bills',
    key={'bill_id': 'id'},
    changed_at='updated_at',
) }}
