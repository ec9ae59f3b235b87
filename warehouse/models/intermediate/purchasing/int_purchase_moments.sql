-- Lines of purchase orders through time: what was ordered, received and billed of each between one
-- moment and the next at which an order or one of its bills was seen changing.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

versions as (
    select
        orders.company_id,
        orders.purchase_order_id,
        orders.known_from,
        orders.known_to,
        orders.status,
        {{ rate_of('orders.order_currency', 'companies.currency', 'orders.exchange_rate') }} as rate,
        generate_subscripts(orders.items, 1) as line_no,
        unnest(orders.items) as line,
    from {{ ref('hist_purchase_orders') }} as orders
    inner join companies using (company_id)
    where not orders.is_deleted
),

ordered_lines as (
    select
        company_id,
        purchase_order_id as order_id,
        cast(line_no as integer) as line_no,
        {{ item_key('line."itemId"') }} as item_key,
        {{ quantity('coalesce(line.quantity, 0)') }} as ordered,
        {{ quantity('coalesce(line."receivedQuantity", 0)') }} as received,
        {{ unit_cost('line."unitPrice"') }} as unit_price,
        status,
        rate,
        known_from,
        known_to,
    from versions
),

bills as (
    select
        bills.company_id,
        bills.purchase_order_id,
        {{ counts_from('bills.known_from', 'bills.bill_date', 'companies.timezone') }} as known_from,
        bills.known_to,
        unnest(bills.items) as line,
    from {{ ref('hist_bills') }} as bills
    inner join companies using (company_id)
    where
        not bills.is_deleted
        and bills.purchase_order_id is not null
        and {{ is_billed('bills.status') }}
        and coalesce(bills.bill_date <= companies.today, true)
),

taken as (
    select
        company_id,
        purchase_order_id as order_id,
        {{ item_key('line."itemId"') }} as item_key,
        {{ quantity('coalesce(line.quantity, 0)') }} as quantity,
        known_from,
        known_to,
    from bills
    where coalesce(known_to > known_from, true)
),

{{ filled_lines() }},

final as (
    select
        filled.company_id,
        filled.order_id as purchase_order_id,
        filled.line_no,
        filled.status,
        filled.ordered,
        filled.received,
        filled.taken as billed,
        filled.unit_price,
        {{ in_company_currency(valued('filled.received - filled.taken', 'filled.unit_price'), 'filled.rate') }}
            as grni_amount,
        min(case when filled.received > 0 then filled.known_from end) over (
            partition by filled.company_id, filled.order_id, filled.line_no
        ) as first_seen_received,
        filled.known_from,
        filled.known_to,
        companies.timezone,
        companies.today,
        companies.currency,
        companies.built_at,
    from filled
    inner join companies using (company_id)
)

select * from final
