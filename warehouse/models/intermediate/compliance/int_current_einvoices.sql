{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('invoices')) }}",
) }}

-- Which e-invoice of an invoice is the one that counts: the latest that is not cancelled, and where all
-- are, the latest.
with

objects as (
    select
        *,
        count(*) over (partition by company_id, invoice_id) as attempts,
        row_number() over (
            partition by company_id, invoice_id
            order by status is not distinct from 'cancelled', created_at desc nulls last, einvoice_id desc
        ) as place,
    from {{ ref('stg_einvoices') }}
    where not is_deleted and invoice_id is not null and {{ only_affected(affected('invoices')) }}
),

final as (
    select
        company_id,
        invoice_id,
        einvoice_id,
        coalesce(status, 'none') as state,
        portal,
        submission_id,
        long_id,
        uuid,
        submitted_at,
        validated_at,
        accepted_at,
        list_aggregate(
            list_transform(errors, lambda each: concat_ws(': ', each.code, each.message)),
            'string_agg',
            '; '
        ) as errors,
        cast(attempts as integer) as attempts,
    from objects
    where place = 1
)

select * from final
