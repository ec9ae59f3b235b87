with

companies as (
    select * from {{ ref('stg_companies') }}
),

items as (
    select * from {{ ref('stg_items') }}
),

sales as (
    select
        company_id,
        period,
        item_id,
        sum(quantity) as quantity,
        sum(net_revenue) as net_revenue,
    from {{ ref('revenue_monthly') }}
    where invoice_count > 0
    group by company_id, period, item_id
),

averages as (
    select
        company_id,
        item_id,
        {{ quotient('sum(stock_value)', 'sum(current_stock)', 6) }} as average_cost,
    from {{ ref('stg_stock') }}
    where not is_deleted
    group by company_id, item_id
    having sum(current_stock) > 0 and sum(stock_value) > 0
),

costed as (
    select
        sales.*,
        coalesce(averages.average_cost, items.cost_price) as unit_cost,
        case
            when averages.average_cost is not null then 'average_cost'
            when items.cost_price is not null then 'cost_price'
            else 'none'
        end as cost_basis,
    from sales
    left join averages using (company_id, item_id)
    left join items using (company_id, item_id)
),

estimated as (
    select
        *,
        {{ sum_of_money('round(cast(quantity as decimal(38, 4)) * unit_cost, 2)') }} as cogs_estimated,
    from costed
),

-- What the ledger has for the cost of goods sold knows no items, only the month.
months as (
    select
        estimated.company_id,
        estimated.period,
        sum(estimated.cogs_estimated) as cogs_estimated,
        any_value(ledger.cost_of_goods_sold) as cogs_ledger,
    from estimated
    left join {{ ref('profit_and_loss_summary') }} as ledger using (company_id, period)
    group by estimated.company_id, estimated.period
),

final as (
    select
        estimated.company_id,
        estimated.period,
        estimated.item_id,
        {{ sum_of_quantity('estimated.quantity') }} as quantity,
        {{ sum_of_money('estimated.net_revenue') }} as net_revenue,
        estimated.cogs_estimated,
        {{ sum_of_money('estimated.net_revenue - estimated.cogs_estimated') }} as gross_profit,
        {{ percent('estimated.net_revenue - estimated.cogs_estimated', 'estimated.net_revenue') }}
            as margin_pct,
        estimated.cost_basis,
        estimated.cogs_estimated is not null as is_cogs_estimated,
        {{ sum_of_money('months.cogs_estimated') }} as month_cogs_estimated,
        {{ sum_of_money('months.cogs_ledger') }} as month_cogs_ledger,
        {{ sum_of_money('coalesce(months.cogs_estimated, 0) - months.cogs_ledger') }}
            as month_cogs_difference,
        companies.currency,
        companies.built_at,
    from estimated
    inner join companies using (company_id)
    inner join months using (company_id, period)
)

select * from final
