{# The quarantine as it lies on the disk: one folder an entity and company, and no folder at all while
   every record could be typed. DuckDB reads no list that is empty: `blsync` lists a file without rows
   too, and where dbt runs by itself, it is looked first. #}
{% macro quarantined() -%}
    {%- set files = lake_files('quarantine') -%}
    {%- if files != 'null' -%}
        select
            regexp_extract(filename, '/company_id=([^/]*)/[^/]*$', 1) as company_id,
            regexp_extract(filename, '/quarantine/([^/]*)/[^/]*/[^/]*$', 1) as entity,
            _payload as payload,
            _reason as reason,
            _load_id as load_id,
            _request_id as request_id,
            {{ utc('_pulled_at') }} as pulled_at,
        from read_parquet([{{ files }}], filename = true, hive_partitioning = false, union_by_name = true)
    {%- else -%}
        select
            {%- for column in ['company_id', 'entity', 'payload', 'reason', 'load_id', 'request_id'] %}
            cast(null as varchar) as {{ column }},
            {%- endfor %}
            cast(null as timestamp) as pulled_at,
        where false
    {%- endif -%}
{%- endmacro %}
