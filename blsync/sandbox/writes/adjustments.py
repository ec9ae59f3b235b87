"""Writes of stock adjustments (bigledger-api.md, sections 5 and 6)."""

from __future__ import annotations

from typing import Any

from blsync.sandbox.books.adjustments import check_decreases, post_adjustment, write_adjustment
from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.stock import stock_row
from blsync.sandbox.books.values import Record
from blsync.sandbox.writes.request_fields import Form

REASONS = ("stock_count", "damaged", "found", "lost", "expired", "initial_stock")


def create_adjustment(books: Books, data: object) -> Record:
    """Create a stock adjustment; posted unless ``status`` says draft."""
    form = Form(data)
    day = form.day("date", books.today) or ""
    place = form.text("locationId", required=True, choices=tuple(LOCATIONS))
    reason = form.text("reason", choices=REASONS) or "stock_count"
    status = form.text("status", choices=("draft", "posted")) or "posted"
    more: Record = {name: form.text(name) for name in ("reference", "notes")}
    forms = form.lines("items")
    lines = []
    for line in forms:
        change = line.count("adjustmentQuantity", required=True)
        if change == 0:
            line.refuse("adjustmentQuantity", "MIN_VALUE", "must not be 0", change, "!= 0")
        lines.append(
            {
                "itemId": line.text("itemId", required=True),
                "adjustmentQuantity": change,
                "unitCost": line.number("unitCost", least=0, decimals=4),
                "reason": line.text("reason", choices=REASONS),
                "notes": line.text("notes"),
            }
        )
    form.gather(forms)
    return _adjust(books, day, str(place), reason, lines, draft=status == "draft", **more)


def _adjust(
    books: Books, day: str, place: str, reason: str, lines: list[Record], **more: Any
) -> Record:
    for line in lines:
        item = books.find("items", line["itemId"])
        if not item["inventory"]["tracked"]:
            raise broken_rule(
                "ITEM_NOT_TRACKED",
                f"Item {item['itemCode']} is not kept in stock",
                itemId=item["id"],
            )
    if not more["draft"]:
        check_decreases(books, place, lines)
    return write_adjustment(books, day, place, reason, lines, **more)


def adjust_one(books: Books, data: object) -> Record:
    """Create a posted adjustment of one item, as the bulk endpoint writes it (section 6)."""
    form = Form(data)
    item_id = form.text("itemId", required=True)
    place = form.text("locationId", required=True, choices=tuple(LOCATIONS))
    kind = form.text("adjustmentType", required=True, choices=("increase", "decrease"))
    count = form.count("quantity", required=True, above=0)
    line: Record = {"itemId": item_id, "unitCost": form.number("unitCost", least=0, decimals=4)}
    reason = form.text("reason", choices=REASONS) or "stock_count"
    day = form.day("date", books.today) or ""
    reference = form.text("reference")
    form.check()
    line["adjustmentQuantity"] = count if kind == "increase" else -(count or 0)
    return _adjust(books, day, str(place), reason, [line], draft=False, reference=reference)


def post_draft_adjustment(books: Books, adjustment_id: object, data: object) -> Record:
    """Post a draft adjustment."""
    Form(data).check()
    adjustment = books.find("stock_adjustments", adjustment_id)
    post_adjustment(books, adjustment)
    return adjustment


def set_stock(books: Books, data: object) -> Record:
    """Bring an item at a location to a counted quantity, by an adjustment."""
    form = Form(data)
    item_id = form.text("itemId", required=True)
    place = form.text("locationId", required=True, choices=tuple(LOCATIONS))
    wanted = form.count("newQuantity", required=True, least=0)
    cost = form.number("costPrice", least=0, decimals=4)
    reason = form.text("reason", choices=REASONS) or "stock_count"
    more: Record = {name: form.text(name) for name in ("reference", "notes")}
    form.check()
    item = books.find("items", item_id)
    row = stock_row(books, item["id"], str(place))
    change = (wanted or 0) - (row["currentStock"] if row else 0)
    if change:
        line = {"itemId": item["id"], "adjustmentQuantity": change, "unitCost": cost}
        day = books.today.isoformat()
        _adjust(books, day, str(place), reason, [line], draft=False, **more)
    return stock_row(books, item["id"], str(place)) or {}
