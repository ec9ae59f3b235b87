-- Also that no month is missing between an account's first and the company's last.
with

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
where
    opening_balance <> coalesce(previous_closing, 0)
    or closing_balance <> opening_balance + debit - credit
    or previous_period <> period - interval 1 month
