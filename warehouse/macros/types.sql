{# Types of the public tables in one place. Aggregates widen decimals and division leaves them,
   so every sum and quotient goes through one of these. A product stays as wide as its wider factor
   and stops the build where it does not fit, so every product has a factor of 38 digits. #}

{% macro money(expression) -%} cast({{ expression }} as decimal(18, 2)) {%- endmacro %}

{% macro quantity(expression) -%} cast({{ expression }} as decimal(18, 4)) {%- endmacro %}

{% macro unit_cost(expression) -%} cast({{ expression }} as decimal(18, 6)) {%- endmacro %}

{# In hundredths; null where there is nothing to be a share of, or a share beyond all meaning. #}
{% macro percent(part, whole) -%}
    try_cast(100 * cast({{ part }} as decimal(38, 2)) / nullif({{ whole }}, 0) as decimal(18, 4))
{%- endmacro %}

{# An instant as a plain timestamp that reads in UTC: the type that every analyst's tool knows. #}
{% macro utc(instant) -%} cast({{ instant }} at time zone 'UTC' as timestamp) {%- endmacro %}

{# The calendar day on which a UTC timestamp falls in a time zone. #}
{% macro local_date(utc_timestamp, timezone) -%}
    cast(({{ utc_timestamp }} at time zone 'UTC') at time zone {{ timezone }} as date)
{%- endmacro %}

{# Debit-positive to positive on the account's normal side. #}
{% macro natural(amount, normal_side) -%}
    case when {{ normal_side }} = 'credit' then -({{ amount }}) else {{ amount }} end
{%- endmacro %}

{# A document's amount in the company's currency; products of 38 digits are slow, and most rates are 1. #}
{% macro in_company_currency(amount, exchange_rate) -%}
    case
        when {{ exchange_rate }} = 1 then {{ money(amount) }}
        else {{ money('round(cast(' ~ amount ~ ' as decimal(38, 2)) * ' ~ exchange_rate ~ ', 2)') }}
    end
{%- endmacro %}

{# amount × part ÷ whole, rounded to the cent, halves away from zero; null where the whole is nothing.
   In whole cents, because division makes binary fractions of decimals. #}
{% macro share(amount, part, whole) -%}
    {%- set parts = [] -%}
    {%- for factor in [amount, part, whole] -%}
        {%- do parts.append('cast(100 * cast(' ~ factor ~ ' as decimal(38, 2)) as hugeint)') -%}
    {%- endfor -%}
    {%- set product = parts[0] ~ ' * ' ~ parts[1] -%}
    {%- set divisor = 'nullif(' ~ parts[2] ~ ', 0)' -%}
    cast(
        sign({{ product }}) * sign({{ divisor }})
        * ((2 * abs({{ product }}) + abs({{ divisor }})) // (2 * abs({{ divisor }}))) as decimal(36, 0)
    ) * 0.01
{%- endmacro %}
