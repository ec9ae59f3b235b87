with

companies as (
    select * from {{ ref('stg_companies') }}
),

stock as (
    select
        history.company_id,
        history.day as as_of_date,
        history.item_id,
        sum(history.closing_quantity) as quantity,
        sum(history.stock_value) as stock_value,
    from {{ ref('stock_history') }} as history
    inner join companies using (company_id)
    where
        not history.is_deleted
        and (history.day = companies.today or history.day = last_day(history.day))
    group by history.company_id, history.day, history.item_id
),

items as (
    select * from {{ ref('stg_items') }}
),

final as (
    select
        stock.company_id,
        stock.as_of_date,
        stock.item_id,
        items.item_code,
        {{ sum_of_quantity('stock.quantity') }} as quantity,
        {{ quotient('stock.stock_value', 'stock.quantity', 6) }} as average_cost,
        {{ sum_of_money('stock.stock_value') }} as stock_value,
        companies.currency,
        companies.built_at,
    from stock
    inner join companies using (company_id)
    left join items using (company_id, item_id)
)

select * from final
