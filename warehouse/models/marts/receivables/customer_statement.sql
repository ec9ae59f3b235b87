{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('customers')) }}",
) }}

with

events as (
    select *
    from {{ ref('int_statement_events') }}
    where {{ only_affected(affected('customers')) }}
),

final as (
    select
        company_id,
        customer_id,
        cast(row_number() over statement as integer) as event_no,
        event_date,
        event_type,
        invoice_number as document_number,
        invoice_id,
        {{ sum_of_money('greatest(amount, 0)') }} as debit,
        {{ sum_of_money('greatest(-amount, 0)') }} as credit,
        {{ sum_of_money('sum(amount) over statement') }} as running_balance,
        is_inferred,
        currency,
        built_at,
    from events
    window statement as (
        partition by company_id, customer_id
        order by event_date, event_order, invoice_number, invoice_id, known_from, event_type
        rows between unbounded preceding and current row
    )
)

select * from final
