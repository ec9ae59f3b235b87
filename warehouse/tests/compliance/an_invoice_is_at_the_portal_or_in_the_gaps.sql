-- Every recognised invoice has one e-invoice at the portal or a row that says why not, and never both.
with

companies as (
    select distinct company_id from {{ ref('stg_einvoices') }} where not is_deleted
),

gaps as (
    select
        company_id,
        invoice_id,
        count(*) as rows_of_it,
    from {{ ref('einvoice_gaps') }}
    where side = 'portal'
    group by company_id, invoice_id
),

objects as (
    select
        company_id,
        invoice_id,
        count(*) filter (where status in ('submitted', 'accepted')) as at_portal,
    from {{ ref('stg_einvoices') }}
    where not is_deleted
    group by company_id, invoice_id
)

select
    company_id,
    invoice_id,
    states.state,
    gaps.rows_of_it,
    objects.at_portal,
from {{ ref('invoices') }} as invoices
inner join companies using (company_id)
left join {{ ref('einvoice_status') }} as states using (company_id, invoice_id)
left join gaps using (company_id, invoice_id)
left join objects using (company_id, invoice_id)
where
    (invoices.is_recognised and coalesce(states.state, 'none') not in ('submitted', 'accepted'))
    <> (coalesce(gaps.rows_of_it, 0) = 1)
    or (coalesce(objects.at_portal, 0) > 0 and states.state not in ('submitted', 'accepted', 'created', 'validated', 'rejected'))
