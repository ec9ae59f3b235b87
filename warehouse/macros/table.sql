{# A table is replaced in one statement. dbt's own way, which builds beside it, renames both and drops
   one, takes longer than most of our tables themselves; in DuckDB this is as safe: one transaction. #}
{% materialization table, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set before = load_cached_relation(this) -%}
    {%- if before is not none and before.is_view %}{% do adapter.drop_relation(before) %}{% endif -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') -%}
        create or replace table {{ target }} as (
            {{ compiled_code }}
        )
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}
