with

figures as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        {{ sum_of_quantity('value') }} as value,
        request_id,
        {{ utc('fetched_at') }} as fetched_at,
        {{ utc('made_at') }} as made_at,
        failed_before,
        told_dates,
        unavailable,
        row_number() over (
            partition by company_id, report, as_of_date, period_from, entity_key, measure
            order by fetched_at desc, request_id desc
        ) as recency,
    from {{ source('inputs', 'report_figures') }}
),

final as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        value,
        request_id,
        fetched_at,
        made_at,
        failed_before,
        told_dates,
        unavailable,
    from figures
    where recency = 1
)

select * from final
