{# Types of the public tables in one place. What BigLedger says itself has 18 digits (`money`,
   `quantity`); what is added up of it, or only taken from one another, has 36, because two amounts
   that fit may have a sum that does not. Not 38: beside each other in a list or a union, money of 38
   digits and a quantity of 38 would leave the quantity two decimals. Division leaves decimals, so every quotient goes through one
   of these. A product stays as wide as its wider factor and stops the build where it does not fit, so
   every product has a factor of 38 digits. #}

{% macro money(expression) -%} cast({{ expression }} as decimal(18, 2)) {%- endmacro %}

{% macro quantity(expression) -%} cast({{ expression }} as decimal(18, 4)) {%- endmacro %}

{% macro sum_of_money(expression) -%} cast({{ expression }} as decimal(36, 2)) {%- endmacro %}

{% macro sum_of_quantity(expression) -%} cast({{ expression }} as decimal(36, 4)) {%- endmacro %}

{% macro unit_cost(expression) -%} cast({{ expression }} as decimal(18, 6)) {%- endmacro %}

{# In hundredths; null where there is nothing to be a share of. #}
{% macro percent(part, whole) -%}
    {{ quotient('100 * cast(' ~ part ~ ' as decimal(38, 2))', whole, 4) }}
{%- endmacro %}

{# numerator ÷ denominator with so many decimals; null where there is nothing to divide by, or the
   quotient is beyond all meaning. #}
{% macro quotient(numerator, denominator, decimals) -%}
    {%- set scaled = [] -%}
    {%- for factor in [numerator, denominator] -%}
        {%- do scaled.append('cast(10000 * cast(' ~ factor ~ ' as decimal(38, 4)) as hugeint)') -%}
    {%- endfor -%}
    {%- set numerator = scaled[0] ~ ' * ' ~ 10 ** decimals -%}
    try_cast({{ divided(numerator, scaled[1]) }} * 0.{{ '0' * (decimals - 1) }}1 as decimal(18, {{ decimals }}))
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
        when {{ exchange_rate }} = 1 then {{ sum_of_money(amount) }}
        else {{ sum_of_money('round(cast(' ~ amount ~ ' as decimal(38, 2)) * ' ~ exchange_rate ~ ', 2)') }}
    end
{%- endmacro %}

{# amount × part ÷ whole, rounded to the cent; null where the whole is nothing, or the product beyond
   what 38 digits hold. #}
{% macro share(amount, part, whole) -%}
    {%- set cents = [] -%}
    {%- for factor in [amount, part, whole] -%}
        {%- do cents.append('cast(100 * cast(' ~ factor ~ ' as decimal(38, 2)) as hugeint)') -%}
    {%- endfor -%}
    try({{ divided(cents[0] ~ ' * ' ~ cents[1], cents[2]) }} * 0.01)
{%- endmacro %}

{# amount × part ÷ whole for quantities, rounded to the cent; null where the whole is nothing, or the
   product beyond what 38 digits hold. #}
{% macro portion(amount, part, whole) -%}
    {%- set cents = 'cast(100 * cast(' ~ amount ~ ' as decimal(38, 2)) as hugeint)' -%}
    {%- set parts = 'cast(10000 * cast(' ~ part ~ ' as decimal(38, 4)) as hugeint)' -%}
    {%- set wholes = 'cast(10000 * cast(' ~ whole ~ ' as decimal(38, 4)) as hugeint)' -%}
    {{ sum_of_money('try(' ~ divided(cents ~ ' * ' ~ parts, wholes) ~ ' * 0.01)') }}
{%- endmacro %}

{# A quantity at a price of one unit, rounded to the cent. #}
{% macro valued(quantity, unit_price) -%}
    {{ sum_of_money('round(cast(' ~ quantity ~ ' as decimal(38, 4)) * ' ~ unit_price ~ ', 2)') }}
{%- endmacro %}

{# The company's currency for one of a document's that may be in another; null where nobody says it. #}
{% macro rate_of(currency, own_currency, exchange_rate) -%}
    case
        when {{ currency }} <> {{ own_currency }}
            then case when {{ exchange_rate }} > 0 then {{ exchange_rate }} end
        else 1
    end
{%- endmacro %}

{# One whole number by another, halves away from zero; null where that is nothing. DuckDB's own
   division makes binary fractions of decimals. #}
{% macro divided(numerator, denominator) -%}
    cast(
        sign({{ numerator }}) * sign({{ denominator }})
        * ((2 * abs({{ numerator }}) + abs({{ denominator }})) // (2 * abs(nullif({{ denominator }}, 0))))
        as decimal(36, 0)
    )
{%- endmacro %}
