-- Balance of the tills' clearing accounts today − Σ takings that are not banked = Σ itemised differences.
{%- set unbanked -%}
    select
        company_id,
        sum(in_clearing) as amount,
    from {{ ref('pos_banking') }}
    group by company_id
{%- endset %}
{{ itemised_difference('pos_clearing', 1, 'pos_control', unbanked) }}
