{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices') ~ ' or issue is null and hours_to_accept is null') }}",
) }}

-- What is not accepted yet may become an issue by waiting, so it is written anew every night. Where the
-- invoice and its e-invoice disagree, the e-invoice is right.
with

invoices as (
    select * from {{ ref('stg_invoices') }}
    where
        not is_deleted
        and status is distinct from 'draft'
        {%- if is_incremental() %}
        and (company_id, invoice_id) not in (select (company_id, invoice_id) from {{ this }})
        {%- endif %}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

placed as (
    select
        invoices.company_id,
        invoices.invoice_id,
        invoices.invoice_number,
        invoices.invoice_date,
        invoices.status,
        coalesce(current.state, nullif(invoices.einvoice_status, ''), 'none') as state,
        coalesce(current.submitted_at, invoices.einvoice_submitted_at) as submitted_at,
        coalesce(current.accepted_at, invoices.einvoice_accepted_at) as accepted_at,
        coalesce(nullif(current.uuid, ''), invoices.einvoice_uuid) as uuid,
        current.einvoice_id,
        current.portal,
        current.submission_id,
        current.long_id,
        current.validated_at,
        current.errors,
        coalesce(current.attempts, 0) as attempts,
    from invoices
    left join {{ ref('int_current_einvoices') }} as current using (company_id, invoice_id)
),

states as (
    select
        placed.*,
        companies.currency as company_currency,
        companies.built_at,
        {{ var('einvoice_late_hours') }} as late_hours,
        date_diff('second', placed.submitted_at, placed.accepted_at) as seconds_to_accept,
        date_diff('day', placed.invoice_date, companies.today) * 24 as hours_since_invoice,
        date_diff('second', placed.submitted_at, companies.built_at) / 3600 as hours_since_submitted,
    from placed
    inner join companies using (company_id)
),

final as (
    select
        company_id,
        invoice_id,
        invoice_number,
        state,
        submitted_at,
        accepted_at,
        case when state = 'accepted' then {{ quotient('seconds_to_accept', '3600', 2) }} end
            as hours_to_accept,
        uuid,
        case
            when status = 'cancelled' and state in ('submitted', 'accepted')
                then 'invoice is cancelled, its e-invoice is not'
            when status = 'cancelled' then null
            when state = 'rejected' then 'rejected'
            when state = 'cancelled' then 'e-invoice is cancelled, its invoice is not'
            when state = 'accepted' and coalesce(uuid, '') = '' then 'accepted without a uuid'
            when state = 'accepted' and seconds_to_accept < 0 then 'accepted before it was submitted'
            when state = 'accepted' then null
            when submitted_at is null and hours_since_invoice > late_hours
                then 'not submitted'
            when hours_since_submitted > late_hours then 'no answer'
        end as issue,
        einvoice_id,
        portal,
        submission_id,
        long_id,
        validated_at,
        -- The authority counts the three days in which it can be taken back from its own validation.
        validated_at + interval 72 hours as cancel_until,
        errors,
        attempts,
        company_currency as currency,
        built_at,
    from states
)

select * from final
