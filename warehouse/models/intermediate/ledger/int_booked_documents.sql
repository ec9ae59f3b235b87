{{ config(materialized='view') }}

-- A number that documents of two parties share says of neither entry whose it is.
with

documents as (
    select
        company_id,
        invoice_number as reference,
        'customer' as party_type,
        customer_id as party_id,
        customer_name as party_name,
    from {{ ref('stg_invoices') }}
    where invoice_number <> '' and customer_id <> ''
    union all
    select
        company_id,
        bill_number,
        'supplier',
        supplier_id,
        supplier_name,
    from {{ ref('stg_bills') }}
    where bill_number <> '' and supplier_id <> ''
),

final as (
    select
        company_id,
        reference,
        any_value(party_type) as party_type,
        any_value(party_id) as party_id,
        max(party_name) as party_name,
    from documents
    group by company_id, reference
    having min((party_type, party_id)) = max((party_type, party_id))
)

select * from final
