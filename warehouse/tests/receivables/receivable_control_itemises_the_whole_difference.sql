-- Balance of the receivable control accounts today − Σ open amounts = Σ itemised differences, and no
-- item is without one.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

control as (
    select
        lines.company_id,
        sum(lines.amount) as balance,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join companies using (company_id)
    where accounts.account_role = 'accounts_receivable' and lines.journal_date <= companies.today
    group by lines.company_id
),

open_items as (
    select
        items.company_id,
        sum(items.open_amount) as open_amount,
    from {{ ref('ar_open_items') }} as items
    inner join companies
        on companies.company_id = items.company_id and companies.today = items.as_of_date
    group by items.company_id
),

itemised as (
    select
        company_id,
        sum(difference) as difference,
    from {{ ref('receivable_control') }}
    group by company_id
)

select
    companies.company_id,
    coalesce(control.balance, 0) as control_balance,
    coalesce(open_items.open_amount, 0) as open_amount,
    coalesce(itemised.difference, 0) as itemised,
from companies
left join control using (company_id)
left join open_items using (company_id)
left join itemised using (company_id)
where
    coalesce(control.balance, 0) - coalesce(open_items.open_amount, 0)
    <> coalesce(itemised.difference, 0)
union all
select
    company_id,
    ledger_amount,
    document_amount,
    difference,
from {{ ref('receivable_control') }}
where difference = 0
