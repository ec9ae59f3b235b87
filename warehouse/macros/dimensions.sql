{# Whether a text is what a rule of dimensions.csv asks for, capital letters or not; * stands for any
   text. Nothing is asked for where the rule leaves it out. #}
{% macro meets_pattern(text, pattern) -%}
    ({{ pattern }} is null or {{ text }} ilike {{ pattern }} escape '\')
{%- endmacro %}

{# Whether a rule's accounts hold one: all, where it names none. Numbers compare as numbers, all else as
   text, as in blsync.user_tables. #}
{% macro is_among_accounts(account_number, rule) -%}
    case
        when {{ rule }}.account_from is null then true
        when regexp_full_match({{ rule }}.account_from || {{ rule }}.account_to || {{ account_number }}, '[0-9]+')
            then lpad({{ account_number }}, 64, '0')
                between lpad({{ rule }}.account_from, 64, '0') and lpad({{ rule }}.account_to, 64, '0')
        else {{ account_number }} between {{ rule }}.account_from and {{ rule }}.account_to
    end
{%- endmacro %}

{# The rules of known companies, as they are compared: patterns as `ilike` has them. #}
{% macro dimension_rules() -%}
    select
        rules.company_id,
        rules.dimension,
        rules.value,
        rules.line_no,
        rules.account_from,
        rules.account_to,
        lower(rules.customer_tag) as customer_tag,
        lower(rules.item_category) as item_category,
        replace(replace(replace(replace(
            rules.reference, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') as pattern,
    from {{ source('user_tables', 'dimensions') }} as rules
    inner join {{ ref('stg_companies') }} using (company_id)
{%- endmacro %}

{# The tags of the customers of companies that have rules, in small letters. #}
{% macro tags_of_customers() -%}
    select
        company_id,
        customer_id,
        list_transform(tags, lambda tag: lower(tag)) as tags,
    from {{ ref('stg_customers') }}
    where company_id in (select company_id from rules where customer_tag is not null)
{%- endmacro %}
