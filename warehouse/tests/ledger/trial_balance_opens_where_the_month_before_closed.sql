-- Also that no month is missing between an account's first and the company's last. The first opens with
-- what the ledger has before all plausible months.
with

brought_forward as (
    select
        lines.company_id,
        lines.account_id,
        sum(lines.amount) as balance,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where {{ is_before_span('lines.journal_date', 'companies.today') }}
    group by lines.company_id, lines.account_id
),

months as (
    select
        *,
        lag(closing_balance) over account_months as previous_closing,
        lag(period) over account_months as previous_period,
    from {{ ref('trial_balance') }}
    window account_months as (partition by company_id, account_id order by period)
)

select
    company_id,
    period,
    account_id,
    opening_balance,
    previous_closing,
    closing_balance,
from months
left join brought_forward using (company_id, account_id)
where
    opening_balance <> coalesce(previous_closing, brought_forward.balance, 0)
    or closing_balance <> opening_balance + debit - credit
    or previous_period <> period - interval 1 month
