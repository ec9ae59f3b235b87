-- What parts the receivable control accounts from the open items of today, item by item.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

entries as (
    select entries.*
    from {{ ref('int_sales_entries') }} as entries
    inner join companies using (company_id)
    where entries.is_on_receivables and entries.journal_date <= companies.today
),

payments as (
    select company_id, receivable_amount as ledger_amount, 0 as document_amount
    from entries
    where is_on_cash
    union all
    select company_id, 0, -amount_paid
    from {{ ref('int_invoice_versions') }}
    where is_current and is_recognised and coalesce(invoice_date <= today, true)
),

items as (
    select
        company_id,
        item_type,
        item_id,
        ledger_amount,
        document_amount,
    from {{ ref('int_receivable_items') }}
    union all
    select company_id, 'payments', null, sum(ledger_amount), sum(document_amount)
    from payments
    group by company_id
    having sum(ledger_amount) <> sum(document_amount)
),

final as (
    select
        items.company_id,
        companies.today as as_of_date,
        items.item_type,
        case when items.item_type in ('invoice', 'credit') then items.item_id end as invoice_id,
        case when items.item_type = 'entry' then items.item_id end as journal_id,
        coalesce(staged.invoice_number, entries.journal_number) as document_number,
        {{ sum_of_money('items.ledger_amount') }} as ledger_amount,
        {{ sum_of_money('items.document_amount') }} as document_amount,
        {{ sum_of_money('items.ledger_amount - items.document_amount') }} as difference,
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
)

select * from final
