{# A record that changed after the documents were last asked for may know some that the marts do not: they
   come with the next sync. A change time later than the reading proves nothing. #}
{% macro is_newer_than_documents(covered_until) -%}
    coalesce(
        records.updated_at > {{ covered_until }}
        and records.pulled_at > {{ covered_until }}
        and records.updated_at <= records.pulled_at + interval 5 minutes,
        false
    )
{%- endmacro %}
