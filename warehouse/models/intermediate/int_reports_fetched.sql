-- Which of BigLedger's reports were fetched, for which day: what there is to be compared with.
with

final as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        max(request_id) as request_id,
        max(fetched_at) as fetched_at,
    from {{ ref('stg_report_figures') }}
    group by company_id, report, as_of_date, period_from
)

select * from final
