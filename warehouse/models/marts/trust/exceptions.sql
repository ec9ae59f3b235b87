with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- A reason may quote what the record held: mail addresses and whatever stands in quotes go.
quarantined as (
    select
        company_id,
        'quarantined_record' as rule,
        'error' as severity,
        entity,
        record_id,
        format(
            'The record could not be typed and is in no table: {} (request {}).',
            rtrim(regexp_replace(
                regexp_replace(reason, '[^\s@''"`(]+@[^\s''"`)]+', '…', 'g'), '''[^'']*''|"[^"]*"', '…', 'g'
            ), '. '),
            request_id
        ) as evidence,
        first_seen,
    from {{ ref('int_quarantined_records') }}
),

found as (
    select company_id, rule, severity, 'journal_entries' as entity, record_id, evidence
    from {{ ref('int_entry_exceptions') }}
    union all
    select company_id, rule, severity, entity, record_id, evidence
    from {{ ref('int_document_exceptions') }}
    union all
    select company_id, 'broken_invoice_totals', 'error', 'invoices', invoice_id, evidence
    from {{ ref('int_broken_invoices') }}
    union all
    select company_id, rule, severity, entity, record_id, evidence
    from {{ ref('int_trade_exceptions') }}
    union all
    select company_id, 'implausible_date', severity, entity, record_id, evidence
    from {{ ref('int_implausible_dates') }}
    union all
    select company_id, 'guessed_role', severity, 'accounts', account_id, evidence
    from {{ ref('int_guessed_roles') }}
),

versions as (
    {%- for entity, key, status, number, date, reference, content, dates in [
        ('journal_entries', 'journal_id', 'status', 'journal_number', 'journal_date', 'reference',
         'lines, total_debit, total_credit', 'journal_date, created_at, posted_at'),
        ('invoices', 'invoice_id', 'status', 'invoice_number', 'invoice_date', 'reference',
         'items, subtotal, total_tax, shipping_cost, total, amount_paid, amount_due',
         'invoice_date, due_date, last_payment_date, created_at, einvoice_submitted_at, einvoice_accepted_at'),
        ('stock_adjustments', 'adjustment_id', 'status', 'adjustment_number', 'adjustment_date',
         'reference', 'items, total_value', 'adjustment_date, created_at, posted_at'),
        ('customers', 'customer_id', 'null', 'customer_number', 'null', 'null', 'null',
         'created_at, last_sale_date'),
        ('accounts', 'account_id', 'null', 'account_number', 'null', 'null',
         'account_number, account_name, account_type, account_category, parent_account_id', 'null'),
        ('bills', 'bill_id', 'status', 'supplier_invoice_number', 'bill_date', 'reference',
         'items, subtotal, total_tax, total, amount_paid, amount_due', 'bill_date, due_date, created_at'),
        ('purchase_orders', 'purchase_order_id', 'status', 'po_number', 'order_date', 'reference',
         'status, items', 'order_date, created_at'),
        ('sales_orders', 'sales_order_id', 'status', 'order_number', 'order_date', 'reference',
         'status, items', 'order_date, created_at'),
        ('quotes', 'quote_id', 'status', 'quote_number', 'quote_date', 'reference', 'sales_order_id', 'null'),
        ('einvoices', 'einvoice_id', 'status', 'uuid', 'null', 'null', 'uuid', 'null'),
        ('pos_sessions', 'pos_session_id', 'status', 'session_number', 'business_date', 'null',
         'status, expected_cash, counted_cash, variance', 'null'),
        ('pos_transactions', 'pos_transaction_id', 'status', 'transaction_number', 'business_date', 'null',
         'subtotal, total_tax, rounding, total, payments', 'null'),
        ('stock_transfers', 'transfer_id', 'status', 'transfer_number', 'transfer_date', 'reference', 'items', 'null'),
    ] %}
    select
        company_id,
        '{{ entity }}' as entity,
        {{ key }} as record_id,
        known_from,
        is_latest,
        {{ status }} as status,
        {{ number }} as number,
        {{ date }} as business_date,
        {{ reference }} as reference,
        hash({{ content }}) as content,
        hash({{ dates }}) as dates,
    from {{ ref('hist_' ~ entity) }}
    where not is_deleted
        and (company_id, '{{ entity }}', {{ key }}) in (select (company_id, entity, record_id) from found)
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- The first version that was like the latest in what the rule looks at.
first_seen as (
    select
        found.company_id,
        found.rule,
        found.entity,
        found.record_id,
        min(versions.known_from) as first_seen,
    from found
    inner join versions as latest
        on latest.company_id = found.company_id
        and latest.entity = found.entity
        and latest.record_id = found.record_id
        and latest.is_latest
    inner join versions
        on versions.company_id = found.company_id
        and versions.entity = found.entity
        and versions.record_id = found.record_id
    where
        case
            when found.rule in (
                'unbalanced_entry', 'unknown_account', 'broken_invoice_totals', 'guessed_role',
                'broken_bill_totals', 'broken_till_totals', 'received_more_than_ordered', 'order_status_differs',
                'till_variance', 'transfer_quantities', 'quote_without_order'
            )
                then versions.content = latest.content
            when found.rule = 'implausible_date' then versions.dates = latest.dates
            when found.rule in ('stale_draft', 'void_without_reversal')
                then versions.status is not distinct from latest.status
            when found.rule in ('entry_in_closed_period', 'entry_in_future')
                then versions.business_date = latest.business_date
                and (versions.status is distinct from 'draft')
            when found.rule = 'duplicate_reference'
                then versions.reference is not distinct from latest.reference
            else versions.number is not distinct from latest.number
        end
    group by found.company_id, found.rule, found.entity, found.record_id
),

dated as (
    select
        found.company_id,
        found.rule,
        found.severity,
        found.entity,
        found.record_id,
        found.evidence,
        first_seen.first_seen,
    from found
    left join first_seen using (company_id, rule, entity, record_id)
    union all by name
    select * from quarantined
),

final as (
    select
        dated.company_id,
        dated.rule,
        dated.severity,
        dated.entity,
        dated.record_id,
        dated.evidence,
        dated.first_seen,
        accepted.rule is not null as is_accepted,
        accepted.accepted_by,
        accepted.reason as accepted_reason,
        companies.currency,
        companies.built_at,
    from dated
    inner join companies using (company_id)
    left join {{ ref('int_accepted_exceptions') }} as accepted using (company_id, rule, record_id)
)

select * from final
