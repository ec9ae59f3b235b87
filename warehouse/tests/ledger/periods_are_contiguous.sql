-- No month is missing between the first and the last, and no entry lies outside.
with

months as (
    select
        company_id,
        period,
        lag(period) over (partition by company_id order by period) as previous_period,
    from {{ ref('periods') }}
)

select
    company_id,
    period,
from months
where previous_period <> period - interval 1 month
union all
select distinct
    lines.company_id,
    lines.period,
from {{ ref('general_ledger') }} as lines
left join {{ ref('periods') }} as periods using (company_id, period)
where periods.period_end is null
