with

companies as (
    select * from {{ ref('stg_companies') }}
),

spans as (
    select
        company_id,
        min(period) as first_period,
        max(period) as last_period,
        any_value((cast(extract(month from period) as integer) - fiscal_month + 12) % 12 + 1) as fiscal_year_start,
    from {{ ref('periods') }}
    group by company_id
),

final as (
    select
        companies.company_id,
        companies.company_name,
        companies.timezone,
        companies.today,
        cast(spans.fiscal_year_start as integer) as fiscal_year_start,
        spans.first_period,
        spans.last_period,
        companies.currency,
        companies.built_at,
    from companies
    left join spans using (company_id)
)

select * from final
