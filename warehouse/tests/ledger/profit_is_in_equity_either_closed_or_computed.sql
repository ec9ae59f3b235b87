-- The balance sheet's two computed lines and the entries that closed earnings into equity together
-- are the profit since the books began, with what is dated before all plausible months.
with

profits as (
    select
        company_id,
        period,
        sum(net_profit) over (partition by company_id order by period) as profit,
    from {{ ref('profit_and_loss_summary') }}
),

closed as (
    select
        company_id,
        period,
        sum(closing_entries) as amount,
    from {{ ref('int_account_months') }}
    inner join {{ ref('accounts') }} using (company_id, account_id)
    where statement = 'profit_and_loss'
    group by company_id, period
),

brought_forward as (
    select
        lines.company_id,
        -sum(lines.amount) as profit,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where
        lines.account_type in ('revenue', 'expense')
        and {{ is_before_span('lines.journal_date', 'companies.today') }}
    group by lines.company_id
),

computed as (
    select
        company_id,
        as_of_date,
        sum(balance) as balance,
    from {{ ref('balance_sheet') }}
    where is_computed
    group by company_id, as_of_date
)

select
    periods.company_id,
    periods.period,
    profits.profit,
    computed.balance,
from {{ ref('periods') }} as periods
inner join profits using (company_id, period)
inner join computed
    on computed.company_id = periods.company_id and computed.as_of_date = periods.period_end
left join closed using (company_id, period)
left join brought_forward using (company_id)
qualify
    computed.balance
    <> coalesce(brought_forward.profit, 0) + profits.profit - sum(coalesce(closed.amount, 0)) over (
        partition by periods.company_id order by periods.period
    )
