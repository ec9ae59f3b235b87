{# Exceptions that somebody has accepted: accepted_exceptions.csv of BLSYNC_SEEDS, checked and written
   among the inputs before each build. No file says the same as an empty one. #}
{% macro accepted_exceptions() -%}
    {%- set file = as_pattern(env_var('BLSYNC_DATA', 'data')) ~ '/inputs/accepted_exceptions.parquet' -%}
    {%- set columns = ['company_id', 'record_id', 'rule', 'reason', 'accepted_by'] -%}
    {%- if form_ahead() or execute and run_query("select 1 from glob('" ~ file ~ "')").rows | length -%}
        select {{ columns | join(', ') }}
        from read_parquet('{{ file }}')
    {%- else -%}
        select
            {%- for column in columns %}
            cast(null as varchar) as {{ column }},
            {%- endfor %}
        where false
    {%- endif -%}
{%- endmacro %}

{# Whether an entry of a company breaks a rule with somebody's leave. #}
{% macro is_accepted(rule, company_id='company_id', record_id='journal_id') -%}
    ({{ company_id }}, {{ record_id }}) in (
        select (company_id, record_id) from {{ ref('int_accepted_exceptions') }} where rule = '{{ rule }}'
    )
{%- endmacro %}

{# By how much accepted entries do not balance, for laws about sums: they hold but for exactly this. #}
{% macro accepted_imbalances() -%}
    select
        company_id,
        journal_date,
        period,
        is_closing_entry,
        sum(amount) as imbalance,
    from {{ ref('general_ledger') }}
    where {{ is_accepted('unbalanced_entry') }}
    group by company_id, journal_date, period, is_closing_entry
{%- endmacro %}

{# The account of a journal line as BigLedger sends it; one that names none has the account
   `unassigned`, which is in no chart. #}
{% macro account_of(line) -%} coalesce(nullif({{ line }}."accountId", ''), 'unassigned') {%- endmacro %}
