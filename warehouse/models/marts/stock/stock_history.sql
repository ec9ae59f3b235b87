-- Each observed version is spread over its own days, so nothing is joined day by day.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- A version that landed past midnight while the build was under way counts for the build's day.
versions as (
    select
        stock.*,
        companies.today,
        least({{ local_date('stock.known_from', 'companies.timezone') }}, companies.today) as day,
    from {{ ref('hist_stock') }} as stock
    inner join companies using (company_id)
),

-- What was known by local midnight is the last version of the day.
day_ends as (
    select *
    from versions
    qualify row_number() over (
        partition by company_id, item_id, location_id, day
        order by known_from desc, is_deleted desc
    ) = 1
),

closings as (
    select
        company_id,
        item_id,
        location_id,
        day,
        today,
        is_deleted,
        case when is_deleted then 0 else current_stock end as closing_quantity,
        case when is_deleted then 0 else stock_value end as stock_value,
        case when not is_deleted then average_cost end as average_cost,
        min(day) over (partition by company_id) as first_day,
    from day_ends
),

-- Before the first day nothing is known; a row that appears later was not there before.
changes as (
    select
        *,
        lead(day) over of_row as next_day,
        closing_quantity - case
            when day > first_day then coalesce(lag(closing_quantity) over of_row, 0)
        end as change_quantity,
        stock_value - case
            when day > first_day then coalesce(lag(stock_value) over of_row, 0)
        end as change_value,
    from closings
    window of_row as (partition by company_id, item_id, location_id order by day)
),

-- A row that is gone at BigLedger has the day on which that was seen, and none after it.
days as (
    select
        * exclude (day, today, next_day, first_day),
        day as version_day,
        unnest(range(
            cast(day as timestamp),
            cast(case when is_deleted then day + 1 else coalesce(next_day, today + 1) end as timestamp),
            interval 1 day
        )) as instant,
    from changes
),

final as (
    select
        days.company_id,
        cast(days.instant as date) as day,
        days.item_id,
        days.location_id,
        {{ sum_of_quantity('days.closing_quantity') }} as closing_quantity,
        days.average_cost,
        {{ sum_of_money('days.stock_value') }} as stock_value,
        {{ sum_of_quantity('case when days.instant = days.version_day then days.change_quantity else 0 end') }}
            as change_quantity,
        {{ sum_of_money('case when days.instant = days.version_day then days.change_value else 0 end') }}
            as change_value,
        days.is_deleted,
        companies.currency,
        companies.built_at,
    from days
    inner join companies using (company_id)
)

select * from final
