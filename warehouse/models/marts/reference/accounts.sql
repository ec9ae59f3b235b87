-- The chart, and the accounts outside it that accepted entries are booked on: those that the chart does
-- not have or gives none of the five types, and `unassigned` for lines that name none. They stand among
-- the assets, where whoever reads the balance sheet sees them, until the entries are mended.
with

charted as (
    select * from {{ ref('stg_accounts') }}
),

accepted_lines as (
    select
        company_id,
        unnest(lines) as line,
    from {{ ref('hist_journal_entries') }}
    where is_latest and {{ is_accepted('unknown_account') }}
),

outside as (
    select distinct
        company_id,
        {{ account_of('line') }} as account_id,
    from accepted_lines
    anti join (
        select company_id, account_id
        from charted
        where account_type in ('asset', 'liability', 'equity', 'revenue', 'expense')
    ) as placed
        on placed.company_id = accepted_lines.company_id
        and placed.account_id = {{ account_of('accepted_lines.line') }}
),

accounts as (
    select * from charted
    union all by name
    select
        company_id,
        account_id,
        'Not in the chart of accounts: ' || account_id as account_name,
        false as is_active,
        false as is_deleted,
    from outside
    where (company_id, account_id) not in (select (company_id, account_id) from charted)
),

roles as (
    select * from {{ ref('int_account_roles') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

sections as (
    select
        company_id,
        account_id,
        case
            when account_type = 'asset' then 'assets'
            when account_type = 'liability' then 'liabilities'
            when account_type = 'equity' then 'equity'
            when account_type = 'revenue' and account_category = 'other_revenue' then 'other_revenue'
            when account_type = 'revenue' then 'operating_revenue'
            when account_category in ('cost_of_goods_sold', 'other_expense') then account_category
            when account_type = 'expense' then 'operating_expense'
            when outside.account_id is not null then 'assets'
        end as section,
        outside.account_id is not null as is_outside,
    from accounts
    left join outside using (company_id, account_id)
),

final as (
    select
        accounts.company_id,
        accounts.account_id,
        accounts.account_number,
        accounts.account_name,
        accounts.account_type,
        case when sections.is_outside then 'unassigned' else accounts.account_category end as account_category,
        accounts.parent_account_id,
        try_cast(accounts.account_level as integer) as level,
        case
            when accounts.account_type in ('asset', 'expense') then 'debit'
            when accounts.account_type in ('liability', 'equity', 'revenue') then 'credit'
        end as normal_side,
        case
            when accounts.account_type in ('revenue', 'expense') then 'profit_and_loss'
            when accounts.account_type in ('asset', 'liability', 'equity') or sections.is_outside
                then 'balance_sheet'
        end as statement,
        sections.section,
        cast(
            case sections.section
                when 'assets' then 1
                when 'liabilities' then 2
                when 'equity' then 3
                when 'operating_revenue' then 4
                when 'cost_of_goods_sold' then 5
                when 'operating_expense' then 6
                when 'other_revenue' then 7
                when 'other_expense' then 8
            end as integer
        ) as section_order,
        roles.account_role,
        coalesce(roles.role_source, 'none') as role_source,
        accounts.is_active,
        accounts.is_deleted,
        accounts.api_balance,
        companies.currency,
        companies.built_at,
    from accounts
    inner join sections using (company_id, account_id)
    inner join companies using (company_id)
    left join roles using (company_id, account_id)
)

select * from final
