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
    order_id = invoice.get("salesOrderId")
    order = books.store.get("sales_orders", order_id) if order_id else None
    if order:
        tell_shipped(books, order, -ordered_pieces(invoice["items"]))
