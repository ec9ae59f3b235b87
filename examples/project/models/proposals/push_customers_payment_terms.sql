-- Active customers whose terms are longer than the company's longest: they are to get those.
{% set longest_terms_days = 45 %}

with

customers as (
    select * from {{ ref('stg_customers') }}
    where not is_deleted and coalesce(status, 'active') = 'active'
),

final as (
    select
        customer_id as id,
        updated_at as base_updated_at,
        {{ longest_terms_days }} as "paymentTerms",
        company_id as _company_id,
        customer_number as _customer_number,
        payment_terms as _terms_now,
    from customers
    where payment_terms > {{ longest_terms_days }}
)

select * from final
