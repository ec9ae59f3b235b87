with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as supplier_id,
        "supplierNumber" as supplier_number,
        name as supplier_name,
        "displayName" as display_name,
        email,
        phone,
        website,
        "taxNumber" as tax_number,
        "registrationNumber" as registration_number,
        address,
        "contactPerson" as contact_person,
        try_cast("paymentTerms"."termsDays" as integer) as terms_days,
        try_cast("paymentTerms"."discountDays" as integer) as discount_days,
        cast("paymentTerms"."discountPercent" as decimal(18, 4)) as discount_percent,
        {{ money('"creditLimit"') }} as credit_limit,
        {{ money('"currentBalance"') }} as api_balance,
        currency as supplier_currency,
        lower(status) as status,
        tags,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('suppliers') }}
    where _op = 'upsert' and {{ in_loads_not_held('suppliers') }}
),
{{ versions(
    'suppliers',
    key={'supplier_id': 'id'},
    changed_at='updated_at',
) }}
