-- The running balance of an account's last line is the sum of all its lines.
with

last_lines as (
    select
        company_id,
        account_id,
        running_balance,
        sum(amount) over (partition by company_id, account_id) as balance,
        row_number() over (
            partition by company_id, account_id
            order by journal_date desc, journal_number desc nulls first, journal_id desc, line_no desc
        ) as position,
    from {{ ref('general_ledger') }}
)

select *
from last_lines
where position = 1 and running_balance <> balance
