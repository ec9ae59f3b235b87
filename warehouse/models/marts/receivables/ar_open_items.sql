with

invoices as (
    select * from {{ ref('invoices') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

customers as (
    select * from {{ ref('stg_customers') }}
),

-- A credit from an overpaid invoice is owed to the customer: a liability, not a negative receivable.
open_invoices as (
    select
        invoices.*,
        companies.today as as_of_date,
    from invoices
    inner join companies using (company_id)
    where
        invoices.is_recognised
        and invoices.amount_due > 0
        -- One dated ahead is owed from its own day on; one without a date is owed already.
        and coalesce(invoices.invoice_date <= companies.today, true)
),

final as (
    select
        open_invoices.company_id,
        open_invoices.as_of_date,
        open_invoices.customer_id,
        coalesce(customers.customer_name, open_invoices.customer_name) as customer_name,
        open_invoices.invoice_id,
        open_invoices.invoice_number,
        open_invoices.invoice_date,
        open_invoices.due_date,
        {{ in_company_currency('open_invoices.total', 'open_invoices.exchange_rate') }}
            as invoice_total,
        {{ in_company_currency('open_invoices.amount_paid', 'open_invoices.exchange_rate') }}
            as amount_paid,
        {{ in_company_currency('open_invoices.amount_due', 'open_invoices.exchange_rate') }}
            as open_amount,
        open_invoices.days_past_due,
        case
            when open_invoices.days_past_due <= 30 then 'current'
            when open_invoices.days_past_due <= 60 then '31_60'
            when open_invoices.days_past_due <= 90 then '61_90'
            else 'over_90'
        end as bucket,
        open_invoices.currency,
        open_invoices.built_at,
    from open_invoices
    left join customers using (company_id, customer_id)
)

select * from final
