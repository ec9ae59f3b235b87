with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as payee_id,
        "supplierNumber" as payee_number,
        name as payee_name,
        currency as payee_currency,
        lower(status) as status,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('payees') }}
    where _op = 'upsert' and {{ in_loads_not_held('payees') }}
),
{{ versions(
    'payees',
    key={'payee_id': 'id'},
    changed_at='updated_at',
) }}
