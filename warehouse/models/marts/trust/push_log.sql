with

operations as (
    select * from {{ source('inputs', 'push_log') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        operations.company_id,
        operations.plan_id,
        cast(operations."row" as integer) as "row",
        cast(operations.attempt_no as integer) as attempt_no,
        operations.entity,
        operations.action,
        operations.natural_key,
        operations.state,
        operations.outcome,
        operations.remote_id,
        operations.batch_id,
        operations.request_id,
        operations.error_code,
        operations.error,
        operations.is_verified,
        {{ utc('operations.planned_at') }} as planned_at,
        {{ utc('operations.sent_at') }} as sent_at,
        {{ utc('operations.answered_at') }} as answered_at,
        operations.planned_by,
        operations.actor,
        operations.approved_by,
        operations.before,
        operations.after,
        companies.currency,
        companies.built_at,
    from operations
    inner join companies using (company_id)
)

select * from final
