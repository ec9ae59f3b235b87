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

-- Whether BigLedger's gross profit holds other revenue is documented nowhere: read it as the report
-- does. Its parts are compared one by one in any case.
gross_profits as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        value as reported,
    from {{ ref('stg_report_figures') }}
    where report = 'profit_loss' and entity_key = 'gross_profit' and measure = 'amount'
),

final as (
    select
        sections.*,
        case
            when gross_profits.reported
                = sections.operating_revenue + sections.other_revenue - sections.cost_of_goods_sold
                then gross_profits.reported
            else sections.operating_revenue - sections.cost_of_goods_sold
        end as gross_profit,
        sections.operating_revenue - sections.cost_of_goods_sold - sections.operating_expense
        + sections.other_revenue - sections.other_expense as net_profit,
    from sections
    left join gross_profits using (company_id, report, as_of_date, period_from)
)

select * from final
