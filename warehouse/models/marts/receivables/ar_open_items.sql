with

-- A credit from an overpaid invoice is owed to the customer: a liability, not a negative receivable.
open_versions as (
    select * from {{ ref('int_invoice_versions') }} where is_recognised and amount_due > 0
),

customers as (
    select * from {{ ref('stg_customers') }}
),

-- A version was known at the end of a day when it came on that day or before, in the company's time
-- zone, and its successor came on a later day.
lives as (
    select
        *,
        {{ local_date('known_from', 'timezone') }} as known_on,
        {{ local_date('known_to', 'timezone') }} as replaced_on,
        false as is_reconstructed,
    from open_versions
    union all by name
    select
        pasts.*,
        false as is_current,
        true as is_reconstructed,
        companies.today,
        companies.currency,
        companies.built_at,
    from {{ ref('int_invoice_pasts') }} as pasts
    inner join {{ ref('stg_companies') }} as companies using (company_id)
),

months as (
    select
        *,
        unnest(generate_series(
            cast(date_trunc('month', known_on) as timestamp),
            cast(least(coalesce(replaced_on, today), today) as timestamp),
            interval 1 month
        )) as month_start,
    from lives
),

as_of as (
    select
        * exclude (month_start),
        last_day(cast(month_start as date)) as as_of_date,
    from months
    where
        last_day(cast(month_start as date)) < today
        and coalesce(last_day(cast(month_start as date)) < replaced_on, true)
    union all
    select
        *,
        today as as_of_date,
    from lives
    where is_current
),

aged as (
    select
        *,
        cast(date_diff('day', due_date, as_of_date) as integer) as days_past_due,
    from as_of
    -- One dated ahead is owed from its own day on; one without a date is owed already.
    where coalesce(invoice_date <= as_of_date, true)
),

final as (
    select
        aged.company_id,
        aged.as_of_date,
        aged.customer_id,
        coalesce(customers.customer_name, aged.customer_name) as customer_name,
        aged.invoice_id,
        aged.invoice_number,
        aged.invoice_date,
        aged.due_date,
        aged.invoice_total,
        aged.amount_paid,
        aged.amount_due as open_amount,
        aged.days_past_due,
        case
            when aged.days_past_due <= 30 then 'current'
            when aged.days_past_due <= 60 then '31_60'
            when aged.days_past_due <= 90 then '61_90'
            else 'over_90'
        end as bucket,
        aged.is_reconstructed,
        aged.currency,
        aged.built_at,
    from aged
    left join customers using (company_id, customer_id)
)

select * from final
