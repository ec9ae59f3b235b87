{# Every version of a record that was observed, from the append-only landing: the body of a model in
   `history/`, after a CTE `landed` of upserts in the model's own columns and `landed_columns()`.

   A night reads new loads alone, finds the keys in them, and orders those keys' versions anew, held
   ones included: a load may land after one that began later. What comes out replaces all that is
   held of the key, in one transaction; doing it twice changes nothing.

   Versions follow each other by the time of the pull; within one pull the one whose own change time
   is later; then `tie_break`, then the load. The last of one instant is the version, the others were
   never known. Only keys and ordering columns are sorted; wide rows are joined to them, which takes
   half the time of a window over them.

   The model's table, its key and what the other macros know of it (`entities.sql`) come from here too.

   entity:     the landing source's table, and the name of the table in `history`
   key:        the record's key columns beside company_id, and the landing's names of them
   changed_at: the record's own change time, in the model's columns
   tie_break:  greater for the later of two versions, in the model's columns, optional #}
{% macro versions(entity, key, changed_at, tie_break=none) %}
{{- config(
    alias=entity,
    unique_key=['company_id'] + key.keys() | list,
    meta={'entity': entity, 'key': key},
) }}
{%- set keys = (['company_id'] + key.keys() | list) | join(', ') %}

-- A delete row carries only the key.
gone as (
    select
        _company_id as company_id,
        {%- for name, landed_name in key.items() %}
        "{{ landed_name }}" as {{ name }},
        {%- endfor %}
        {{ landed_columns() }}
    from {{ landed(entity) }}
    where _op = 'delete' and {{ in_loads_not_held(entity) }}
),

-- Of a night's few rows a copy is made; of the whole landing only the narrow columns are.
observed as {{ 'not materialized' if not is_incremental() }} (
    select * from landed
    union all by name
    select * from gone
    {%- if is_incremental() %}
    union all by name
    select
        * exclude (known_to, is_latest),
        '' as filename,
        rowid as file_row_number,
    from {{ this }}
    where ({{ keys }}) in (select ({{ keys }}) from landed union all select ({{ keys }}) from gone)
    {%- endif %}
),

ordered as (
    select
        {{ keys }},
        filename,
        file_row_number,
        known_from,
        is_deleted,
        lead(known_from) over versions as known_to,
        coalesce(lead((known_from, is_deleted)) over versions = (known_from, is_deleted), false)
            as is_twin,
    from observed
    window versions as (
        partition by {{ keys }}
        order by
            known_from,
            is_deleted,
            {{ changed_at }} nulls first,
            {%- if tie_break %}
            {{ tie_break }} nulls first,
            {%- endif %}
            load_id,
            filename,
            file_row_number
    )
),

placed as (
    select
        filename,
        file_row_number,
        known_to,
        not is_deleted and coalesce(known_from = max(case when not is_deleted then known_from end) over (
            partition by {{ keys }}
        ), false) as is_latest,
    from ordered
    where not is_twin
),

final as (
    select
        observed.* exclude (filename, file_row_number, known_from, is_deleted, load_id, request_id),
        observed.known_from,
        placed.known_to,
        observed.is_deleted,
        placed.is_latest,
        observed.load_id,
        observed.request_id,
    from observed
    inner join placed using (filename, file_row_number)
)

select * from final
{% endmacro %}

{# The last columns of `landed`: when and by what a row came, and where it lies. #}
{% macro landed_columns() -%}
        {{ utc('_pulled_at') }} as known_from,
        _op = 'delete' as is_deleted,
        _load_id as load_id,
        _request_id as request_id,
        filename,
        file_row_number,
{%- endmacro %}

{# Limits the landing to the loads that the model does not hold yet: by id, because compaction moves
   rows to other files. A load of which no version is left is read again each time. #}
{% macro in_loads_not_held(entity) -%}
    {{ among_loads_not_held(landed(entity), '_load_id') }}
{%- endmacro %}

{# Tells whether a row came by a load that the model does not hold yet; any row is when it is built
   whole. The ids are spelled out, because statistics then spare reading the others' rows. #}
{% macro among_loads_not_held(relation, column) -%}
    {%- if not is_incremental() or not execute -%}
        true
    {%- else -%}
        {{ column }} in ({{ values_of(
            'select distinct ' ~ column ~ ' from ' ~ relation
            ~ ' where ' ~ column ~ ' not in (select distinct load_id from ' ~ this ~ ')'
        ) }})
    {%- endif -%}
{%- endmacro %}

{# The latest version of each record from its history; deleted ones stay and are marked. #}
{% macro latest_of(history) -%}
    select
        * exclude (known_from, known_to, is_deleted, is_latest, load_id, request_id),
        known_to is not null as is_deleted,
        known_from as pulled_at,
        load_id,
        request_id,
    from {{ history }}
    where is_latest
{%- endmacro %}
