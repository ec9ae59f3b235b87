with

times as (
    select * from {{ source('inputs', 'response_times') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

-- The first duration by which a share of the answers had come is that share's percentile.
counted as (
    select
        *,
        sum(requests) over (partition by company_id, day, kind) as in_all,
        sum(requests) over (partition by company_id, day, kind order by ms) as so_far,
    from times
),

final as (
    select
        counted.company_id,
        counted.day,
        counted.kind,
        cast(sum(counted.requests) as bigint) as requests,
        min(counted.ms) filter (where counted.so_far * 100 >= counted.in_all * 50) as p50_ms,
        min(counted.ms) filter (where counted.so_far * 100 >= counted.in_all * 95) as p95_ms,
        min(counted.ms) filter (where counted.so_far * 100 >= counted.in_all * 99) as p99_ms,
        max(counted.ms) as slowest_ms,
        any_value(counted.target_ms) as target_ms,
        {{ quotient(
            'coalesce(sum(counted.requests) filter (where counted.ms <= counted.target_ms), 0)',
            'sum(counted.requests)',
            4
        ) }} as share_within,
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from counted
    inner join companies using (company_id)
    group by counted.company_id, counted.day, counted.kind
)

select * from final
