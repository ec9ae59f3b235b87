-- Open items of today are what the invoices say now, one by one. Those of a past month end are dated
-- before today and were known then.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

invoices as (
    select
        invoices.company_id,
        invoices.invoice_id,
        {{ in_company_currency('invoices.amount_due', 'invoices.exchange_rate') }} as amount_due,
    from {{ ref('invoices') }} as invoices
    inner join companies using (company_id)
    where
        invoices.is_recognised
        -- Less than half a cent in the company's currency is nothing.
        and {{ in_company_currency('invoices.amount_due', 'invoices.exchange_rate') }} > 0
        and coalesce(invoices.invoice_date <= companies.today, true)
),

open_items as (
    select items.*
    from {{ ref('ar_open_items') }} as items
    inner join companies
        on companies.company_id = items.company_id and companies.today = items.as_of_date
)

select
    company_id,
    invoice_id,
    open_items.as_of_date,
    invoices.amount_due,
    open_items.open_amount,
from invoices
full outer join open_items using (company_id, invoice_id)
where invoices.amount_due is distinct from open_items.open_amount
union all
select
    items.company_id,
    items.invoice_id,
    items.as_of_date,
    null,
    items.open_amount,
from {{ ref('ar_open_items') }} as items
inner join companies using (company_id)
where
    items.as_of_date > companies.today
    or items.as_of_date not in (companies.today, last_day(items.as_of_date))
    or items.invoice_date > items.as_of_date
