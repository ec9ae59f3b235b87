-- The last running balance of a supplier is what is due on its bills today, less what was overpaid.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

due as (
    select
        bills.company_id,
        coalesce(bills.supplier_id, '') as supplier,
        sum(bills.home_due) as balance,
    from {{ ref('bills') }} as bills
    inner join companies using (company_id)
    where bills.is_recognised and coalesce(bills.bill_date <= companies.today, true)
    group by bills.company_id, coalesce(bills.supplier_id, '')
),

statements as (
    select
        company_id,
        coalesce(supplier_id, '') as supplier,
        arg_max(running_balance, event_no) as running_balance,
        sum(credit) - sum(debit) as balance,
    from {{ ref('supplier_statement') }}
    group by company_id, coalesce(supplier_id, '')
)

select
    company_id,
    supplier,
    due.balance as due_balance,
    statements.balance,
    statements.running_balance,
from due
full outer join statements using (company_id, supplier)
where
    coalesce(due.balance, 0) <> coalesce(statements.balance, 0)
    or coalesce(due.balance, 0) <> coalesce(statements.running_balance, 0)
