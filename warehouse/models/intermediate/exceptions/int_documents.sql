{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(is_affected_document()) }}",
) }}

-- Journal entries, invoices and stock adjustments side by side, for the rules that ask the same of all.
with

documents as (
    select
        company_id,
        'journal_entries' as entity,
        journal_id as record_id,
        journal_number as number,
        reference,
        -- Entries of one reference are one thing booked twice only where nobody else is concerned.
        cast(null as varchar) as party_id,
        status,
        -- A void and its reversal share the reference that they had as one.
        status = 'posted' and reverses_journal_id is null as is_in_force,
        total_debit as total,
        created_at,
        is_deleted,
    from {{ ref('stg_journal_entries') }}
    where {{ only_affected(affected('entries')) }}
    union all
    select
        company_id,
        'invoices',
        invoice_id,
        invoice_number,
        reference,
        customer_id,
        status,
        coalesce(status, '') not in ('draft', 'cancelled'),
        total,
        created_at,
        is_deleted,
    from {{ ref('stg_invoices') }}
    where {{ only_affected(affected('invoices')) }}
    union all
    select
        company_id,
        'stock_adjustments',
        adjustment_id,
        adjustment_number,
        null,
        null,
        status,
        status = 'posted',
        total_value,
        created_at,
        is_deleted,
    from {{ ref('stg_stock_adjustments') }}
),

numbered as (
    select
        *,
        regexp_extract(number, '[0-9]+$') as digits,
    from documents
),

final as (
    select
        * exclude (digits),
        left(number, length(number) - length(digits)) as series,
        try_cast(digits as bigint) as place,
        -- What may be the same is found by hashes, which takes a fifth of the time of the texts.
        case
            when is_in_force and not is_deleted and trim(reference) <> ''
                then hash(company_id, entity, party_id, lower(trim(reference)))
        end as reference_hash,
        case when not is_deleted and number <> '' then hash(company_id, entity, number) end as number_hash,
        case
            when not is_deleted and try_cast(digits as bigint) is not null
                then hash(company_id, entity, left(number, length(number) - length(digits)))
        end as series_hash,
    from numbered
)

select * from final
