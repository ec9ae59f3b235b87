with

events as (
    select * from {{ source('inputs', 'webhook_log') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        events.company_id,
        events.event_id,
        events.event,
        events.entity,
        events.record_id,
        events.source,
        {{ utc('events.sent_at') }} as sent_at,
        {{ utc('events.received_at') }} as received_at,
        true as is_verified,
        events.duplicates > 0 as is_duplicate,
        cast(events.duplicates as bigint) as duplicates,
        events.satisfied_by,
        {{ utc('events.satisfied_at') }} as satisfied_at,
        {{ quotient("date_diff('millisecond', events.received_at, events.satisfied_at)", '1000', 3) }} as delay_seconds,
        companies.currency,
        companies.built_at,
    from events
    inner join companies using (company_id)
)

select * from final
