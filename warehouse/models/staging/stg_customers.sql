with

latest as (
    {{ latest_versions('customers', keys=['id'], change_time='"updatedAt"') }}
),

final as (
    select
        landing._company_id as company_id,
        landing.id as customer_id,
        landing."customerNumber" as customer_number,
        landing.name as customer_name,
        lower(landing.type) as customer_type,
        landing.email,
        landing.phone,
        landing.website,
        landing."taxNumber" as tax_number,
        landing.address,
        landing."billingAddress" as billing_address,
        landing."shippingAddress" as shipping_address,
        landing.currency,
        try_cast(landing."paymentTerms" as integer) as payment_terms,
        {{ money('landing."creditLimit"') }} as credit_limit,
        {{ money('landing."currentBalance"') }} as api_balance,
        {{ money('landing."totalSales"') }} as api_total_sales,
        landing."lastSaleDate" as last_sale_date,
        lower(landing.status) as status,
        landing.tags,
        landing."customFields" as custom_fields,
        landing.contacts,
        {{ utc('landing."createdAt"') }} as created_at,
        {{ utc('landing."updatedAt"') }} as updated_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'customers') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
