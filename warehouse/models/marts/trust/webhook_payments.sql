-- A kill may have landed a payment twice, and BigLedger may tell of one again: the latest word counts.
with

payments as (
    select *
    from {{ source('inputs', 'webhook_payments') }}
    qualify row_number() over (
        partition by company_id, payment_id
        order by received_at desc, event_id desc
    ) = 1
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        payments.company_id,
        payments.payment_id,
        payments.invoice_id,
        payments.customer_id,
        payments.payment_date,
        {{ money('payments.amount') }} as amount,
        payments.payment_currency,
        payments.payment_method,
        payments.reference,
        payments.status,
        {{ utc('payments.created_at') }} as created_at,
        {{ utc('payments.received_at') }} as received_at,
        payments.event_id,
        companies.currency,
        companies.built_at,
    from payments
    inner join companies using (company_id)
)

select * from final
