with

orders as (
    select * from {{ ref('stg_sales_orders') }}
),

lines as (
    select * from {{ ref('stg_sales_order_lines') }}
),

waiting as (
    select * from {{ ref('int_order_moments') }} where is_in_backlog and remaining > 0
),

as_of as (
    {{ at_month_ends('waiting') }}
),

final as (
    select
        as_of.company_id,
        as_of.as_of_date,
        as_of.sales_order_id,
        orders.order_number,
        orders.customer_id,
        orders.customer_name,
        as_of.line_no,
        lines.item_id,
        as_of.status,
        as_of.ordered,
        as_of.invoiced,
        as_of.remaining as remaining_quantity,
        as_of.remaining_amount as backlog_amount,
        coalesce(orders.promised_date, orders.required_date) as promised_date,
        cast(greatest(date_diff(
            'day', coalesce(orders.promised_date, orders.required_date), as_of.as_of_date
        ), 0) as integer) as days_late,
        orders.priority,
        as_of.currency,
        as_of.built_at,
    from as_of
    left join orders using (company_id, sales_order_id)
    left join lines using (company_id, sales_order_id, line_no)
)

select * from final
