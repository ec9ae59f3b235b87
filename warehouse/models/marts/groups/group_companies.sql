with

groups as (
    select * from {{ source('user_tables', 'groups') }}
),

rates as (
    select * from {{ source('user_tables', 'exchange_rates') }}
),

companies as (
    select * from {{ ref('dim_company') }}
),

members as (
    select
        members.*,
        groups.group_name,
        groups.currency,
        groups.company_id as parent_company_id,
        companies.currency as local_currency,
        companies.last_period,
        companies.currency is distinct from groups.currency as is_foreign,
    from {{ source('user_tables', 'group_companies') }} as members
    inner join groups using (group_id)
    left join companies on companies.company_id = members.company_id
),

-- A group is told as far as the books of all its companies go; of one that nobody pulls, not at all.
spans as (
    select
        group_id,
        min(last_period) as last_period,
    from members
    group by group_id
    having count(*) = count(last_period)
),

months as (
    select
        members.* exclude (last_period),
        cast(unnest(generate_series(
            cast(members.first_period as timestamp), cast(spans.last_period as timestamp), interval 1 month
        )) as date) as period,
    from members
    inner join spans using (group_id)
),

rated as (
    select
        months.* exclude (historical_rate),
        {%- for rate, own in [
            ('average_rate', 'rates.average_rate'),
            ('closing_rate', 'rates.closing_rate'),
            ('historical_rate', 'coalesce(months.historical_rate, rates_before.closing_rate)'),
        ] %}
        cast(case when months.is_foreign then {{ own }} else 1 end as decimal(18, 8)) as {{ rate }},
        {%- endfor %}
    from months
    left join rates
        on rates.currency = months.local_currency
        and rates.presentation_currency = months.currency
        and rates.period = months.period
    left join rates as rates_before
        on rates_before.currency = months.local_currency
        and rates_before.presentation_currency = months.currency
        and rates_before.period = cast(months.first_period - interval 1 month as date)
),

told as (
    select
        rated.group_id,
        rated.group_name,
        rated.parent_company_id,
        rated.period,
        last_day(rated.period) as period_end,
        -- The fiscal year of the parent, by the calendar year in which it ends.
        cast(extract(
            year from rated.period + to_months((13 - parents.fiscal_year_start) % 12)
        ) as integer) as fiscal_year,
        rated.company_id,
        rated.first_period,
        cast(rated.share as decimal(18, 6)) as share,
        rated.investment_account,
        rated.local_currency,
        rated.average_rate,
        rated.closing_rate,
        rated.historical_rate,
        case
            when rated.average_rate is null or rated.closing_rate is null
                then format(
                    '{} in {} for {}',
                    coalesce(rated.local_currency, 'its currency, which is unknown,'),
                    rated.currency,
                    strftime(rated.period, '%Y-%m')
                )
            when rated.historical_rate is null
                then format(
                    '{} in {} for {}, or historical_rate in group.toml',
                    rated.local_currency,
                    rated.currency,
                    strftime(rated.first_period - interval 1 month, '%Y-%m')
                )
        end as missing_rate,
        rated.currency,
        parents.built_at,
    from rated
    inner join companies as parents on parents.company_id = rated.parent_company_id
),

final as (
    select
        * exclude (currency, built_at),
        -- Figures add up over months, so that a rate that is missing is missing in all later ones.
        bool_and(missing_rate is null) over (partition by group_id order by period) as is_complete,
        currency,
        built_at,
    from told
)

select * from final
