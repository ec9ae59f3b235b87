-- Opening + sales − collected + other movement = closing; opening = the month before's closing;
-- closing = the ledger's receivable accounts at the month's end. The first month opens with what the
-- ledger has before all plausible months.
with

lines as (
    select
        lines.company_id,
        lines.period,
        lines.amount,
        {{ is_before_span('lines.journal_date', 'companies.today') }} as is_before,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where accounts.account_role = 'accounts_receivable'
),

brought_forward as (
    select
        company_id,
        sum(amount) as balance,
    from lines
    where is_before
    group by company_id
),

movements as (
    select
        company_id,
        period,
        sum(amount) as movement,
    from lines
    where (company_id, period) in (select (company_id, period) from {{ ref('periods') }})
    group by company_id, period
),

months as (
    select
        *,
        coalesce(
            lag(closing_ar) over (partition by company_id order by period), brought_forward.balance, 0
        ) as previous_closing,
    from {{ ref('collections') }}
    left join brought_forward using (company_id)
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
