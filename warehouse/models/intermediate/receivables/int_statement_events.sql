{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices')) }}",
) }}

-- What an invoice, and each change of it that was seen, did to what its customer owes. Positive amounts
-- are debits. Of an invoice the last version that counts speaks; payments and credits are the steps
-- between versions, so that they add up to what that version says.
with

versions as (
    select * from {{ ref('int_invoice_versions') }} where {{ only_affected(affected('invoices')) }}
),

-- As in ar_open_items, an invoice dated ahead is not owed yet.
counted as (
    select
        *,
        invoice_total - amount_paid - amount_due as credited,
    from versions
    where is_recognised and coalesce(invoice_date <= today, true)
),

stepped as (
    select
        *,
        amount_paid - lag(amount_paid, 1, 0) over history as newly_paid,
        credited - lag(credited, 1, 0) over history as newly_credited,
        lead(known_from) over history is null as is_last,
    from counted
    window history as (partition by company_id, invoice_id order by known_from)
),

{%- set seen_changing = local_date('coalesce(updated_at, known_from)', 'timezone') %}

changes as (
    select
        company_id,
        invoice_id,
        known_from,
        'invoice' as event_type,
        coalesce(invoice_date, {{ local_date('coalesce(created_at, known_from)', 'timezone') }})
            as event_date,
        invoice_total as amount,
        invoice_date is null as is_inferred,
    from stepped
    where is_last
    union all
    select
        company_id,
        invoice_id,
        known_from,
        case when newly_paid > 0 then 'payment' else 'refund' end as event_type,
        coalesce(case when newly_paid > 0 then last_payment_date end, {{ seen_changing }}) as event_date,
        -newly_paid as amount,
        true as is_inferred,
    from stepped
    where newly_paid <> 0
    union all
    select
        company_id,
        invoice_id,
        known_from,
        'credit' as event_type,
        {{ seen_changing }} as event_date,
        -newly_credited as amount,
        true as is_inferred,
    from stepped
    where newly_credited <> 0
    union all
    -- Cancelled, deleted or a draft again: what was still open is owed no longer.
    select
        stepped.company_id,
        stepped.invoice_id,
        versions.known_from,
        'cancellation' as event_type,
        {{ local_date('coalesce(versions.updated_at, versions.known_from)', 'versions.timezone') }}
            as event_date,
        -stepped.amount_due as amount,
        true as is_inferred,
    from stepped
    inner join versions using (company_id, invoice_id)
    where
        stepped.is_last
        and not stepped.is_current
        and versions.is_current
        and stepped.amount_due <> 0
),

final as (
    select
        changes.company_id,
        stepped.customer_id,
        changes.event_date,
        changes.event_type,
        case changes.event_type when 'invoice' then 1 when 'cancellation' then 3 else 2 end
            as event_order,
        changes.invoice_id,
        stepped.invoice_number,
        changes.known_from,
        changes.amount,
        changes.is_inferred,
        stepped.currency,
        stepped.built_at,
    from changes
    inner join stepped
        on stepped.company_id = changes.company_id
        and stepped.invoice_id = changes.invoice_id
        and stepped.is_last
)

select * from final
