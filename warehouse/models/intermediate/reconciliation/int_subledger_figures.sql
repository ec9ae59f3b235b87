-- The marts' side of the reports on receivables, payables and stock, which the marts know for today
-- only, of receivables before the first sync, and of the tills' days.
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
    where not is_reconstructed
),

past_receivables as (
    select
        company_id,
        'past_receivables' as report,
        as_of_date,
        cast(null as date) as period_from,
        'all' as entity_key,
        unnest(['current', 'days_31_60', 'days_61_90', 'over_90', 'total']) as measure,
        unnest([
            {%- for name in ['current', 'days_31_60', 'days_61_90', 'over_90', 'total_outstanding'] %}
            {{ sum_of_money('sum(' ~ name ~ ')') }}{{ ',' if not loop.last }}
            {%- endfor %}
        ]) as value,
    from {{ ref('ar_aging') }}
    where is_reconstructed
    group by company_id, as_of_date
),

payables as (
    select
        company_id,
        'aged_payables' as report,
        as_of_date,
        cast(null as date) as period_from,
        coalesce(supplier_id, 'no supplier') as entity_key,
        unnest(['current', 'days_31_60', 'days_61_90', 'over_90', 'total']) as measure,
        unnest([current, days_31_60, days_61_90, over_90, total_outstanding]) as value,
    from {{ ref('ap_aging') }}
),

till_days as (
    select *
    from {{ ref('pos_daily_sales') }}
    where (company_id, day) in (
        select (company_id, as_of_date) from {{ ref('int_reports_fetched') }} where report = 'pos_daily'
    )
),

{%- set figures = ['gross', 'discounts', 'returns', 'net', 'tax', 'rounding', 'total'] %}

tills as (
    select
        company_id,
        'pos_daily' as report,
        day as as_of_date,
        cast(null as date) as period_from,
        'all' as entity_key,
        unnest({{ figures }}) as measure,
        unnest([{% for name in figures %}{{ sum_of_money('sum(' ~ name ~ ')') }}{{ ', ' if not loop.last }}{% endfor %}]) as value,
    from till_days
    group by company_id, day
    union all
    select company_id, 'pos_daily', day, null, tender, 'amount', {{ sum_of_money('sum(total)') }}
    from till_days
    group by company_id, day, tender
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
    select * from past_receivables
    union all
    select * from payables
    union all
    select * from tills
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
