-- The steps of a month add up to the profit and loss; the first is what margin_by_invoice says. What
-- entries with an invoice's number cost lies on that invoice to the cent: no part of it is left over.
with

steps as (
    select
        company_id,
        period,
        section,
        sum(amount) as amount,
        coalesce(sum(amount) filter (where step = 'invoices'), 0) as of_invoices,
        coalesce(sum(amount) filter (where step = 'not_on_ledger'), 0) as not_on_ledger,
        count(*) filter (where section = 'cost_of_goods_sold' and step = 'posted_differently') as left_over,
    from {{ ref('margin_bridge') }}
    group by company_id, period, section
),

statement as (
    select
        company_id,
        period,
        unnest(['operating_revenue', 'cost_of_goods_sold']) as section,
        unnest([operating_revenue, cost_of_goods_sold]) as amount,
    from {{ ref('profit_and_loss_summary') }}
),

margins as (
    select
        company_id,
        period,
        unnest(['operating_revenue', 'cost_of_goods_sold']) as section,
        unnest([sum(net_revenue), coalesce(sum(cogs), 0)]) as of_invoices,
        unnest([null, coalesce(sum(cogs) filter (where cost_basis = 'ledger'), 0)]) as of_ledger,
    from {{ ref('margin_by_invoice') }}
    group by company_id, period
)

select
    company_id,
    period,
    section,
    steps.amount,
    statement.amount as of_statement,
    margins.of_invoices,
    margins.of_ledger,
from steps
full outer join statement using (company_id, period, section)
full outer join margins using (company_id, period, section)
where
    coalesce(steps.amount, 0) <> coalesce(statement.amount, 0)
    or coalesce(steps.of_invoices, 0) <> coalesce(margins.of_invoices, 0)
    or coalesce(steps.of_invoices + steps.not_on_ledger, 0) <> margins.of_ledger
    or steps.left_over > 0
