-- An invoice in another currency counts 1:1 where BigLedger gives no rate. A warning that lists them:
-- the rate is BigLedger's to give and stops nobody's books.
{{ config(severity='warn') }}

select
    invoices.company_id,
    invoices.invoice_id,
    invoices.invoice_number,
    invoices.invoice_currency,
    invoices.currency,
    invoices.total,
    staged.exchange_rate,
from {{ ref('invoices') }} as invoices
inner join {{ ref('stg_invoices') }} as staged using (company_id, invoice_id)
where
    invoices.is_recognised
    and invoices.invoice_currency <> invoices.currency
    and coalesce(staged.exchange_rate, 0) <= 0
