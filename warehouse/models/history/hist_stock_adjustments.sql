with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as adjustment_id,
        "adjustmentNumber" as adjustment_number,
        date as adjustment_date,
        lower(type) as adjustment_type,
        reason,
        lower(status) as status,
        coalesce(nullif("locationId", ''), nullif(location.id, '')) as location_id,
        location.name as location_name,
        reference,
        notes,
        items,
        {{ money('"totalValue"') }} as total_value,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"postedAt"') }} as posted_at,
        {{ landed_columns() }}
    from {{ landed('stock_adjustments') }}
    where _op = 'upsert' and {{ in_loads_not_held('stock_adjustments') }}
),
{{ versions(
    'stock_adjustments',
    key={'adjustment_id': 'id'},
    changed_at='greatest(created_at, posted_at)',
) }}
