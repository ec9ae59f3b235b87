-- The buckets sum to the total, and the total is the sum of the customer's open items.
with

open_items as (
    select
        company_id,
        as_of_date,
        customer_id,
        sum(open_amount) as open_amount,
    from {{ ref('ar_open_items') }}
    group by company_id, as_of_date, customer_id
)

select
    company_id,
    as_of_date,
    customer_id,
    aging.total_outstanding,
    open_items.open_amount,
from {{ ref('ar_aging') }} as aging
full outer join open_items using (company_id, as_of_date, customer_id)
where
    aging.total_outstanding is distinct from open_items.open_amount
    or aging.total_outstanding
    <> aging.current + aging.days_31_60 + aging.days_61_90 + aging.over_90
