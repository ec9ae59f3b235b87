-- Assets = liabilities + equity, but for exactly what accepted entries do not balance by, and every month
-- of the calendar has its sheet.
with

imbalances as (
    {{ accepted_imbalances() }}
),

accepted as (
    select
        periods.company_id,
        periods.period_end,
        sum(imbalances.imbalance) as imbalance,
    from {{ ref('periods') }} as periods
    inner join imbalances
        on imbalances.company_id = periods.company_id
        and imbalances.journal_date <= periods.period_end
    group by periods.company_id, periods.period_end
),

sections as (
    select
        company_id,
        as_of_date,
        sum(case when section = 'assets' then balance else -balance end) as difference,
    from {{ ref('balance_sheet') }}
    group by company_id, as_of_date
)

select
    periods.company_id,
    periods.period_end,
    sections.difference,
    coalesce(accepted.imbalance, 0) as accepted,
from {{ ref('periods') }} as periods
left join sections
    on sections.company_id = periods.company_id and sections.as_of_date = periods.period_end
left join accepted
    on accepted.company_id = periods.company_id and accepted.period_end = periods.period_end
where sections.difference is distinct from coalesce(accepted.imbalance, 0)
