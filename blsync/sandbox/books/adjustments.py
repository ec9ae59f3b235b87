"""Stock adjustments: drafts, and what posting one does to stock and journal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.stock import UNIT_COST, cost_of, move_stock, stock_row
from blsync.sandbox.books.values import ZERO, Record, money, quantity


def write_adjustment(
    books: Books,
    day: str,
    location_id: str,
    reason: str,
    lines: Sequence[Record],
    *,
    reference: str | None = None,
    notes: str | None = None,
    draft: bool = False,
) -> Record:
    """Add a stock adjustment, posted unless it is a draft.

    ``lines``: itemId, adjustmentQuantity (signed), unitCost or None, reason.
    """
    adjustment_id = books.new_id("adj")
    written = [_adjustment_line(books, location_id, line, reason) for line in lines]
    signs = {line["adjustmentQuantity"] > 0 for line in written}
    adjustment = {
        "id": adjustment_id,
        "adjustmentNumber": books.new_number("stock_adjustments", day),
        "date": day,
        "type": "mixed" if len(signs) > 1 else "positive" if True in signs else "negative",
        "reason": reason,
        "status": "draft",
        "locationId": location_id,
        "location": {"id": location_id, "name": LOCATIONS[location_id]},
        "reference": reference,
        "notes": notes,
        "items": written,
        "totalValue": sum((line["totalCost"] for line in written), ZERO),
        "createdBy": "user_warehouse",
        "createdAt": books.stamp(adjustment_id),
        "postedAt": None,
    }
    if draft:
        books.store.put("stock_adjustments", adjustment_id, adjustment)
    else:
        post_adjustment(books, adjustment)
    return adjustment


def _adjustment_line(books: Books, location_id: str, line: Record, reason: str) -> Record:
    item = books.find("items", line["itemId"])
    row = stock_row(books, item["id"], location_id)
    change = quantity(line["adjustmentQuantity"])
    cost = line.get("unitCost")
    if cost is None:
        held = row is not None and row["currentStock"] > 0
        cost = row["averageCost"] if row and held else item["pricing"]["costPrice"]
    before = row["currentStock"] if row else 0
    return {
        "id": books.new_id("adjitem"),
        "itemId": item["id"],
        "itemCode": item["itemCode"],
        "itemName": item["name"],
        "currentStock": before,
        "adjustedStock": quantity(before + change),
        "adjustmentQuantity": change,
        "unitCost": cost,
        "totalCost": money(change * Decimal(cost)),
        "reason": line.get("reason") or reason,
        "notes": line.get("notes"),
    }


def post_adjustment(books: Books, adjustment: Record) -> None:
    """Make a draft adjustment count, in stock and in the journal.

    What leaves goes at average cost whatever unit cost was written: the document then
    carries the cost it went at. Raises ApiError 422 INSUFFICIENT_STOCK.
    """
    if adjustment["status"] != "draft":
        raise broken_rule("ADJUSTMENT_NOT_DRAFT", "The adjustment is posted already")
    place = adjustment["locationId"]
    check_decreases(books, place, adjustment["items"])
    for line in adjustment["items"]:
        item, change = books.find("items", line["itemId"]), line["adjustmentQuantity"]
        row = stock_row(books, item["id"], place)
        if change < 0 and row is not None:
            line["totalCost"] = -cost_of(row, -change)
            line["unitCost"] = (line["totalCost"] / change).quantize(UNIT_COST, ROUND_HALF_UP)
        move_stock(
            *(books, item, place, change, line["totalCost"]),
            day=adjustment["date"],
            kind="adjustment",
            reference=adjustment["adjustmentNumber"],
            document_id=adjustment["id"],
        )
    value = sum((line["totalCost"] for line in adjustment["items"]), ZERO)
    adjustment["totalValue"], adjustment["status"] = value, "posted"
    adjustment["postedAt"] = books.stamp(adjustment["id"])
    books.store.put("stock_adjustments", adjustment["id"], adjustment)
    if value:
        note = f"Stock adjustment {adjustment['adjustmentNumber']} ({adjustment['reason']})"
        books.write_entry(
            adjustment["date"],
            adjustment["reference"] or adjustment["adjustmentNumber"],
            note,
            [
                (books.role("inventory"), value, note),
                (books.role("stock_adjustments"), -value, note),
            ],
            source=adjustment["id"],
        )


def check_decreases(books: Books, place: str, lines: Sequence[Record]) -> None:
    """Raise ApiError 422 INSUFFICIENT_STOCK for lines that take more than a location holds."""
    held: dict[str, Any] = {}
    for line in lines:
        row = stock_row(books, line["itemId"], place)
        before = held.get(line["itemId"], row["currentStock"] if row else 0)
        held[line["itemId"]] = before + line["adjustmentQuantity"]
        if held[line["itemId"]] < 0:
            raise broken_rule(
                "INSUFFICIENT_STOCK",
                f"Only {before} of item {line['itemId']} at {place}, "
                f"{-line['adjustmentQuantity']} to be taken away",
                itemId=line["itemId"],
                locationId=place,
                currentStock=before,
            )
