with

bills as (
    select * from {{ ref('stg_bills') }} where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

amounts as (
    select * from {{ ref('int_bill_versions') }} where is_current
),

final as (
    select
        bills.company_id,
        bills.bill_id,
        bills.bill_number,
        bills.supplier_invoice_number,
        bills.supplier_id,
        bills.supplier_name,
        bills.purchase_order_id,
        bills.bill_date,
        bills.due_date,
        {{ period_of('bills.bill_date', 'companies.today') }} as period,
        bills.status,
        {{ is_billed('bills.status') }} as is_recognised,
        bills.reference,
        bills.subtotal,
        bills.total_tax,
        bills.total,
        bills.amount_paid,
        bills.amount_due,
        case
            when {{ is_billed('bills.status') }} and bills.amount_due > 0
                then cast(date_diff('day', bills.due_date, companies.today) as integer)
        end as days_past_due,
        coalesce(bills.bill_currency, companies.currency) as bill_currency,
        amounts.bill_total as home_total,
        amounts.amount_due as home_due,
        bills.created_at,
        bills.updated_at,
        bills.request_id,
        companies.currency,
        companies.built_at,
    from bills
    inner join companies using (company_id)
    left join amounts using (company_id, bill_id)
)

select * from final
