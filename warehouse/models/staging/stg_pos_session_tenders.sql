{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('pos_sessions')) }}"
) }}

with

pos_sessions as (
    select *
    from {{ ref('stg_pos_sessions') }}
    where {{ only_affected(affected('pos_sessions')) }}
),

-- Unnesting side by side in the select list takes an eighth of the time of a lateral join.
numbered as (
    select
        company_id,
        pos_session_id,
        generate_subscripts(tenders, 1) as line_no,
        unnest(tenders) as tender,
        load_id,
    from pos_sessions
),

final as (
    select
        company_id,
        pos_session_id,
        cast(line_no as integer) as line_no,
        lower(tender.method) as tender,
        {{ money('tender.expected') }} as expected,
        {{ money('tender.counted') }} as counted,
        load_id,
    from numbered
)

select * from final
