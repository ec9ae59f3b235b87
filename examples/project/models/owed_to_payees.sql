-- What the company owes each payee today, nothing included.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

payees as (
    select * from {{ ref('stg_payees') }}
    where not is_deleted
),

open_items as (
    select
        items.company_id,
        items.supplier_id,
        sum(items.open_amount) as open_amount,
        count(*) as bills,
    from {{ ref('ap_open_items') }} as items
    inner join companies
        on companies.company_id = items.company_id and companies.today = items.as_of_date
    group by items.company_id, items.supplier_id
),

final as (
    select
        payees.company_id,
        payees.payee_id,
        payees.payee_number,
        payees.payee_name,
        {{ sum_of_money('coalesce(open_items.open_amount, 0)') }} as open_amount,
        coalesce(open_items.bills, 0) as bills,
        companies.currency,
        companies.built_at,
    from payees
    inner join companies using (company_id)
    left join open_items
        on open_items.company_id = payees.company_id and open_items.supplier_id = payees.payee_id
)

select * from final
