with

suppliers as (
    select * from {{ ref('stg_suppliers') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

bills as (
    select
        versions.*,
        {{ is_plausible('versions.bill_date', 'versions.today') }} as is_plausible,
    from {{ ref('int_bill_versions') }} as versions
    where versions.is_current and versions.is_recognised
),

-- No bill says when it was paid: the day on which it changed into a paid one is taken for it.
paid as (
    select
        company_id,
        bill_id,
        min({{ local_date('coalesce(updated_at, known_from)', 'timezone') }}) as paid_on,
    from {{ ref('int_bill_versions') }}
    where is_recognised and document_due <= 0
    group by company_id, bill_id
),

spent as (
    select
        bills.company_id,
        bills.supplier_id,
        max(bills.bill_date) filter (where bills.is_plausible) as last_bill_date,
        count(*) as bill_count,
        sum(bills.bill_total) filter (
            where bills.bill_date > bills.today - interval 12 months and bills.bill_date <= bills.today
        ) as spend_12m,
        sum(date_diff('day', bills.bill_date, paid.paid_on)) filter (
            where bills.is_plausible and bills.document_due <= 0
        ) as days_to_pay,
        count(paid.paid_on) filter (where bills.is_plausible and bills.document_due <= 0) as paid_count,
    from bills
    left join paid using (company_id, bill_id)
    group by bills.company_id, bills.supplier_id
),

open_items as (
    select
        items.company_id,
        items.supplier_id,
        sum(items.open_amount) as open_balance,
        sum(items.open_amount) filter (where items.days_past_due > 0) as overdue_balance,
    from {{ ref('ap_open_items') }} as items
    inner join companies on companies.company_id = items.company_id and companies.today = items.as_of_date
    group by items.company_id, items.supplier_id
),

final as (
    select
        suppliers.company_id,
        suppliers.supplier_id,
        suppliers.supplier_number,
        suppliers.supplier_name,
        suppliers.status,
        suppliers.terms_days,
        suppliers.discount_days,
        suppliers.discount_percent,
        suppliers.credit_limit,
        suppliers.api_balance,
        {{ sum_of_money('coalesce(open_items.open_balance, 0)') }} as open_balance,
        {{ sum_of_money('coalesce(open_items.overdue_balance, 0)') }} as overdue_balance,
        spent.last_bill_date,
        cast(coalesce(spent.bill_count, 0) as integer) as bill_count,
        {{ sum_of_money('coalesce(spent.spend_12m, 0)') }} as spend_12m,
        {{ quotient('spent.days_to_pay', 'spent.paid_count', 2) }} as avg_days_to_pay,
        suppliers.is_deleted,
        companies.currency,
        companies.built_at,
    from suppliers
    inner join companies using (company_id)
    left join spent using (company_id, supplier_id)
    left join open_items using (company_id, supplier_id)
)

select * from final
