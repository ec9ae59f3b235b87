-- The marts' side of the trial balance, the balance sheet, the profit and loss and the cash flow.
with

balances as (
    select * from {{ ref('int_balances_as_reported') }}
),

totals as (
    select * from {{ ref('int_statement_totals') }}
),

trial_balance as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        account_id as entity_key,
        unnest(['debit', 'credit']) as measure,
        unnest([greatest(amount, 0), greatest(-amount, 0)]) as value,
    from balances
    where report = 'trial_balance'
),

-- Earnings that no entry has closed are part of equity.
balance_sheet as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        unnest(['assets', 'liabilities', 'equity']) as entity_key,
        'balance' as measure,
        unnest([assets, liabilities, equity + net_profit]) as value,
    from totals
    where report = 'balance_sheet'
),

{%- set lines = [
    'operating_revenue', 'other_revenue', 'cost_of_goods_sold', 'gross_profit',
    'operating_expense', 'other_expense', 'net_profit',
] %}

profit_and_loss as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        unnest({{ lines }}) as entity_key,
        'amount' as measure,
        unnest([{{ lines | join(', ') }}]) as value,
    from totals
    where report = 'profit_loss'
),

cash as (
    select
        reports.company_id,
        reports.as_of_date,
        reports.period_from,
        {{ sum_of_money('coalesce(sum(lines.amount) filter (where lines.journal_date < reports.period_from), 0)') }} as opening,
        {{ sum_of_money('coalesce(sum(lines.amount), 0)') }} as closing,
    from {{ ref('int_reports_fetched') }} as reports
    left join (
        select
            ledger.company_id,
            ledger.journal_date,
            sum(ledger.amount) as amount,
        from {{ ref('general_ledger') }} as ledger
        inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
        where accounts.account_role = 'cash'
        group by ledger.company_id, ledger.journal_date
    ) as lines
        on lines.company_id = reports.company_id and lines.journal_date <= reports.as_of_date
    where reports.report = 'cash_flow'
    group by reports.company_id, reports.as_of_date, reports.period_from
),

cash_flow as (
    select
        company_id,
        'cash_flow' as report,
        as_of_date,
        period_from,
        'cash' as entity_key,
        unnest(['net_change', 'opening', 'closing']) as measure,
        unnest([closing - opening, opening, closing]) as value,
    from cash
),

figures as (
    select * from cash_flow
    union all
    select * from trial_balance
    union all
    select * from balance_sheet
    union all
    select * from profit_and_loss
),

final as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        {{ sum_of_quantity('value') }} as value,
    from figures
)

select * from final
