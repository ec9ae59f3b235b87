with

orders as (
    select * from {{ ref('stg_sales_orders') }} where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

now as (
    select * from {{ ref('int_order_moments') }} where known_to is null
),

final as (
    select
        lines.company_id,
        lines.sales_order_id,
        orders.order_number,
        orders.customer_id,
        orders.customer_name,
        lines.line_no,
        lines.item_id,
        lines.item_code,
        lines.description,
        orders.order_date,
        coalesce(orders.promised_date, orders.required_date) as promised_date,
        orders.status,
        orders.priority,
        now.is_in_backlog,
        lines.ordered,
        now.invoiced,
        now.remaining,
        lines.unit_price,
        lines.discount_amount,
        lines.line_total,
        now.order_amount,
        now.remaining_amount,
        coalesce(orders.order_currency, companies.currency) as order_currency,
        companies.currency,
        companies.built_at,
    from {{ ref('stg_sales_order_lines') }} as lines
    inner join orders using (company_id, sales_order_id)
    inner join companies using (company_id)
    inner join now using (company_id, sales_order_id, line_no)
)

select * from final
