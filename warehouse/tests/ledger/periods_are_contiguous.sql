-- No month is missing between the first and the last, and no entry of a plausible date lies outside.
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
inner join {{ ref('stg_companies') }} as companies using (company_id)
left join {{ ref('periods') }} as periods using (company_id, period)
where periods.period_end is null and {{ is_plausible('lines.journal_date', 'companies.today') }}
