{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('numbers')) }}",
) }}

-- Invoices whose own entries do not add up to them, credits, and entries that belong to no invoice. What
-- has a number in common, as number or as reference, is written together.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

invoices as (
    select *
    from (
        select
            *,
            coalesce(nullif(invoice_number, ''), invoice_id) as number,
            greatest(amount_due, 0) as open_amount,
        from {{ ref('int_invoice_versions') }}
        where is_current and is_recognised and coalesce(invoice_date <= today, true)
    ) as owed
    where {{ only_affected(affected('numbers')) }}
),

-- Entries with cash are payments; of the others those whose reference is an invoice's number belong
-- to it.
numbers as (
    select
        company_id,
        invoice_number as number,
        max(invoice_id) as invoice_id,
    from (select *, invoice_number as number from {{ ref('stg_invoices') }}) as invoices
    where invoice_number <> '' and {{ only_affected(affected('numbers')) }}
    group by company_id, invoice_number
),

entries as (
    select *
    from (
        select
            entries.*,
            coalesce(nullif(entries.reference, ''), entries.journal_id) as number,
        from {{ ref('int_sales_entries') }} as entries
        inner join companies using (company_id)
        where
            entries.is_on_receivables
            and not entries.is_on_cash
            and entries.journal_date <= companies.today
    ) as booked
    where {{ only_affected(affected('numbers')) }}
),

sides as (
    select
        entries.company_id,
        entries.number,
        case when numbers.invoice_id is null then 'entry' else 'invoice' end as item_type,
        coalesce(numbers.invoice_id, entries.journal_id) as item_id,
        entries.receivable_amount as ledger_amount,
        0 as document_amount,
    from entries
    left join numbers
        on numbers.company_id = entries.company_id and numbers.number = entries.reference
    union all
    select company_id, number, 'invoice', invoice_id, 0, invoice_total,
    from invoices
    union all
    select company_id, number, 'credit', invoice_id, 0, open_amount - (invoice_total - amount_paid),
    from invoices
),

final as (
    select
        company_id,
        number,
        item_type,
        item_id,
        {{ sum_of_money('sum(ledger_amount)') }} as ledger_amount,
        {{ sum_of_money('sum(document_amount)') }} as document_amount,
    from sides
    group by company_id, number, item_type, item_id
    having sum(ledger_amount) <> sum(document_amount)
)

select * from final
