-- Closed months, and from when on a change is one to closed books. History begins with the first
-- load: what a month that was closed before that looked like at its close, nobody has seen.
with

first_loads as (
    select
        company_id,
        arg_min(load_id, known_from) as load_id,
    from {{ ref('hist_journal_entries') }}
    group by company_id
),

beginnings as (
    select
        history.company_id,
        max(history.known_from) as known_from,
    from {{ ref('hist_journal_entries') }} as history
    inner join first_loads using (company_id, load_id)
    group by history.company_id
),

final as (
    select
        periods.company_id,
        periods.period,
        periods.period_end,
        periods.closed_at,
        greatest(periods.closed_at, beginnings.known_from) as compared_from,
    from {{ ref('periods') }} as periods
    inner join beginnings using (company_id)
    where periods.is_closed
)

select * from final
