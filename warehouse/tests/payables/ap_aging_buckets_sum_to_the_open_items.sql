-- The buckets sum to the total, and the total is the sum of the supplier's open items.
with

open_items as (
    select
        company_id,
        as_of_date,
        supplier_id,
        coalesce(sum(open_amount), 0) as open_amount,
    from {{ ref('ap_open_items') }}
    group by company_id, as_of_date, supplier_id
)

select
    coalesce(aging.company_id, open_items.company_id) as company_id,
    coalesce(aging.as_of_date, open_items.as_of_date) as as_of_date,
    coalesce(aging.supplier_id, open_items.supplier_id) as supplier_id,
    aging.total_outstanding,
    open_items.open_amount,
from {{ ref('ap_aging') }} as aging
full outer join open_items
    on open_items.company_id = aging.company_id
    and open_items.as_of_date = aging.as_of_date
    and open_items.supplier_id is not distinct from aging.supplier_id
where
    aging.total_outstanding is distinct from open_items.open_amount
    or aging.total_outstanding <> aging.current + aging.days_31_60 + aging.days_61_90 + aging.over_90
