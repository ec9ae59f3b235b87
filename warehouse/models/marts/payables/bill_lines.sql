with

bills as (
    select * from {{ ref('bills') }}
),

final as (
    select
        bills.company_id,
        bills.bill_id,
        bills.bill_number,
        lines.line_no,
        bills.supplier_id,
        bills.purchase_order_id,
        bills.bill_date,
        bills.due_date,
        bills.period,
        bills.status,
        lines.item_id,
        items.item_code,
        lines.description,
        lines.quantity,
        lines.unit_price,
        lines.line_total,
        lines.tax_code,
        lines.tax_rate,
        lines.tax_amount,
        lines.account_number,
        bills.is_recognised,
        bills.bill_currency,
        bills.currency,
        bills.built_at,
    from {{ ref('stg_bill_lines') }} as lines
    inner join bills using (company_id, bill_id)
    left join {{ ref('stg_items') }} as items using (company_id, item_id)
)

select * from final
