with

customers as (
    select * from {{ ref('stg_customers') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

invoices as (
    select
        invoices.*,
        companies.today,
        {{ is_plausible('invoices.invoice_date', 'companies.today') }} as is_plausible,
    from {{ ref('invoices') }} as invoices
    inner join companies using (company_id)
    where invoices.is_recognised
),

sales as (
    select
        company_id,
        customer_id,
        min(invoice_date) filter (where is_plausible) as first_invoice_date,
        max(invoice_date) filter (where is_plausible) as last_invoice_date,
        count(*) as invoice_count,
        sum({{ in_company_currency('subtotal', 'exchange_rate') }}) as revenue_total,
        sum(case
            when invoice_date > today - interval 12 months and invoice_date <= today
                then {{ in_company_currency('subtotal', 'exchange_rate') }}
        end) as revenue_12m,
        {%- set days_to_pay %}
            case
                when amount_due <= 0 and total > 0 and is_plausible
                    and {{ is_plausible('last_payment_date', 'today') }}
                    then date_diff('day', invoice_date, last_payment_date)
            end
        {%- endset %}
        sum({{ days_to_pay }}) as days_to_pay,
        count({{ days_to_pay }}) as paid_count,
    from invoices
    group by company_id, customer_id
),

open_items as (
    select
        items.company_id,
        items.customer_id,
        sum(items.open_amount) as open_balance,
        sum(case when items.days_past_due > 0 then items.open_amount end) as overdue_balance,
    from {{ ref('ar_open_items') }} as items
    inner join companies on companies.company_id = items.company_id and companies.today = items.as_of_date
    group by items.company_id, items.customer_id
),

final as (
    select
        customers.company_id,
        customers.customer_id,
        customers.customer_number,
        customers.customer_name,
        customers.customer_type,
        customers.email,
        customers.phone,
        customers.tax_number,
        customers.address.city as city,
        customers.address.state as state,
        customers.address.country as country,
        nullif(array_to_string(customers.tags, ';'), '') as tags,
        customers.custom_fields,
        customers.status,
        customers.payment_terms,
        customers.credit_limit,
        customers.api_balance,
        {{ sum_of_money('coalesce(open_items.open_balance, 0)') }} as open_balance,
        {{ sum_of_money('coalesce(open_items.overdue_balance, 0)') }} as overdue_balance,
        {{ percent('coalesce(open_items.open_balance, 0)', 'customers.credit_limit') }}
            as credit_used_pct,
        sales.first_invoice_date,
        sales.last_invoice_date,
        cast(coalesce(sales.invoice_count, 0) as integer) as invoice_count,
        {{ sum_of_money('coalesce(sales.revenue_total, 0)') }} as revenue_total,
        {{ sum_of_money('coalesce(sales.revenue_12m, 0)') }} as revenue_12m,
        {{ quotient('sales.days_to_pay', 'sales.paid_count', 2) }} as avg_days_to_pay,
        cast(date_diff('day', sales.last_invoice_date, companies.today) as integer)
            as days_since_last_invoice,
        customers.is_deleted,
        companies.currency,
        companies.built_at,
    from customers
    inner join companies using (company_id)
    left join sales using (company_id, customer_id)
    left join open_items using (company_id, customer_id)
)

select * from final
