with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as customer_id,
        "customerNumber" as customer_number,
        name as customer_name,
        lower(type) as customer_type,
        email,
        phone,
        website,
        "taxNumber" as tax_number,
        address,
        "billingAddress" as billing_address,
        "shippingAddress" as shipping_address,
        currency,
        try_cast("paymentTerms" as integer) as payment_terms,
        {{ money('"creditLimit"') }} as credit_limit,
        {{ money('"currentBalance"') }} as api_balance,
        {{ money('"totalSales"') }} as api_total_sales,
        "lastSaleDate" as last_sale_date,
        lower(status) as status,
        tags,
        "customFields" as custom_fields,
        contacts,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('customers') }}
    where _op = 'upsert' and {{ in_loads_not_held('customers') }}
),
{{ versions(
    'customers',
    key={'customer_id': 'id'},
    changed_at='updated_at',
) }}
