-- Assets = liabilities + equity at every month end; the year's profit on the balance sheet is that of the
-- profit and loss to date, and its months add up to that.
with

sheets as (
    select
        group_id,
        as_of_date,
        sum(case section when 'assets' then balance else -balance end) as imbalance,
        sum(balance) filter (where account_name = 'Current year earnings' and is_computed) as profit,
    from {{ ref('group_balance_sheet') }}
    group by group_id, as_of_date
),

natural_signs as (
    select
        results.*,
        months.fiscal_year,
        case when results.section like '%revenue' then 1 else -1 end as factor,
    from {{ ref('group_profit_and_loss') }} as results
    inner join (
        select distinct group_id, period, fiscal_year from {{ ref('group_companies') }}
    ) as months using (group_id, period)
),

results as (
    select
        group_id,
        last_day(period) as as_of_date,
        fiscal_year,
        sum(factor * amount) as amount,
        sum(factor * ytd_amount) as ytd_amount,
    from natural_signs
    group by group_id, period, fiscal_year
),

to_date as (
    select
        *,
        sum(amount) over (partition by group_id, fiscal_year order by as_of_date) as summed,
    from results
)

select
    group_id,
    as_of_date,
    sheets.imbalance,
    sheets.profit,
    to_date.ytd_amount,
    to_date.summed,
from sheets
full join to_date using (group_id, as_of_date)
where sheets.imbalance is distinct from 0
    or coalesce(sheets.profit, 0) <> coalesce(to_date.ytd_amount, 0)
    or coalesce(to_date.ytd_amount, 0) <> coalesce(to_date.summed, 0)
