with

latest as (
    {{ latest_versions(
        'stock_adjustments', keys=['id'], change_time='greatest("createdAt", "postedAt")'
    ) }}
),

final as (
    select
        landing._company_id as company_id,
        landing.id as adjustment_id,
        landing."adjustmentNumber" as adjustment_number,
        landing.date as adjustment_date,
        lower(landing.type) as adjustment_type,
        landing.reason,
        lower(landing.status) as status,
        landing."locationId" as location_id,
        landing.reference,
        landing.notes,
        landing.items,
        {{ money('landing."totalValue"') }} as total_value,
        {{ utc('landing."createdAt"') }} as created_at,
        {{ utc('landing."postedAt"') }} as posted_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'stock_adjustments') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
