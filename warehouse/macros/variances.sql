{# Whether an account's movement is listed in variance_drivers: from so much money and so large a share of
   what it is compared with on. #}
{% macro is_listed_movement(movement, compared) -%}
    (
        abs({{ movement }}) >= {{ var('variance_least_amount') }}
        and 100 * abs({{ movement }}) >= {{ var('variance_least_pct') }} * abs({{ compared }})
    )
{%- endmacro %}

{# The running month and the twelve before it, each beside the month before, the same month a year before
   and every budget that plans it. A month before the first one of `periods` is nothing to compare with. #}
{% macro compared_months() -%}
    with

    listed as (
        select
            periods.company_id,
            periods.period,
        from {{ ref('periods') }} as periods
        inner join {{ ref('stg_companies') }} as companies using (company_id)
        where periods.period
            between date_trunc('month', companies.today) - interval 12 months and companies.today
    ),

    budgets as (
        select
            company_id,
            version,
            min(period) as first_period,
            max(period) as last_period,
        from {{ source('user_tables', 'budget') }}
        group by company_id, version
    )
    {% for comparison, months in [('previous_month', 1), ('previous_year', 12)] %}
    select
        listed.company_id,
        listed.period,
        '{{ comparison }}' as comparison,
        cast(null as varchar) as version,
        earlier.period as compared_period,
    from listed
    inner join {{ ref('periods') }} as earlier
        on earlier.company_id = listed.company_id
        and earlier.period = listed.period - interval {{ months }} months
    union all
    {%- endfor %}
    select
        listed.company_id,
        listed.period,
        'budget',
        budgets.version,
        null,
    from listed
    inner join budgets
        on budgets.company_id = listed.company_id
        and listed.period between budgets.first_period and budgets.last_period
{%- endmacro %}
