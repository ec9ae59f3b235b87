{# Which landed row is a record's latest version: one row a key, naming the file and the row.

   The landing is append-only, so a key has many versions. The latest one is the last pulled; within
   one pull the one whose own change time is later; then `tie_break`, then the load. A delete row
   carries only the key, so a deleted record keeps the payload of its last upsert.

   Only the key and the ordering columns are sorted here; the payload is read once for the winners,
   which takes half the time of a window over whole rows.

   entity:      the landing source's table
   keys:        the record's key columns
   change_time: the record's own change time, an expression
   tie_break:   an expression that is greater for the later of two versions, optional #}
{% macro latest_versions(entity, keys, change_time, tie_break=none) %}
    {%- set key = (['_company_id'] + keys) | join(', ') %}
    select
        versions.filename,
        versions.file_row_number,
        coalesce(deletes.deleted_at >= versions._pulled_at, false) as is_deleted,
    from (
        select
            filename,
            file_row_number,
            _pulled_at,
            {{ key }},
            row_number() over (
                partition by {{ key }}
                order by
                    _pulled_at desc,
                    {{ change_time }} desc nulls last,
                    {%- if tie_break %}
                    {{ tie_break }} desc nulls last,
                    {%- endif %}
                    _load_id desc,
                    file_row_number desc
            ) as recency,
        from {{ source('landing', entity) }}
        where _op = 'upsert'
    ) as versions
    left join (
        select
            {{ key }},
            max(_pulled_at) as deleted_at,
        from {{ source('landing', entity) }}
        where _op = 'delete'
        group by {{ key }}
    ) as deletes using ({{ key }})
    where versions.recency = 1
{% endmacro %}

{# Joins the landing to `latest_versions`. #}
{% macro same_row(left, right) -%}
    {{ left }}.filename = {{ right }}.filename and {{ left }}.file_row_number = {{ right }}.file_row_number
{%- endmacro %}

{# Where a version came from: the last columns of every staged record. #}
{% macro version_columns(landing, latest) -%}
        {{ latest }}.is_deleted,
        {{ utc(landing ~ '._pulled_at') }} as pulled_at,
        {{ landing }}._load_id as load_id,
        {{ landing }}._request_id as request_id,
{%- endmacro %}
