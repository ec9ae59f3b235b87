-- What is owed to all payees is what is open on all bills that name a supplier.
with

owed as (
    select company_id, sum(open_amount) as owed_amount
    from {{ ref('owed_to_payees') }}
    group by company_id
),

open_items as (
    select items.company_id, sum(items.open_amount) as open_amount
    from {{ ref('ap_open_items') }} as items
    inner join {{ ref('stg_companies') }} as companies
        on companies.company_id = items.company_id and companies.today = items.as_of_date
    where items.supplier_id in (select payee_id from {{ ref('stg_payees') }} where not is_deleted)
    group by items.company_id
)

select
    company_id,
    owed_amount,
    open_amount,
from owed
full outer join open_items using (company_id)
where coalesce(owed_amount, 0) <> coalesce(open_amount, 0)
