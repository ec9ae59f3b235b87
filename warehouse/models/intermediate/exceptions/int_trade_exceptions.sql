-- What is wrong with bills, orders, e-invoices, tills and transfers, one row a record and rule.
with

bills as (
    select *
    from {{ ref('bills') }}
    where is_recognised
),

bill_sums as (
    select
        company_id,
        bill_id,
        sum(line_total) as line_total,
        sum(tax_amount) as tax_amount,
    from {{ ref('stg_bill_lines') }}
    group by company_id, bill_id
),

broken_bills as (
    select
        bills.company_id,
        'broken_bill_totals' as rule,
        'error' as severity,
        'bills' as entity,
        bills.bill_id as record_id,
        bills.bill_number as number,
        concat_ws(
            '; ',
            case when bills.subtotal <> coalesce(sums.line_total, 0)
                then format('its lines add up to {}, its subtotal is {}', cast(coalesce(sums.line_total, 0) as varchar), cast(bills.subtotal as varchar)) end,
            case when bills.total_tax <> coalesce(sums.tax_amount, 0)
                then format('its lines bear {} tax, its header {}', cast(coalesce(sums.tax_amount, 0) as varchar), cast(bills.total_tax as varchar)) end,
            case when bills.total <> bills.subtotal + bills.total_tax
                then format('subtotal and tax are {}, its total is {}', cast(bills.subtotal + bills.total_tax as varchar), cast(bills.total as varchar)) end,
            case when bills.amount_due <> bills.total - bills.amount_paid
                then format('its total less what was paid is {}, {} is due', cast(bills.total - bills.amount_paid as varchar), cast(bills.amount_due as varchar)) end
        ) as finding,
    from bills
    left join bill_sums as sums using (company_id, bill_id)
    where
        bills.subtotal <> coalesce(sums.line_total, 0)
        or bills.total_tax <> coalesce(sums.tax_amount, 0)
        or bills.total <> bills.subtotal + bills.total_tax
        or bills.amount_due <> bills.total - bills.amount_paid
),

same_invoice as (
    select
        company_id,
        'duplicate_supplier_invoice' as rule,
        'error' as severity,
        'bills' as entity,
        bill_id as record_id,
        bill_number as number,
        format('{} bills of one supplier have the supplier''s number {}', copies, supplier_invoice_number) as finding,
    from (
        select
            *,
            count(*) over (
                partition by company_id, supplier_id, lower(trim(supplier_invoice_number))
            ) as copies,
        from bills
        where trim(supplier_invoice_number) <> '' and supplier_id is not null
    ) as numbered
    where copies > 1
),

-- Neighbours by date among bills of one amount: of several within a week each has one beside it.
near_duplicates as (
    select
        company_id,
        'near_duplicate_bill' as rule,
        'warning' as severity,
        'bills' as entity,
        bill_id as record_id,
        bill_number as number,
        format(
            'the same supplier billed the same amount on {}, {} days apart',
            cast(near_date as varchar), abs(date_diff('day', bill_date, near_date))
        ) as finding,
    from (
        select
            *,
            case
                when lag(bill_date) over of_amount >= bill_date - {{ var('near_duplicate_days') }}
                    then lag(bill_date) over of_amount
                when lead(bill_date) over of_amount <= bill_date + {{ var('near_duplicate_days') }}
                    then lead(bill_date) over of_amount
            end as near_date,
        from bills
        where supplier_id is not null and total <> 0
        window of_amount as (partition by company_id, supplier_id, bill_currency, total order by bill_date, bill_id)
    ) as neighbours
    where near_date is not null
),

order_lines as (
    select * from {{ ref('purchase_order_lines') }} where is_ordered
),

received_too_much as (
    select
        company_id,
        'received_more_than_ordered' as rule,
        'warning' as severity,
        'purchase_orders' as entity,
        purchase_order_id as record_id,
        any_value(po_number) as number,
        format('{} of its lines have more received than ordered, or less than nothing', count(*)) as finding,
    from order_lines
    where received > ordered or received < 0
    group by company_id, purchase_order_id
),

billed_too_much as (
    select
        company_id,
        'billed_more_than_received' as rule,
        'warning' as severity,
        'purchase_orders' as entity,
        purchase_order_id as record_id,
        any_value(po_number) as number,
        format('{} of its lines have more billed than received', count(*)) as finding,
    from order_lines
    where billed > received
    group by company_id, purchase_order_id
),

odd_status as (
    select
        company_id,
        'order_status_differs' as rule,
        'info' as severity,
        'purchase_orders' as entity,
        purchase_order_id as record_id,
        any_value(po_number) as number,
        case any_value(status)
            when 'received' then 'it says that it is received, and its lines say that something is missing'
            else 'all of its lines are received, and it says that it is ' || any_value(status)
        end as finding,
    from order_lines
    where status <> 'cancelled'
    group by company_id, purchase_order_id
    having (any_value(status) = 'received') <> bool_and(received >= ordered)
),

invoiced_too_much as (
    select
        company_id,
        'invoiced_more_than_ordered' as rule,
        'warning' as severity,
        'sales_orders' as entity,
        sales_order_id as record_id,
        any_value(order_number) as number,
        format('{} of its lines have more invoiced than ordered', count(*)) as finding,
    from {{ ref('order_lines') }}
    where invoiced > ordered
    group by company_id, sales_order_id
),

delivered as (
    select
        company_id,
        'delivered_not_invoiced' as rule,
        'warning' as severity,
        'sales_orders' as entity,
        sales_order_id as record_id,
        any_value(order_number) as number,
        format('it is delivered, and {} of it is not invoiced', cast(sum(remaining_amount) as varchar)) as finding,
    from {{ ref('order_lines') }}
    where status = 'delivered' and remaining > 0
    group by company_id, sales_order_id
),

quotes as (
    select
        quotes.company_id,
        'quote_without_order' as rule,
        'info' as severity,
        'quotes' as entity,
        quotes.quote_id as record_id,
        quotes.quote_number as number,
        'it became a sales order that is not there' as finding,
    from {{ ref('quote_pipeline') }} as quotes
    left join {{ ref('stg_sales_orders') }} as orders
        on orders.company_id = quotes.company_id
        and orders.sales_order_id = quotes.sales_order_id
        and not orders.is_deleted
    where quotes.state = 'converted' and orders.sales_order_id is null
),

shared_uuids as (
    select
        company_id,
        'duplicate_einvoice_uuid' as rule,
        'error' as severity,
        'einvoices' as entity,
        einvoice_id as record_id,
        uuid as number,
        format('{} e-invoices have this uuid', copies) as finding,
    from (
        select *, count(*) over (partition by company_id, uuid) as copies
        from {{ ref('stg_einvoices') }}
        where not is_deleted and uuid <> ''
    ) as numbered
    where copies > 1
),

variances as (
    select
        company_id,
        'till_variance' as rule,
        'warning' as severity,
        'pos_sessions' as entity,
        pos_session_id as record_id,
        session_number as number,
        format('{} was counted where {} was expected', cast(counted as varchar), cast(expected as varchar)) as finding,
    from {{ ref('pos_sessions') }}
    where status = 'closed' and variance <> 0
),

late as (
    select
        company_id,
        'late_till_transaction' as rule,
        'info' as severity,
        'pos_sessions' as entity,
        pos_session_id as record_id,
        session_number as number,
        format('{} of its transactions came after it was closed', late_transactions) as finding,
    from {{ ref('pos_sessions') }}
    where late_transactions > 0
),

broken_tills as (
    select
        transactions.company_id,
        'broken_till_totals' as rule,
        'error' as severity,
        'pos_transactions' as entity,
        transactions.pos_transaction_id as record_id,
        transactions.transaction_number as number,
        format(
            'subtotal, tax and rounding are {}, its total is {}, its payments less the change {}',
            cast(transactions.subtotal + transactions.total_tax + transactions.rounding as varchar),
            cast(transactions.total as varchar),
            cast(coalesce(payments.paid, 0) as varchar)
        ) as finding,
    from {{ ref('stg_pos_transactions') }} as transactions
    left join (
        select
            company_id,
            pos_transaction_id,
            {{ sum_of_money('sum(amount_kept)') }} as paid,
        from {{ ref('stg_pos_payments') }}
        group by company_id, pos_transaction_id
    ) as payments using (company_id, pos_transaction_id)
    where
        not transactions.is_deleted
        and transactions.status is distinct from 'voided'
        and (
            transactions.total <> transactions.subtotal + transactions.total_tax + transactions.rounding
            or transactions.total <> coalesce(payments.paid, 0)
        )
),

transfers as (
    select
        company_id,
        'transfer_quantities' as rule,
        'warning' as severity,
        'stock_transfers' as entity,
        transfer_id as record_id,
        any_value(transfer_number) as number,
        format('{} of its lines have more received than shipped, or more shipped than requested', count(*)) as finding,
    from {{ ref('stock_transfers') }}
    where received > shipped or shipped > requested or received < 0
    group by company_id, transfer_id
),

found as (
    {%- for part in ['broken_bills', 'same_invoice', 'near_duplicates', 'received_too_much', 'billed_too_much',
        'odd_status', 'invoiced_too_much', 'delivered', 'quotes', 'shared_uuids', 'variances', 'late',
        'broken_tills', 'transfers'] %}
    select * from {{ part }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

final as (
    select
        company_id,
        rule,
        severity,
        entity,
        record_id,
        format('{}: {}.', coalesce(nullif(number, ''), 'The record'), finding) as evidence,
    from found
)

select * from final
