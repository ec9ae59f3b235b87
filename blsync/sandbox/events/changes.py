"""Which events a change to a record makes, and what they say of it.

An event's object is not the record of a list: it has the id, the number and a few figures.
"""

from __future__ import annotations

from blsync.sandbox.books.values import ZERO, Record

Event = tuple[str, Record, Record]
"""An event's name, its object, and what changed of it, as it was before."""

SHOWN = ("status", "total", "amountPaid", "amountDue", "email", "currentStock", "type", "date")
"""Fields that an event's object has as the record has them."""
BY_STATUS: dict[str, tuple[str, dict[str, str]]] = {
    "einvoices": ("einvoice", {s: s for s in ("validated", "submitted", "accepted", "rejected")}),
    "sales_orders": ("sales_order", {s: s for s in ("confirmed", "shipped", "delivered")}),
    "purchase_orders": (
        "purchase_order",
        {"sent": "sent", "confirmed": "confirmed", "received": "received"},
    ),
    "bills": ("bill", {"open": "approved", "paid": "paid"}),
    "stock_transfers": ("inventory", {}),
}
"""Kinds of record with a life of their own: how their events begin, and how they end by status."""


def events_of(entity: str, before: Record | None, record: Record) -> list[Event]:
    """Return what is told of a record that was written."""
    names = _names(entity, before, record)
    shown = _object(entity, record)
    earlier = _object(entity, before) if before else {}
    changed = {name: value for name, value in earlier.items() if shown.get(name) != value}
    return [(name, shown, changed) for name in names]


def _names(entity: str, before: Record | None, record: Record) -> list[str]:
    if entity == "customers":
        return _of_customer(before, record)
    if entity == "invoices":
        return _of_invoice(before, record)
    if entity == "stock":
        return _of_stock(before, record)
    if entity == "stock_adjustments":
        was_posted = before is not None and before.get("status") == "posted"
        return [] if was_posted or record.get("status") != "posted" else ["inventory.adjustment"]
    if entity == "suppliers":
        return ["supplier.updated" if before else "supplier.created"]
    if entity == "stock_transfers":
        return ["inventory.transfer"]
    if entity not in BY_STATUS:
        return []  # journals, accounts and items are told by no event
    prefix, by_status = BY_STATUS[entity]
    if before is None:
        return [f"{prefix}.created"]
    status = record.get("status")
    if status == before.get("status"):
        return []
    if status == "cancelled":
        return [f"{prefix}.cancelled"]
    return [f"{prefix}.{by_status[status]}"] if status in by_status else []


def _of_customer(before: Record | None, record: Record) -> list[str]:
    if before is None:
        return ["customer.created"]
    if before.get("status") != record.get("status"):
        return ["customer.status_changed"]
    return ["customer.updated"]


def _of_invoice(before: Record | None, record: Record) -> list[str]:
    names = [] if before else ["invoice.created"]
    status, was = record["status"], before["status"] if before else "draft"
    if record["amountPaid"] > (before["amountPaid"] if before else ZERO):
        names.append("invoice.partially_paid" if record["amountDue"] else "invoice.paid")
    elif status != was and status in ("sent", "overdue", "cancelled"):
        names.append(f"invoice.{status}")
    return names or ["invoice.updated"]


def _of_stock(before: Record | None, record: Record) -> list[str]:
    had = before["currentStock"] if before else ZERO
    names = ["stock.updated"]
    if had > 0 >= record["currentStock"]:
        names.append("inventory.out_of_stock")
    return names


def _object(entity: str, record: Record) -> Record:
    about: Record = {"id": record["itemId"] if entity == "stock" else record["id"]}
    number = next((record[name] for name in record if name.endswith("Number")), None)
    if number:
        about["number"] = number
    return about | {name: record[name] for name in SHOWN if name in record}
