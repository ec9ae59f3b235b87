with

periods as (
    select * from {{ ref('periods') }}
),

sections as (
    select
        company_id,
        period,
        {%- for section in ['operating', 'investing', 'financing'] %}
        sum(case when section = '{{ section }}' then amount else 0 end) as {{ section }},
        {%- endfor %}
    from {{ ref('cash_flow') }}
    group by company_id, period
),

cash as (
    select
        company_id,
        period,
        sum(net_movement) as net_movement,
        sum(closing_balance) as closing_balance,
    from {{ ref('int_account_months') }}
    inner join {{ ref('int_cash_flow_lines') }} using (company_id, account_id)
    where is_cash
    group by company_id, period
),

months as (
    select
        periods.company_id,
        periods.period,
        {{ sum_of_money('coalesce(cash.closing_balance - cash.net_movement, 0)') }} as opening_cash,
        {{ sum_of_money('coalesce(sections.operating, 0)') }} as operating,
        {{ sum_of_money('coalesce(sections.investing, 0)') }} as investing,
        {{ sum_of_money('coalesce(sections.financing, 0)') }} as financing,
        {{ sum_of_money('coalesce(cash.closing_balance, 0)') }} as closing_cash,
        periods.currency,
        periods.built_at,
    from periods
    left join sections using (company_id, period)
    left join cash using (company_id, period)
),

final as (
    select
        company_id,
        period,
        opening_cash,
        operating,
        investing,
        financing,
        closing_cash,
        {{ sum_of_money('closing_cash - opening_cash') }} as ledger_cash_change,
        {{ sum_of_money('operating + investing + financing - (closing_cash - opening_cash)') }}
            as footing_difference,
        currency,
        built_at,
    from months
)

select * from final
