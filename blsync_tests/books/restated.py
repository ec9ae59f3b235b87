"""What `restatements` should hold, from the versions of entries and the closes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from books.company import Book, Row, end_of, month_of, ordered
from books.definitions import ZERO, Key
from books.ledger import counted


def restated(book: Book) -> Iterator[tuple[Key, Key]]:
    """Yield what restatements should hold: key, and the rest of the row."""
    rows = book.rows["journal_entries"]
    days = [row["date"] for row in counted(book).values()]
    if not days:
        return
    first_load = min(rows, key=lambda row: row["_pulled_at"])["_load_id"]
    first_seen = max(row["_pulled_at"] for row in rows if row["_load_id"] == first_load)
    closes = {
        period: max(closed_at, first_seen)
        for period, closed_at in book.closes.items() if period >= month_of(min(days))
    }  # fmt: skip
    for versions in ordered(rows, "journal_entries").values():
        seen: dict[datetime, Row] = {row["_pulled_at"]: row for row in versions}
        for before, after in itertools.pairwise([None, *seen.values()]):
            for period, closed_at in closes.items():
                if after["_pulled_at"] > closed_at:
                    yield from changes_of(period, Version.of(before), Version.of(after))


@dataclass
class Version:
    """What an entry said at a time; nothing at all where it was not there."""

    status: str | None = None
    day: date | None = None
    lines: dict[Key, Decimal] = field(default_factory=dict)
    pulled_at: datetime | None = None

    @classmethod
    def of(cls, row: Row | None) -> Version:
        if row is None or row["_op"] == "delete":
            return cls(pulled_at=row and row["_pulled_at"])
        lines = {
            (f"{row['id']}:{line['id'] or number}", line["accountId"]):
            (line["debit"] or ZERO) - (line["credit"] or ZERO)
            for number, line in enumerate(row["lines"], start=1)
        }  # fmt: skip
        return cls(row["status"], row["date"], lines, row["_pulled_at"])

    def counts_by(self, period: date) -> bool:
        return self.status in ("posted", "void") and self.day <= end_of(period)

    def names(self) -> set[str]:
        return {name for name, _ in self.lines}


def changes_of(period: date, before: Version, after: Version) -> Iterator[tuple[Key, Key]]:
    for key in before.lines.keys() | after.lines.keys():
        was = before.counts_by(period) and key in before.lines
        is_now = after.counts_by(period) and key in after.lines
        amounts = (before.lines.get(key, ZERO) if was else ZERO,
                   after.lines.get(key, ZERO) if is_now else ZERO)  # fmt: skip
        reasons = {
            "added": key[0] not in before.names(),
            "removed": key[0] not in after.names(),
            "status": before.status != after.status,
            "date": before.day != after.day,
            "account": (key in before.lines) != (key in after.lines),
            "amount": amounts[0] != amounts[1],
        }
        kind = next((name for name, is_it in reasons.items() if is_it), None)
        if kind and (was or is_now):
            latest_day = max(day for day in (before.day, after.day) if day)
            row = (kind, *amounts, amounts[1] - amounts[0], period > month_of(latest_day))
            yield (period, *key, after.pulled_at), row
