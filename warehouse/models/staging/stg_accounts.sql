with

latest as (
    {{ latest_versions('accounts', keys=['id'], change_time='"updatedAt"') }}
),

final as (
    select
        landing._company_id as company_id,
        landing.id as account_id,
        landing."accountNumber" as account_number,
        landing.name as account_name,
        lower(landing.type) as account_type,
        lower(landing.category) as account_category,
        landing."parentId" as parent_account_id,
        landing.level as account_level,
        landing.currency,
        landing.description,
        coalesce(landing."isActive", true) as is_active,
        coalesce(landing."isSystemAccount", false) as is_system_account,
        {{ money('coalesce(landing.balance.net, landing.balance.debit - landing.balance.credit)') }}
            as api_balance,
        {{ utc('landing."createdAt"') }} as created_at,
        {{ utc('landing."updatedAt"') }} as updated_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'accounts') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
