with

open_items as (
    select * from {{ ref('ar_open_items') }}
),

credit_limits as (
    select
        company_id,
        customer_id,
        credit_limit,
        known_from,
    from {{ ref('hist_customers') }}
    where not is_deleted
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
        bool_or(is_reconstructed) as is_reconstructed,
    from open_items
    group by company_id, as_of_date, customer_id
),

-- Today is whatever is known by now; another day ends at its midnight in the company's time zone.
dated as (
    select
        totals.*,
        companies.currency,
        companies.built_at,
        case
            when totals.as_of_date = companies.today then cast('infinity' as timestamp)
            else {{ utc('cast(totals.as_of_date + 1 as timestamp) at time zone companies.timezone') }}
        end as known_before,
    from totals
    inner join companies using (company_id)
),

final as (
    select
        dated.company_id,
        dated.as_of_date,
        dated.customer_id,
        dated.customer_name,
        {{ sum_of_money('dated.current') }} as current,
        {{ sum_of_money('dated.days_31_60') }} as days_31_60,
        {{ sum_of_money('dated.days_61_90') }} as days_61_90,
        {{ sum_of_money('dated.over_90') }} as over_90,
        {{ sum_of_money('dated.total_outstanding') }} as total_outstanding,
        {{ sum_of_money('dated.total_overdue') }} as total_overdue,
        cast(dated.oldest_days as integer) as oldest_days,
        credit_limits.credit_limit,
        dated.is_reconstructed,
        dated.currency,
        dated.built_at,
    from dated
    asof left join credit_limits
        on credit_limits.company_id = dated.company_id
        and credit_limits.customer_id = dated.customer_id
        and dated.known_before > credit_limits.known_from
)

select * from final
