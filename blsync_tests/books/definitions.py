"""What figures of made-up books are told in: sections, signs, shares, days, amounts."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from books.company import CHART, CURRENCIES, DAY, Book, Row, cents, ordered

Key = tuple[Any, ...]
Figures = dict[Key, dict[str, Any]]
ZERO = Decimal(0)

SECTIONS = {
    "asset": "assets",
    "liability": "liabilities",
    "equity": "equity",
    "revenue": "operating_revenue",
    "expense": "operating_expense",
}
CASH_FLOW = {
    "1150": ("operating", "Change in other current assets"),
    "1160": ("operating", "Change in other current assets"),
    "1200": ("operating", "Change in trade receivables"),
    "1300": ("operating", "Change in inventory"),
    "1400": ("operating", "Change in prepayments"),
    "1500": ("investing", "Fixed assets at cost"),
    "1510": ("operating", "Depreciation and amortisation added back"),
    "1900": ("investing", "Other assets"),
    "1990": ("operating", "Change in other current assets"),
    "2000": ("operating", "Change in trade payables"),
    "2100": ("operating", "Change in tax payable"),
    "2150": ("operating", "Change in trade payables"),
    "2500": ("financing", "Loans"),
    "2900": ("operating", "Change in other liabilities"),
    "3000": ("financing", "Capital"),
    "3200": ("financing", "Entries on earnings other than closings"),
    "3300": ("financing", "Dividends and drawings"),
}
SHEET = ("assets", "liabilities", "equity")
CATEGORIES = ("current_asset", "fixed_asset", "other_asset", "current_liability",
              "long_term_liability", "other_liability")  # fmt: skip
CASH = ("acc_1000", "acc_1010")
RECEIVABLE, TAX = "acc_1200", "acc_2100"


def section_of(number: str) -> str:
    _, kind, category, _ = CHART[number]
    own = ("other_revenue", "other_expense", "cost_of_goods_sold")
    return category if category in own else SECTIONS[kind]  # type: ignore[return-value]


ACCOUNTS = {f"acc_{number}": (number, kind) for number, (_, kind, *_) in CHART.items()}
SECTION = {account: section_of(number) for account, (number, _) in ACCOUNTS.items()}
IS_DEBIT = {account: kind in ("asset", "expense") for account, (_, kind) in ACCOUNTS.items()}
IS_PROFIT = {account: kind in ("revenue", "expense") for account, (_, kind) in ACCOUNTS.items()}


def natural(account: str, amount: Decimal) -> Decimal:
    return amount if IS_DEBIT[account] else -amount


def percent(part: Decimal, whole: Decimal | None) -> Decimal | None:
    """Hundredths; nothing where there is nothing to be a share of, or beyond all meaning."""
    share = 100 * part / whole if whole else None
    return None if share is None or abs(share) >= 10**14 else share


def local_day(book: Book, at: datetime) -> date:
    return at.astimezone(book.zone).date()


def midnight_after(book: Book, day: date) -> datetime:
    after = day + DAY
    return datetime(after.year, after.month, after.day, tzinfo=book.zone)


def last_known(rows: list[Row], entity: str) -> dict[str, tuple[Row, bool]]:
    """Return each record as it was last seen, and whether it is gone."""
    return {
        key[0]: ([row for row in versions if row["_op"] == "upsert"][-1],
                 versions[-1]["_op"] == "delete")
        for key, versions in ordered(rows, entity).items()
    }  # fmt: skip


def rate_of(row: Row) -> Decimal:
    return CURRENCIES[row["currency"]] or Decimal(1)


def in_ringgit(row: Row, amount: Decimal) -> Decimal:
    return cents(amount * rate_of(row))


def due_of(row: Row) -> Decimal:
    """Still to pay; where BigLedger does not say, the total less what was paid."""
    if row["amountDue"] is not None:
        return Decimal(row["amountDue"])
    return total_of(row) - (row["amountPaid"] or ZERO) if row["total"] is not None else ZERO


def total_of(row: Row) -> Decimal:
    return row["total"] or ZERO
