with

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select ar_open_items.* exclude (is_reconstructed),
    from {{ ref('ar_open_items') }} as ar_open_items
    inner join companies on companies.company_id = ar_open_items.company_id and companies.today = ar_open_items.as_of_date
)

select * from final
