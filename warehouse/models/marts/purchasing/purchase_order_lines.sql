with

orders as (
    select * from {{ ref('stg_purchase_orders') }} where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

billed as (
    select
        company_id,
        purchase_order_id,
        line_no,
        billed,
    from {{ ref('int_purchase_moments') }}
    where known_to is null
),

lines as (
    select
        lines.*,
        coalesce(billed.billed, 0) as billed,
        orders.po_number,
        orders.supplier_id,
        orders.supplier_name,
        orders.order_date,
        coalesce(lines.expected_date, orders.required_date) as expected_on,
        orders.status,
        orders.order_currency,
        {{ rate_of('orders.order_currency', 'companies.currency', 'orders.exchange_rate') }} as rate,
        case
            when {{ is_awaited('orders.status') }} then greatest(lines.ordered - lines.received, 0)
            else 0
        end as open_to_receive,
        companies.today,
        companies.currency,
        companies.built_at,
    from {{ ref('stg_purchase_order_lines') }} as lines
    inner join orders using (company_id, purchase_order_id)
    inner join companies using (company_id)
    left join billed using (company_id, purchase_order_id, line_no)
),

final as (
    select
        company_id,
        purchase_order_id,
        po_number,
        supplier_id,
        supplier_name,
        line_no,
        item_id,
        item_code,
        description,
        order_date,
        expected_on as expected_date,
        status,
        {{ is_ordered('status') }} as is_ordered,
        ordered,
        received,
        {{ sum_of_quantity('billed') }} as billed,
        {{ sum_of_quantity('open_to_receive') }} as open_to_receive,
        {{ sum_of_quantity('greatest(received - billed, 0)') }} as open_to_bill,
        unit_price,
        line_total,
        {{ in_company_currency(valued('open_to_receive', 'unit_price'), 'rate') }} as open_amount,
        case
            when open_to_receive > 0 then cast(greatest(date_diff('day', expected_on, today), 0) as integer)
        end as days_late,
        coalesce(order_currency, currency) as order_currency,
        currency,
        built_at,
    from lines
)

select * from final
