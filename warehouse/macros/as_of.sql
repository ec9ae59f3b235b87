{# Versions spread over the days of which marts keep them: each month end at whose midnight, in the
   company's time zone, a version was the known one, and today, the day of those that still are.
   `versions` names a CTE with known_from, known_to, timezone and today. #}
{% macro at_month_ends(versions) -%}
    select
        * exclude (known_on, replaced_on, month_start),
        last_day(cast(month_start as date)) as as_of_date,
    from (
        select
            *,
            unnest(generate_series(
                cast(date_trunc('month', known_on) as timestamp),
                cast(least(coalesce(replaced_on, today), today) as timestamp),
                interval 1 month
            )) as month_start,
        from (
            select
                *,
                {{ local_date('known_from', 'timezone') }} as known_on,
                {{ local_date('known_to', 'timezone') }} as replaced_on,
            from {{ versions }}
        ) as lives
    ) as months
    where
        last_day(cast(month_start as date)) < today
        and coalesce(last_day(cast(month_start as date)) < replaced_on, true)
    union all by name
    select
        *,
        today as as_of_date,
    from {{ versions }}
    where known_to is null
{%- endmacro %}

{# From when on a document counts: since it is known, and not before its own day has begun. #}
{% macro counts_from(known_from, day, timezone) -%}
    greatest({{ known_from }}, {{ utc('cast(' ~ day ~ ' as timestamp) at time zone ' ~ timezone) }})
{%- endmacro %}

{# How late something open is, in the four buckets of BigLedger's aged reports. #}
{% macro bucket_of(days_past_due) -%}
    case
        when {{ days_past_due }} <= 30 then 'current'
        when {{ days_past_due }} <= 60 then '31_60'
        when {{ days_past_due }} <= 90 then '61_90'
        else 'over_90'
    end
{%- endmacro %}
