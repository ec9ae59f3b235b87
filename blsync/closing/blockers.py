"""What the marts say stands in the way of closing a month, a query each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A question to the marts: each row of it is in the way, and `found` says what it is.

    The query may name `$company`, `$month` (its first day) and `$month_end`. Where the marts have
    no such `table`, nothing is asked.
    """

    name: str
    table: str
    query: str
    cure: str


def _drafts(entity: str, number: str, day: str) -> Check:
    return Check(
        f"draft_{entity}",
        f"history.{entity}",
        f'select "{number}" || \' of \' || "{day}" as found from history.{entity} '  # noqa: S608 (of this file's own names)
        "where company_id = $company and known_to is null and not is_deleted and status = 'draft' "
        f'and "{day}" between $month and $month_end order by 1',
        "Post or delete them at BigLedger.",
    )


CHECKS = (
    Check(
        "not_synced",
        "finance.periods",
        "select 'the marts are of ' || max(built_at) || ' UTC' as found from finance.periods "
        "where company_id = $company having max(built_at) is null "
        "or cast(max(built_at) as date) <= $month_end",
        "Run `blsync sync`.",
    ),
    Check(
        "unreconciled",
        "finance.reconciliation",
        "select check_name || ' as of ' || as_of_date || ': ' || entity_key || ' differs by ' "
        "|| difference as found from finance.reconciliation "
        "where company_id = $company and status = 'fail' order by abs(difference) desc",
        "See `blsync query \"from finance.reconciliation where status = 'fail'\"`.",
    ),
    _drafts("journal_entries", "journal_number", "journal_date"),
    _drafts("invoices", "invoice_number", "invoice_date"),
    _drafts("bills", "bill_number", "bill_date"),
    Check(
        "missing_einvoices",
        "finance.einvoice_gaps",
        "select coalesce(invoice_number, uuid) || ': ' || reason as found "
        "from finance.einvoice_gaps where company_id = $company and side = 'portal' "
        "and invoice_date between $month and $month_end order by 1",
        "Submit them to the tax authority.",
    ),
    Check(
        "receivables_unlike_invoices",
        "finance.receivable_control",
        "select coalesce(document_number, item_type) || ' by ' || difference as found "
        "from finance.receivable_control where company_id = $company "
        "and item_type <> 'credit' order by abs(difference) desc",
        "See finance.receivable_control.",
    ),
    Check(
        "payables_unlike_bills",
        "finance.payable_control",
        "select coalesce(document_number, item_type) || ' by ' || difference as found "
        "from finance.payable_control where company_id = $company "
        "and item_type <> 'credit' order by abs(difference) desc",
        "See finance.payable_control.",
    ),
    Check(
        "errors",
        "finance.exceptions",
        "select rule || ' ' || entity || ' ' || record_id as found from finance.exceptions "
        "where company_id = $company and severity = 'error' and not is_accepted order by 1",
        "Mend them, or accept them in accepted_exceptions.csv.",
    ),
)
