with

stock as (
    select * from {{ ref('stg_stock') }} where not is_deleted
),

items as (
    select * from {{ ref('stg_items') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

on_hand as (
    select
        company_id,
        item_id,
        sum(current_stock) as total_current,
        sum(coalesce(available_stock, current_stock)) as total_available,
    from stock
    group by company_id, item_id
),

-- The pace of the last 90 days; invoices do not say from which location they were served.
sold as (
    select
        lines.company_id,
        lines.item_id,
        sum(lines.quantity) as quantity,
    from {{ ref('invoice_lines') }} as lines
    inner join companies using (company_id)
    where
        lines.is_recognised
        and lines.invoice_date > companies.today - 90
        and lines.invoice_date <= companies.today
    group by lines.company_id, lines.item_id
),

final as (
    select
        stock.company_id,
        stock.item_id,
        stock.location_id,
        stock.current_stock as current,
        stock.available_stock as available,
        stock.reserved_stock as reserved,
        stock.on_order_stock as on_order,
        stock.average_cost,
        stock.stock_value,
        items.reorder_point,
        case
            when stock.current_stock < 0 then 'negative'
            when stock.current_stock = 0 then 'out'
            when on_hand.total_available <= items.minimum_stock then 'low'
            when on_hand.total_available <= items.reorder_point then 'reorder'
            else 'ok'
        end as alert,
        case
            when sold.quantity > 0
                then {{ quotient('90 * greatest(on_hand.total_current, 0)', 'sold.quantity', 1) }}
        end as days_of_cover,
        companies.currency,
        companies.built_at,
    from stock
    inner join companies using (company_id)
    inner join on_hand using (company_id, item_id)
    left join items using (company_id, item_id)
    left join sold using (company_id, item_id)
)

select * from final
