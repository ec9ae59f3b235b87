-- Assets = liabilities + equity, and every month of the calendar has its sheet.
with

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
from {{ ref('periods') }} as periods
left join sections
    on sections.company_id = periods.company_id and sections.as_of_date = periods.period_end
where sections.difference is distinct from 0
