with

orders as (
    select
        orders.company_id,
        orders.purchase_order_id,
        {{ rate_of('orders.order_currency', 'companies.currency', 'orders.exchange_rate') }} as rate,
    from {{ ref('stg_purchase_orders') }} as orders
    inner join {{ ref('stg_companies') }} as companies using (company_id)
),

matched as (
    select
        matches.*,
        {{ in_company_currency(valued('matches.matched_quantity', 'matches.order_price'), 'orders.rate') }}
            as order_amount,
        {{ in_company_currency('matches.price_variance', 'orders.rate') }} as variance,
    from {{ ref('three_way_match') }} as matches
    inner join orders using (company_id, purchase_order_id)
    where matches.order_line_no is not null and matches.period is not null
),

final as (
    select
        company_id,
        period,
        item_id,
        supplier_id,
        {{ sum_of_quantity('sum(matched_quantity)') }} as quantity,
        {{ sum_of_money('coalesce(sum(order_amount), 0)') }} as order_amount,
        {{ sum_of_money('coalesce(sum(variance), 0)') }} as price_variance,
        {{ percent('coalesce(sum(variance), 0)', 'coalesce(sum(order_amount), 0)') }} as variance_pct,
        cast(count(*) filter (where variance is null) as integer) as lines_without_rate,
        any_value(currency) as currency,
        any_value(built_at) as built_at,
    from matched
    group by company_id, period, item_id, supplier_id
)

select * from final
