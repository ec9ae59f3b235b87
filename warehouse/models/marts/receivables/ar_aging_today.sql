with

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select ar_aging.* exclude (is_reconstructed),
    from {{ ref('ar_aging') }} as ar_aging
    inner join companies on companies.company_id = ar_aging.company_id and companies.today = ar_aging.as_of_date
)

select * from final
