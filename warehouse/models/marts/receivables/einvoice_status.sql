{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices') ~ ' or issue is null and hours_to_accept is null') }}",
) }}

-- What is not accepted yet may become an issue by waiting, so it is written anew every night.
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

states as (
    select
        invoices.*,
        companies.currency as company_currency,
        companies.built_at,
        coalesce(nullif(invoices.einvoice_status, ''), 'none') as state,
        {{ var('einvoice_late_hours') }} as late_hours,
        date_diff(
            'second', invoices.einvoice_submitted_at, invoices.einvoice_accepted_at
        ) as seconds_to_accept,
        date_diff('day', invoices.invoice_date, companies.today) * 24 as hours_since_invoice,
        date_diff('second', invoices.einvoice_submitted_at, companies.built_at) / 3600
            as hours_since_submitted,
    from invoices
    inner join companies using (company_id)
),

final as (
    select
        company_id,
        invoice_id,
        invoice_number,
        state,
        einvoice_submitted_at as submitted_at,
        einvoice_accepted_at as accepted_at,
        case when state = 'accepted' then {{ quotient('seconds_to_accept', '3600', 2) }} end
            as hours_to_accept,
        einvoice_uuid as uuid,
        case
            when status = 'cancelled' and state in ('submitted', 'accepted')
                then 'invoice is cancelled, its e-invoice is not'
            when status = 'cancelled' then null
            when state = 'rejected' then 'rejected'
            when state = 'cancelled' then 'e-invoice is cancelled, its invoice is not'
            when state = 'accepted' and coalesce(einvoice_uuid, '') = '' then 'accepted without a uuid'
            when state = 'accepted' and seconds_to_accept < 0 then 'accepted before it was submitted'
            when state = 'accepted' then null
            when einvoice_submitted_at is null and hours_since_invoice > late_hours
                then 'not submitted'
            when hours_since_submitted > late_hours then 'no answer'
        end as issue,
        company_currency as currency,
        built_at,
    from states
)

select * from final
