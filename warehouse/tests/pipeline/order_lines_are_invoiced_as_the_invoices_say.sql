-- What is invoiced of an order's item is what the invoices of that order say, and is not below nothing.
with

orders as (
    select
        company_id,
        order_number,
        arg_min(sales_order_id, (coalesce(order_date, date 'infinity'), sales_order_id)) as sales_order_id,
    from {{ ref('stg_sales_orders') }}
    where order_number <> ''
    group by company_id, order_number
),

invoices as (
    select
        invoices.company_id,
        coalesce(named.sales_order_id, orders.sales_order_id) as sales_order_id,
        invoices.invoice_id,
    from {{ ref('stg_invoices') }} as invoices
    left join {{ ref('stg_sales_orders') }} as named using (company_id, sales_order_id)
    left join orders
        on orders.company_id = invoices.company_id
        and orders.order_number = invoices.reference
        and coalesce(invoices.sales_order_id, '') = ''
    where
        not invoices.is_deleted
        and coalesce(invoices.status, '') not in ('draft', 'cancelled')
        and coalesce(named.sales_order_id, orders.sales_order_id) is not null
),

invoiced as (
    select
        invoices.company_id,
        invoices.sales_order_id,
        coalesce(lines.item_id, '') as item,
        greatest(sum(lines.quantity), 0) as quantity,
    from {{ ref('stg_invoice_lines') }} as lines
    inner join invoices using (company_id, invoice_id)
    group by invoices.company_id, invoices.sales_order_id, coalesce(lines.item_id, '')
),

ordered as (
    select
        company_id,
        sales_order_id,
        coalesce(item_id, '') as item,
        sum(invoiced) as quantity,
    from {{ ref('order_lines') }}
    group by company_id, sales_order_id, coalesce(item_id, '')
)

select
    ordered.*,
    invoiced.quantity as by_invoices,
from ordered
left join invoiced using (company_id, sales_order_id, item)
where ordered.quantity <> coalesce(invoiced.quantity, 0)
