with

last_day as (
    select history.*
    from {{ ref('stock_history') }} as history
    inner join {{ ref('stg_companies') }} as companies
        on companies.company_id = history.company_id
        and companies.today = history.day
    where not history.is_deleted
)

select
    company_id,
    item_id,
    location_id,
    last_day.closing_quantity,
    on_hand.current,
from last_day
full outer join {{ ref('stock_on_hand') }} as on_hand using (company_id, item_id, location_id)
where
    last_day.closing_quantity is distinct from on_hand.current
    or last_day.stock_value is distinct from on_hand.stock_value
    or last_day.average_cost is distinct from on_hand.average_cost
