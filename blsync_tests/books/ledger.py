"""What the ledger's marts should say, added up from the landed entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pandas as pd

from books.company import CHART, DAY, Book, Row, end_of, latest, month_of
from books.definitions import (
    ACCOUNTS,
    CASH,
    CASH_FLOW,
    CATEGORIES,
    IS_DEBIT,
    IS_PROFIT,
    SECTION,
    SHEET,
    ZERO,
    Figures,
    Key,
    last_known,
    local_day,
    natural,
    percent,
)


def counted(book: Book, before: datetime | None = None) -> dict[str, Row]:
    """Entries posted or void, by what was pulled before an instant."""
    rows = latest(book.rows["journal_entries"], "journal_entries", before)
    return {key[0]: row for key, row in rows.items() if row["status"] in ("posted", "void")}


def fiscal_year(book: Book, day: date) -> int:
    """Numbered by the calendar year in which it ends."""
    start = book.plan.start_month
    return day.year + (start > 1 and day.month >= start)


def closed_year(book: Book, row: Row) -> int | None:
    """Return the fiscal year that an entry between profit and equity alone may close.

    It is dated on the year's last day, or in the quarter after it.
    """
    accounts = {line["accountId"] for line in row["lines"]}
    profit = {account for account in accounts if IS_PROFIT[account]}
    if not profit or profit == accounts or any(SECTION[a] != "equity" for a in accounts - profit):
        return None
    year, month = fiscal_year(book, row["date"]), (row["date"].month - book.plan.start_month) % 12
    if fiscal_year(book, row["date"] + DAY) != year:
        return year
    return year - 1 if month < 3 else None


def closing_entries(book: Book, entries: dict[str, Row]) -> set[str]:
    """What leaves no profit account with a balance of a year's end, and what reverses that."""
    years = {key: closed_year(book, row) for key, row in entries.items()}
    own = {
        key: year for key, year in years.items()
        if year is not None and years.get(entries[key].get("reversesId") or "") is None
    }  # fmt: skip
    back = {
        key: own[row["reversesId"]] for key, row in entries.items()
        if row.get("reversesId") in own
    }  # fmt: skip
    found: set[str] = set()
    for year in set(own.values()):
        for span in (None, year):
            for order in orders(book, entries, own, back, year, span):
                found |= closed_in(order)
    return found | {key for key, row in entries.items() if row.get("reversesId") in found}


Step = tuple[str | None, dict[str, Decimal], bool]
"""An entry by its key, what it puts on profit accounts, and whether it is no candidate itself."""


def orders(
    book: Book, entries: dict[str, Row], own: dict[str, int], back: dict[str, int], year: int,
    span: int | None,
) -> Iterator[list[Step]]:  # fmt: skip
    """Yield the orders in which a year's entries may be read: by dates, as they were booked."""

    def on_profit(key: str) -> dict[str, Decimal]:
        moved: dict[str, Decimal] = defaultdict(Decimal)
        for line in entries[key]["lines"]:
            if IS_PROFIT[line["accountId"]]:
                moved[line["accountId"]] += (line["debit"] or ZERO) - (line["credit"] or ZERO)
        return dict(moved)

    def booked(key: str) -> tuple[Any, ...]:
        row = entries[key]
        at = max(filter(None, (row["createdAt"], row["postedAt"])))
        return at, key in mine, len(on_profit(key)) if key in mine else 0, row["journalNumber"], key

    def fits(key: str) -> bool:
        return key not in after or all(
            amount * left[account] < 0 and abs(amount) <= abs(left[account])
            for account, amount in on_profit(key).items()
        )

    mine = {key for key, closed in own.items() if closed == year}
    after = {key for key in mine if fiscal_year(book, entries[key]["date"]) != year}
    are_back = {entries[key]["reversesId"] for key, closed in back.items() if closed == year}
    others = [
        key for key, row in entries.items()
        if own.get(key, back.get(key)) != year
        and fiscal_year(book, row["date"]) <= year
        and (span is None or (fiscal_year(book, row["date"]) == year
                              and own.get(key, back.get(key, year)) >= year))
    ]  # fmt: skip
    steady: list[Step] = [(None, on_profit(key), True) for key in others]
    last_day = [*steady, *((None, on_profit(key), False) for key in mine - after - are_back)]
    left: dict[str, Decimal] = defaultdict(Decimal)
    for _, moved, _ in last_day:
        for account, amount in moved.items():
            left[account] += amount
    mine = {key for key in mine if fits(key)}
    for some in (mine - are_back, mine & are_back):
        last = sorted(some, key=lambda key: (len(on_profit(key)), booked(key)))
        yield [*steady, *((key, on_profit(key), False) for key in last)]
    yield from ([*last_day, (key, on_profit(key), False)] for key in mine & after)
    taken = [key for key, closed in back.items() if closed == year]
    yield [
        (key if key in mine else None, on_profit(key), key in others)
        for key in sorted([*others, *mine, *taken], key=booked)
    ]


def closed_in(order: list[Step]) -> set[str]:
    left: dict[str, Decimal] = defaultdict(Decimal)
    before: dict[str, Decimal] = defaultdict(Decimal)
    found: set[str] = set()
    waiting: set[str] = set()
    for key, moved, is_other in order:
        for account, amount in moved.items():
            left[account] += amount
            before[account] += amount if is_other else ZERO
        if key is None:
            continue
        takes_away = any(before[account] * amount < 0 for account, amount in moved.items())
        if takes_away and not any(left[account] for account in moved):
            waiting.add(key)
        if not any(left.values()):
            found |= waiting
    return found


def ledger_of(book: Book) -> pd.DataFrame:
    """Return the lines that count, a row a line, in the order of date, number and line."""
    entries = counted(book)
    closings = closing_entries(book, entries)
    reversed_ids = {row.get("reversesId") for row in entries.values()}
    lines = [
        {
            "journal_id": key,
            "line_no": number,
            "journal_date": row["date"],
            "journal_number": row["journalNumber"],
            "period": month_of(row["date"]),
            "account_id": line["accountId"],
            "debit": line["debit"] or ZERO,
            "credit": line["credit"] or ZERO,
            "amount": (line["debit"] or ZERO) - (line["credit"] or ZERO),
            "status": row["status"],
            "reverses_journal_id": row.get("reversesId"),
            "is_reversed": key in reversed_ids,
            "is_closing_entry": key in closings,
            "days_backdated": (local_day(book, row["createdAt"]) - row["date"]).days,
            "request_id": row["_request_id"],
        }
        for key, row in entries.items()
        for number, line in enumerate(row["lines"], start=1)
    ]
    order = ["journal_date", "journal_number", "journal_id", "line_no"]
    columns = ["journal_id", "line_no", "journal_date", "journal_number", "period", "account_id",
               "debit", "credit", "amount", "is_closing_entry"]  # fmt: skip
    frame = pd.DataFrame(lines, columns=None if lines else columns, dtype=object)
    return frame.sort_values(order, ignore_index=True)


def months_of(book: Book, ledger: pd.DataFrame) -> list[date]:
    """From the month of the first entry to the running month, or the last entry's."""
    days = [*ledger["journal_date"]]
    first = month_of(min(days, default=book.plan.today))
    last = month_of(max([book.plan.today, *days]))
    return [
        month_of(first, n)
        for n in range((last.year - first.year) * 12 + last.month - first.month + 1)
    ]


def sums(frame: pd.DataFrame, keys: list[str], column: str = "amount") -> dict[Any, Decimal]:
    """Add a column up by keys."""
    return dict(frame.groupby(keys)[column].sum()) if len(frame) else {}


class Accounts:
    """Movements and balances of a book's accounts by month."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.ledger = ledger_of(book)
        self.months = months_of(book, self.ledger)
        self.debits = sums(self.ledger, ["account_id", "period"], "debit")
        self.credits = sums(self.ledger, ["account_id", "period"], "credit")
        closings = self.ledger[self.ledger["is_closing_entry"].astype(bool)]
        self.closings = sums(closings, ["account_id", "period"])
        firsts = self.ledger.groupby("account_id")["period"].min() if len(self.ledger) else {}
        self.first: dict[str, date] = dict(firsts)
        self.balances: dict[Key, Decimal] = {}
        for account in self.first:
            sofar = ZERO
            for month in self.months:
                sofar += self.moved(account, month)
                self.balances[account, month] = sofar

    def moved(self, account: str, month: date) -> Decimal:
        return self.debits.get((account, month), ZERO) - self.credits.get((account, month), ZERO)

    def balance(self, account: str, month: date) -> Decimal:
        return self.balances.get((account, month), ZERO)

    def earned(self, account: str, month: date) -> Decimal:
        """Of revenue or expense, positive on its normal side, closing entries left out."""
        return natural(account, self.moved(account, month) - self.closed(account, month))

    def closed(self, account: str, month: date) -> Decimal:
        return self.closings.get((account, month), ZERO)

    def since(self, account: str) -> list[date]:
        return [month for month in self.months if month >= self.first[account]]


@cache
def accounts_of(book: Book) -> Accounts:
    return Accounts(book)


def general_ledger(book: Book, accounts: Accounts) -> Figures:
    names = last_known(book.rows["accounts"], "accounts")
    running: dict[str, Decimal] = defaultdict(Decimal)
    found: Figures = {}
    for line in accounts.ledger.to_dict("records"):
        account = line["account_id"]
        running[account] += line["amount"]
        key = (line.pop("journal_id"), line.pop("line_no"))
        found[key] = {
            **line,
            "account_name": names[account][0]["name"],
            "natural_amount": natural(account, line["amount"]),
            "running_balance": running[account],
        }
    return found


def trial_balance(accounts: Accounts) -> Figures:
    found = {}
    for account in accounts.first:
        for month in accounts.since(account):
            closing, moved = accounts.balance(account, month), accounts.moved(account, month)
            found[month, account] = {
                "period_end": end_of(month),
                "opening_balance": closing - moved,
                "debit": accounts.debits.get((account, month), ZERO),
                "credit": accounts.credits.get((account, month), ZERO),
                "net_movement": moved,
                "closing_balance": closing,
                "closing_debit": max(closing, ZERO),
                "closing_credit": max(-closing, ZERO),
            }
    return found


def unclosed(accounts: Accounts, account: str, month: date) -> tuple[Decimal, Decimal]:
    """Split what no entry has closed into (earlier fiscal years, the current one).

    A closing takes from earlier years first.
    """
    year = fiscal_year(accounts.book, month)
    before = [m for m in accounts.months if fiscal_year(accounts.book, m) < year]
    within = [m for m in accounts.months if fiscal_year(accounts.book, m) == year and m <= month]
    brought = sum((accounts.moved(account, m) for m in before), ZERO)
    closed = sum((accounts.closed(account, m) for m in within), ZERO)
    earlier = brought
    if brought > 0 > closed:
        earlier = max(brought + closed, ZERO)
    elif brought < 0 < closed:
        earlier = min(brought + closed, ZERO)
    return -earlier, -(accounts.balance(account, month) - earlier)


def balance_sheet(book: Book, accounts: Accounts) -> Figures:
    names = last_known(book.rows["accounts"], "accounts")
    balances: dict[Key, Decimal] = {}
    about: dict[Key, tuple[str, bool]] = {}
    for account in accounts.first:
        if not IS_PROFIT[account]:
            line = (account, names[account][0]["name"])
            about[line] = (SECTION[account], False)
            for month in accounts.since(account):
                balances[month, *line] = natural(account, accounts.balance(account, month))
    for place, name in enumerate(("Retained earnings not yet closed", "Current year earnings")):
        about[None, name] = ("equity", True)
        for month in accounts.months:
            parts = [unclosed(accounts, a, month)[place] for a in accounts.first if IS_PROFIT[a]]
            balances[month, None, name] = sum(parts, ZERO)
    places: dict[Key, int] = {}
    for month in accounts.months:
        sheet = sorted((key for key in balances if key[0] == month), key=place_on_sheet)
        places |= {key: place for place, key in enumerate(sheet, start=1)}
    return {
        (end_of(month), *line): {
            "section": about[line][0],
            "is_computed": about[line][1],
            "line_order": places[month, *line],
            "balance": balance,
            "previous_month_balance": balances.get((month_of(month, -1), *line), ZERO),
            "previous_year_balance": balances.get((month_of(month, -12), *line), ZERO),
        }
        for (month, *rest), balance in balances.items()
        for line in [tuple(rest)]
    }


def place_on_sheet(key: Key) -> Key:
    """Sections, in them categories, in them numbers; the computed lines come last."""
    _, account, name = key
    if account is None:
        return (SHEET.index("equity"), True, name.startswith("Current"))
    category = CHART[ACCOUNTS[account][0]][2]
    place = CATEGORIES.index(category) if category in CATEGORIES else len(CATEGORIES)
    return (SHEET.index(SECTION[account]), False, place, account)


def operating_revenue(accounts: Accounts, month: date) -> Decimal:
    wanted = [a for a in accounts.first if SECTION[a] == "operating_revenue"]
    return sum((accounts.earned(a, month) for a in wanted), ZERO)


def profit_and_loss(accounts: Accounts) -> Figures:
    found = {}
    for account in filter(IS_PROFIT.__getitem__, accounts.first):
        for month in accounts.since(account):
            year = fiscal_year(accounts.book, month)
            upto = [m for m in accounts.months if m <= month]
            to_date = [m for m in upto if fiscal_year(accounts.book, m) == year]
            amount = accounts.earned(account, month)
            found[month, account] = {
                "section": SECTION[account],
                "amount": amount,
                "ytd_amount": sum((accounts.earned(account, m) for m in to_date), ZERO),
                "previous_month_amount": accounts.earned(account, month_of(month, -1)),
                "previous_year_amount": accounts.earned(account, month_of(month, -12)),
                "rolling_12m_amount": sum((accounts.earned(account, m) for m in upto[-12:]), ZERO),
                "pct_of_revenue": percent(amount, operating_revenue(accounts, month)),
            }
    return found


def profit_and_loss_summary(accounts: Accounts) -> Figures:
    found = {}
    for month in accounts.months:
        line: dict[str, Any] = {}
        for section in ("operating_revenue", "cost_of_goods_sold", "operating_expense",
                        "other_revenue", "other_expense"):  # fmt: skip
            mine = [a for a in accounts.first if SECTION[a] == section]
            line[section] = sum((accounts.earned(a, month) for a in mine), ZERO)
        gross = line["operating_revenue"] - line["cost_of_goods_sold"]
        operating = gross - line["operating_expense"]
        net = operating + line["other_revenue"] - line["other_expense"]
        found[(month,)] = {
            **line,
            "gross_profit": gross,
            "operating_profit": operating,
            "net_profit": net,
            "gross_margin_pct": percent(gross, line["operating_revenue"]),
            "net_margin_pct": percent(net, line["operating_revenue"]),
        }
    return found


def cash_flow(accounts: Accounts) -> Figures:
    """Each account but cash moves cash by the opposite of its own movement, profit among them."""
    found: Figures = {}
    for month in accounts.months:
        earned = {a: accounts.earned(a, month) for a in accounts.first if IS_PROFIT[a]}
        profit = sum((-amount if IS_DEBIT[a] else amount for a, amount in earned.items()), ZERO)
        found[month, "Net profit", None] = {"section": "operating", "amount": profit}
    for account in accounts.first:
        number, _ = ACCOUNTS[account]
        for month in accounts.since(account) if number in CASH_FLOW else []:
            section, name = CASH_FLOW[number]
            amount = accounts.closed(account, month) - accounts.moved(account, month)
            found[month, name, account] = {"section": section, "amount": amount}
    return found


def cash_flow_summary(accounts: Accounts, lines: Figures) -> Figures:
    found = {}
    for month in accounts.months:
        flows = {"operating": ZERO, "investing": ZERO, "financing": ZERO}
        for (of_month, *_), line in lines.items():
            flows[line["section"]] += line["amount"] if of_month == month else 0
        opening = sum((accounts.balance(a, month_of(month, -1)) for a in CASH), ZERO)
        closing = sum((accounts.balance(a, month) for a in CASH), ZERO)
        found[(month,)] = {
            **flows,
            "opening_cash": opening,
            "closing_cash": closing,
            "ledger_cash_change": closing - opening,
            "footing_difference": ZERO,
        }
    return found


def periods(book: Book, accounts: Accounts) -> Figures:
    start = book.plan.start_month
    return {
        (month,): {
            "period_end": end_of(month),
            "fiscal_year": fiscal_year(book, month),
            "fiscal_month": (month.month - start) % 12 + 1,
            "fiscal_quarter": (month.month - start) % 12 // 3 + 1,
            "is_closed": month in book.closes,
        }
        for month in accounts.months
    }


def accounts_table(book: Book) -> Figures:
    return {
        (key,): {
            "account_name": row["name"],
            "account_role": CHART[row["accountNumber"]][3],
            "section": SECTION[key],
            "is_active": row["isActive"],
            "is_deleted": is_gone,
        }
        for key, (row, is_gone) in last_known(book.rows["accounts"], "accounts").items()
    }
