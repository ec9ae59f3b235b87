with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as widget_id,
        "widgetNumber" as widget_number,
        name as widget_name,
        {{ unit_cost('price') }} as price,
        lower(status) as status,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('widgets') }}
    where _op = 'upsert' and {{ in_loads_not_held('widgets') }}
),
{{ versions(
    'widgets',
    key={'widget_id': 'id'},
    changed_at='updated_at',
) }}
