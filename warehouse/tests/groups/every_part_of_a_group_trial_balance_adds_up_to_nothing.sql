-- Every company as translated, every elimination, every minority, and so the group; and every company of
-- every month that counts is there with all its books.
with

parts as (
    select
        group_id,
        period,
        part,
        sum(amount) as amount,
    from {{ ref('group_trial_balance') }}
    group by group_id, period, part
),

-- Closing entries move between revenue, expense and equity, and are left out of both.
books as (
    select
        months.group_id,
        months.period,
        months.company_id,
        sum(abs(sheets.balance)) as size,
    from {{ ref('group_companies') }} as months
    inner join {{ ref('balance_sheet') }} as sheets
        on sheets.company_id = months.company_id
        and sheets.as_of_date = months.period_end
        and sheets.section in ('assets', 'liabilities')
    where months.is_complete
    group by all
),

told as (
    select
        group_id,
        period,
        company_id,
        sum(abs(local_amount)) as size,
    from {{ ref('group_trial_balance') }}
    where kind = 'company' and section in ('assets', 'liabilities')
    group by all
)

select group_id, period, part, amount
from parts
where amount <> 0
union all
select group_id, period, company_id, coalesce(told.size, 0) - coalesce(books.size, 0)
from books
full join told using (group_id, period, company_id)
where coalesce(told.size, 0) <> coalesce(books.size, 0)
