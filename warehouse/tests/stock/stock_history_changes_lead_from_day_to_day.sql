-- The first day and the changes after it make the last day, no day is missing before the row is gone,
-- and only the company's first day has no change.
with

rows_of_stock as (
    select
        *,
        min(day) over (partition by company_id) as first_day,
        row_number() over (partition by company_id, item_id, location_id order by day) as nth,
        lag(day) over (partition by company_id, item_id, location_id order by day) as day_before,
        lag(is_deleted) over (partition by company_id, item_id, location_id order by day) as was_gone,
        sum(coalesce(change_quantity, closing_quantity)) over upto as quantity_so_far,
        sum(coalesce(change_value, stock_value)) over upto as value_so_far,
    from {{ ref('stock_history') }}
    window upto as (
        partition by company_id, item_id, location_id
        order by day
        rows between unbounded preceding and current row
    )
)

select
    company_id,
    item_id,
    location_id,
    day,
from rows_of_stock
where
    quantity_so_far <> closing_quantity
    or value_so_far <> stock_value
    or (day_before + 1 <> day and not was_gone)
    or (change_quantity is null) <> (day = first_day)
    or (change_value is null) <> (day = first_day)
