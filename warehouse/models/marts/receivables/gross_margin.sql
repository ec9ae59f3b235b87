-- An item of which some invoices' cost is an estimate says whose cost that is; of those all bear the same.
with

items_by_month as (
    select
        company_id,
        period,
        item_id,
        sum(quantity) as quantity,
        sum(net_revenue) as net_revenue,
        case when bool_and(cogs is not null) then sum(cogs) end as cogs,
        sum(cogs_estimated) as cogs_estimated,
        coalesce(any_value(cost_basis) filter (where cost_basis <> 'ledger'), 'ledger') as cost_basis,
        any_value(currency) as currency,
        any_value(built_at) as built_at,
    from {{ ref('margin_by_invoice') }}
    group by company_id, period, item_id
),

final as (
    select
        company_id,
        period,
        item_id,
        {{ sum_of_quantity('quantity') }} as quantity,
        {{ sum_of_money('net_revenue') }} as net_revenue,
        {{ sum_of_money('cogs') }} as cogs,
        {{ sum_of_money('net_revenue - cogs') }} as gross_profit,
        {{ percent('net_revenue - cogs', 'net_revenue') }} as margin_pct,
        cost_basis,
        cost_basis in ('average_cost', 'cost_price') as is_cogs_estimated,
        {{ sum_of_money('cogs_estimated') }} as cogs_estimated,
        currency,
        built_at,
    from items_by_month
)

select * from final
