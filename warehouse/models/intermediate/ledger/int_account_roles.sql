-- One role an account at most: the user's own word first, then what items and tills say, then a word of its name
-- that its category leaves open, then its category alone.
with

accounts as (
    select * from {{ ref('stg_accounts') }}
),

items as (
    select * from {{ ref('stg_items') }}
),

seeded as (
    select
        accounts.company_id,
        accounts.account_id,
        lower(trim(roles.account_role)) as account_role,
        'seed' as role_source,
        1 as precedence,
        1 as votes,
    from {{ source('user_tables', 'account_roles') }} as roles
    inner join accounts
        on accounts.company_id = roles.company_id and accounts.account_number = roles.account_number
    where trim(roles.account_role) <> ''
),

mentions as (
    select company_id, income_account_id as account_id, 'revenue' as account_type, 'revenue' as account_role
    from items
    union all
    -- A service's expense account is a running cost, not a cost of goods.
    select company_id, expense_account_id, 'expense', 'cost_of_goods_sold'
    from items
    where item_type = 'inventory'
    union all
    select company_id, asset_account_id, 'asset', 'inventory'
    from items
),

named_by_items as (
    select
        mentions.company_id,
        mentions.account_id,
        mentions.account_role,
        'items' as role_source,
        2 as precedence,
        count(*) as votes,
    from mentions
    inner join accounts using (company_id, account_id, account_type)
    group by mentions.company_id, mentions.account_id, mentions.account_role
),

-- What a till books its payments on is no cash: the bank has not seen it yet.
named_by_tills as (
    select
        payments.company_id,
        payments.account_id,
        'pos_clearing' as account_role,
        'tills' as role_source,
        2 as precedence,
        count(*) as votes,
    from {{ ref('stg_pos_payments') }} as payments
    inner join accounts using (company_id, account_id)
    where accounts.account_type = 'asset'
    group by payments.company_id, payments.account_id
),

suggested as (
    select
        company_id,
        account_id,
        account_category,
        parent_account_id,
        {{ role_from_name('account_type', 'account_category', 'lower(account_name)') }} as account_role,
    from accounts
),

categorised as (
    select
        company_id,
        account_id,
        {{ role_from_category('account_category') }} as account_role,
        'category' as role_source,
        4 as precedence,
        1 as votes,
    from accounts
),

-- Bank accounts bear the banks' names, which no list knows; the account above them says cash. Nothing
-- but a current asset is, whatever stands above it.
named as (
    select
        suggested.company_id,
        suggested.account_id,
        coalesce(suggested.account_role, parents.account_role) as account_role,
        'name' as role_source,
        3 as precedence,
        1 as votes,
    from suggested
    left join suggested as parents
        on parents.company_id = suggested.company_id
        and parents.account_id = suggested.parent_account_id
        and parents.account_role = 'cash'
        and coalesce(suggested.account_category not in ('fixed_asset', 'other_asset'), true)
    left join categorised
        on categorised.company_id = suggested.company_id
        and categorised.account_id = suggested.account_id
    -- A word that says what the category says is no guess.
    where suggested.account_role is null or suggested.account_role is distinct from categorised.account_role
),

ranked as (
    select
        *,
        row_number() over (
            partition by company_id, account_id
            order by precedence, votes desc, account_role
        ) as preference,
    from (
        select * from seeded
        union all
        select * from named_by_items
        union all
        select * from named_by_tills
        union all
        select * from named where account_role is not null
        union all
        select * from categorised where account_role is not null
    ) as candidates
),

final as (
    select
        company_id,
        account_id,
        account_role,
        role_source,
    from ranked
    where preference = 1
)

select * from final
