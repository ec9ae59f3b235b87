{# A damaged record's text without raw control characters, halves of surrogate pairs and what is no
   number. One that breaks off stays what it was. #}
{% macro legible(payload) -%}
    regexp_replace(
        regexp_replace(
            regexp_replace({{ payload }}, '[\x00-\x1f]', ' ', 'g'),
            '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '?', 'g'
        ),
        ':\s*[-+]?(NaN|Infinity|inf)', ':null', 'gi'
    )
{%- endmacro %}

{# The id of a record that breaks off, of its text; null where it breaks off before that. #}
{% macro own_id_in_text(entity, payload) -%}
    {%- for name in key_of(entity).values() -%}
        nullif(regexp_extract({{ payload }}, '"{{ name }}"\s*:\s*"([^"\\]+)"', 1), '') {{ "|| ':' || " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
