-- A row that names an unknown company, account, month or role has no effect. A warning, for its writer.
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
