-- What parts the accounts of goods received and not invoiced from `grni` of today, order by order and
-- entry by entry. Amounts are positive where more is owed.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- A receipt's entry has the order's number, a bill's entry the bill's.
numbers as (
    select
        company_id,
        reference,
        min(purchase_order_id) as purchase_order_id,
    from (
        select company_id, po_number as reference, purchase_order_id
        from {{ ref('stg_purchase_orders') }}
        union all
        select company_id, bill_number, purchase_order_id
        from {{ ref('stg_bills') }}
        where purchase_order_id is not null
    ) as documents
    where reference <> ''
    group by company_id, reference
),

entries as (
    select
        entries.*,
        numbers.purchase_order_id,
    from {{ ref('int_purchase_entries') }} as entries
    inner join companies using (company_id)
    left join numbers using (company_id, reference)
    where entries.is_on_grni and entries.journal_date <= companies.today
),

sides as (
    select
        company_id,
        case when purchase_order_id is not null then 'order' else 'entry' end as item_type,
        coalesce(purchase_order_id, journal_id) as item_id,
        grni_amount as ledger_amount,
        0 as document_amount,
    from entries
    union all
    select
        grni.company_id,
        'order',
        grni.purchase_order_id,
        0,
        coalesce(grni.grni_amount, 0),
    from {{ ref('grni') }} as grni
    inner join companies on companies.company_id = grni.company_id and companies.today = grni.as_of_date
),

items as (
    {{ items_that_differ('sides') }}
),

final as (
    select
        items.company_id,
        companies.today as as_of_date,
        items.item_type,
        case when items.item_type = 'order' then items.item_id end as purchase_order_id,
        case when items.item_type = 'entry' then items.item_id end as journal_id,
        coalesce(orders.po_number, entries.journal_number) as document_number,
        {{ sum_of_money('items.ledger_amount') }} as ledger_amount,
        {{ sum_of_money('items.document_amount') }} as document_amount,
        {{ sum_of_money('items.ledger_amount - items.document_amount') }} as difference,
        companies.currency,
        companies.built_at,
    from items
    inner join companies using (company_id)
    left join {{ ref('stg_purchase_orders') }} as orders
        on orders.company_id = items.company_id
        and orders.purchase_order_id = items.item_id
        and items.item_type = 'order'
    left join entries
        on entries.company_id = items.company_id
        and entries.journal_id = items.item_id
        and items.item_type = 'entry'
)

select * from final
