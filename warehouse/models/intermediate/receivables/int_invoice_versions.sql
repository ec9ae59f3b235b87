{{ config(materialized='view') }}

-- Every version of an invoice that was seen, its amounts in the company's currency.
with

versions as (
    select * from {{ ref('hist_invoices') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

rated as (
    select
        versions.* exclude (items),
        companies.timezone,
        companies.today,
        companies.currency,
        companies.built_at,
        case
            when versions.invoice_currency <> coalesce(companies.currency, '')
                then coalesce(versions.exchange_rate, 1)
            else 1
        end as rate,
    from versions
    inner join companies using (company_id)
),

final as (
    select
        company_id,
        invoice_id,
        invoice_number,
        customer_id,
        customer_name,
        invoice_date,
        due_date,
        last_payment_date,
        created_at,
        updated_at,
        known_from,
        known_to,
        known_to is null as is_current,
        not is_deleted and coalesce(status, '') not in ('draft', 'cancelled') as is_recognised,
        not is_deleted and coalesce(status, '') = 'cancelled' as is_cancelled,
        {{ in_company_currency('total', 'rate') }} as invoice_total,
        {{ in_company_currency('amount_paid', 'rate') }} as amount_paid,
        {{ in_company_currency('amount_due', 'rate') }} as amount_due,
        timezone,
        today,
        currency,
        built_at,
    from rated
)

select * from final
