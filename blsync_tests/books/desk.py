"""Where a company's books are written: at random, version by version, night by night."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from blsync.entities import ENTITIES
from books.company import DAY, Book, Row, end_of


@dataclass(frozen=True)
class Desk:
    """Where a book is written: its randomness, and the days on which something may happen."""

    book: Book
    rng: random.Random
    first_day: date

    @property
    def today(self) -> date:
        return self.book.plan.today

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def night(self, after: int = -1) -> int:
        """Choose a night, later than the one given where there is one; most fall on the first."""
        later = range(after + 1, len(self.book.nights))
        if after < 0 and self.chance(0.5):
            return 0
        return self.rng.choice(later) if later else len(self.book.nights) - 1

    def day(self) -> date:
        """Choose a business date; the edges of months and years are likelier than others."""
        day = self.first_day + self.rng.randrange((self.today - self.first_day).days + 1) * DAY
        match self.rng.randrange(10):
            case 0:
                day = end_of(day)
            case 1:
                day = day.replace(day=1)
            case 2:
                day = date(2024, 2, 29)
            case 3:
                day = self.year_end(day)
            case 4 if self.chance(0.3):
                day = self.today + self.rng.randrange(45) * DAY
            case 5 if self.chance(0.5):
                day = self.today - self.rng.choice([0, 1, 89, 90, 91, 365, 366]) * DAY
        return max(day, self.first_day)

    def year_end(self, day: date) -> date:
        """Return the last day of the fiscal year that ends in a day's calendar year."""
        return end_of(day.replace(month=(self.book.plan.start_month + 10) % 12 + 1, day=1))

    def instant(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + self.rng.randrange(86400) * (
            DAY / 86400
        )

    def amount(self) -> Decimal:
        """Choose an amount of up to ten digits before the point."""
        return Decimal(self.rng.randrange(1, 10 ** self.rng.choice([3, 4, 5, 6, 6, 7, 12]))) / 100

    def put(self, entity: str, night: int, **fields: Any) -> Row:
        """Land a version, pulled within the first minute of a night's load."""
        row = {
            "_company_id": self.book.company,
            "_load_id": f"{self.book.company} {night:02}",
            "_pulled_at": self.book.nights[night]
            + self.rng.choice([0, self.rng.randrange(50)]) * (DAY / 86400),
            "_request_id": f"request {night}",
            "_op": "upsert",
            **fields,
        }
        self.book.rows[entity].append(row)
        return row

    def put_again(self, entity: str, row: Row, night: int, **changes: Any) -> Row:
        """Land the record as a later night found it."""
        kept = {name: value for name, value in row.items() if not name.startswith("_")}
        return self.put(entity, night, **kept | changes)

    def drop(self, entity: str, row: Row, night: int) -> None:
        key = {name: row[name] for name in ENTITIES[entity].key}
        self.put(entity, night, **key, _op="delete")
