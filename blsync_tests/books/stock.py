"""What the marts of stock should say, and all marts together."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from books.company import DAY, Book, Row, latest, ordered
from books.definitions import ZERO, Figures, local_day, midnight_after
from books.receivables import past_month_ends, sold_lines


def stock_on_hand(book: Book) -> Figures:
    live = latest(book.rows["stock"], "stock")
    items = {key[0]: row for key, row in latest(book.rows["items"], "items").items()}
    found: Figures = {}
    for (item, place), row in live.items():
        mine = [r for (i, _), r in live.items() if i == item]
        quantity = sum((r["currentStock"] or ZERO for r in mine), ZERO)
        available = sum(
            ((r["currentStock"] or ZERO) if r["availableStock"] is None else r["availableStock"]
             for r in mine), ZERO,
        )  # fmt: skip
        sold = sum(
            (line["quantity"] or ZERO for _, header, line in sold_lines(book)
             if line["itemId"] == item
             and timedelta(0) <= book.plan.today - header["invoiceDate"] < 90 * DAY), ZERO,
        )  # fmt: skip
        found[item, place] = {
            "current": row["currentStock"] or ZERO,
            "stock_value": row["stockValue"] or ZERO,
            "average_cost": row["averageCost"],
            "alert": alert(row["currentStock"] or ZERO, available, items[item]["inventory"]),
            "days_of_cover": 90 * max(quantity, ZERO) / sold if sold > 0 else None,
        }
    return found


def alert(current: Decimal, available: Decimal, levels: Row) -> str:
    if current <= 0:
        return "negative" if current else "out"
    if available <= levels["minimumStock"]:
        return "low"
    point = levels["reorderPoint"]
    return "reorder" if point is not None and available <= point else "ok"


def inventory_valuation(book: Book) -> Figures:
    rows = book.rows["stock"]
    moments: dict[date, datetime | None] = {
        day: midnight_after(book, day) for day in past_month_ends(book, rows)
    }
    moments[book.plan.today] = None
    codes = latest(book.rows["items"], "items")
    found: Figures = {}
    for day, before in moments.items():
        for (item, _), row in latest(rows, "stock", before).items():
            line = found.setdefault((day, item), {
                "item_code": codes[(item,)]["itemCode"], "quantity": ZERO, "stock_value": ZERO,
            })  # fmt: skip
            line["quantity"] += row["currentStock"] or ZERO
            line["stock_value"] += row["stockValue"] or ZERO
    for line in found.values():
        quantity = line["quantity"]
        line["average_cost"] = line["stock_value"] / quantity if quantity else None
    return found


def stock_history(book: Book) -> Figures:
    """A row a day from the first observation on; one that is gone has its last day at zero."""
    today = book.plan.today
    versions = ordered(book.rows["stock"], "stock")
    pulls = [local_day(book, row["_pulled_at"]) for row in book.rows["stock"]]
    found: Figures = {}
    for (item, place), rows in versions.items():
        before = (ZERO, ZERO)
        for day in pd.date_range(min(pulls), today).date:
            known = [r for r in rows if day == today or r["_pulled_at"] < midnight_after(book, day)]
            is_gone = bool(known) and known[-1]["_op"] == "delete"
            if not known or (is_gone and local_day(book, known[-1]["_pulled_at"]) != day):
                before = (ZERO, ZERO)
                continue
            row = known[-1]
            now = (row.get("currentStock") or ZERO, row.get("stockValue") or ZERO)
            found[day, item, place] = {
                "closing_quantity": now[0],
                "stock_value": now[1],
                "average_cost": row.get("averageCost"),
                "change_quantity": now[0] - before[0] if day > min(pulls) else None,
                "change_value": now[1] - before[1] if day > min(pulls) else None,
                "is_deleted": is_gone,
            }
            before = now
    return found
