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
    from numbered
)

select * from final
