"""A night writes only what its news touch; what comes out is what a full build makes, row by row.

The books are random ones of several companies, with drafts, voids, back-dated entries, deletes,
payments and records that come late. Their nights are built one after another, the day moves on, an
account is renamed, and then everything is built once more from the landing alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from books.company import Book, Plan
from books.making import make, write_inputs, write_landing, write_seeds
from test_books import build_models

from blsync.entities import ENTITIES

PLANS = (
    Plan(seed=11, closings="last day"),
    Plan(seed=12, start_month=6, closings="taken back", timezone="America/St_Johns"),
    Plan(seed=13, start_month=7, closings="after", today=date(2024, 2, 29)),
)
NIGHTS = 3
DAYS_BETWEEN = 13
"""Enough that a month begins on the way."""
PASSING = (
    "int_affected_invoices",
    "int_affected_entries",
    "int_affected_months",
    "int_ledger_starts",
)
"""What tells a night's work is another thing in a full build."""

Rows = dict[str, tuple[Any, ...]]


@pytest.fixture(scope="module")
def books() -> list[Book]:
    """The chart of the first stays, so that its ledger is written only where it changes."""
    books = [make(f"co_{place}", plan) for place, plan in enumerate(PLANS)]
    accounts = books[0].rows["accounts"]
    accounts[:] = [row for row in accounts if "renamed" not in (row.get("name") or "")]
    return books


@pytest.fixture(scope="module")
def building(books: list[Book]) -> Callable[..., None]:
    """Lands the nights up to one of them, and builds as of its day."""

    def build(folder: Path, night: int) -> None:
        write_seeds(folder / "seeds", books)
        write_inputs(folder / "data", books, [])
        earlier = timedelta(days=DAYS_BETWEEN * (NIGHTS - night))
        companies = folder / "data/inputs/companies.parquet"
        table = pq.read_table(companies)
        rows = [row | {"today": row["today"] - earlier} for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), companies)
        last = max(len(book.nights) for book in books)
        write_landing(folder / "data", books, slice(-(-last * night // NIGHTS)))
        if night == NIGHTS:
            rename_an_account(folder / "data", books[1])
        failed = build_models(folder)
        assert not failed, failed

    return build


def rename_an_account(data: Path, book: Book) -> None:
    live = [row for row in book.rows["accounts"] if row["_op"] == "upsert"]
    latest = max(live, key=lambda row: row["_pulled_at"])
    renamed = latest | {"name": "Bank of another name", "_load_id": f"{book.company} renamed"}
    renamed["_pulled_at"] += timedelta(days=900)
    renamed["updatedAt"] = renamed["_pulled_at"]
    table = pa.Table.from_pylist([renamed], ENTITIES["accounts"].schema)
    folder = data / "landing/accounts" / f"company_id={book.company}"
    pq.write_table(table, folder / "renamed.parquet")


def all_rows(folder: Path) -> Rows:
    """Every table as its number of rows and the sum of their hashes."""
    found = {}
    with duckdb.connect(str(folder / "data/build.duckdb"), read_only=True) as db:
        tables = db.execute(
            "select schema_name || '.' || table_name, string_agg('\"' || column_name || '\"', ', '"
            " order by column_name) from duckdb_columns() where not internal and"
            " schema_name <> 'last_build' and column_name not in ('built_at', '_built_at')"
            " and not list_contains(?, table_name) group by all",
            [list(PASSING)],
        ).fetchall()
        for table, columns in tables:
            sql = f"select count(*), sum(hash({columns})) from {table}"
            found[table] = db.execute(sql).fetchone() or ()
    return found


def untouched(folder: Path, company: str) -> int:
    with duckdb.connect(str(folder / "data/build.duckdb"), read_only=True) as db:
        found = db.execute(
            "select count(*) from history.journal_entries"
            " anti join intermediate.int_affected_entries using (company_id, journal_id)"
            " where company_id = ?",
            [company],
        ).fetchone()
    return int(found[0]) if found else 0


@pytest.mark.deep
def test_nights_make_the_rows_that_a_full_build_makes(
    building: Callable[..., None], books: list[Book], tmp_path: Path
) -> None:
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    for night in range(1, NIGHTS + 1):
        building(grown, night)
    building(whole, NIGHTS)
    nights, full = all_rows(grown), all_rows(whole)
    assert {name for name in full if nights.get(name) != full[name]} == set()
    assert nights.keys() == full.keys()
    assert len(full) > 70
    # The test would show nothing if the last night had written everything.
    assert untouched(grown, books[0].company) > 0
    assert untouched(grown, books[1].company) == 0
