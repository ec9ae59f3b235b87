{# SQL that is written once and run in many nights.

   dbt renders a model just before it runs it, which takes longer than most of our SQL. So `blsync`
   has dbt compile the project once for each state of it, in two forms, and runs what came out
   (`blsync/marts/compiled.py`). BLSYNC_AHEAD says which form is being compiled: `whole`, in which every
   table is made anew, or `night`, in which the last whole build is there. It is unset where dbt runs
   by itself, and looks.

   What only the moment of the build knows is asked then: `values_of` a query. #}
{% macro form_ahead() -%}
    {{ return(env_var('BLSYNC_AHEAD', '') if execute else '') }}
{%- endmacro %}

{# The values of a query's one column, quoted and put together; null where there are none. Ahead, the
   query itself between guillemets, which `blsync` puts the values in the place of. #}
{% macro values_of(query) -%}
    {%- if form_ahead() -%}
        {{- '«' ~ query ~ '»' -}}
    {%- elif execute -%}
        {%- for value in run_query(query).columns[0].values() -%}
            '{{ value | replace("'", "''") }}'{{ ', ' if not loop.last }}
        {%- else -%}
            null
        {%- endfor -%}
    {%- else -%}
        null
    {%- endif -%}
{%- endmacro %}

{# dbt's own, but for what is compiled ahead; only incremental models and their hooks ask. #}
{% macro is_incremental() -%}
    {%- set form = form_ahead() -%}
    {{ return(form == 'night' if form else dbt.is_incremental()) }}
{%- endmacro %}
