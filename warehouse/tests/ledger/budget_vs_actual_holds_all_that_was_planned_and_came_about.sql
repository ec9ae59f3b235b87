-- By version: no line of budget.csv and no amount of its months is left out or counted twice.
with

plans as (
    select
        plans.company_id,
        plans.version,
        min(plans.period) as first_period,
        max(plans.period) as last_period,
        sum(plans.amount) as planned,
    from {{ source('user_tables', 'budget') }} as plans
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    group by plans.company_id, plans.version
),

expected as (
    select
        plans.company_id,
        plans.version,
        plans.planned,
        coalesce(sum(profit_and_loss.amount), 0) as actual,
    from plans
    left join {{ ref('profit_and_loss') }} as profit_and_loss
        on profit_and_loss.company_id = plans.company_id
        and profit_and_loss.period between plans.first_period and plans.last_period
    group by plans.company_id, plans.version, plans.planned
),

found as (
    select
        company_id,
        version,
        sum(budget_amount) as planned,
        sum(actual_amount) as actual,
    from {{ ref('budget_vs_actual') }}
    group by company_id, version
)

select
    company_id,
    version,
    expected.planned as planned_expected,
    found.planned,
    expected.actual as actual_expected,
    found.actual,
from expected
full join found using (company_id, version)
where expected.planned is distinct from found.planned
    or expected.actual is distinct from found.actual
