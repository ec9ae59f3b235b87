-- Another way to the reserve than by what balances the books: each month the net assets that there were, by
-- how far the closing rate moved, and what was earned or paid in, by the closing rate less the rate at which
-- it was translated (IAS 21.41, MPERS 30.20); straight from the ledger and the balance sheet. Companies that
-- accepted entries that do not balance are left out.
with

months as (
    select
        *,
        -- What was there before the first month came in at the historical rate.
        lag(closing_rate, 1, historical_rate) over (
            partition by group_id, company_id order by period
        ) as rate_before,
    from {{ ref('group_companies') }}
    where is_complete
        and company_id not in (
            select distinct company_id
            from {{ ref('trial_balance') }}
            group by company_id, period
            having sum(closing_balance) <> 0
        )
),

historical_rates as (
    select * from {{ source('user_tables', 'group_historical_rates') }}
),

investments as (
    select distinct group_id, parent_company_id as company_id, investment_account as account_number
    from months
    where investment_account is not null
),

net_assets as (
    select
        months.group_id,
        months.company_id,
        months.period,
        sum(case sheets.section when 'assets' then sheets.balance else -sheets.balance end) as amount,
    from months
    inner join {{ ref('balance_sheet') }} as sheets
        on sheets.company_id = months.company_id
        and sheets.as_of_date = months.period - 1
        and sheets.section in ('assets', 'liabilities')
    anti join investments
        on investments.group_id = months.group_id
        and investments.company_id = sheets.company_id
        and investments.account_number = sheets.account_number
    group by all
),

moved as (
    select
        months.group_id,
        months.company_id,
        months.period,
        sum(cast(entries.amount as decimal(38, 2)) * (months.closing_rate - case accounts.statement
            when 'balance_sheet' then coalesce(historical_rates.rate, months.average_rate)
            else months.average_rate
        end)) as amount,
    from months
    inner join {{ ref('general_ledger') }} as entries using (company_id, period)
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    left join investments
        on investments.group_id = months.group_id
        and investments.company_id = months.company_id
        and investments.account_number = accounts.account_number
    left join historical_rates
        on historical_rates.group_id = months.group_id
        and historical_rates.company_id = months.company_id
        and historical_rates.account_number = accounts.account_number
        and historical_rates.period = months.period
    where not entries.is_closing_entry
        and (accounts.section not in ('assets', 'liabilities') or investments.account_number is not null)
    group by all
),

-- Equity that came in at a rate of its own before the first month.
before as (
    select
        months.group_id,
        months.company_id,
        months.period,
        sum(cast(entries.amount as decimal(38, 2)) * (months.historical_rate - historical_rates.rate)) as amount,
    from months
    inner join historical_rates using (group_id, company_id)
    inner join {{ ref('general_ledger') }} as entries
        on entries.company_id = months.company_id
        and entries.account_number = historical_rates.account_number
        and entries.period < months.first_period
    where months.period = months.first_period and historical_rates.period is null
    group by all
),

expected as (
    select
        group_id,
        company_id,
        period,
        round(sum(
            coalesce(moved.amount, 0)
            + coalesce(before.amount, 0)
            - coalesce(cast(net_assets.amount as decimal(38, 2)) * (months.closing_rate - months.rate_before), 0)
        ) over (partition by group_id, company_id order by period), 2) as reserve,
    from months
    left join net_assets using (group_id, company_id, period)
    left join moved using (group_id, company_id, period)
    left join before using (group_id, company_id, period)
),

found as (
    select
        group_id,
        company_id,
        period,
        sum(amount) as reserve,
    from {{ ref('group_trial_balance') }}
    where kind = 'translation' and part = company_id
    group by group_id, company_id, period
)

select
    group_id,
    company_id,
    period,
    expected.reserve as reserve_expected,
    found.reserve,
from expected
left join found using (group_id, company_id, period)
where expected.reserve <> coalesce(found.reserve, 0)
