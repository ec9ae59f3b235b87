-- Open items of today are what the bills say now, one by one. Those of a past month end are dated by
-- then.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

bills as (
    select
        bills.company_id,
        bills.bill_id,
        bills.home_due,
    from {{ ref('bills') }} as bills
    inner join companies using (company_id)
    where
        bills.is_recognised
        and bills.amount_due > 0
        and coalesce(bills.home_due > 0, true)
        and coalesce(bills.bill_date <= companies.today, true)
),

open_items as (
    select items.*
    from {{ ref('ap_open_items') }} as items
    inner join companies on companies.company_id = items.company_id and companies.today = items.as_of_date
)

select
    company_id,
    bill_id,
    open_items.as_of_date,
    bills.home_due,
    open_items.open_amount,
from bills
full outer join open_items using (company_id, bill_id)
where
    bills.home_due is distinct from open_items.open_amount
    or open_items.as_of_date is null
    or bills.bill_id is null
union all
select
    items.company_id,
    items.bill_id,
    items.as_of_date,
    null,
    items.open_amount,
from {{ ref('ap_open_items') }} as items
inner join companies using (company_id)
where
    items.as_of_date > companies.today
    or items.as_of_date not in (companies.today, last_day(items.as_of_date))
    or items.bill_date > items.as_of_date
