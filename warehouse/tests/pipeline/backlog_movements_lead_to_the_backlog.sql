-- Opening + new − invoiced − cancelled + changed = closing; a month opens where the one before closed,
-- and closes at the backlog of its end.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

months as (
    select
        moved.*,
        lag(moved.closing_backlog, 1, 0) over (partition by moved.company_id order by moved.period) as closed_before,
        least(last_day(moved.period), companies.today) as as_of_date,
    from {{ ref('backlog_movements') }} as moved
    inner join companies using (company_id)
),

backlog as (
    select
        company_id,
        as_of_date,
        coalesce(sum(backlog_amount), 0) as amount,
    from {{ ref('order_backlog') }}
    group by company_id, as_of_date
)

select
    company_id,
    as_of_date,
    months.opening_backlog,
    months.closing_backlog,
    backlog.amount,
from months
full outer join backlog using (company_id, as_of_date)
where
    months.opening_backlog <> months.closed_before
    or months.closing_backlog
    <> months.opening_backlog + months.new_orders - months.invoiced - months.cancelled + months.changed
    or coalesce(months.closing_backlog, 0) <> coalesce(backlog.amount, 0)
