-- Without an account of the role cash there is no cash flow to speak of. Lists the accounts to decide
-- on in account_roles.csv: assets with postings that have no role, or all with postings.
{{ config(severity='warn') }}

with

used as (
    select distinct
        company_id,
        account_id,
    from {{ ref('int_account_months') }}
),

assets as (
    select
        accounts.*,
        bool_or(accounts.account_role = 'cash') over (partition by accounts.company_id) as has_cash,
        bool_or(accounts.account_role is null) over (partition by accounts.company_id) as has_open,
    from {{ ref('accounts') }} as accounts
    inner join used using (company_id, account_id)
    where accounts.account_type = 'asset'
)

select
    company_id,
    account_number,
    account_name,
    account_role,
from assets
where not coalesce(has_cash, false) and (account_role is null or not has_open)
