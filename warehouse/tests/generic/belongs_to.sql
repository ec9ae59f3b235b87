{# Every value that is there names a row of another table of the same company. #}
{% test belongs_to(model, column_name, to, field) %}
    select
        child.company_id,
        child.{{ column_name }},
        count(*) as orphans,
    from {{ model }} as child
    left join {{ to }} as parent
        on parent.company_id = child.company_id and parent.{{ field }} = child.{{ column_name }}
    where child.{{ column_name }} is not null and parent.{{ field }} is null
    group by child.company_id, child.{{ column_name }}
{% endtest %}
