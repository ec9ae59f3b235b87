-- Net profit of a month = credits less debits on revenue and expense, closing entries left out.
with

ledger as (
    select
        company_id,
        period,
        -sum(amount) as net_profit,
    from {{ ref('general_ledger') }}
    where
        account_type in ('revenue', 'expense')
        and not is_closing_entry
        and (company_id, period) in (select (company_id, period) from {{ ref('periods') }})
    group by company_id, period
)

select
    company_id,
    period,
    ledger.net_profit as ledger_profit,
    summary.net_profit,
from {{ ref('profit_and_loss_summary') }} as summary
full outer join ledger using (company_id, period)
where
    coalesce(ledger.net_profit, 0) is distinct from summary.net_profit
    or summary.net_profit
    <> summary.operating_profit + summary.other_revenue - summary.other_expense
    or summary.operating_profit <> summary.gross_profit - summary.operating_expense
