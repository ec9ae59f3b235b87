-- Opening + sales − collected + other movement = closing; opening = the month before's closing;
-- closing = the ledger's receivable accounts at the month's end.
with

movements as (
    select
        lines.company_id,
        lines.period,
        sum(lines.amount) as movement,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where accounts.account_role = 'accounts_receivable'
    group by lines.company_id, lines.period
),

months as (
    select
        *,
        lag(closing_ar, 1, 0) over (partition by company_id order by period) as previous_closing,
    from {{ ref('collections') }}
)

select
    company_id,
    period,
    months.opening_ar,
    months.previous_closing,
    months.credit_sales,
    months.cash_collected,
    months.other_movement,
    months.closing_ar,
    movements.movement,
from months
full outer join movements using (company_id, period)
where
    months.opening_ar is distinct from months.previous_closing
    or months.opening_ar + months.credit_sales - months.cash_collected + months.other_movement
    is distinct from months.closing_ar
    or months.opening_ar + coalesce(movements.movement, 0) is distinct from months.closing_ar
