-- The last running balance of a customer is what is due on its invoices today, less what was overpaid.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

due as (
    select
        invoices.company_id,
        coalesce(invoices.customer_id, '') as customer,
        sum({{ in_company_currency('invoices.amount_due', 'invoices.exchange_rate') }}) as balance,
    from {{ ref('invoices') }} as invoices
    inner join companies using (company_id)
    where invoices.is_recognised and coalesce(invoices.invoice_date <= companies.today, true)
    group by invoices.company_id, coalesce(invoices.customer_id, '')
),

statements as (
    select
        company_id,
        coalesce(customer_id, '') as customer,
        arg_max(running_balance, event_no) as running_balance,
        sum(debit) - sum(credit) as balance,
    from {{ ref('customer_statement') }}
    group by company_id, coalesce(customer_id, '')
)

select
    company_id,
    customer,
    due.balance as due_balance,
    statements.balance,
    statements.running_balance,
from due
full outer join statements using (company_id, customer)
where
    coalesce(due.balance, 0) <> coalesce(statements.balance, 0)
    or coalesce(due.balance, 0) <> coalesce(statements.running_balance, 0)
