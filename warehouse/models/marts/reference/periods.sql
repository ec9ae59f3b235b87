-- Months, contiguous from the first entry that counts to the running month, or to the last entry
-- where one is dated ahead; entries of implausible dates make none.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

entries as (
    select
        entries.company_id,
        min(entries.journal_date) as first_date,
        max(entries.journal_date) as last_date,
    from {{ ref('stg_journal_entries') }} as entries
    inner join companies using (company_id)
    where entries.is_counted and {{ is_plausible('entries.journal_date', 'companies.today') }}
    group by entries.company_id
),

fiscal_years as (
    select
        company_id,
        max(start_month) as start_month,
    from {{ source('user_tables', 'fiscal_year') }}
    where start_month between 1 and 12
    group by company_id
),

closings as (
    select
        company_id,
        cast(date_trunc('month', period) as date) as period,
        {{ utc('max(closed_at)') }} as closed_at,
    from {{ source('user_tables', 'period_close') }}
    group by company_id, date_trunc('month', period)
),

months as (
    select
        companies.company_id,
        companies.currency,
        companies.built_at,
        coalesce(fiscal_years.start_month, 1) as start_month,
        cast(month_starts.month_start as date) as period,
    from companies
    left join entries using (company_id)
    left join fiscal_years using (company_id)
    cross join lateral unnest(generate_series(
        cast(date_trunc('month', coalesce(entries.first_date, companies.today)) as timestamp),
        cast(greatest(companies.today, entries.last_date) as timestamp),
        interval 1 month
    )) as month_starts (month_start)
),

numbered as (
    select
        *,
        (cast(extract(month from period) as integer) - start_month + 12) % 12 + 1 as fiscal_month,
    from months
),

final as (
    select
        numbered.company_id,
        numbered.period,
        last_day(numbered.period) as period_end,
        -- A fiscal year bears the number of the calendar year in which it ends.
        cast(
            extract(year from numbered.period + to_months(12 - numbered.fiscal_month)) as integer
        ) as fiscal_year,
        numbered.fiscal_month,
        cast((numbered.fiscal_month + 2) // 3 as integer) as fiscal_quarter,
        closings.closed_at is not null as is_closed,
        closings.closed_at,
        numbered.currency,
        numbered.built_at,
    from numbered
    left join closings using (company_id, period)
)

select * from final
