with

companies as (
    select * from {{ ref('stg_companies') }}
),

reports as (
    select * from {{ ref('int_reports_fetched') }}
),

late as (
    select * from {{ ref('int_late_figures') }}
),

mart_figures as (
    select * from {{ ref('int_ledger_figures') }}
    union all
    select * from {{ ref('int_subledger_figures') }}
    union all
    select * from {{ ref('int_list_figures') }}
),

-- A figure of zero and a missing one say the same, so a zero waits for the other side to name it.
sides as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        value,
        0 as source_value,
        false as failed_before,
        cast(null as varchar) as request_id,
        cast(null as timestamp) as fetched_at,
    from mart_figures
    where
        value <> 0
        and (company_id, report, as_of_date) not in (
            select (company_id, report, as_of_date) from reports where unavailable is not null
        )
    union all
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        0 as value,
        value as source_value,
        coalesce(failed_before, false) as failed_before,
        request_id,
        fetched_at,
    from {{ ref('stg_report_figures') }}
    where entity_key is not null
),

compared as (
    select
        sides.company_id,
        sides.report,
        sides.as_of_date,
        sides.period_from,
        sides.entity_key,
        sides.measure,
        {{ sum_of_quantity('sum(sides.value)') }} as mart_value,
        {{ sum_of_quantity('sum(sides.source_value)') }} as source_value,
        bool_or(sides.failed_before) as failed_before,
        max(sides.request_id) as request_id,
        max(sides.fetched_at) as fetched_at,
    from sides
    group by all
),

-- Of a trial balance debit-positive, because a late entry may move an account from one column into
-- the other.
netted as (
    select
        *,
        case
            when report = 'trial_balance'
                then sum(case when measure = 'credit' then source_value - mart_value else mart_value - source_value end)
                    over (partition by company_id, report, as_of_date, period_from, entity_key)
            else mart_value - source_value
        end as difference_to_explain,
    from compared
),

report_figures as (
    select
        netted.company_id,
        case netted.report when 'profit_loss' then 'profit_and_loss' else netted.report end as check_name,
        netted.as_of_date,
        netted.period_from,
        netted.entity_key || ':' || netted.measure as entity_key,
        case
            when reports.unavailable is not null then null
            when netted.report not in ('aged_receivables', 'aged_payables', 'stock_valuation')
                or netted.as_of_date = companies.today
                then netted.mart_value
        end as mart_value,
        netted.source_value,
        reports.told_dates,
        reports.unavailable,
        case
            when reports.told_dates is not null
                then 'The report says that it is of ' || reports.told_dates || ', which was not asked for.'
            when exists (
                select 1
                from late
                where
                    late.company_id = netted.company_id
                    and late.report = netted.report
                    and late.as_of_date = netted.as_of_date
                    and late.period_from is not distinct from netted.period_from
                    and late.entity_key = netted.entity_key
                    and coalesce(late.measure = netted.measure, true)
                    and netted.difference_to_explain between late.lowest and late.highest
            )
                then case netted.report
                    when 'list_totals' then 'The total was told before the latest records landed.'
                    else 'The report may have been made before the latest records behind it.'
                end
            -- It is asked for once, so that a failure would never end.
            when netted.report = 'past_receivables'
                then 'What was open before the first sync is rebuilt; of payments that no entry names by their invoice only the last day is known.'
        end as doubt,
        netted.failed_before,
        coalesce(netted.request_id, reports.request_id) as request_id,
        coalesce(netted.fetched_at, reports.fetched_at) as fetched_at,
    from netted
    inner join companies using (company_id)
    -- A report that was not fetched is no comparison.
    inner join reports
        on reports.company_id = netted.company_id
        and reports.report = netted.report
        and reports.as_of_date = netted.as_of_date
        and reports.period_from is not distinct from netted.period_from
),

figures as (
    select * from report_figures
    union all by name
    select
        *,
        cast(null as date) as period_from,
        false as failed_before,
    from {{ ref('int_balance_figures') }}
),

judged as (
    select
        figures.*,
        case
            when mart_value is null then 'not_comparable'
            when told_dates is not null then 'not_comparable'
            when mart_value = source_value then 'pass'
            when doubt is not null then 'not_comparable'
            else 'fail'
        end as status,
    from figures
),

final as (
    select
        judged.company_id,
        judged.check_name,
        judged.as_of_date,
        judged.period_from,
        judged.entity_key,
        judged.mart_value,
        judged.source_value,
        {{ sum_of_quantity('judged.mart_value - judged.source_value') }} as difference,
        judged.status,
        case
            when judged.unavailable is not null then judged.unavailable
            when judged.mart_value is null then 'The marts know it for the day of the build only.'
            when judged.status = 'not_comparable' then judged.doubt
        end as reason,
        judged.failed_before,
        judged.status = 'pass' and judged.failed_before as is_healed,
        judged.request_id as source_request_id,
        judged.fetched_at as checked_at,
        companies.currency,
        companies.built_at,
    from judged
    inner join companies using (company_id)
)

select * from final
