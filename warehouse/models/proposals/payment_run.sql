-- Which bills to pay by the end of the next payment_run_days: what falls due until then, and what loses
-- its discount if it waits for the run after. A sheet for the bank, nothing that BigLedger has a door for.
-- Bills that may be the same one twice, and suppliers that are suspended, wait for somebody's word.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

open_items as (
    select
        items.*,
        companies.today,
        items.discount_until >= companies.today and items.discount_amount > 0 as has_discount,
        companies.today + {{ var('payment_run_days') }} as run_until,
    from {{ ref('ap_open_items') }} as items
    inner join companies on companies.company_id = items.company_id and companies.today = items.as_of_date
    where
        items.open_amount > 0
        and (items.company_id, items.bill_id) not in (
            select (company_id, record_id)
            from {{ ref('exceptions') }}
            where entity = 'bills' and rule in ('duplicate_supplier_invoice', 'near_duplicate_bill') and not is_accepted
        )
),

final as (
    select
        items.company_id as _company_id,
        items.bill_id,
        items.bill_number,
        items.supplier_invoice_number,
        items.supplier_id,
        suppliers.supplier_number,
        items.supplier_name,
        items.due_date,
        greatest(case when items.has_discount then items.discount_until else items.due_date end, items.today)
            as pay_on,
        items.open_amount,
        case when items.has_discount then items.discount_amount else {{ sum_of_money('0') }} end as discount,
        {{ sum_of_money('items.open_amount - case when items.has_discount then items.discount_amount else 0 end') }}
            as amount_to_pay,
        items.bill_currency,
        items.currency as _currency,
        items.built_at as _built_at,
    from open_items as items
    left join {{ ref('stg_suppliers') }} as suppliers using (company_id, supplier_id)
    where
        (items.due_date <= items.run_until or (items.has_discount and items.discount_until <= items.run_until))
        and coalesce(suppliers.status, 'active') <> 'suspended'
)

select * from final
