"""Writes of e-invoices, and what is told of one by itself (bigledger-api.md, section 12)."""

from __future__ import annotations

from typing import Any

from blsync.sandbox.books import einvoices
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.values import Record
from blsync.sandbox.writes.request_fields import Form

NEXT = {
    "created": ["validate", "submit"],
    "validated": ["submit"],
    "submitted": ["wait"],
    "accepted": ["cancel", "download"],
    "rejected": ["correct", "create"],
    "cancelled": [],
}
"""Where an e-invoice stands → what may be done next."""
DOCUMENTS = {"xml": "application/xml", "pdf": "application/pdf", "json": "application/json"}


def create(books: Books, data: object) -> Record:
    """Create an e-invoice; ``autoSubmit``, here or in the options, submits it at once."""
    form = Form(data)
    invoice_id = form.text("invoiceId", required=True)
    chosen = form.text("format", choices=einvoices.FORMATS) or "UBL21"
    form.text("submissionType", choices=("original",))
    options = Form(form.part("options", dict) or {}, prefix="options.")
    is_submitted = form.flag("autoSubmit") or options.flag("autoSubmit")
    form.gather([options])
    invoice = books.find("invoices", invoice_id)
    _check_sendable(books, invoice)
    einvoice = einvoices.create_einvoice(books, invoice, chosen)
    if is_submitted:
        _submit(books, einvoice)
    return einvoice


def _check_sendable(books: Books, invoice: Record) -> None:
    """Refuse a second e-invoice beside one that the portal has."""
    current = einvoices.current_einvoice(books, invoice["id"])
    if current and current["status"] in ("submitted", "accepted"):
        einvoices.check_unsubmitted(current)


def _submit(books: Books, einvoice: Record) -> None:
    """Send an e-invoice; the portal takes what is well-formed at once."""
    if einvoice["status"] == "created":
        einvoices.step(books, einvoice, "validated")
    einvoices.step(books, einvoice, "submitted")
    einvoices.step(books, einvoice, "accepted")


def validate(books: Books, data: object) -> Record:
    """Check an invoice as the portal would; nothing is written, nothing is refused."""
    form = Form(data)
    invoice_id = form.text("invoiceId", required=True)
    chosen = form.text("format", choices=einvoices.FORMATS) or "UBL21"
    form.check()
    invoice = books.find("invoices", invoice_id)
    errors: list[Any] = []
    if invoice["status"] in ("draft", "cancelled"):
        message = f"The invoice is {invoice['status']}"
        errors.append({"code": "INVALID_STATUS", "message": message, "field": "status"})
    errors += [
        {"code": "REQUIRED_FIELD", "message": "taxCode is required", "field": f"items[{n}].taxCode"}
        for n, line in enumerate(invoice["items"])
        if not line["taxCode"]
    ]
    return {
        "isValid": not errors,
        "format": chosen,
        "compliance": {"standard": "UBL", "profile": "MY", "customization": "myinvois:1.1"},
        "errors": errors,
        "warnings": [],
        "summary": {"totalErrors": len(errors), "totalWarnings": 0, "canSubmit": not errors},
    }


def submit(books: Books, data: object) -> Record:
    """Submit an e-invoice to the portal; 409 EINVOICE_ALREADY_SUBMITTED the second time."""
    form = Form(data)
    einvoice_id = form.text("einvoiceId", required=True)
    portal = form.text("portal", choices=einvoices.PORTALS) or "myinvois"
    form.check()
    einvoice = books.find("einvoices", einvoice_id)
    einvoices.check_unsubmitted(einvoice)
    if einvoice["status"] not in ("created", "validated"):
        message = f"An e-invoice that is {einvoice['status']} is not submitted"
        raise ApiError(422, "EINVOICE_VALIDATION_FAILED", message)
    einvoice["government"]["portal"] = portal
    _submit(books, einvoice)
    return {
        "submissionId": einvoice["submissionId"],
        "status": einvoice["status"],
        "government": {
            name: einvoice["government"][name]
            for name in ("portal", "submissionId", "longId", "submittedAt")
        },
        "tracking": {
            "estimatedProcessingTime": 0,
            "statusCheckUrl": f"/v1/einvoice/{einvoice['id']}/status",
        },
    }


def cancel(books: Books, einvoice_id: object, data: object) -> Record:
    """Cancel an e-invoice that the portal has."""
    form = Form(data)
    reason = form.text("reason", required=True)
    form.text("reasonCode", choices=tuple(einvoices.CANCEL_REASONS))
    notes = form.text("notes")
    form.check()
    einvoice = books.find("einvoices", einvoice_id)
    einvoices.cancel_einvoice(books, einvoice, notes or reason)
    return einvoice


def status_of(books: Books, einvoice_id: object) -> Record:
    """Tell where an e-invoice stands."""
    einvoice = books.find("einvoices", einvoice_id)
    return {
        "id": einvoice["id"],
        "status": einvoice["status"],
        "government": einvoice["government"],
        "timeline": [step for step in einvoice["timeline"] if step["status"] != "created"],
        "nextActions": NEXT[einvoice["status"]],
    }


def document_of(books: Books, einvoice_id: object, kind: str) -> tuple[bytes, str]:
    """Return an e-invoice's document and its media type. Raises ApiError 404."""
    einvoice = books.find("einvoices", einvoice_id)
    if kind not in DOCUMENTS:
        raise ApiError(404, "NOT_FOUND", f"An e-invoice has no document of the kind {kind}")
    xml = einvoice["document"]["xml"]
    text = {
        "xml": xml,
        "pdf": f"%PDF-1.4\n% e-invoice {einvoice['uuid']}\n%%EOF\n",
        "json": f'{{"uuid":"{einvoice["uuid"] or ""}","status":"{einvoice["status"]}"}}',
    }
    return text[kind].encode(), DOCUMENTS[kind]
