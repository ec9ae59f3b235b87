-- The sections and profits of the balance sheet and the profit and loss, for exactly the days for
-- which those reports were fetched.
with

balances as (
    select * from {{ ref('int_balances_as_reported') }}
),

accounts as (
    select * from {{ ref('accounts') }}
),

-- Positive where the statement shows it positive: assets, costs and expenses are debits.
sections as (
    select
        balances.company_id,
        balances.report,
        balances.as_of_date,
        balances.period_from,
        {%- for section in ['assets', 'cost_of_goods_sold', 'operating_expense', 'other_expense'] %}
        sum(case when accounts.section = '{{ section }}' then balances.amount else 0 end) as {{ section }},
        {%- endfor %}
        {%- for section in ['liabilities', 'equity', 'operating_revenue', 'other_revenue'] %}
        -sum(case when accounts.section = '{{ section }}' then balances.amount else 0 end) as {{ section }},
        {%- endfor %}
    from balances
    inner join accounts using (company_id, account_id)
    where balances.report in ('balance_sheet', 'profit_loss')
    group by balances.company_id, balances.report, balances.as_of_date, balances.period_from
),

-- Whether BigLedger's gross profit holds other revenue is documented nowhere: read it as the report's
-- own parts add up, whatever the marts say of them.
reported as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        max(case when entity_key = 'gross_profit' then value end) as gross_profit,
        {%- for part in ['operating_revenue', 'other_revenue', 'cost_of_goods_sold'] %}
        coalesce(max(case when entity_key = '{{ part }}' then value end), 0) as {{ part }},
        {%- endfor %}
    from {{ ref('stg_report_figures') }}
    where report = 'profit_loss' and measure = 'amount'
    group by company_id, report, as_of_date, period_from
),

readings as (
    select
        sections.*,
        coalesce(
            reported.other_revenue <> 0
            and reported.gross_profit
                = reported.operating_revenue + reported.other_revenue - reported.cost_of_goods_sold,
            false
        ) as is_other_revenue_in_gross_profit,
    from sections
    left join reported
        on reported.company_id = sections.company_id
        and reported.report = sections.report
        and reported.as_of_date = sections.as_of_date
        and reported.period_from is not distinct from sections.period_from
),

final as (
    select
        *,
        operating_revenue - cost_of_goods_sold
        + case when is_other_revenue_in_gross_profit then other_revenue else 0 end as gross_profit,
        operating_revenue - cost_of_goods_sold - operating_expense + other_revenue - other_expense
            as net_profit,
    from readings
)

select * from final
