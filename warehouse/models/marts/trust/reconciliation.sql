with

companies as (
    select * from {{ ref('stg_companies') }}
),

reports as (
    select * from {{ ref('int_reports_fetched') }}
),

mart_figures as (
    select * from {{ ref('int_ledger_figures') }}
    union all
    select * from {{ ref('int_subledger_figures') }}
),

-- A figure of zero and a missing one say the same, so a zero waits for the other side to name it.
sides as (
    select company_id, report, as_of_date, period_from, entity_key, measure, value, 0 as source_value,
    from mart_figures
    where value <> 0
    union all
    select company_id, report, as_of_date, period_from, entity_key, measure, 0, value,
    from {{ ref('stg_report_figures') }}
    where entity_key is not null
),

compared as (
    select
        sides.company_id,
        sides.report,
        sides.as_of_date,
        sides.period_from,
        sides.entity_key || ':' || sides.measure as entity_key,
        {{ quantity('sum(sides.value)') }} as mart_value,
        {{ quantity('sum(sides.source_value)') }} as source_value,
    from sides
    group by all
),

judged as (
    select
        compared.*,
        reports.request_id,
        reports.fetched_at,
        companies.currency,
        companies.built_at,
        compared.report not in ('aged_receivables', 'stock_valuation')
        or compared.as_of_date = companies.today as is_comparable,
    from compared
    inner join companies using (company_id)
    -- A report that was not fetched is no comparison.
    inner join reports
        on reports.company_id = compared.company_id
        and reports.report = compared.report
        and reports.as_of_date = compared.as_of_date
        and reports.period_from is not distinct from compared.period_from
),

final as (
    select
        company_id,
        case report when 'profit_loss' then 'profit_and_loss' else report end as check_name,
        as_of_date,
        period_from,
        entity_key,
        case when is_comparable then mart_value end as mart_value,
        source_value,
        {{ quantity('case when is_comparable then mart_value - source_value end') }} as difference,
        case
            when not is_comparable then 'not_comparable'
            when mart_value = source_value then 'pass'
            else 'fail'
        end as status,
        request_id as source_request_id,
        fetched_at as checked_at,
        currency,
        built_at,
    from judged
)

select * from final
