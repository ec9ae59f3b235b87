with

periods as (
    select * from {{ ref('periods') }}
),

sections as (
    select
        company_id,
        period,
        {%- for section in [
            'operating_revenue', 'cost_of_goods_sold', 'operating_expense', 'other_revenue', 'other_expense'
        ] %}
        sum(case when section = '{{ section }}' then amount else 0 end) as {{ section }},
        {%- endfor %}
    from {{ ref('profit_and_loss') }}
    group by company_id, period
),

months as (
    select
        periods.company_id,
        periods.period,
        {{ sum_of_money('coalesce(sections.operating_revenue, 0)') }} as operating_revenue,
        {{ sum_of_money('coalesce(sections.cost_of_goods_sold, 0)') }} as cost_of_goods_sold,
        {{ sum_of_money('coalesce(sections.operating_expense, 0)') }} as operating_expense,
        {{ sum_of_money('coalesce(sections.other_revenue, 0)') }} as other_revenue,
        {{ sum_of_money('coalesce(sections.other_expense, 0)') }} as other_expense,
        periods.currency,
        periods.built_at,
    from periods
    left join sections using (company_id, period)
),

profits as (
    select
        *,
        {{ sum_of_money('operating_revenue - cost_of_goods_sold') }} as gross_profit,
        {{ sum_of_money('operating_revenue - cost_of_goods_sold - operating_expense') }} as operating_profit,
        {{ sum_of_money('operating_revenue - cost_of_goods_sold - operating_expense
            + other_revenue - other_expense') }} as net_profit,
    from months
),

final as (
    select
        company_id,
        period,
        operating_revenue,
        cost_of_goods_sold,
        gross_profit,
        operating_expense,
        operating_profit,
        other_revenue,
        other_expense,
        net_profit,
        {{ percent('gross_profit', 'operating_revenue') }} as gross_margin_pct,
        {{ percent('net_profit', 'operating_revenue') }} as net_margin_pct,
        currency,
        built_at,
    from profits
)

select * from final
