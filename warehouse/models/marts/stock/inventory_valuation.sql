with

stock as (
    select
        company_id,
        item_id,
        sum(current_stock) as quantity,
        sum(stock_value) as stock_value,
    from {{ ref('stg_stock') }}
    where not is_deleted
    group by company_id, item_id
),

items as (
    select * from {{ ref('stg_items') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        stock.company_id,
        companies.today as as_of_date,
        stock.item_id,
        items.item_code,
        {{ quantity('stock.quantity') }} as quantity,
        try_cast(stock.stock_value / nullif(stock.quantity, 0) as decimal(18, 6)) as average_cost,
        {{ money('stock.stock_value') }} as stock_value,
        companies.currency,
        companies.built_at,
    from stock
    inner join companies using (company_id)
    left join items using (company_id, item_id)
)

select * from final
