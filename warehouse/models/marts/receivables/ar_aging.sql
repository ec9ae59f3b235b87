with

open_items as (
    select * from {{ ref('ar_open_items') }}
),

customers as (
    select * from {{ ref('stg_customers') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

totals as (
    select
        company_id,
        as_of_date,
        customer_id,
        -- Invoices that name no customer share a row, and no name.
        case when customer_id is not null then max(customer_name) end as customer_name,
        sum(case when bucket = 'current' then open_amount else 0 end) as current,
        sum(case when bucket = '31_60' then open_amount else 0 end) as days_31_60,
        sum(case when bucket = '61_90' then open_amount else 0 end) as days_61_90,
        sum(case when bucket = 'over_90' then open_amount else 0 end) as over_90,
        sum(open_amount) as total_outstanding,
        sum(case when days_past_due > 0 then open_amount else 0 end) as total_overdue,
        greatest(max(days_past_due), 0) as oldest_days,
    from open_items
    group by company_id, as_of_date, customer_id
),

final as (
    select
        totals.company_id,
        totals.as_of_date,
        totals.customer_id,
        totals.customer_name,
        {{ money('totals.current') }} as current,
        {{ money('totals.days_31_60') }} as days_31_60,
        {{ money('totals.days_61_90') }} as days_61_90,
        {{ money('totals.over_90') }} as over_90,
        {{ money('totals.total_outstanding') }} as total_outstanding,
        {{ money('totals.total_overdue') }} as total_overdue,
        cast(totals.oldest_days as integer) as oldest_days,
        customers.credit_limit,
        companies.currency,
        companies.built_at,
    from totals
    inner join companies using (company_id)
    left join customers using (company_id, customer_id)
)

select * from final
