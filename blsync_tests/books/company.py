"""What a made-up company is: its chart, its plan, and what landed of it.

All companies use the same ids, so that whatever mixes companies up shows.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from blsync.entities import ENTITIES

Row = dict[str, Any]
DAY = timedelta(days=1)

CHART = {
    "1000": ("Public Mutual 3391", "asset", "current_asset", "cash"),
    "1010": ("Petty Cash", "asset", "current_asset", "cash"),
    "1150": ("Takings", "asset", "current_asset", "pos_clearing"),
    "1160": ("Takings by Card", "asset", "current_asset", "pos_clearing"),
    "1200": ("Trade Debtors", "asset", "current_asset", "accounts_receivable"),
    "1300": ("Goods", "asset", "current_asset", "inventory"),
    "1400": ("Prepaid Rent", "asset", "current_asset", "prepaid_expense"),
    "1500": ("Van", "asset", "fixed_asset", "fixed_asset"),
    "1510": ("Accumulated Depreciation", "asset", "fixed_asset", "accumulated_depreciation"),
    "1900": ("Goodwill", "asset", "other_asset", None),
    "1990": ("Sundries", "asset", None, None),
    "2000": ("Trade Creditors", "liability", "current_liability", "accounts_payable"),
    "2100": ("SST Payable", "liability", "current_liability", "tax_payable"),
    "2150": ("Goods Received Not Invoiced", "liability", "current_liability",
             "goods_received_not_invoiced"),
    "2500": ("Mortgage", "liability", "long_term_liability", "loan"),
    "2900": ("Provision", "liability", "other_liability", None),
    "3000": ("Share Capital", "equity", "equity", "share_capital"),
    "3200": ("Retained Earnings", "equity", "equity", "retained_earnings"),
    "3300": ("Drawings", "equity", "equity", "dividends"),
    "4000": ("Sales", "revenue", "operating_revenue", "revenue"),
    "4100": ("Odd Jobs", "revenue", None, None),
    "4900": ("Interest Earned", "revenue", "other_revenue", "other_income"),
    "5000": ("Cost of Sales", "expense", "cost_of_goods_sold", "cost_of_goods_sold"),
    "6100": ("Rent", "expense", "operating_expense", "operating_expense"),
    "6200": ("Bits and Bobs", "expense", None, None),
    "6900": ("Fines", "expense", "other_expense", "other_expense"),
    "9990": ("Never Used", "expense", "operating_expense", "operating_expense"),
}  # fmt: skip
"""Number → name, type, category, and the role that the name, the items or the user give."""
ROLES_BY_USER = {"1000": "cash", "1150": "pos_clearing", "1160": "pos_clearing"}
OF_DOCUMENTS = ("1150", "1160", "2150")
"""Accounts on which nothing but documents and what goes with them is booked."""
USED = tuple(number for number in CHART if number not in ("9990", *OF_DOCUMENTS))
PROFIT = tuple(number for number in USED if CHART[number][1] in ("revenue", "expense"))
CURRENCIES = {"MYR": None, "USD": Decimal("4.25512345"), "IDR": Decimal("0.00028"), "SGD": None}
"""Exchange rates; BigLedger gives none for the company's own, and here for Singapore's neither."""
ITEMS = ("item_a", "item_b", "item_c", None)
TAX_RATES = {"SST-10": 10, "SST-6": 6, "SST-8": 8, None: 0}


@dataclass(frozen=True)
class Plan:
    """What a company's books are like."""

    seed: int
    today: date = date(2026, 3, 15)
    start_month: int = 1
    months: int = 26
    entries: int = 60
    invoices: int = 40
    closings: str = "none"
    timezone: str = "Asia/Kuala_Lumpur"


CLOSINGS = ("last day", "after", "partly", "taken back", "none")
TODAYS = (
    date(2026, 3, 15),
    date(2024, 2, 29),
    date(2025, 2, 28),
    date(2025, 12, 31),
    date(2026, 6, 1),
)
STARTS = (6, 1, 2, 4, 1, 7, 12, 10)
ZONES = ("Asia/Kuala_Lumpur", "Asia/Kuala_Lumpur", "America/St_Johns")


def plans(place: int) -> st.SearchStrategy[Plan]:
    """Return plans of which the simplest differs from place to place.

    Those of the first company begin with its first month, those of the second with nothing at all.
    """

    def any_of(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
        first = place % len(values)
        return st.sampled_from([*values[first:], *values[:first]])

    def upto(most: int) -> st.SearchStrategy[int]:
        return st.integers(0, most).map(lambda fewer: most - fewer)

    return st.builds(
        Plan,
        seed=st.integers(0, 2**32),
        today=any_of(TODAYS) | st.dates(date(2024, 3, 1), date(2026, 11, 30)),
        start_month=any_of(STARTS),
        months=upto(place * 7 % 41),
        entries=upto(0 if place == 1 else 60),
        invoices=upto(0 if place == 1 else 40),
        closings=any_of(CLOSINGS),
        timezone=any_of(ZONES),
    )


@dataclass(eq=False)
class Book:
    """One company: what landed of it, and what its user's tables say."""

    company: str
    plan: Plan
    built_at: datetime
    nights: list[datetime]
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    closes: dict[date, datetime] = field(default_factory=dict)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.plan.timezone)


def end_of(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def month_of(day: date, offset: int = 0) -> date:
    """Return the first day of the month, so many months on."""
    months = day.year * 12 + day.month - 1 + offset
    return date(months // 12, months % 12 + 1, 1)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), "ROUND_HALF_UP")


RANKS = {"void": 2, "posted": 1}


def ordered(rows: list[Row], entity: str) -> dict[tuple[str, ...], list[Row]]:
    """Return each record's versions in the order in which they came to be known.

    Of several pulled at one instant a delete is the last, before it what changed last, and of
    entries the void one.
    """
    never = datetime.min.replace(tzinfo=UTC)
    names = [feed.change_field for feed in ENTITIES[entity].feeds]

    def place(row: Row) -> tuple[Any, ...]:
        changed = max((row[name] for name in names if row.get(name)), default=never)
        rank = RANKS.get(row.get("status") or "", 0) if entity == "journal_entries" else 0
        return row["_pulled_at"], row["_op"] == "delete", changed, rank, row["_load_id"]

    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=place):
        found[tuple(row[name] for name in ENTITIES[entity].key)].append(row)
    return found


def latest(
    rows: list[Row], entity: str, before: datetime | None = None
) -> dict[tuple[str, ...], Row]:
    """Return the live records, by what was pulled before an instant."""
    found = {}
    for key, versions in ordered(rows, entity).items():
        known = [row for row in versions if before is None or row["_pulled_at"] < before]
        if known and known[-1]["_op"] == "upsert":
            found[key] = known[-1]
    return found
