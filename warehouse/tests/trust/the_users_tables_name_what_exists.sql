-- A row that names an unknown company, account, month, role, tag or category has no effect. A warning, for its writer.
{{ config(severity='warn') }}

select
    'account_roles.csv' as file,
    roles.company_id || ', ' || roles.account_number as row_key,
from {{ source('user_tables', 'account_roles') }} as roles
left join {{ ref('stg_accounts') }} as accounts using (company_id, account_number)
where accounts.account_id is null or coalesce(trim(roles.account_role), '') = ''
union all
select
    'period_close.csv' as file,
    concat_ws(', ', closings.company_id, closings.period) as row_key,
from {{ source('user_tables', 'period_close') }} as closings
left join {{ ref('periods') }} as periods
    on periods.company_id = closings.company_id
    and periods.period = cast(date_trunc('month', closings.period) as date)
where periods.period is null or closings.closed_at is null
union all
select
    'fiscal_year.csv' as file,
    concat_ws(', ', years.company_id, years.start_month) as row_key,
from {{ source('user_tables', 'fiscal_year') }} as years
left join {{ ref('stg_companies') }} as companies
    on companies.company_id = years.company_id
where companies.company_id is null or coalesce(years.start_month, 0) not between 1 and 12
union all
select
    'group.toml' as file,
    concat_ws(', ', members.group_id, members.company_id) as row_key,
from {{ source('user_tables', 'group_companies') }} as members
left join {{ ref('stg_companies') }} as companies
    on companies.company_id = members.company_id
where companies.company_id is null
union all
select
    'group.toml' as file,
    concat_ws(', ', named.group_id, named.company_id, named.account_number) as row_key,
from (
    {% for table in ['group_accounts', 'group_historical_rates', 'group_counterparties'] %}
    select group_id, company_id, account_number
    from {{ source('user_tables', table) }}
    union
    {% endfor %}
    select members.group_id, groups.company_id, members.investment_account
    from {{ source('user_tables', 'group_companies') }} as members
    inner join {{ source('user_tables', 'groups') }} as groups using (group_id)
    where members.investment_account is not null
) as named
left join {{ ref('stg_accounts') }} as accounts
    on accounts.company_id = named.company_id
    and accounts.account_number = named.account_number
where accounts.account_id is null
{%- for who in ['customer', 'supplier'] %}
union all
select
    'group.toml' as file,
    concat_ws(', ', sides.group_id, sides.company_id, sides.{{ who }}_id) as row_key,
from {{ source('user_tables', 'group_counterparties') }} as sides
left join {{ ref('stg_' ~ who ~ 's') }} as known using (company_id, {{ who }}_id)
where sides.{{ who }}_id is not null and known.{{ who }}_id is null
{%- endfor %}
union all
select
    'dimensions.csv' as file,
    concat_ws(', ', rules.company_id, rules.dimension, rules.value) as row_key,
from {{ source('user_tables', 'dimensions') }} as rules
where
    rules.company_id not in (select company_id from {{ ref('stg_companies') }})
    or rules.account_from is not null
    and not exists (
        select account_id
        from {{ ref('stg_accounts') }} as accounts
        where accounts.company_id = rules.company_id
            and {{ is_among_accounts('accounts.account_number', 'rules') }}
    )
    or rules.customer_tag is not null
    and not exists (
        select customer_id
        from {{ ref('stg_customers') }} as customers
        where customers.company_id = rules.company_id
            and list_contains(
                list_transform(customers.tags, lambda tag: lower(tag)), lower(rules.customer_tag)
            )
    )
    or rules.item_category is not null
    and not exists (
        select item_id
        from {{ ref('stg_items') }} as items
        where items.company_id = rules.company_id and lower(items.category) = lower(rules.item_category)
    )
