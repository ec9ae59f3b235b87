"""Writes of sales orders and quotes (bigledger-api.md, section 10)."""

from __future__ import annotations

from datetime import date, timedelta

from blsync.sandbox.books import pipeline
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import Record
from blsync.sandbox.writes.invoices import invoice_lines
from blsync.sandbox.writes.request_fields import Form

STATUSES = ("confirmed", "shipped", "delivered", "cancelled")
PRIORITIES = ("low", "normal", "high", "urgent")


def create_sales_order(books: Books, data: object) -> Record:
    """Create a draft sales order."""
    form = Form(data)
    customer_id = form.text("customerId", required=True)
    day = form.day("orderDate", books.today) or ""
    required = form.day("requiredDate") or day
    if required < day:
        message = "must not be before orderDate"
        form.refuse("requiredDate", "DATE_CONSTRAINT", message, required, f">= {day}")
    more: Record = {name: form.text(name) for name in ("reference", "notes", "terms")}
    more["priority"] = form.text("priority", choices=PRIORITIES)
    more["shippingCost"] = form.amount("shippingCost", least=0)
    more["promisedDate"] = form.day("promisedDate")
    lines = invoice_lines(books, form)
    customer = books.find("customers", customer_id)
    return pipeline.draft_sales_order(
        *(books, customer, day, required, lines), createdBy="user_api", **more
    )


def set_status(books: Books, order_id: object, data: object) -> Record:
    """Take a sales order one step on: confirmed, shipped, delivered, or cancelled."""
    form = Form(data)
    status = form.text("status", required=True, choices=STATUSES)
    notes = form.text("notes")
    form.check()
    order = books.find("sales_orders", order_id)
    pipeline.set_order_status(books, order, str(status), notes)
    return order


def convert_to_invoice(books: Books, order_id: object, data: object) -> Record:
    """Issue an invoice of a sales order: of parts of its lines, or of all not yet invoiced."""
    form = Form(data)
    day, due = form.day("invoiceDate", books.today) or "", form.day("dueDate")
    forms = form.lines("partialItems") if form.has("partialItems") else []
    asked = [
        (line.text("itemId", required=True), line.count("quantity", required=True, above=0))
        for line in forms
    ]
    if due is not None and due < day:
        message = "must not be before invoiceDate"
        form.refuse("dueDate", "DATE_CONSTRAINT", message, due, f">= {day}")
    form.gather(forms)
    order = books.find("sales_orders", order_id)
    left = pipeline.uninvoiced(books, order)
    if not forms:
        return pipeline.invoice_order(books, order, day, due, left)
    for position, (line_id, count) in enumerate(asked):
        if line_id not in left:
            forms[position].refuse("itemId", "INVALID_CHOICE", "is no line of the order", line_id)
        elif count is not None and count > left[line_id]:
            most = left[line_id]
            message = "is more than what is not invoiced yet"
            forms[position].refuse("quantity", "MAX_VALUE", message, count, f"<= {most}")
    form.gather(forms)
    parts = {str(line_id): count for line_id, count in asked if count is not None}
    return pipeline.invoice_order(books, order, day, due, parts)


def create_quote(books: Books, data: object) -> Record:
    """Create a draft quote."""
    form = Form(data)
    customer_id = form.text("customerId", required=True)
    day = form.day("quoteDate", books.today) or ""
    month_on = (date.fromisoformat(day) + timedelta(days=30)).isoformat()
    valid = form.day("validUntil") or month_on
    if valid < day:
        message = "must not be before quoteDate"
        form.refuse("validUntil", "DATE_CONSTRAINT", message, valid, f">= {day}")
    more: Record = {
        name: form.text(name) for name in ("reference", "title", "description", "terms")
    }
    lines = invoice_lines(books, form)
    customer = books.find("customers", customer_id)
    return pipeline.draft_quote(books, customer, day, valid, lines, **more)


def send_quote(books: Books, quote_id: object, data: object) -> Record:
    """Send a quote to its customer."""
    Form(data).check()
    quote = books.find("quotes", quote_id)
    pipeline.answer_quote(books, quote, "sent")
    return quote


def accept_quote(books: Books, quote_id: object, data: object) -> Record:
    """Note that the customer accepts a quote."""
    form = Form(data)
    accepted_by = form.text("acceptedBy")
    form.check()
    quote = books.find("quotes", quote_id)
    pipeline.answer_quote(books, quote, "accepted", accepted_by or "customer")
    return quote


def convert_to_order(books: Books, quote_id: object, data: object) -> Record:
    """Make a confirmed sales order of a quote that has not expired."""
    form = Form(data)
    day = books.today.isoformat()
    required = form.day("requiredDate") or day
    form.check()
    quote = books.find("quotes", quote_id)
    return pipeline.convert_quote(books, quote, day, required)
