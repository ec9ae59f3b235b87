{# The files of an entity in the landing: those that `blsync build` has listed, because a pattern would
   match what strayed into the folders as well. Where dbt runs by itself, the whole folder; but a build
   that was killed leaves its list, build.files, which names no later files: delete it before you run
   dbt by hand. The next `blsync build` does so itself. #}
{% macro landed(entity) -%}
    {%- set relation = source('landing', entity) -%}
    {%- set files = lake_files('landing', entity) if is_listed() else 'null' -%}
    {%- if files != 'null' -%}
        read_parquet([{{ files }}], hive_partitioning = false, union_by_name = true)
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# A path as it is written between quotes where DuckDB reads a pattern: that matches this path alone. #}
{% macro as_pattern(path) -%}
    {{- path | replace("'", "''") | replace("[", "[[]") | replace("*", "[*]") -}}
{%- endmacro %}

{# Whether `blsync` has listed the files that this build reads. #}
{% macro is_listed() -%}
    {%- set listed = as_pattern(env_var('BLSYNC_DATA', 'data')) ~ '/build.files' -%}
    {{ return(form_ahead() or execute and run_query("select 1 from glob('" ~ listed ~ "')").rows | length > 0) }}
{%- endmacro %}

{# The paths of a layer's files, quoted and put together; null where there are none. #}
{% macro lake_files(layer, entity=none) -%}
    {%- set data = as_pattern(env_var('BLSYNC_DATA', 'data')) -%}
    {%- if is_listed() -%}
        {%- set query -%}
            select replace(replace(path, '[', '[[]'), '*', '[*]') from read_parquet('{{ data }}/build.files')
            where layer = '{{ layer }}'{% if entity %} and entity = '{{ entity }}'{% endif %} order by path
        {%- endset -%}
    {%- else -%}
        {%- set query -%}
            select replace(replace(file, '[', '[[]'), '*', '[*]')
            from glob('{{ data }}/{{ layer }}/{{ entity or '*' }}/*/*.parquet') order by file
        {%- endset -%}
    {%- endif -%}
    {{ values_of(query) }}
{%- endmacro %}
