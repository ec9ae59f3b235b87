{# The columns together are the grain: no two rows share them and none of them is null. With `among`,
   only rows of what the news touch are looked at. #}
{% test unique_combination(model, columns, among=none) %}
    select
        {{ columns | join(', ') }},
        count(*) as copies,
    from {{ model }}
    {%- if among %}
    where {{ affected(among) }}
    {%- endif %}
    group by {{ columns | join(', ') }}
    having
        count(*) > 1
        {%- for column in columns %}
        or {{ column }} is null
        {%- endfor %}
{% endtest %}
