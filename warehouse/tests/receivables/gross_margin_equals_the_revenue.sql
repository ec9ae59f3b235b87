-- An item's month has the quantity and revenue of all customers, and profit is what cost leaves of it.
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

invoices as (
    select
        company_id,
        period,
        coalesce(item_id, '') as item,
        sum(gross_profit) as gross_profit,
        bool_and(cost_basis = 'ledger') as is_of_ledger,
    from {{ ref('margin_by_invoice') }}
    group by company_id, period, coalesce(item_id, '')
),

margins as (
    select
        *,
        coalesce(item_id, '') as item,
    from {{ ref('gross_margin') }}
)

select
    company_id,
    period,
    item,
    revenue.net_revenue as of_revenue_monthly,
    margins.net_revenue,
    margins.cogs,
    margins.gross_profit,
from revenue
full outer join margins using (company_id, period, item)
full outer join invoices using (company_id, period, item)
where
    revenue.quantity is distinct from margins.quantity
    or revenue.net_revenue is distinct from margins.net_revenue
    or margins.gross_profit <> margins.net_revenue - margins.cogs
    or margins.gross_profit <> invoices.gross_profit
    or (margins.cost_basis = 'ledger') is distinct from invoices.is_of_ledger
    or (margins.cost_basis = 'none') <> (margins.cogs is null)
    or margins.is_cogs_estimated <> (margins.cost_basis in ('average_cost', 'cost_price'))
