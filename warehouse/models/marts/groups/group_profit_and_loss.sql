-- The trial balance has the fiscal year up to each month; a month is what it adds to the one before.
with

months as (
    select distinct
        group_id,
        parent_company_id as company_id,
        period,
        fiscal_year,
        currency,
        built_at,
    from {{ ref('group_companies') }}
    where is_complete
),

lines as (
    select
        group_id,
        period,
        section,
        section_order,
        account_number,
        account_name,
        case when section like '%revenue' then -amount else amount end as amount,
        kind = 'elimination' as is_elimination,
    from {{ ref('group_trial_balance') }}
    where section_order > 3
),

years_to_date as (
    select
        group_id,
        period,
        section,
        section_order,
        account_number,
        account_name,
        coalesce(sum(amount) filter (where not is_elimination), 0) as companies_ytd,
        coalesce(sum(amount) filter (where is_elimination), 0) as elimination_ytd,
    from lines
    group by group_id, period, section, section_order, account_number, account_name
),

-- A line that comes back to nothing within a year is in no trial balance of that month.
dense as (
    select
        months.*,
        first_lines.* exclude (group_id, first_period),
    from (
        select
            group_id,
            section,
            section_order,
            account_number,
            account_name,
            min(period) as first_period,
        from years_to_date
        group by all
    ) as first_lines
    inner join months
        on months.group_id = first_lines.group_id
        and months.period >= first_lines.first_period
),

filled as (
    select
        dense.*,
        coalesce(years_to_date.companies_ytd, 0) as companies_ytd,
        coalesce(years_to_date.elimination_ytd, 0) as elimination_ytd,
    from dense
    left join years_to_date
        on years_to_date.group_id = dense.group_id
        and years_to_date.period = dense.period
        and years_to_date.section = dense.section
        and years_to_date.account_number is not distinct from dense.account_number
        and years_to_date.account_name = dense.account_name
),

final as (
    select
        group_id,
        company_id,
        period,
        section,
        section_order,
        account_number,
        account_name,
        {{ sum_of_money('companies_ytd - coalesce(lag(companies_ytd) over fiscal_months, 0)') }} as companies_amount,
        {{ sum_of_money('elimination_ytd - coalesce(lag(elimination_ytd) over fiscal_months, 0)') }}
            as elimination_amount,
        {{ sum_of_money(
            'companies_ytd + elimination_ytd - coalesce(lag(companies_ytd + elimination_ytd) over fiscal_months, 0)'
        ) }} as amount,
        {{ sum_of_money('companies_ytd + elimination_ytd') }} as ytd_amount,
        currency,
        built_at,
    from filled
    window fiscal_months as (
        partition by group_id, fiscal_year, section, account_number, account_name
        order by period
    )
)

select * from final
