"""What has left of a sales order: only its header tells it (bigledger-api.md, section 10)."""

from __future__ import annotations

from decimal import Decimal

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import Record, quantity


def tell_shipped(books: Books, order: Record, change: Decimal | int) -> None:
    """Change how much of an order has been shipped, as an invoice is issued or cancelled."""
    about = order["fulfillment"]
    about["shippedQuantity"] = quantity(about["shippedQuantity"] + change)
    about["remainingQuantity"] = quantity(about["remainingQuantity"] - change)
    if about["remainingQuantity"] <= 0:
        about["status"] = "shipped"
        if order["status"] == "confirmed":
            order["status"] = "shipped"
    else:
        about["status"] = "partial" if about["shippedQuantity"] > 0 else "pending"
        if order["status"] in ("shipped", "delivered"):
            order["status"] = "confirmed"
    books.touch("sales_orders", order["id"], order)


def ordered_pieces(lines: list[Record]) -> Decimal | int:
    """Return how many pieces the lines of a document are about."""
    return quantity(sum((line["quantity"] for line in lines), Decimal(0)))


def take_back(books: Books, invoice: Record) -> None:
    """Let the order of a cancelled invoice wait for its goods again."""
    order = _order_of(books, invoice)
    if order:
        tell_shipped(books, order, -ordered_pieces(invoice["items"]))


def _order_of(books: Books, invoice: Record) -> Record | None:
    """Return the order that an invoice names, or whose number is its reference."""
    if invoice["salesOrderId"]:
        return books.store.get("sales_orders", invoice["salesOrderId"])
    if not books.modules or not invoice["reference"]:
        return None
    books.store.flush()
    books.store.put("invoices", invoice["id"], invoice)  # the flush may have let it go
    rows = books.store.query(
        "select id from sales_orders where orderNumber = ?", invoice["reference"]
    )
    return books.find("sales_orders", rows[0][0]) if rows else None
