"""E-invoices and what the portal says of them (bigledger-api.md, section 12).

The invoice's own ``einvoice`` says the same as its current e-invoice, the latest that is not
cancelled.
"""

from __future__ import annotations

import hashlib
from typing import Any

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, broken_rule
from blsync.sandbox.books.values import Record

PORTALS = ("myinvois", "peppol")
FORMATS = ("UBL21", "PEPPOL_UBL")
CANCEL_REASONS = {
    "01": "duplicate_invoice",
    "02": "data_error",
    "03": "system_error",
    "04": "buyer_rejection",
    "05": "other",
}
REJECTION = {
    "code": "CF321",
    "message": "Buyer's TIN does not match the registration number",
    "field": "buyer.taxId",
}
TAXPAYER = "C2584563200"
CERTIFICATE = "MIIC" + "uY2Fob2tlbmNhbm5vdGJlY2hlY2tlZA" * 6
PICTURE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAUA" * 8


def current_einvoice(books: Books, invoice_id: str) -> Record | None:
    """Return the latest e-invoice of an invoice that is not cancelled."""
    books.store.flush()
    rows = books.store.query(
        "select id from einvoices where invoiceId = ? and status <> 'cancelled'"
        " order by createdAt desc, rowid desc limit 1",
        invoice_id,
    )
    return books.find("einvoices", rows[0][0]) if rows else None


def create_einvoice(
    books: Books, invoice: Record, format_: str = "UBL21", uuid: str | None = None
) -> Record:
    """Add an e-invoice for an issued invoice; nothing is sent yet."""
    if invoice["status"] in ("draft", "cancelled"):
        detail = {"field": "status", "message": f"the invoice is {invoice['status']}"}
        message = "The invoice cannot have an e-invoice"
        raise ApiError(400, "INVALID_INVOICE_DATA", message, [detail])
    einvoice_id = books.new_id("einv")
    now = books.stamp(einvoice_id)
    einvoice: Record = {
        "id": einvoice_id,
        "invoiceId": invoice["id"],
        "format": format_,
        "status": "created",
        "submissionType": "original",
        "uuid": uuid,
        "submissionId": None,
        "validationHash": None,
        "qrCode": None,
        "digitalSignature": None,
        "government": {
            "portal": "myinvois",
            "taxpayerId": TAXPAYER,
            **dict.fromkeys(
                (
                    *("submissionId", "longId", "status", "submittedAt"),
                    *("validationTime", "acceptedAt"),
                )
            ),
        },
        "validation": {"isValid": None, "validatedAt": None, "errors": [], "warnings": []},
        "document": {
            "xml": _xml(invoice),
            "pdf": f"/v1/einvoice/{einvoice_id}/document/pdf",
            "json": f"/v1/einvoice/{einvoice_id}/document/json",
        },
        "compliance": {"standard": "UBL", "profile": "MY", "customization": "myinvois:1.1"},
        "timeline": [{"status": "created", "timestamp": now, "notes": None}],
        "notes": None,
        "createdAt": now,
    }
    books.touch("einvoices", einvoice_id, einvoice)
    return einvoice


def _xml(invoice: Record) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2">'
        f"<ID>{invoice['invoiceNumber']}</ID><IssueDate>{invoice['invoiceDate']}</IssueDate>"
        f"<DocumentCurrencyCode>{invoice['currency']}</DocumentCurrencyCode>"
        f'<TaxTotal><TaxAmount currencyID="MYR">{invoice["totalTax"]}</TaxAmount></TaxTotal>'
        f'<LegalMonetaryTotal><PayableAmount currencyID="MYR">{invoice["total"]}</PayableAmount>'
        "</LegalMonetaryTotal></Invoice>"
    )


def step(
    books: Books,
    einvoice: Record,
    status: str,
    notes: str | None = None,
    *,
    is_told: bool = True,
) -> None:
    """Take an e-invoice to its next status, with what comes with it, and tell the invoice.

    It need not be told of steps that others follow at once.
    """
    now = books.stamp(einvoice["id"])
    einvoice["status"] = status
    einvoice["timeline"].append({"status": status, "timestamp": now, "notes": notes})
    OUTCOMES[status](books, einvoice, now)
    books.touch("einvoices", einvoice["id"], einvoice)
    if is_told:
        _tell_invoice(books, einvoice)


def _validate(books: Books, einvoice: Record, now: str) -> None:
    einvoice["validation"].update(isValid=True, validatedAt=now)
    einvoice["validationHash"] = hashlib.sha256(einvoice["id"].encode()).hexdigest()
    einvoice["digitalSignature"] = {
        "algorithm": "SHA256withRSA",
        "certificate": CERTIFICATE,
        "timestamp": now,
    }


def _submit(books: Books, einvoice: Record, now: str) -> None:
    books.counters["submission"] += 1
    number = books.counters["submission"]
    einvoice["uuid"] = einvoice["uuid"] or f"{number * 0x9E3779B97F4A7C15 & (2**64 - 1):016x}"
    einvoice["submissionId"] = f"sub_{number:08d}"
    einvoice["government"].update(
        submissionId=f"HJSD{number:012d}", status="submitted", submittedAt=now
    )


def _accept(books: Books, einvoice: Record, now: str) -> None:
    einvoice["government"].update(
        status="valid",
        longId=f"{einvoice['uuid']}-{books.counters['submission']:010d}",
        validationTime=now,
        acceptedAt=now,
    )
    einvoice["qrCode"] = PICTURE


def _reject(books: Books, einvoice: Record, now: str) -> None:
    einvoice["government"].update(status="invalid", validationTime=now)
    einvoice["validation"].update(isValid=False, validatedAt=now, errors=[dict(REJECTION)])


def _cancel(books: Books, einvoice: Record, now: str) -> None:
    einvoice["government"]["status"] = "cancelled"


OUTCOMES: dict[str, Any] = {
    "validated": _validate,
    "submitted": _submit,
    "accepted": _accept,
    "rejected": _reject,
    "cancelled": _cancel,
}


def _tell_invoice(books: Books, einvoice: Record) -> None:
    """Have the invoice's own field say what its e-invoice does."""
    invoice = books.store.get("invoices", einvoice["invoiceId"])
    if invoice is None:
        return
    government = einvoice["government"]
    invoice["einvoice"] = {
        "status": einvoice["status"],
        "submittedAt": government["submittedAt"],
        "acceptedAt": government["acceptedAt"],
        "uuid": einvoice["uuid"],
        "validationHash": einvoice["validationHash"],
    }
    books.touch("invoices", invoice["id"], invoice)


def check_unsubmitted(einvoice: Record) -> None:
    """Raise 409 EINVOICE_ALREADY_SUBMITTED for one that the portal has already."""
    if einvoice["submissionId"]:
        detail = {
            "status": einvoice["status"],
            "submissionId": einvoice["submissionId"],
            "submittedAt": einvoice["government"]["submittedAt"],
        }
        message = "The e-invoice has been submitted already"
        raise ApiError(409, "EINVOICE_ALREADY_SUBMITTED", message, [detail])


def cancel_einvoice(books: Books, einvoice: Record, notes: str | None = None) -> None:
    """Cancel an e-invoice that the portal has. Raises ApiError 422 for others."""
    if einvoice["status"] not in ("submitted", "accepted"):
        raise broken_rule(
            "EINVOICE_NOT_CANCELLABLE",
            f"An e-invoice that is {einvoice['status']} is not cancelled",
            einvoiceId=einvoice["id"],
        )
    step(books, einvoice, "cancelled", notes)


def withdraw(books: Books, invoice: Record) -> None:
    """Cancel the e-invoice of an invoice that is being cancelled, if the portal has one."""
    if invoice["einvoice"].get("status") in ("submitted", "accepted"):
        einvoice = current_einvoice(books, invoice["id"])
        if einvoice and einvoice["status"] in ("submitted", "accepted"):
            books.store.put("invoices", invoice["id"], invoice)  # the flush may have let it go
            cancel_einvoice(books, einvoice, "invoice cancelled")
