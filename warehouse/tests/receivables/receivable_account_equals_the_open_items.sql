-- The receivable control accounts as of today = Σ open amounts. A warning: manual entries on the
-- control account and overpaid invoices are legal and part the two; receivable_control itemises what
-- they do.
{{ config(severity='warn') }}

select
    company_id,
    as_of_date,
    item_type,
    document_number,
    ledger_amount,
    document_amount,
    difference,
from {{ ref('receivable_control') }}
