with

named as (
    select
        company_id,
        location_id,
        location_name,
        pulled_at,
    from {{ ref('stg_stock_adjustments') }}
    union all
    select
        company_id,
        from_location_id as location_id,
        from_location_name as location_name,
        pulled_at,
    from {{ ref('stg_stock_transfers') }}
    union all
    select
        company_id,
        to_location_id as location_id,
        to_location_name as location_name,
        pulled_at,
    from {{ ref('stg_stock_transfers') }}
),

stocked as (
    select distinct
        company_id,
        location_id,
    from {{ ref('stg_stock') }}
),

tills as (
    select distinct
        company_id,
        location_id,
    from {{ ref('stg_pos_sessions') }}
),

places as (
    select
        company_id,
        location_id,
        max_by(location_name, (pulled_at, location_name)) filter (where location_name <> '') as location_name,
    from (
        from named
        union all by name
        from stocked
        union all by name
        from tills
    ) as places
    where location_id <> ''
    group by company_id, location_id
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        places.company_id,
        places.location_id,
        places.location_name,
        stocked.location_id is not null as has_stock,
        tills.location_id is not null as has_tills,
        companies.currency,
        companies.built_at,
    from places
    inner join companies using (company_id)
    left join stocked using (company_id, location_id)
    left join tills using (company_id, location_id)
)

select * from final
