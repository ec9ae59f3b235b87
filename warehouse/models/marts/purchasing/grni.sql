-- Goods received and not billed, and goods billed and not received, which count against them.
with

orders as (
    select * from {{ ref('stg_purchase_orders') }}
),

uneven as (
    select *
    from {{ ref('int_purchase_moments') }}
    where received <> billed and {{ is_ordered('status') }}
),

as_of as (
    {{ at_month_ends('uneven') }}
),

final as (
    select
        as_of.company_id,
        as_of.as_of_date,
        as_of.purchase_order_id,
        orders.po_number,
        orders.supplier_id,
        orders.supplier_name,
        as_of.line_no,
        as_of.received,
        as_of.billed,
        as_of.unit_price,
        as_of.grni_amount,
        as_of.first_seen_received,
        cast(date_diff(
            'day', {{ local_date('as_of.first_seen_received', 'as_of.timezone') }}, as_of.as_of_date
        ) as integer) as days_since_received,
        as_of.currency,
        as_of.built_at,
    from as_of
    left join orders using (company_id, purchase_order_id)
)

select * from final
