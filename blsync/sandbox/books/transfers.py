"""Stock transfers: goods that leave one location, are in transit, and arrive (section 13).

A company may keep an account for goods in transit; without one they stay in inventory, which is
then more than the stock at the locations. Goods of which some are missing arrive in full on paper,
and what is missing is written off at once by an adjustment with the transfer's number: transfers by
themselves never change how much stock there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from blsync.sandbox.books.adjustments import write_adjustment
from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.stock import UNIT_COST, cost_of, move_stock, stock_row
from blsync.sandbox.books.values import ZERO, Record, money, quantity

STEPS = {
    "draft": ("approved", "cancelled", "rejected"),
    "approved": ("shipped", "cancelled", "rejected"),
    "shipped": ("received",),
    "received": ("completed",),
}
"""Status of a transfer → those that may follow."""


def draft_transfer(
    books: Books, day: str, source: str, target: str, lines: Sequence[Record], **more: Any
) -> Record:
    """Add a draft transfer; ``lines``: itemId, quantity, notes."""
    transfer_id = books.new_id("xfer")
    written = []
    for line in lines:
        item = books.find("items", line["itemId"])
        row = stock_row(books, item["id"], source)
        written.append(
            {
                "id": books.new_id("xferitem"),
                "itemId": item["id"],
                "itemCode": item["itemCode"],
                "itemName": item["name"],
                "quantityRequested": quantity(line["quantity"]),
                "quantityShipped": 0,
                "quantityReceived": 0,
                "unitCost": row["averageCost"] if row else item["pricing"]["costPrice"],
                "totalCost": ZERO,
                "notes": line.get("notes"),
            }
        )
    transfer = {
        "id": transfer_id,
        "transferNumber": books.new_number("stock_transfers", day),
        "date": day,
        "status": "draft",
        "fromLocationId": source,
        "fromLocation": {"id": source, "name": LOCATIONS[source]},
        "toLocationId": target,
        "toLocation": {"id": target, "name": LOCATIONS[target]},
        "reference": more.get("reference"),
        "notes": more.get("notes"),
        "items": written,
        "shipping": {
            **dict.fromkeys(("method", "trackingNumber", "shippedAt")),
            **dict.fromkeys(("estimatedDelivery", "actualDelivery")),
        },
        "totalValue": ZERO,
        "approvals": [],
        "createdBy": more.get("createdBy") or "user_warehouse",
        "createdAt": books.stamp(transfer_id),
    }
    books.touch("stock_transfers", transfer_id, transfer)
    return transfer


def step(
    books: Books,
    transfer: Record,
    status: str,
    day: str,
    *,
    received: Mapping[str, Decimal | int] | None = None,
    **shipping: Any,
) -> None:
    """Take a transfer one step on; ``received`` is what arrived, by line, where not all did.

    Raises ApiError 422 for a step that there is not, and for goods that are not there.
    """
    if status not in STEPS.get(transfer["status"], ()):
        raise broken_rule(
            "INVALID_STATUS_TRANSITION",
            f"A transfer that is {transfer['status']} does not become {status}",
            stockTransferId=transfer["id"],
        )
    if status == "approved":
        moment = books.stamp(transfer["id"])
        done = {"step": 1, "approvedBy": "user_manager", "approvedAt": moment, "notes": None}
        transfer["approvals"].append(done)
    elif status == "shipped":
        _ship(books, transfer, day)
    elif status == "received":
        _receive(books, transfer, received or {}, day)
    elif status == "completed":
        _complete(books, transfer, day)
    transfer["status"] = status
    transfer["shipping"].update(shipping)
    books.touch("stock_transfers", transfer["id"], transfer)


def _ship(books: Books, transfer: Record, day: str) -> None:
    place = transfer["fromLocationId"]
    for line in transfer["items"]:
        row = stock_row(books, line["itemId"], place)
        held = row["currentStock"] if row else 0
        if held < line["quantityRequested"]:
            raise broken_rule(
                "INSUFFICIENT_STOCK",
                f"Only {held} of item {line['itemCode']} at {place}",
                itemId=line["itemId"],
                locationId=place,
                currentStock=held,
            )
    for line in transfer["items"]:
        row = stock_row(books, line["itemId"], place) or {}
        count = line["quantityRequested"]
        value = cost_of(row, count)
        _move(books, transfer, line, place, -count, -value, day)
        line["quantityShipped"], line["totalCost"] = count, value
        line["unitCost"] = (value / Decimal(count)).quantize(UNIT_COST, ROUND_HALF_UP)
    transfer["totalValue"] = sum((line["totalCost"] for line in transfer["items"]), ZERO)
    transfer["shipping"]["shippedAt"] = books.stamp(transfer["id"])
    _post(books, transfer, day, transfer["totalValue"])


def _move(books: Books, transfer: Record, line: Record, place: str, *change: Any) -> None:
    count, value, day = change
    move_stock(
        *(books, books.find("items", line["itemId"]), place, count, value),
        day=day,
        kind="transfer",
        reference=transfer["transferNumber"],
        document_id=transfer["id"],
    )


def _receive(
    books: Books, transfer: Record, received: Mapping[str, Decimal | int], day: str
) -> None:
    for line in transfer["items"]:
        count = received.get(line["id"], line["quantityShipped"])
        if not 0 <= count <= line["quantityShipped"]:
            raise broken_rule(
                "RECEIVED_MORE_THAN_SHIPPED",
                f"{count} received of {line['quantityShipped']} shipped",
                itemId=line["itemId"],
            )
        line["quantityReceived"] = quantity(count)
    transfer["shipping"]["actualDelivery"] = day


def _complete(books: Books, transfer: Record, day: str) -> None:
    place, missing = transfer["toLocationId"], []
    for line in transfer["items"]:
        _move(books, transfer, line, place, line["quantityShipped"], line["totalCost"], day)
        short = line["quantityShipped"] - line["quantityReceived"]
        if short:
            missing.append({"itemId": line["itemId"], "adjustmentQuantity": -short})
    _post(books, transfer, day, -transfer["totalValue"])
    if missing:
        write_adjustment(
            *(books, day, place, "lost", missing), reference=transfer["transferNumber"]
        )


def _post(books: Books, transfer: Record, day: str, value: Decimal) -> None:
    """Move goods between inventory and the account for what is in transit, where there is one."""
    if not books.keeps_transit_account or not value:
        return
    value = money(value)
    note = f"Stock transfer {transfer['transferNumber']}"
    books.write_entry(
        *(day, transfer["transferNumber"], note),
        [(books.role("in_transit"), value, note), (books.role("inventory"), -value, note)],
        source=transfer["id"],
    )
