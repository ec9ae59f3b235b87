{# The part of an amount that a share owns, a share being at most 1 with six decimals; to the cent. #}
{% macro owned(amount, share) -%}
    {{ sum_of_money('round(cast(' ~ amount ~ ' as decimal(38, 10)) * ' ~ share ~ ', 2)') }}
{%- endmacro %}

{# An amount at one rate brought to another, to the cent; rates have eight decimals. #}
{% macro at_another_rate(amount, old_rate, new_rate) -%}
    {%- set cents = 'cast(100 * cast(' ~ amount ~ ' as decimal(38, 2)) as hugeint)' -%}
    {%- set rates = [] -%}
    {%- for rate in [old_rate, new_rate] -%}
        {%- do rates.append('cast(100000000 * cast(' ~ rate ~ ' as decimal(38, 8)) as hugeint)') -%}
    {%- endfor -%}
    {{ sum_of_money(divided(cents ~ ' * ' ~ rates[1], rates[0]) ~ ' * 0.01') }}
{%- endmacro %}
