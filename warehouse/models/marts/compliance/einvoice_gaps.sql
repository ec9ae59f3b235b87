-- Where the books and the tax authority's portal do not have the same documents, for companies of which
-- any e-invoice is known. Side `portal`: an invoice counts, and the portal has not accepted it. Side
-- `books`: the portal has a document, and no invoice that counts stands behind it.
with

companies as (
    select * from {{ ref('stg_companies') }}
    where company_id in (select company_id from {{ ref('stg_einvoices') }} where not is_deleted)
),

missing_at_portal as (
    select
        invoices.company_id,
        'portal' as side,
        invoices.invoice_id,
        states.einvoice_id,
        invoices.invoice_number,
        invoices.invoice_date,
        states.state,
        states.uuid,
        case
            when states.state = 'rejected' then 'rejected by the portal'
            when states.state = 'cancelled' then 'its e-invoice is cancelled'
            when states.state in ('created', 'validated', 'pending') then 'not submitted yet'
            else 'has no e-invoice'
        end as reason,
    from {{ ref('invoices') }} as invoices
    inner join {{ ref('einvoice_status') }} as states using (company_id, invoice_id)
    where invoices.is_recognised and states.state not in ('submitted', 'accepted')
),

missing_in_books as (
    select
        einvoices.company_id,
        'books' as side,
        einvoices.invoice_id,
        einvoices.einvoice_id,
        invoices.invoice_number,
        invoices.invoice_date,
        einvoices.status as state,
        einvoices.uuid,
        case
            when invoices.invoice_id is null then 'no such invoice'
            when invoices.is_deleted then 'the invoice was deleted'
            when invoices.status = 'draft' then 'the invoice is a draft'
            when invoices.status = 'cancelled' then 'the invoice is cancelled'
            else 'another e-invoice of this invoice counts'
        end as reason,
    from {{ ref('stg_einvoices') }} as einvoices
    left join {{ ref('stg_invoices') }} as invoices using (company_id, invoice_id)
    left join {{ ref('int_current_einvoices') }} as current
        on current.company_id = einvoices.company_id and current.einvoice_id = einvoices.einvoice_id
    where
        not einvoices.is_deleted
        and einvoices.status in ('submitted', 'accepted')
        and (
            invoices.invoice_id is null
            or invoices.is_deleted
            or coalesce(invoices.status, '') in ('draft', 'cancelled')
            or current.einvoice_id is null
        )
),

final as (
    select
        gaps.company_id,
        gaps.side,
        gaps.invoice_id,
        gaps.einvoice_id,
        gaps.invoice_number,
        gaps.invoice_date,
        gaps.state,
        gaps.uuid,
        gaps.reason,
        companies.currency,
        companies.built_at,
    from (select * from missing_at_portal union all select * from missing_in_books) as gaps
    inner join companies using (company_id)
)

select * from final
