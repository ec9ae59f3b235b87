-- The receivable control accounts as of today = Σ open amounts. A warning: manual entries on the
-- control account and overpaid invoices are legal and part the two.
{{ config(severity='warn') }}

with

control as (
    select
        lines.company_id,
        sum(lines.amount) as balance,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where accounts.account_role = 'accounts_receivable' and lines.journal_date <= companies.today
    group by lines.company_id
),

open_items as (
    select
        company_id,
        sum(open_amount) as open_amount,
    from {{ ref('ar_open_items') }}
    group by company_id
)

select
    company_id,
    coalesce(control.balance, 0) as control_balance,
    coalesce(open_items.open_amount, 0) as open_amount,
from control
full outer join open_items using (company_id)
where coalesce(control.balance, 0) <> coalesce(open_items.open_amount, 0)
