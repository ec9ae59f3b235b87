-- What falls due in which week, of what is open today. What was due before is in its own week all the
-- same; a bill without a due date is in none.
with

open_items as (
    select items.*
    from {{ ref('ap_open_items') }} as items
    inner join {{ ref('stg_companies') }} as companies
        on companies.company_id = items.company_id and companies.today = items.as_of_date
    where items.due_date is not null
),

final as (
    select
        company_id,
        cast(date_trunc('week', due_date) as date) as due_week,
        supplier_id,
        case when supplier_id is not null then max(supplier_name) end as supplier_name,
        {{ sum_of_money('coalesce(sum(open_amount), 0)') }} as amount_due,
        -- Paid when it is due, after the discount's last day, a bill bears none.
        {{ sum_of_money('coalesce(sum(discount_amount) filter (where discount_until < due_date), 0)') }}
            as discount_lost,
        min(discount_until) filter (where discount_amount > 0) as pay_by,
        cast(count(*) as integer) as bill_count,
        cast(count(*) filter (where open_amount is null) as integer) as bills_without_rate,
        any_value(currency) as currency,
        any_value(built_at) as built_at,
    from open_items
    group by company_id, date_trunc('week', due_date), supplier_id
)

select * from final
