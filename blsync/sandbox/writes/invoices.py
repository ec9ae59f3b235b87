"""Writes of invoices and payments (bigledger-api.md, section 5)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from blsync.sandbox.books.chart import TAX_RATES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.sales import (
    cancel_invoice,
    check_goods,
    check_unpaid,
    draft_invoice,
    issue_invoice,
    mark_overdue,
    pay_invoice,
    set_totals,
    write_lines,
)
from blsync.sandbox.books.values import ZERO, Record, money
from blsync.sandbox.writes.masters import find_active_account
from blsync.sandbox.writes.request_fields import Form

METHODS = ("bank_transfer", "duitnow", "fpx", "cheque", "cash", "credit_card", "e_wallet", "other")
NOTES = ("reference", "purchaseOrder", "notes", "terms")


def invoice_lines(books: Books, form: Form) -> list[Record]:
    """Read an invoice's lines: a description or an item, a quantity, a price."""
    forms = form.lines("items")
    lines = []
    for line in forms:
        item_id, description = line.text("itemId"), line.text("description")
        if not item_id and not description:
            line.refuse("description", "REQUIRED_FIELD", "or itemId is required")
        read = {
            "itemId": item_id,
            "description": description,
            "quantity": line.count("quantity", required=True, above=0),
            "unitPrice": line.amount("unitPrice", required=not item_id, least=0),
            "discountPercent": line.number("discountPercent", least=0, most=100),
            "discountAmount": line.amount("discountAmount", least=0),
            "taxCode": line.text("taxCode", choices=tuple(TAX_RATES)),
            "taxRate": line.number("taxRate", least=0, most=100),
        }
        price, discount = read["unitPrice"], read["discountAmount"]
        if price is not None and discount is not None and read["quantity"]:
            gross = money(Decimal(str(read["quantity"])) * Decimal(str(price)))
            if discount > gross:  # type: ignore[operator]
                line.refuse("discountAmount", "MAX_VALUE", "is more than the line", discount)
        lines.append(read)
    form.gather(forms)
    return lines


def create_invoice(books: Books, data: object) -> Record:
    """Create an invoice: a draft, or issued at once where ``status`` says ``sent``."""
    form = Form(data)
    customer_id = form.text("customerId", required=True)
    day = form.day("invoiceDate", books.today) or ""
    due, terms = form.day("dueDate"), form.whole("paymentTerms", 0, 365)
    status = form.text("status", choices=("draft", "sent"))
    more: Record = {name: form.text(name) for name in NOTES}
    more["shippingCost"] = form.amount("shippingCost", least=0)
    _check_due(form, day, due)
    lines = invoice_lines(books, form)
    customer = books.find("customers", customer_id)
    if due is None:
        days = customer["paymentTerms"] if terms is None else terms
        due = (date.fromisoformat(day) + timedelta(days=days)).isoformat()
    if status == "sent":
        check_goods(books, lines)
    invoice = draft_invoice(books, customer, day, due, write_lines(books, lines), **more)
    if status == "sent":
        issue_invoice(books, invoice)
    return invoice


def _check_due(form: Form, day: str, due: str | None) -> None:
    if due is not None and due < day:
        message = "must not be before invoiceDate"
        form.refuse("dueDate", "DATE_CONSTRAINT", message, due, f">= {day}")


def update_invoice(books: Books, invoice_id: object, data: object) -> Record:
    """Change an invoice: a draft in everything, an issued one in its notes and due date.

    ``status`` may become ``sent`` (a draft) or ``cancelled``. A paid one is immutable.
    """
    invoice = books.find("invoices", invoice_id)
    _check_mutable(invoice)
    form = Form(data, partial=True)
    notes = {name: form.text(name) for name in NOTES if form.has(name)}
    day = form.day("invoiceDate") or invoice["invoiceDate"]
    due = form.day("dueDate") or invoice["dueDate"]
    _check_due(form, day, due)
    status = form.text("status", choices=("draft", "sent", "overdue", "cancelled"))
    shipping = form.amount("shippingCost", least=0)
    lines = invoice_lines(books, form) if form.has("items") else None
    form.check()
    if status == "cancelled":
        check_unpaid(invoice)
    if invoice["status"] == "draft":
        if status == "sent":
            check_goods(books, invoice["items"] if lines is None else lines)
        _update_draft(books, invoice, form, day, lines, shipping)
    elif lines is not None or shipping is not None or day != invoice["invoiceDate"]:
        raise broken_rule(
            "ISSUED_INVOICE_LOCKED",
            "Only notes, references and the due date of an issued invoice can change",
            invoiceId=invoice["id"],
            invoiceStatus=invoice["status"],
        )
    invoice.update(notes, dueDate=due)
    mark_overdue(books, invoice)
    books.touch("invoices", invoice["id"], invoice)
    if status == "cancelled":
        cancel_invoice(books, invoice, books.today.isoformat())
    elif status == "sent" and invoice["status"] == "draft":
        issue_invoice(books, invoice)
    return books.find("invoices", invoice_id)


def _check_mutable(invoice: Record) -> None:
    if invoice["status"] == "paid":
        raise broken_rule(
            "PAID_INVOICE_IMMUTABLE",
            "Invoice cannot be modified after it has been paid",
            invoiceId=invoice["id"],
            invoiceStatus="paid",
            paidAt=invoice["lastPaymentDate"],
        )
    if invoice["status"] == "cancelled":
        raise broken_rule(
            "CANCELLED_INVOICE_IMMUTABLE",
            "Invoice cannot be modified after it has been cancelled",
            invoiceId=invoice["id"],
            invoiceStatus="cancelled",
        )


def _update_draft(
    books: Books,
    invoice: Record,
    form: Form,
    day: str,
    lines: list[Record] | None,
    shipping: Decimal | None,
) -> None:
    written = None if lines is None else write_lines(books, lines)
    if form.has("customerId"):
        customer = books.find("customers", form.data["customerId"])
        invoice["customerId"] = customer["id"]
        invoice["customer"] = {key: customer[key] for key in ("id", "name", "email")}
    if written is not None:
        invoice["items"] = written
    if shipping is not None:
        invoice["shippingCost"] = shipping
    invoice["invoiceDate"] = day
    set_totals(invoice)


def delete_invoice(books: Books, invoice_id: object) -> Record:
    """Delete a draft; what has been issued is cancelled instead."""
    invoice = books.find("invoices", invoice_id)
    if invoice["status"] != "draft":
        raise broken_rule(
            "ISSUED_INVOICE_LOCKED",
            "Only a draft can be deleted; cancel the invoice instead",
            invoiceId=invoice["id"],
            invoiceStatus=invoice["status"],
        )
    books.store.delete("invoices", invoice["id"])
    return {"id": invoice["id"], "deleted": True}


def send_invoice(books: Books, invoice_id: object, data: object) -> Record:
    """Issue a draft; sending an issued invoice again changes nothing but updatedAt."""
    Form(data).check()
    invoice = books.find("invoices", invoice_id)
    if invoice["status"] == "draft":
        issue_invoice(books, invoice)
    elif invoice["status"] == "cancelled":
        _check_mutable(invoice)
    books.touch("invoices", invoice["id"], invoice)
    return invoice


def record_payment(books: Books, invoice_id: object, data: object) -> Record:
    """Record a payment on an open invoice; no more than what is due."""
    form = Form(data)
    amount = form.amount("amount", required=True, above=0)
    day = form.day("paymentDate", books.today) or ""
    method = form.text("paymentMethod", choices=METHODS) or "bank_transfer"
    reference, account_id = form.text("reference"), form.text("accountId")
    form.check()
    invoice = books.find("invoices", invoice_id)
    _check_mutable(invoice)
    if invoice["status"] == "draft":
        raise broken_rule(
            "DRAFT_INVOICE_UNPAYABLE",
            "A draft cannot be paid; send the invoice first",
            invoiceId=invoice["id"],
            invoiceStatus="draft",
        )
    due = invoice["amountDue"]
    if amount is not None and amount > due:
        form.refuse("amount", "MAX_VALUE", "is more than what is due", amount, f"<= {due}")
    if day < invoice["invoiceDate"]:
        bound = f">= {invoice['invoiceDate']}"
        form.refuse("paymentDate", "DATE_CONSTRAINT", "is before the invoice's", day, bound)
    form.check()
    if account_id:
        account = find_active_account(books, account_id)
        if account["type"] != "asset" or account["isSystemAccount"]:
            form.refuse("accountId", "INVALID_CHOICE", "takes no payments", account_id)
        form.check()
    return pay_invoice(books, invoice, amount or ZERO, day, method, reference, account_id)
