-- Days, once for all companies: metrics are joined with it, and a company would double them.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

periods as (
    select * from {{ ref('periods') }}
),

span as (
    select
        min(periods.period) as first_day,
        greatest(
            max(periods.period_end),
            cast(date_trunc('year', max(companies.today)) + interval 2 years - interval 1 day as date)
        ) as last_day,
        max(companies.built_at) as built_at,
    from periods
    inner join companies using (company_id)
),

days as (
    select
        cast(unnest(generate_series(
            cast(first_day as timestamp), cast(last_day as timestamp), interval 1 day
        )) as date) as day,
        built_at,
    from span
),

final as (
    select
        day,
        cast(extract(year from day) as integer) as year,
        cast(extract(quarter from day) as integer) as quarter,
        cast(extract(month from day) as integer) as month,
        monthname(day) as month_name,
        cast(date_trunc('month', day) as date) as period,
        cast(extract(isodow from day) as integer) as day_of_week,
        dayname(day) as day_name,
        day = last_day(day) as is_month_end,
        built_at,
    from days
)

select * from final
