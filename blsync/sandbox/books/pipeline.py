"""Quotes, sales orders, and the invoices that are made of them (bigledger-api.md, section 10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, broken_rule
from blsync.sandbox.books.fulfillment import ordered_pieces, tell_shipped
from blsync.sandbox.books.sales import check_goods, draft_invoice, issue_invoice, write_lines
from blsync.sandbox.books.values import ZERO, Record, quantity

SHIPPING_METHODS = ("courier", "own_lorry", "self_collect")
STEPS = {
    "draft": ("confirmed", "cancelled"),
    "confirmed": ("shipped", "cancelled"),
    "shipped": ("delivered",),
}
"""Status of a sales order → those that may follow."""


def _totals(lines: list[Record]) -> Record:
    return {
        "subtotal": sum((line["lineTotal"] for line in lines), ZERO),
        "totalDiscount": sum((line["discountAmount"] for line in lines), ZERO),
        "totalTax": sum((line["taxAmount"] for line in lines), ZERO),
    }


def draft_sales_order(
    books: Books, customer: Record, day: str, required: str, lines: list[Record], **more: Any
) -> Record:
    """Add a draft sales order; nothing is posted, now or later, but by its invoices."""
    order_id = books.new_id("so")
    written = [
        {**line, "id": books.new_id("soi"), "notes": None} for line in write_lines(books, lines)
    ]
    totals, shipping = _totals(written), more.get("shippingCost") or ZERO
    pieces = ordered_pieces(written)
    order = {
        "id": order_id,
        "orderNumber": books.new_number("sales_orders", day),
        "customerId": customer["id"],
        "customer": {key: customer[key] for key in ("id", "name", "email")},
        "orderDate": day,
        "requiredDate": required,
        "promisedDate": more.get("promisedDate") or required,
        "status": "draft",
        "priority": more.get("priority") or "normal",
        "currency": "MYR",
        "exchangeRate": Decimal("1.0"),
        "reference": more.get("reference"),
        "notes": more.get("notes"),
        "terms": more.get("terms"),
        "billingAddress": customer["billingAddress"] or customer["address"],
        "shippingAddress": customer["shippingAddress"] or customer["address"],
        "items": written,
        **totals,
        "shippingCost": shipping,
        "total": totals["subtotal"] + totals["totalTax"] + shipping,
        "fulfillment": {
            "status": "pending",
            "shippedQuantity": 0,
            "remainingQuantity": pieces,
            "shippingMethod": more.get("shippingMethod"),
            "trackingNumber": None,
            "estimatedDelivery": more.get("promisedDate") or required,
        },
        "attachments": [],
        "createdBy": more.get("createdBy") or "user_sales",
        "createdAt": books.stamp(order_id),
    }
    books.touch("sales_orders", order_id, order)
    return order


def set_order_status(books: Books, order: Record, status: str, notes: str | None = None) -> None:
    """Take a sales order one step on. Raises ApiError 422 for a step that there is not."""
    if status not in STEPS.get(order["status"], ()):
        raise broken_rule(
            "INVALID_STATUS_TRANSITION",
            f"An order that is {order['status']} does not become {status}",
            salesOrderId=order["id"],
        )
    if status == "cancelled" and order["fulfillment"]["shippedQuantity"] > 0:
        raise broken_rule("ORDER_PARTLY_SHIPPED", "Part of the order has been shipped")
    order["status"] = status
    if notes:
        order["notes"] = notes
    if status == "shipped":
        about = order["fulfillment"]
        about["shippedQuantity"] = ordered_pieces(order["items"])
        about["remainingQuantity"], about["status"] = 0, "shipped"
    books.touch("sales_orders", order["id"], order)


def uninvoiced(books: Books, order: Record) -> dict[str, Decimal | int]:
    """Return what no issued invoice has yet of an order, by the id of its line.

    Invoices are those that name the order, or whose reference is its number; they are matched by
    item, the first line first.
    """
    books.store.flush()
    rows = books.store.query(
        "select id from invoices where (salesOrderId = ? or (salesOrderId is null"
        " and reference = ?)) and status not in ('draft', 'cancelled')",
        *(order["id"], order["orderNumber"]),
    )
    invoiced: Counter[str] = Counter()
    for (invoice_id,) in rows:
        for line in books.find("invoices", invoice_id)["items"]:
            invoiced[line["itemId"] or line["description"]] += line["quantity"]
    left: dict[str, Decimal | int] = {}
    for line in order["items"]:
        key = line["itemId"] or line["description"]
        taken = min(invoiced[key], line["quantity"])
        invoiced[key] -= taken
        left[line["id"]] = quantity(line["quantity"] - taken)
    return left


def order_lines(order: Record, parts: Mapping[str, Decimal | int]) -> list[Record]:
    """Return the lines of an invoice for so much of each line of an order."""
    copied = ("itemId", "description", "unitPrice", "discountPercent", "taxCode", "taxRate")
    return [
        {**{name: line[name] for name in copied}, "quantity": parts[line["id"]]}
        for line in order["items"]
        if parts.get(line["id"], 0) > 0
    ]


def invoice_order(
    books: Books, order: Record, day: str, due: str | None, parts: Mapping[str, Decimal | int]
) -> Record:
    """Issue an invoice for so much of each line of an order; freight goes with the first.

    Raises ApiError 422 where the order is not confirmed or its goods are not there.
    """
    if order["status"] not in ("confirmed", "shipped", "delivered"):
        raise broken_rule(
            "ORDER_NOT_CONFIRMED",
            f"An order that is {order['status']} is not invoiced",
            salesOrderId=order["id"],
        )
    lines = order_lines(order, parts)
    if not lines:
        raise broken_rule("ORDER_INVOICED", "All of the order has been invoiced")
    check_goods(books, lines)
    customer = books.find("customers", order["customerId"])
    terms = customer["paymentTerms"]
    if due is None:
        due = (date.fromisoformat(day) + timedelta(days=terms)).isoformat()
    is_first = order["fulfillment"]["shippedQuantity"] == 0
    number = order["orderNumber"]
    invoice = draft_invoice(
        *(books, customer, day, due, write_lines(books, lines)),
        reference=number,
        purchaseOrder=order["reference"],
        terms=f"Payment due within {terms} days",
        shippingCost=order["shippingCost"] if is_first else ZERO,
    )
    invoice["salesOrderId"] = order["id"]
    issue_invoice(books, invoice)
    if order["status"] == "confirmed":
        tell_shipped(books, order, ordered_pieces(lines))
    return invoice


def draft_quote(
    books: Books, customer: Record, day: str, valid_until: str, lines: list[Record], **more: Any
) -> Record:
    """Add a draft quote."""
    quote_id = books.new_id("quote")
    written = []
    for line in write_lines(books, lines):
        del line["itemCode"]
        written.append({**line, "id": books.new_id("qi")})
    totals = _totals(written)
    quote = {
        "id": quote_id,
        "quoteNumber": books.new_number("quotes", day),
        "customerId": customer["id"],
        "customer": {key: customer[key] for key in ("id", "name", "email")},
        "quoteDate": day,
        "validUntil": valid_until,
        "status": "draft",
        "currency": "MYR",
        "reference": more.get("reference"),
        "title": more.get("title"),
        "description": more.get("description"),
        "terms": more.get("terms"),
        "items": written,
        **totals,
        "total": totals["subtotal"] + totals["totalTax"],
        **dict.fromkeys(("acceptedAt", "acceptedBy", "convertedToOrderAt", "salesOrderId")),
        "attachments": [],
        "createdAt": books.stamp(quote_id),
    }
    books.touch("quotes", quote_id, quote)
    return quote


def answer_quote(books: Books, quote: Record, status: str, by: str | None = None) -> None:
    """Send, accept, reject a quote or let it expire. Raises ApiError 422 for a wrong step."""
    before = {"sent": ("draft", "sent")}.get(status, ("sent",))
    if quote["status"] not in before:
        raise broken_rule(
            "INVALID_STATUS_TRANSITION",
            f"A quote that is {quote['status']} does not become {status}",
            quoteId=quote["id"],
        )
    quote["status"] = status
    if status == "accepted":
        quote["acceptedAt"], quote["acceptedBy"] = books.stamp(quote["id"]), by
    books.touch("quotes", quote["id"], quote)


def convert_quote(books: Books, quote: Record, day: str, required: str, **more: Any) -> Record:
    """Make a confirmed sales order of an accepted quote; raises 422 QUOTE_CONVERSION_FAILED."""
    is_late = quote["status"] in ("sent", "expired") and quote["validUntil"] < day
    if is_late or quote["status"] not in ("sent", "accepted"):
        detail = {"quoteId": quote["id"], "validUntil": quote["validUntil"], "currentDate": day}
        why = "has expired" if is_late or quote["status"] == "expired" else f"is {quote['status']}"
        raise ApiError(422, "QUOTE_CONVERSION_FAILED", f"The quote {why}", [detail])
    copied = ("itemId", "description", "quantity", "unitPrice", "discountPercent", "taxCode")
    lines = [{name: line[name] for name in copied} for line in quote["items"]]
    customer = books.find("customers", quote["customerId"])
    more.setdefault("reference", quote["reference"])
    order = draft_sales_order(books, customer, day, required, lines, **more)
    set_order_status(books, order, "confirmed")
    if quote["status"] == "sent":
        answer_quote(books, quote, "accepted", "customer")
    quote["status"], quote["salesOrderId"] = "converted", order["id"]
    quote["convertedToOrderAt"] = books.stamp(quote["id"])
    books.touch("quotes", quote["id"], quote)
    return order
