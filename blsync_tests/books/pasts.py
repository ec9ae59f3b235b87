"""What was open on invoices at the twelve month ends before the first pull."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from books.company import DAY, Book, Row, month_of, ordered
from books.definitions import RECEIVABLE, ZERO, due_of, in_ringgit, local_day, total_of
from books.ledger import counted


def first_pull(book: Book) -> datetime | None:
    return min((row["_pulled_at"] for row in book.rows["invoices"]), default=None)


def first_versions(book: Book) -> dict[str, Row]:
    """Each invoice as it was first pulled; of several pulled at one instant the last."""
    found = {}
    for (key,), versions in ordered(book.rows["invoices"], "invoices").items():
        at = versions[0]["_pulled_at"]
        found[key] = [row for row in versions if row["_pulled_at"] == at][-1]
    return found


def open_before(book: Book) -> Iterator[tuple[date, Row, Decimal]]:
    """Yield (month end, invoice as first pulled, what was open), in ringgit, where anything was."""
    at = first_pull(book)
    if at is None:
        return
    first = local_day(book, at)
    days = [month_of(first, -back) - DAY for back in range(12)]
    rows = {
        key: row for key, row in first_versions(book).items()
        if row["_op"] == "upsert" and row["status"] != "draft" and row["createdAt"] <= at
    }  # fmt: skip
    settled = settlements(book, {row["invoiceNumber"]: key for key, row in rows.items()}, at)
    for key, row in rows.items():
        total = in_ringgit(row, total_of(row))
        is_cancelled = row["status"] == "cancelled"
        due = ZERO if is_cancelled else max(in_ringgit(row, due_of(row)), ZERO)
        mine = settled.get(key, [])
        told, rest = sum((amount for _, amount in mine), ZERO), total - due
        if is_cancelled and not (told == rest > 0):
            continue
        if not 0 <= told <= rest:
            mine, told = [], ZERO
        if not told:
            mine = []
        billed = row["invoiceDate"] or local_day(book, row["createdAt"])
        last = row.get("lastPaymentDate") or local_day(book, row["updatedAt"])
        steps = [(billed, -total), *mine, (last, rest - told)]
        for day in days:
            owed = -sum((amount for on, amount in steps if max(on, billed) <= day), ZERO)
            if owed > 0:
                yield day, row, owed


def settlements(
    book: Book, keys: dict[str, str], at: datetime
) -> dict[str, list[tuple[date, Decimal]]]:
    """Return, by invoice, when how much of it was taken off the receivable account."""
    found: dict[str, list[tuple[date, Decimal]]] = {}
    for entry in counted(book).values():
        if (entry.get("postedAt") or entry["createdAt"]) > at:
            continue
        for line in entry["lines"]:
            amount = (line["credit"] or ZERO) - (line["debit"] or ZERO)
            key = keys.get(number_in(entry, line, keys) or "")
            is_back = entry.get("reversesId") is not None
            if key and line["accountId"] == RECEIVABLE and (amount > 0 or is_back):
                found.setdefault(key, []).append((entry["date"], amount))
    return found


def number_in(entry: Row, line: Row, keys: dict[str, Any]) -> str | None:
    """Return the one invoice's number that an entry names, first by its reference."""
    for text in (entry.get("reference"), line.get("description"), entry.get("description")):
        named = {word for word in re.split(r"[^\w-]+", text or "") if word in keys}
        if named:
            return named.pop() if len(named) == 1 else None
    return None
