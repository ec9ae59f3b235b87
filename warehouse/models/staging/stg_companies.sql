with

final as (
    select
        company_id,
        company_name,
        currency,
        timezone,
        today,
        {{ utc('built_at') }} as built_at,
    from {{ source('inputs', 'companies') }}
)

select * from final
