-- Every movement above the threshold is there, and its drivers and the rest are all of it: by the statement
-- for the months before, by budget_vs_actual for the budgets.
with

months as (
    {{ compared_months() }}
),

statement as (
    select
        months.company_id,
        months.period,
        months.comparison,
        months.version,
        profit_and_loss.account_number,
        sum(profit_and_loss.amount) as amount,
        sum(case months.comparison
            when 'previous_month' then profit_and_loss.previous_month_amount
            when 'previous_year' then profit_and_loss.previous_year_amount
        end) as compared_amount,
    from months
    inner join {{ ref('profit_and_loss') }} as profit_and_loss using (company_id, period)
    where months.comparison <> 'budget'
    group by all
),

expected as (
    select * from statement
    union all
    select
        company_id,
        period,
        'budget',
        version,
        account_number,
        actual_amount,
        budget_amount,
    from {{ ref('budget_vs_actual') }}
    inner join (select * from months where comparison = 'budget') as planned
        using (company_id, period, version)
    where section is not null
),

found as (
    select
        company_id,
        period,
        comparison,
        version,
        account_number,
        sum(amount) as amount,
        sum(compared_amount) as compared_amount,
        sum(movement) as movement,
        any_value(account_movement) as account_movement,
    from {{ ref('variance_drivers') }}
    group by all
)

select
    coalesce(expected.company_id, found.company_id) as company_id,
    coalesce(expected.period, found.period) as period,
    coalesce(expected.comparison, found.comparison) as comparison,
    coalesce(expected.account_number, found.account_number) as account_number,
    expected.amount - expected.compared_amount as movement_expected,
    found.movement,
from (
    from expected where {{ is_listed_movement('amount - compared_amount', 'compared_amount') }}
) as expected
full join found
    on found.company_id = expected.company_id
    and found.period = expected.period
    and found.comparison = expected.comparison
    and found.version is not distinct from expected.version
    and found.account_number is not distinct from expected.account_number
where (expected.amount, expected.compared_amount)
    is distinct from (found.amount, found.compared_amount)
    or found.movement <> found.account_movement
    or found.movement <> found.amount - found.compared_amount
