-- A company's days add up to its transactions, and the parts of every row to its total.
with

transactions as (
    select
        company_id,
        sum(total) as total,
        sum(total_tax) as tax,
        sum(rounding) as rounding,
    from {{ ref('stg_pos_transactions') }}
    where not is_deleted and status is distinct from 'voided'
    group by company_id
),

days as (
    select
        company_id,
        sum(total) as total,
        sum(tax) as tax,
        sum(rounding) as rounding,
        bool_or(gross - discounts - returns <> net or net + tax + rounding <> total) as is_off,
    from {{ ref('pos_daily_sales') }}
    group by company_id
)

select
    company_id,
    transactions.total as of_transactions,
    days.total,
from transactions
full outer join days using (company_id)
where
    transactions.total is distinct from days.total
    or transactions.tax is distinct from days.tax
    or transactions.rounding is distinct from days.rounding
    or days.is_off
