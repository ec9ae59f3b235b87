-- Lines of sales orders through time: what was ordered and invoiced of each between one moment and the
-- next at which an order or one of its invoices was seen changing. An invoice names its order, or bears
-- the order's number as its reference; of several orders of one number the first is meant.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

versions as (
    select
        orders.company_id,
        orders.sales_order_id,
        orders.known_from,
        orders.known_to,
        orders.status,
        {{ rate_of('orders.order_currency', 'companies.currency', 'orders.exchange_rate') }} as rate,
        generate_subscripts(orders.items, 1) as line_no,
        unnest(orders.items) as line,
    from {{ ref('hist_sales_orders') }} as orders
    inner join companies using (company_id)
    where not orders.is_deleted
),

ordered_lines as (
    select
        company_id,
        sales_order_id as order_id,
        cast(line_no as integer) as line_no,
        {{ item_key('line."itemId"') }} as item_key,
        {{ quantity('coalesce(line.quantity, 0)') }} as ordered,
        {{ money('coalesce(line."lineTotal", 0)') }} as line_total,
        status,
        rate,
        known_from,
        known_to,
    from versions
),

numbers as (
    select
        company_id,
        order_number,
        arg_min(sales_order_id, (coalesce(order_date, date 'infinity'), sales_order_id)) as sales_order_id,
    from {{ ref('stg_sales_orders') }}
    where order_number <> ''
    group by company_id, order_number
),

orders as (
    select company_id, sales_order_id from {{ ref('stg_sales_orders') }}
),

linked as (
    select
        invoices.company_id,
        coalesce(orders.sales_order_id, numbers.sales_order_id) as order_id,
        invoices.known_from,
        invoices.known_to,
        unnest(invoices.items) as line,
    from {{ ref('hist_invoices') }} as invoices
    left join orders using (company_id, sales_order_id)
    left join numbers
        on numbers.company_id = invoices.company_id
        and numbers.order_number = invoices.reference
        and coalesce(invoices.sales_order_id, '') = ''
    where
        not invoices.is_deleted
        and coalesce(invoices.status, '') not in ('draft', 'cancelled')
        and coalesce(orders.sales_order_id, numbers.sales_order_id) is not null
),

taken as (
    select
        company_id,
        order_id,
        {{ item_key('line."itemId"') }} as item_key,
        {{ quantity('coalesce(line.quantity, 0)') }} as quantity,
        known_from,
        known_to,
    from linked
),

{{ filled_lines() }},

measured as (
    select
        *,
        {{ is_in_backlog('status') }} as is_in_backlog,
        {{ sum_of_quantity('greatest(ordered - taken, 0)') }} as remaining,
    from filled
),

final as (
    select
        measured.company_id,
        measured.order_id as sales_order_id,
        measured.line_no,
        measured.status,
        measured.ordered,
        measured.taken as invoiced,
        measured.remaining,
        measured.is_in_backlog,
        {{ in_company_currency('measured.line_total', 'measured.rate') }} as order_amount,
        case
            when measured.remaining = 0 then {{ sum_of_money('0') }}
            else {{ in_company_currency(
                portion('measured.line_total', 'measured.remaining', 'measured.ordered'), 'measured.rate'
            ) }}
        end as remaining_amount,
        measured.known_from,
        measured.known_to,
        companies.timezone,
        companies.today,
        companies.currency,
        companies.built_at,
    from measured
    inner join companies using (company_id)
)

select * from final
