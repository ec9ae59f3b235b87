{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('pos_transactions')) }}"
) }}

with

pos_transactions as (
    select *
    from {{ ref('stg_pos_transactions') }}
    where {{ only_affected(affected('pos_transactions')) }}
),

-- Unnesting side by side in the select list takes an eighth of the time of a lateral join.
numbered as (
    select
        company_id,
        pos_transaction_id,
        generate_subscripts(payments, 1) as line_no,
        unnest(payments) as payment,
        load_id,
    from pos_transactions
),

final as (
    select
        company_id,
        pos_transaction_id,
        cast(line_no as integer) as line_no,
        payment.id as payment_id,
        lower(payment.method) as tender,
        {{ money('coalesce(payment.amount, 0)') }} as amount,
        {{ money('coalesce(payment.change, 0)') }} as change,
        {{ sum_of_money('coalesce(payment.amount, 0) - coalesce(payment.change, 0)') }} as amount_kept,
        payment.reference,
        payment."accountId" as account_id,
        load_id,
    from numbered
)

select * from final
