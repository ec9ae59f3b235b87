{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices') ~ ' or days_past_due is not null') }}",
) }}

-- Days past due grow by the day, so what is open is written anew as well.
{%- set is_open = "coalesce(status, '') not in ('draft', 'cancelled') and amount_due > 0" %}
with

invoices as (
    select *
    from {{ ref('stg_invoices') }}
    where not is_deleted and ({{ only_affected(affected('invoices') ~ ' or ' ~ is_open) }})
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        invoices.company_id,
        invoices.invoice_id,
        invoices.invoice_number,
        invoices.customer_id,
        invoices.customer_name,
        invoices.invoice_date,
        invoices.due_date,
        {{ period_of('invoices.invoice_date', 'companies.today') }} as period,
        invoices.status,
        coalesce(invoices.status, '') not in ('draft', 'cancelled') as is_recognised,
        invoices.reference,
        invoices.subtotal,
        invoices.total_discount,
        invoices.total_tax,
        invoices.shipping_cost,
        invoices.total,
        invoices.amount_paid,
        invoices.amount_due,
        invoices.payment_status,
        invoices.last_payment_date,
        case
            when coalesce(invoices.status, '') not in ('draft', 'cancelled') and invoices.amount_due > 0
                then cast(date_diff('day', invoices.due_date, companies.today) as integer)
        end as days_past_due,
        invoices.einvoice_status,
        coalesce(invoices.invoice_currency, companies.currency) as invoice_currency,
        case
            when invoices.invoice_currency <> coalesce(companies.currency, '')
                then coalesce(invoices.exchange_rate, 1)
            else 1
        end as exchange_rate,
        invoices.created_at,
        invoices.updated_at,
        invoices.request_id,
        companies.currency,
        companies.built_at,
    from invoices
    inner join companies using (company_id)
)

select * from final
