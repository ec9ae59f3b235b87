-- Each account's balance or movement for exactly the days for which a ledger report was fetched.
with

reports as (
    select * from {{ ref('int_reports_fetched') }}
    where report in ('trial_balance', 'balance_sheet', 'profit_loss')
),

account_days as (
    select
        company_id,
        account_id,
        journal_date,
        sum(amount) as amount,
        sum(case when is_closing_entry then 0 else amount end) as amount_before_closing,
    from {{ ref('general_ledger') }}
    group by company_id, account_id, journal_date
),

final as (
    select
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        account_days.account_id,
        {{ sum_of_money("sum(case
            when reports.report = 'profit_loss' then account_days.amount_before_closing
            else account_days.amount
        end)") }} as amount,
    from reports
    inner join account_days
        on account_days.company_id = reports.company_id
        and account_days.journal_date <= reports.as_of_date
        and (reports.period_from is null or account_days.journal_date >= reports.period_from)
    group by
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        account_days.account_id
)

select * from final
