-- The weeks hold what is open today and has a due date, and no discount is lost that is not there.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

open_items as (
    select
        items.company_id,
        coalesce(items.supplier_id, '') as supplier,
        coalesce(sum(items.open_amount), 0) as open_amount,
        sum(items.discount_amount) as discount_amount,
    from {{ ref('ap_open_items') }} as items
    inner join companies on companies.company_id = items.company_id and companies.today = items.as_of_date
    where items.due_date is not null
    group by items.company_id, coalesce(items.supplier_id, '')
),

weeks as (
    select
        company_id,
        coalesce(supplier_id, '') as supplier,
        sum(amount_due) as amount_due,
        sum(discount_lost) as discount_lost,
        bool_or(extract(isodow from due_week) <> 1) as is_off,
    from {{ ref('payment_calendar') }}
    group by company_id, coalesce(supplier_id, '')
)

select
    company_id,
    supplier,
    open_items.open_amount,
    weeks.amount_due,
    weeks.discount_lost,
from open_items
full outer join weeks using (company_id, supplier)
where
    open_items.open_amount is distinct from weeks.amount_due
    or weeks.discount_lost > coalesce(open_items.discount_amount, 0)
    or weeks.is_off
