{# For which months and days rows are made, said once. A date outside is a typing mistake (0206, 9999),
   and a row for each month up to it would be thousands. The span is whole calendar years around the
   build's day; where it moves, at New Year, everything is built anew (`_fingerprint_of_sources`).

   What is dated outside counts all the same, in one month on either side: `period_of` gives the month
   before the span, or the one after it. An entry before it is in the opening balance of the first
   period, as BigLedger's reports of today have it; one after it, or without a date, in no period's
   balance, as they have that too. `exceptions` lists it as implausible_date. #}

{% macro first_plausible_day(today) -%}
    make_date(cast(extract(year from {{ today }}) as integer) - {{ var('plausible_years_back') }}, 1, 1)
{%- endmacro %}

{% macro last_plausible_day(today) -%}
    make_date(cast(extract(year from {{ today }}) as integer) + {{ var('plausible_years_ahead') }}, 12, 31)
{%- endmacro %}

{# Of a day, or of a period that `period_of` gave. #}
{% macro is_before_span(day, today) -%} {{ day }} < {{ first_plausible_day(today) }} {%- endmacro %}

{% macro is_plausible(day, today) -%}
    coalesce({{ day }} between {{ first_plausible_day(today) }} and {{ last_plausible_day(today) }}, false)
{%- endmacro %}

{# First day of the month in which something of that day counts; null where there is no day. #}
{% macro period_of(day, today) -%}
    cast(date_trunc('month', case
        when {{ is_before_span(day, today) }} then {{ first_plausible_day(today) }} - 1
        when {{ day }} > {{ last_plausible_day(today) }} then {{ last_plausible_day(today) }} + 1
        else {{ day }}
    end) as date)
{%- endmacro %}
