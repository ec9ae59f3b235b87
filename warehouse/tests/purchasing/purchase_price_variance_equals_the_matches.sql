-- The months' quantities and variances are those of the lines that answer to an order.
with

matches as (
    select
        company_id,
        period,
        sum(matched_quantity) as quantity,
        sum(price_variance) filter (where bill_currency = currency) as own_variance,
        bool_and(bill_currency = currency) as is_own,
    from {{ ref('three_way_match') }}
    where order_line_no is not null and period is not null
    group by company_id, period
),

months as (
    select
        company_id,
        period,
        sum(quantity) as quantity,
        sum(price_variance) as price_variance,
    from {{ ref('purchase_price_variance') }}
    group by company_id, period
)

select
    company_id,
    period,
    matches.quantity as matched,
    months.quantity,
    matches.own_variance,
    months.price_variance,
from matches
full outer join months using (company_id, period)
where
    matches.quantity is distinct from months.quantity
    or (matches.is_own and coalesce(matches.own_variance, 0) <> months.price_variance)
