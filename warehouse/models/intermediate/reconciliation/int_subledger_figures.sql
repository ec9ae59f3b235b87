-- The marts' side of the receivables and stock reports, which the marts know for today only.
with

receivables as (
    select
        company_id,
        'aged_receivables' as report,
        as_of_date,
        cast(null as date) as period_from,
        coalesce(customer_id, 'no customer') as entity_key,
        unnest(['current', 'days_31_60', 'days_61_90', 'over_90', 'total']) as measure,
        unnest([current, days_31_60, days_61_90, over_90, total_outstanding]) as value,
    from {{ ref('ar_aging') }}
),

stock as (
    select
        company_id,
        'stock_valuation' as report,
        as_of_date,
        cast(null as date) as period_from,
        item_id as entity_key,
        unnest(['quantity', 'value']) as measure,
        unnest([quantity, stock_value]) as value,
    from {{ ref('inventory_valuation') }}
),

figures as (
    select * from receivables
    union all
    select * from stock
),

final as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        {{ sum_of_quantity('value') }} as value,
    from figures
)

select * from final
