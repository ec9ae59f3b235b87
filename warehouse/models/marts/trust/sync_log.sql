with

loads as (
    select * from {{ source('inputs', 'loads') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        loads.company_id,
        loads.load_id,
        loads.entity,
        {{ utc('loads.window_start') }} as window_start,
        {{ utc('loads.window_end') }} as window_end,
        cast(loads."rows" as bigint) as "rows",
        cast(loads.deleted as bigint) as deleted,
        cast(loads.quarantined as bigint) as quarantined,
        cast(loads.requests as bigint) as requests,
        cast(loads.throttled_ms as bigint) as throttled_ms,
        {{ utc('loads.started_at') }} as started_at,
        {{ utc('loads.committed_at') }} as committed_at,
        companies.currency,
        companies.built_at,
    from loads
    inner join companies using (company_id)
)

select * from final
