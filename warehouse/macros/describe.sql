{# The yml's descriptions as comments on tables and columns, all in one go at the end of a run: asked
   table by table, as `persist_docs` does, they take longer than the tables. #}
{% macro describe(results) %}
    {%- if execute %}
    {%- set known = run_query(
        "select schema_name || '.' || table_name, lower(column_name) from duckdb_columns()"
        " where database_name = '" ~ target.database ~ "' and not internal"
    ).rows | map('join', ' ') | list -%}
    begin;
    {%- for result in results if result.node.resource_type == 'model' and result.status == 'success' %}
    {%- set node = result.node -%}
    {%- set name = node.schema ~ '.' ~ node.alias -%}
    comment on {{ 'view' if node.config.materialized == 'view' else 'table' }} {{ name }}
        is {{ duckdb_escape_comment(node.description) }};
    {%- for column in node.columns.values() if name ~ ' ' ~ (column.name | lower) in known %}
    comment on column {{ name }}."{{ column.name }}" is {{ duckdb_escape_comment(column.description) }};
    {%- endfor %}
    {%- endfor %}
    commit;
    {%- endif %}
{% endmacro %}
