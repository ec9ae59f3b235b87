-- The sections of every month sum to what the ledger says of cash, and the summary is its lines. What
-- accepted entries do not balance by is the footing difference, and nothing else is.
with

accepted as (
    select
        company_id,
        period,
        -sum(imbalance) as imbalance,
    from ({{ accepted_imbalances() }}) as imbalances
    where not is_closing_entry
    group by company_id, period
),

cash as (
    select
        lines.company_id,
        lines.period,
        sum(lines.amount) as change,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where accounts.account_role = 'cash' and accounts.statement = 'balance_sheet'
    group by lines.company_id, lines.period
),

statement as (
    select
        company_id,
        period,
        sum(amount) as change,
    from {{ ref('cash_flow') }}
    group by company_id, period
)

select
    periods.company_id,
    periods.period,
    cash.change as cash_change,
    statement.change as statement_change,
    summary.footing_difference,
from {{ ref('periods') }} as periods
left join {{ ref('cash_flow_summary') }} as summary using (company_id, period)
left join cash using (company_id, period)
left join statement using (company_id, period)
left join accepted using (company_id, period)
where
    summary.footing_difference is distinct from coalesce(accepted.imbalance, 0)
    or coalesce(cash.change, 0) <> summary.ledger_cash_change
    or coalesce(statement.change, 0) <> summary.operating + summary.investing + summary.financing
