-- The running balance of an account's last line is the sum of all its lines.
select
    company_id,
    account_id,
    arg_max(running_balance, (journal_date, journal_number, journal_id, line_no)) as running_balance,
    sum(amount) as balance,
from {{ ref('general_ledger') }}
group by company_id, account_id
having arg_max(running_balance, (journal_date, journal_number, journal_id, line_no)) <> sum(amount)
