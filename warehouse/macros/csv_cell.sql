{# A text as it stands in a csv file: in quotes where it holds a comma, a quote or a line's end. #}
{% macro csv_cell(text) -%}
    case
        when regexp_matches({{ text }}, '[,"\r\n]') then '"' || replace({{ text }}, '"', '""') || '"'
        else coalesce({{ text }}, '')
    end
{%- endmacro %}
