-- What parts the payable control accounts from the open items of today, item by item: bills whose own
-- entries do not add up to them, credits, entries that belong to no bill, and payments. Amounts are
-- positive where more is owed.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

bills as (
    select *
    from {{ ref('int_bill_versions') }}
    where is_current and is_recognised and coalesce(bill_date <= today, true)
),

numbers as (
    select
        company_id,
        bill_number as reference,
        max(bill_id) as bill_id,
    from {{ ref('stg_bills') }}
    where bill_number <> ''
    group by company_id, bill_number
),

entries as (
    select
        entries.*,
        -- A payment has a reference of its own, and no bill names it; one without is somebody's own entry.
        case
            when entries.is_on_cash and entries.reference is not null then 'payments'
            when numbers.bill_id is not null then 'bill'
            else 'entry'
        end as item_type,
        numbers.bill_id,
    from {{ ref('int_purchase_entries') }} as entries
    inner join companies using (company_id)
    left join numbers using (company_id, reference)
    where entries.is_on_payables and entries.journal_date <= companies.today
),

sides as (
    select
        company_id,
        item_type,
        case item_type when 'bill' then bill_id when 'entry' then journal_id end as item_id,
        payable_amount as ledger_amount,
        0 as document_amount,
    from entries
    union all
    select company_id, 'bill', bill_id, 0, coalesce(bill_total, 0)
    from bills
    union all
    select company_id, 'payments', null, 0, -coalesce(amount_paid, 0)
    from bills
    union all
    -- What neither the total nor the payments explain of what is open, overpayments among it.
    select
        company_id,
        'credit',
        bill_id,
        0,
        case when document_due > 0 then greatest(coalesce(amount_due, 0), 0) else 0 end
        - (coalesce(bill_total, 0) - coalesce(amount_paid, 0)),
    from bills
),

items as (
    {{ items_that_differ('sides') }}
),

final as (
    select
        items.company_id,
        companies.today as as_of_date,
        items.item_type,
        case when items.item_type in ('bill', 'credit') then items.item_id end as bill_id,
        case when items.item_type = 'entry' then items.item_id end as journal_id,
        coalesce(staged.bill_number, entries.journal_number) as document_number,
        {{ sum_of_money('items.ledger_amount') }} as ledger_amount,
        {{ sum_of_money('items.document_amount') }} as document_amount,
        {{ sum_of_money('items.ledger_amount - items.document_amount') }} as difference,
        companies.currency,
        companies.built_at,
    from items
    inner join companies using (company_id)
    left join {{ ref('stg_bills') }} as staged
        on staged.company_id = items.company_id
        and staged.bill_id = items.item_id
        and items.item_type in ('bill', 'credit')
    left join entries
        on entries.company_id = items.company_id
        and entries.journal_id = items.item_id
        and items.item_type = 'entry'
)

select * from final
