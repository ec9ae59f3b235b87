"""Which entries close a year: told by what they do, never by what they are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from rig import models
from rig.inputs import write_inputs
from rig.seeds import hand_over
from test_warehouse import (
    LATER,
    TODAY,
    WAREHOUSE,
    Row,
    account,
    journal,
    write,
)

CHART = {
    "bank": ("Bank", "asset", "current_asset"),
    "capital": ("Share Capital", "equity", "equity"),
    "summary": ("Income Summary", "equity", "equity"),
    "retained": ("Retained Earnings", "equity", "equity"),
    "sales": ("Sales", "revenue", "operating_revenue"),
    "rent": ("Rent", "expense", "operating_expense"),
    "fines": ("Fines", "expense", "other_expense"),
}
YEAR_END, NEW_YEAR = date(2025, 12, 31), date(2026, 1, 1)
Lines = list[tuple[str, int]]


@dataclass(frozen=True)
class Entry:
    day: date
    lines: Lines
    text: str = ""
    booked: date | None = None
    status: str = "posted"
    reverses: str | None = None


@dataclass(frozen=True)
class Case:
    """Entries beside those of every company, which of them close, and December's profit."""

    entries: dict[str, Entry]
    closings: set[str]
    december: int = 0
    start_month: int = 1
    has_older: bool = False


YEAR: dict[str, Entry] = {
    "sale": Entry(date(2025, 3, 4), [("bank", 1000), ("sales", -1000)]),
    "rent": Entry(date(2025, 5, 6), [("rent", 400), ("bank", -400)]),
}
WHOLE: Lines = [("sales", 1000), ("rent", -400), ("retained", -600)]
PARTY: Lines = [("rent", 70), ("capital", -70)]


def against(lines: Lines) -> Lines:
    return [(name, -amount) for name, amount in lines]


CASES = {
    "by one entry on the last day": Case({"e": Entry(YEAR_END, WHOLE)}, {"e"}),
    "to capital and without a word": Case(
        {"e": Entry(YEAR_END, [*WHOLE[:2], ("capital", -600)], "JV 12")}, {"e"}
    ),
    "by two entries through a summary": Case(
        {
            "r": Entry(YEAR_END, [("sales", 1000), ("summary", -1000)]),
            "x": Entry(YEAR_END, [("rent", -400), ("summary", 400)]),
            "s": Entry(YEAR_END, [("summary", 600), ("retained", -600)]),
        },
        {"r", "x"},
    ),
    "in the new year": Case({"e": Entry(date(2026, 2, 27), WHOLE)}, {"e"}),
    "before an adjustment that came late": Case(
        {
            "e": Entry(YEAR_END, WHOLE, booked=date(2026, 1, 9)),
            "late": Entry(date(2025, 12, 20), [("fines", 5), ("bank", -5)], booked=TODAY),
        },
        {"e"},
        december=-5,
    ),
    "once more after an adjustment that came late": Case(
        {
            "e": Entry(YEAR_END, WHOLE, booked=date(2026, 1, 9)),
            "late": Entry(date(2025, 12, 20), [("rent", 5), ("bank", -5)], booked=date(2026, 2, 1)),
            "more": Entry(YEAR_END, [("rent", -5), ("retained", 5)], booked=date(2026, 2, 2)),
        },
        {"e", "more"},
        december=-5,
    ),
    "by an entry that was imported before the year": Case(
        {"e": Entry(YEAR_END, WHOLE, booked=date(2025, 1, 1))}, {"e"}
    ),
    "alone, the years before being open": Case(
        {"e": Entry(YEAR_END, WHOLE)}, {"e"}, has_older=True
    ),
    "with the open years before": Case(
        {"e": Entry(YEAR_END, [("sales", 1009), ("rent", -400), ("retained", -609)])},
        {"e"},
        has_older=True,
    ),
    "and taken back": Case(
        {
            "e": Entry(YEAR_END, WHOLE, status="void"),
            "back": Entry(date(2026, 1, 8), against(WHOLE), reverses="e"),
            "again": Entry(YEAR_END, WHOLE, booked=date(2026, 1, 9)),
        },
        {"e", "back", "again"},
    ),
    "that ends in May": Case({"e": Entry(date(2025, 5, 31), WHOLE)}, {"e"}, start_month=6),
    "beside a party on the last day": Case(
        {
            "party": Entry(YEAR_END, PARTY, "Office closing party"),
            "e": Entry(YEAR_END, [("sales", 1000), ("rent", -470), ("retained", -530)]),
        },
        {"e"},
        december=-70,
    ),
    "not by a party": Case(
        {"e": Entry(YEAR_END, PARTY, "Closing of the year, paid by a director")}, set(), -70
    ),
    "not by an adjustment of earnings": Case(
        {"e": Entry(YEAR_END, [("rent", 50), ("retained", -50)], "Closing entry")}, set(), -50
    ),
    "not by some of the accounts": Case(
        {"e": Entry(YEAR_END, [("sales", 1000), ("retained", -1000)], "Close FY2025")}, set(), -1000
    ),
    "not by most of a balance": Case(
        {"e": Entry(YEAR_END, [("sales", 999), ("rent", -400), ("retained", -599)])}, set(), -599
    ),
    "not with money in it": Case(
        {"e": Entry(YEAR_END, [*WHOLE[:2], ("retained", -500), ("bank", -100)])}, set(), -600
    ),
    "not in the middle of it": Case({"e": Entry(date(2025, 6, 30), WHOLE, "Closing")}, set()),
    "not by what undoes an expense by hand": Case(
        {
            "e": Entry(YEAR_END, WHOLE),
            "party": Entry(date(2026, 1, 5), PARTY, "Closing party"),
            "undone": Entry(date(2026, 1, 6), against(PARTY), "Closing party was private"),
        },
        {"e"},
    ),
}


def landed(company: str, case: Case) -> Iterator[Row]:
    older = {"old": Entry(date(2024, 2, 2), [("bank", 9), ("sales", -9)])} if case.has_older else {}
    for key, entry in {**older, **YEAR, **case.entries}.items():
        day = entry.booked or entry.day
        at = datetime(day.year, day.month, day.day, 4, tzinfo=UTC)
        yield journal(
            company, key, (entry.day, [(name, str(amount)) for name, amount in entry.lines]),
            description=entry.text, status=entry.status, reversesId=entry.reverses,
            createdAt=at, postedAt=at,
        )  # fmt: skip


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("closings")
    data, seeds = folder / "data", folder / "seeds"
    data.mkdir()
    seeds.mkdir()
    landing = {
        "accounts": [account(name, key, *rest) for name in CASES for key, rest in CHART.items()],
        "journal_entries": [row for name, case in CASES.items() for row in landed(name, case)],
    }
    write(data, landing, [])
    about = {"currency": "MYR", "timezone": "Asia/Kuala_Lumpur", "today": TODAY, "built_at": LATER}
    companies = [{"company_id": name, **about} for name in CASES]
    write_inputs(data, companies=companies)
    starts = [f"{name},{case.start_month}\n" for name, case in CASES.items()]
    quoted = [f'"{line.rpartition(",")[0]}",{line.rpartition(",")[2]}' for line in starts]
    (seeds / "fiscal_year.csv").write_text("company_id,start_month\n" + "".join(quoted))
    for table in ("account_roles", "period_close"):
        text = (WAREHOUSE / f"seeds/{table}.csv").read_text()
        (seeds / f"{table}.csv").write_text(text)
    hand_over(data, seeds)
    assert not models.failed(models.build(data, "profit_and_loss_summary"))
    with duckdb.connect(str(data / "build.duckdb"), read_only=True) as db:
        db.execute("set schema = 'finance'")
        yield lambda sql, *values: db.execute(sql, values).fetchall()


@pytest.mark.parametrize("name", CASES)
def test_a_year_is_closed(ask: Any, name: str) -> None:
    found = ask(
        "select distinct journal_id from general_ledger where is_closing_entry and company_id = ?",
        name,
    )
    assert {row[0] for row in found} == CASES[name].closings


@pytest.mark.parametrize("name", CASES)
def test_the_last_month_keeps_the_profit_that_it_made(ask: Any, name: str) -> None:
    ((profit,),) = ask(
        "select net_profit from profit_and_loss_summary where company_id = ? and period = ?",
        name,
        date(2025, 12, 1),
    )
    assert profit == Decimal(CASES[name].december)
