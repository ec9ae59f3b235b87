-- An item's month has the quantity and revenue of all customers, and profit is what cost leaves of it.
-- Beside the estimate stands what the ledger has for the month.
with

revenue as (
    select
        company_id,
        period,
        coalesce(item_id, '') as item,
        sum(quantity) as quantity,
        sum(net_revenue) as net_revenue,
    from {{ ref('revenue_monthly') }}
    where invoice_count > 0
    group by company_id, period, coalesce(item_id, '')
),

margins as (
    select
        *,
        coalesce(item_id, '') as item,
        sum(cogs_estimated) over (partition by company_id, period) as cogs_of_month,
    from {{ ref('gross_margin') }}
),

ledger as (
    select
        company_id,
        period,
        cost_of_goods_sold,
    from {{ ref('profit_and_loss_summary') }}
)

select
    company_id,
    period,
    item,
    revenue.net_revenue as of_revenue_monthly,
    margins.net_revenue,
    margins.cogs_estimated,
    margins.gross_profit,
from revenue
full outer join margins using (company_id, period, item)
left join ledger using (company_id, period)
where
    revenue.quantity is distinct from margins.quantity
    or revenue.net_revenue is distinct from margins.net_revenue
    or margins.gross_profit <> margins.net_revenue - margins.cogs_estimated
    or (margins.cost_basis = 'none') <> (margins.cogs_estimated is null)
    or margins.is_cogs_estimated <> (margins.cogs_estimated is not null)
    or margins.month_cogs_estimated is distinct from margins.cogs_of_month
    or margins.month_cogs_ledger is distinct from ledger.cost_of_goods_sold
    or margins.month_cogs_difference is distinct from coalesce(margins.cogs_of_month, 0) - ledger.cost_of_goods_sold
