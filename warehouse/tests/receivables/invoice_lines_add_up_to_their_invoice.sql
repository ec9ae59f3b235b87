-- Σ line_total = subtotal, Σ tax_amount = total_tax, subtotal + tax + shipping = total and
-- total − paid = due, of affected invoices. A warning: a broken invoice is BigLedger's to mend and stops
-- nobody's books; `exceptions` lists all of them.
{{ config(severity='warn') }}

with

lines as (
    select
        company_id,
        invoice_id,
        sum(line_total) as line_total,
        sum(tax_amount) as tax_amount,
    from {{ ref('invoice_lines') }}
    where {{ affected('invoices') }}
    group by company_id, invoice_id
)

select
    invoices.company_id,
    invoices.invoice_id,
    invoices.subtotal,
    lines.line_total,
    invoices.total_tax,
    lines.tax_amount,
    invoices.shipping_cost,
    invoices.total,
    invoices.amount_paid,
    invoices.amount_due,
from {{ ref('invoices') }} as invoices
left join lines using (company_id, invoice_id)
where
    {{ affected('invoices') }}
    and (
        invoices.subtotal <> coalesce(lines.line_total, 0)
        or invoices.total_tax <> coalesce(lines.tax_amount, 0)
        or invoices.total <> invoices.subtotal + invoices.total_tax + invoices.shipping_cost
        or (invoices.is_recognised and invoices.amount_due <> invoices.total - invoices.amount_paid)
    )
