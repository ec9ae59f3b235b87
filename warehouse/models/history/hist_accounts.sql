with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as account_id,
        "accountNumber" as account_number,
        name as account_name,
        lower(type) as account_type,
        lower(category) as account_category,
        "parentId" as parent_account_id,
        level as account_level,
        currency,
        description,
        coalesce("isActive", true) as is_active,
        coalesce("isSystemAccount", false) as is_system_account,
        {{ money('coalesce(balance.net, balance.debit - balance.credit)') }}
            as api_balance,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('accounts') }}
    where _op = 'upsert' and {{ in_loads_not_held('accounts') }}
),
{{ versions(
    'accounts',
    key={'account_id': 'id'},
    changed_at='updated_at',
) }}
