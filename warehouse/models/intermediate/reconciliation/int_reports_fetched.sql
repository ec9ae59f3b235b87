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
        -- BigLedger keeps reports for 15 minutes (bigledger-api.md, section 5); where it does not say how
        -- old one is, it may be as old as that.
        coalesce(min(made_at), max(fetched_at) - interval 15 minutes) as oldest_at,
        max(told_dates) as told_dates,
        max(unavailable) as unavailable,
    from {{ ref('stg_report_figures') }}
    group by company_id, report, as_of_date, period_from
)

select * from final
