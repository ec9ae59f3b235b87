{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(months_to_write('period')) }}",
) }}

with

companies as (
    select * from {{ ref('stg_companies') }}
),

sales as (
    select
        company_id,
        period,
        customer_id,
        item_id,
        sum(quantity) as quantity,
        sum({{ in_company_currency('discount_amount', 'exchange_rate') }}) as discount,
        sum({{ in_company_currency('line_total', 'exchange_rate') }}) as net_revenue,
        sum({{ in_company_currency('tax_amount', 'exchange_rate') }}) as tax,
        count(distinct invoice_id) as invoice_count,
        0 as previous_year_net_revenue,
    from {{ ref('invoice_lines') }}
    where
        is_recognised and period is not null
        and (
            {{ only_affected(months_to_write('period')) }}
            or {{ only_affected(months_to_write('cast(period + interval 12 months as date)')) }}
        )
    group by company_id, period, customer_id, item_id
),

-- Whole months are compared, so February has its 29th where the calendar has it.
years_before as (
    select
        sales.company_id,
        cast(sales.period + interval 12 months as date) as period,
        sales.customer_id,
        sales.item_id,
        0 as quantity,
        0 as discount,
        0 as net_revenue,
        0 as tax,
        0 as invoice_count,
        sales.net_revenue as previous_year_net_revenue,
    from sales
    inner join companies using (company_id)
    where
        cast(sales.period + interval 12 months as date) <= companies.today
        and not {{ is_before_span('sales.period', 'companies.today') }}
),

together as (
    select * from sales
    union all by name
    select * from years_before
),

final as (
    select
        together.company_id,
        together.period,
        together.customer_id,
        together.item_id,
        {{ sum_of_quantity('sum(together.quantity)') }} as quantity,
        {{ sum_of_money('sum(together.net_revenue) + sum(together.discount)') }} as gross_revenue,
        {{ sum_of_money('sum(together.discount)') }} as discount,
        {{ sum_of_money('sum(together.net_revenue)') }} as net_revenue,
        {{ sum_of_money('sum(together.tax)') }} as tax,
        cast(sum(together.invoice_count) as integer) as invoice_count,
        {{ sum_of_money('sum(together.previous_year_net_revenue)') }} as previous_year_net_revenue,
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from together
    inner join companies using (company_id)
    where {{ only_affected(months_to_write('period')) }}
    group by together.company_id, together.period, together.customer_id, together.item_id
)

select * from final
