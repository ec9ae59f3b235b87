with

latest as (
    {{ latest_versions('stock', keys=['"itemId"', '"locationId"'], change_time='"updatedAt"') }}
),

final as (
    select
        landing._company_id as company_id,
        landing."itemId" as item_id,
        landing."locationId" as location_id,
        {{ quantity('coalesce(landing."currentStock", 0)') }} as current_stock,
        {{ quantity('landing."availableStock"') }} as available_stock,
        {{ quantity('landing."reservedStock"') }} as reserved_stock,
        {{ quantity('landing."onOrderStock"') }} as on_order_stock,
        {{ unit_cost('landing."averageCost"') }} as average_cost,
        {{ money('coalesce(landing."stockValue", 0)') }} as stock_value,
        landing."lastMovement".type as last_movement_type,
        landing."lastMovement".quantity as last_movement_quantity,
        landing."lastMovement".reference as last_movement_reference,
        landing."binLocation" as bin_location,
        {{ utc('landing."updatedAt"') }} as updated_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'stock') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
