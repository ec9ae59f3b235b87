-- Σ of the ledger's lines up to a month's end = the trial balance's closing figure.
with

days as (
    select
        company_id,
        account_id,
        journal_date,
        sum(amount) as amount,
    from {{ ref('general_ledger') }}
    group by company_id, account_id, journal_date
),

ledger as (
    select
        periods.company_id,
        periods.period,
        days.account_id,
        sum(days.amount) as balance,
    from {{ ref('periods') }} as periods
    inner join days
        on days.company_id = periods.company_id and days.journal_date <= periods.period_end
    group by periods.company_id, periods.period, days.account_id
)

select
    company_id,
    period,
    account_id,
    ledger.balance,
    trial_balance.closing_balance,
from ledger
full outer join {{ ref('trial_balance') }} as trial_balance using (company_id, period, account_id)
where
    ledger.balance is distinct from trial_balance.closing_balance
    or trial_balance.closing_debit - trial_balance.closing_credit <> trial_balance.closing_balance
