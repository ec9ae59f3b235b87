-- An affected month's revenue is that of its recognised lines; a year later it is the previous year's.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

lines as (
    select
        company_id,
        period,
        sum(quantity) as quantity,
        sum({{ in_company_currency('line_total', 'exchange_rate') }}) as net_revenue,
        sum({{ in_company_currency('tax_amount', 'exchange_rate') }}) as tax,
    from {{ ref('invoice_lines') }}
    where
        is_recognised and period is not null
        and (
            {{ months_to_write('period') }}
            or {{ months_to_write('cast(period + interval 12 months as date)') }}
        )
    group by company_id, period
),

months as (
    select
        company_id,
        period,
        sum(quantity) as quantity,
        sum(net_revenue) as net_revenue,
        sum(gross_revenue) - sum(discount) as before_discount,
        sum(tax) as tax,
        sum(previous_year_net_revenue) as previous_year,
    from {{ ref('revenue_monthly') }}
    where {{ months_to_write('period') }}
    group by company_id, period
)

select
    months.company_id,
    months.period,
    months.net_revenue,
    lines.net_revenue as of_lines,
    months.previous_year,
    earlier.net_revenue as of_lines_a_year_before,
from months
inner join companies using (company_id)
left join lines using (company_id, period)
left join lines as earlier
    on earlier.company_id = months.company_id
    and earlier.period = cast(months.period - interval 12 months as date)
    and months.period <= companies.today
    and not {{ is_before_span('earlier.period', 'companies.today') }}
where
    months.quantity <> coalesce(lines.quantity, 0)
    or months.net_revenue <> coalesce(lines.net_revenue, 0)
    or months.before_discount <> months.net_revenue
    or months.tax <> coalesce(lines.tax, 0)
    or months.previous_year <> coalesce(earlier.net_revenue, 0)
union all
-- No month of the lines is missing, nor the one a year after it.
select
    lines.company_id,
    lines.period,
    null,
    lines.net_revenue,
    null,
    null,
from lines
inner join companies using (company_id)
where
    {{ affected('months') }}
    and (
        (lines.company_id, lines.period) not in (select (company_id, period) from months)
        or (
            cast(lines.period + interval 12 months as date) <= companies.today
            and not {{ is_before_span('lines.period', 'companies.today') }}
            and (lines.company_id, cast(lines.period + interval 12 months as date))
            not in (select (company_id, period) from months)
        )
    )
