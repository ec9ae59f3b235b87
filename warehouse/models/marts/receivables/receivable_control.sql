-- What parts the receivable control accounts from the open items of today, item by item.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

invoices as (
    select
        versions.*,
        greatest(versions.amount_due, 0) as open_amount,
    from {{ ref('int_invoice_versions') }} as versions
    where
        versions.is_current
        and versions.is_recognised
        and coalesce(versions.invoice_date <= versions.today, true)
),

-- Entries with cash are payments; of the others those whose reference is an invoice's number belong
-- to it.
numbers as (
    select
        company_id,
        invoice_number,
        max(invoice_id) as invoice_id,
    from {{ ref('stg_invoices') }}
    where invoice_number <> ''
    group by company_id, invoice_number
),

entries as (
    select
        entries.*,
        case when not entries.is_on_cash then numbers.invoice_id end as invoice_id,
    from {{ ref('int_sales_entries') }} as entries
    inner join companies using (company_id)
    left join numbers
        on numbers.company_id = entries.company_id and numbers.invoice_number = entries.reference
    where entries.is_on_receivables and entries.journal_date <= companies.today
),

sides as (
    select
        company_id,
        'invoice' as item_type,
        invoice_id as item_id,
        receivable_amount as ledger_amount,
        0 as document_amount,
    from entries
    where invoice_id is not null
    union all
    select company_id, 'invoice', invoice_id, 0, invoice_total,
    from invoices
    union all
    select company_id, 'payments', null, receivable_amount, 0,
    from entries
    where is_on_cash
    union all
    select company_id, 'payments', null, 0, -amount_paid,
    from invoices
    union all
    select company_id, 'credit', invoice_id, 0, open_amount - (invoice_total - amount_paid),
    from invoices
    where open_amount <> invoice_total - amount_paid
    union all
    select company_id, 'entry', journal_id, receivable_amount, 0,
    from entries
    where invoice_id is null and not is_on_cash
),

items as (
    select
        company_id,
        item_type,
        item_id,
        sum(ledger_amount) as ledger_amount,
        sum(document_amount) as document_amount,
    from sides
    group by company_id, item_type, item_id
),

final as (
    select
        items.company_id,
        companies.today as as_of_date,
        items.item_type,
        case when items.item_type in ('invoice', 'credit') then items.item_id end as invoice_id,
        case when items.item_type = 'entry' then items.item_id end as journal_id,
        coalesce(staged.invoice_number, entries.journal_number) as document_number,
        {{ money('items.ledger_amount') }} as ledger_amount,
        {{ money('items.document_amount') }} as document_amount,
        {{ money('items.ledger_amount - items.document_amount') }} as difference,
        companies.currency,
        companies.built_at,
    from items
    inner join companies using (company_id)
    left join {{ ref('stg_invoices') }} as staged
        on staged.company_id = items.company_id
        and staged.invoice_id = items.item_id
        and items.item_type <> 'entry'
    left join entries
        on entries.company_id = items.company_id
        and entries.journal_id = items.item_id
        and items.item_type = 'entry'
    where items.ledger_amount <> items.document_amount
)

select * from final
