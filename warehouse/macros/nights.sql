{# How a night is shorter than a full build, said once for all models and laws.

   The news are the loads that the last whole build did not have: one that a law stopped leaves them
   news, so that the next one does the same work, and checks it, again. `int_affected_invoices`,
   `int_affected_entries`, `int_affected_months` and `int_affected_pasts` name what they may change.

   A table with a row for each invoice or entry is `incremental`: before it is built, what the news
   touch is taken out of it; then what is true of that now is put in. All in one transaction, and
   twice is as good as once.

       config(materialized='incremental', incremental_strategy='append',
              pre_hook="{{ delete_affected(affected('invoices')) }}")
       … where {{ only_affected(affected('invoices')) }}

   Tables of months and accounts, and what ages with the day, are built whole: DuckDB adds up millions
   of rows in less time than it takes to tell which of them count. Laws about single records look at
   the affected ones, laws about sums at all. What changes everything (a model, a setting, the user's
   own tables) has the next build begin with an empty file; so does `blsync build --full`. #}

{% macro affected(what) -%}
    {%- if what == 'invoices' -%}
    (company_id, invoice_id) in (select (company_id, invoice_id) from {{ ref('int_affected_invoices') }})
    {%- elif what == 'entries' -%}
    (company_id, journal_id) in (select (company_id, journal_id) from {{ ref('int_affected_entries') }})
    {%- elif what == 'months' -%}
    (company_id, period) in (select (company_id, period) from {{ ref('int_affected_months') }})
    {%- elif what == 'pasts' -%}
    company_id in (select company_id from {{ ref('int_affected_pasts') }})
    {%- elif what == 'numbers' -%}
    (company_id, number) in (
        select (company_id, coalesce(nullif(invoice_number, ''), invoice_id))
        from {{ ref('hist_invoices') }}
        where {{ affected('invoices') }}
        union all
        select (company_id, coalesce(nullif(reference, ''), journal_id))
        from {{ ref('hist_journal_entries') }}
        where {{ affected('entries') }}
    )
    {%- elif what == 'customers' -%}
    (company_id, coalesce(customer_id, '')) in (
        select (company_id, coalesce(customer_id, '')) from {{ ref('hist_invoices') }} where {{ affected('invoices') }}
    )
    {%- else -%}
    {%- set keys = (['company_id'] + key_of(what).keys() | list) | join(', ') -%}
    {%- set history = ref('hist_' ~ what) -%}
    {{ '(' ~ keys ~ ') in (select (' ~ keys ~ ') from ' ~ history ~ ' where ' ~ in_new_loads() ~ ')' if has_last_build() else 'true' }}
    {%- endif -%}
{%- endmacro %}

{% macro delete_affected(condition) -%}
    {%- if is_incremental() -%} delete from {{ this }} where {{ condition }} {%- endif -%}
{%- endmacro %}

{% macro only_affected(condition) -%}
    {{ condition if is_incremental() else 'true' }}
{%- endmacro %}

{# Whether an earlier build came to its end, so that only some of the landing is news. #}
{% macro has_last_build() -%}
    {%- set form = form_ahead() -%}
    {%- set found = run_query(
        "select 1 from duckdb_tables() where schema_name = 'last_build' and table_name = 'loads'"
    ) if execute and not form else none -%}
    {{ return(form == 'night' or found is not none and found.rows | length > 0) }}
{%- endmacro %}

{# Condition on `load_id` of a history: the row came by a load that is news. #}
{% macro in_new_loads() -%}
    {{ 'load_id not in (select load_id from last_build.loads)' if has_last_build() else 'true' }}
{%- endmacro %}

{# At the end of a build in which every model was built and every law held: what it knew. #}
{% macro remember_build(results) %}
    {%- if execute and flags.WHICH == 'build' %}
    {%- set nodes = graph.nodes.values() | selectattr('resource_type', 'in', ['model', 'test']) | list -%}
    {%- set good = results | selectattr('status', 'in', ['success', 'pass', 'warn']) | list -%}
    {{ what_a_build_knew() if good | length == nodes | length }}
    {%- endif %}
{% endmacro %}

{% macro what_a_build_knew() %}
    create schema if not exists last_build;
    create or replace table last_build.loads as
        {%- for entity in entities() %}
        select load_id from history.{{ entity }} {{ 'union' if not loop.last }}
        {%- endfor %};
    create or replace table last_build.companies as
        select company_id, today from staging.stg_companies;
    create or replace table last_build.accounts as
        {{ chart_columns() }} from finance.accounts;
    create or replace table last_build.closing_entries as
        select company_id, journal_id from intermediate.int_closing_entries;
{% endmacro %}

{# What the ledger's rows repeat of an account. #}
{% macro chart_columns() -%}
    select company_id, account_id, account_number, account_name, account_type, account_category, account_role
{%- endmacro %}

{# Whether a line of the ledger lies on or after the day from which its account is written anew. #}
{% macro is_from_start(company_id, account_id, journal_date) -%}
    exists (
        select 1
        from {{ ref('int_ledger_starts') }} as starts
        where
            starts.company_id = {{ company_id }}
            and starts.account_id = {{ account_id }}
            and starts.journal_date <= coalesce({{ journal_date }}, date 'infinity')
    )
{%- endmacro %}

{# Whether a month is an affected one, or the one a year after it, which compares with it. #}
{% macro months_to_write(period) -%}
    (company_id, {{ period }}) in (
        select (company_id, unnest([period, cast(period + interval 12 months as date)]))
        from {{ ref('int_affected_months') }}
    )
{%- endmacro %}

{# Whether a document of `int_documents` is affected; stock adjustments are few, so all of them are. #}
{% macro is_affected_document() -%}
    case entity
        when 'invoices' then (company_id, record_id) in (
            select (company_id, invoice_id) from {{ ref('int_affected_invoices') }}
        )
        when 'journal_entries' then (company_id, record_id) in (
            select (company_id, journal_id) from {{ ref('int_affected_entries') }}
        )
        else true
    end
{%- endmacro %}
