with

on_hand as (
    select
        company_id,
        item_id,
        sum(current) as quantity,
        sum(stock_value) as stock_value,
    from {{ ref('stock_on_hand') }}
    group by company_id, item_id
),

valuation as (
    select valuation.*
    from {{ ref('inventory_valuation') }} as valuation
    inner join {{ ref('stg_companies') }} as companies
        on companies.company_id = valuation.company_id
        and companies.today = valuation.as_of_date
)

select
    company_id,
    item_id,
    valuation.stock_value,
    on_hand.stock_value as on_hand_value,
from valuation
full outer join on_hand using (company_id, item_id)
where
    valuation.stock_value is distinct from on_hand.stock_value
    or valuation.quantity is distinct from on_hand.quantity
