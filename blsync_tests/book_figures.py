"""What the marts should say of random books, straight from the definitions.

Nothing here reads a model. Figures are added up from the landed records, with decimals throughout;
where a mart divides, `APPROXIMATE` says how near is near enough.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pandas as pd
from books import CHART, CURRENCIES, DAY, Book, Row, cents, end_of, latest, month_of, ordered

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
    "1200": ("operating", "Change in trade receivables"),
    "1300": ("operating", "Change in inventory"),
    "1400": ("operating", "Change in prepayments"),
    "1500": ("investing", "Fixed assets at cost"),
    "1510": ("operating", "Depreciation and amortisation added back"),
    "1900": ("investing", "Other assets"),
    "1990": ("operating", "Change in other current assets"),
    "2000": ("operating", "Change in trade payables"),
    "2100": ("operating", "Change in tax payable"),
    "2500": ("financing", "Loans"),
    "2900": ("operating", "Change in other liabilities"),
    "3000": ("financing", "Capital"),
    "3200": ("financing", "Entries on earnings other than closings"),
    "3300": ("financing", "Dividends and drawings"),
}
SHEET = ("assets", "liabilities", "equity")
CATEGORIES = ("current_asset", "fixed_asset", "other_asset", "current_liability",
              "long_term_liability", "other_liability")  # fmt: skip
CLOSING = re.compile(r"\bclos(e|ed|es|ing)\b", re.IGNORECASE)
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


# --- the ledger -----------------------------------------------------------------------------------


def counted(book: Book, before: datetime | None = None) -> dict[str, Row]:
    """Entries posted or void, by what was pulled before an instant."""
    rows = latest(book.rows["journal_entries"], "journal_entries", before)
    return {key[0]: row for key, row in rows.items() if row["status"] in ("posted", "void")}


def fiscal_year(book: Book, day: date) -> int:
    """Numbered by the calendar year in which it ends."""
    start = book.plan.start_month
    return day.year + (start > 1 and day.month >= start)


def closing_entries(book: Book, entries: dict[str, Row]) -> set[str]:
    """Entries between profit and equity alone, at a year's end or by their words, and what
    reverses them."""
    found = set()
    for key, row in entries.items():
        accounts = {line["accountId"] for line in row["lines"]}
        is_closed_group = all(IS_PROFIT[a] or SECTION[a] == "equity" for a in accounts)
        has_both = any(map(IS_PROFIT.__getitem__, accounts)) and not all(
            map(IS_PROFIT.__getitem__, accounts)
        )
        at_year_end = fiscal_year(book, row["date"] + DAY) != fiscal_year(book, row["date"])
        says_so = CLOSING.search(row.get("description") or "") is not None
        is_closing = says_so or ("acc_3200" in accounts and at_year_end)
        if is_closed_group and has_both and is_closing:
            found.add(key)
    return found | {key for key, row in entries.items() if row.get("reversesId") in found}


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


# --- receivables ----------------------------------------------------------------------------------


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


def recognised(book: Book, before: datetime | None = None) -> dict[str, Row]:
    rows = latest(book.rows["invoices"], "invoices", before)
    return {key[0]: row for key, row in rows.items() if row["status"] not in ("draft", "cancelled")}


def due_date(row: Row) -> date | None:
    return row["dueDate"] or row["invoiceDate"]


def past_month_ends(book: Book, rows: Iterable[Row]) -> Iterator[date]:
    """Month ends before today, since the first pull."""
    day = end_of(min((local_day(book, row["_pulled_at"]) for row in rows), default=book.plan.today))
    while day < book.plan.today:
        yield day
        day = end_of(day + DAY)


def ar_open_items(book: Book) -> Figures:
    today = book.plan.today
    moments = {
        day: midnight_after(book, day) for day in past_month_ends(book, book.rows["invoices"])
    }
    customers = last_known(book.rows["customers"], "customers")
    found: Figures = {}
    for day, before in [*moments.items(), (today, None)]:
        for key, row in recognised(book, before).items():
            is_dated_ahead = row["invoiceDate"] is not None and row["invoiceDate"] > day
            owed = in_ringgit(row, due_of(row))
            if is_dated_ahead or owed <= 0:
                continue
            due = due_date(row)
            late = (day - due).days if due else None
            customer = row["customerId"] or None
            known = customers.get(customer or "")
            found[day, key] = {
                "customer_id": customer,
                "customer_name": known[0]["name"] if known else row["customer"]["name"],
                "due_date": due,
                "invoice_total": in_ringgit(row, total_of(row)),
                "amount_paid": in_ringgit(row, row["amountPaid"] or ZERO),
                "open_amount": owed,
                "days_past_due": late,
                "bucket": bucket_of(late),
            }
    return found


def bucket_of(late: int | None) -> str:
    """Up to 30 days past due is current; what has no date is older than all."""
    for last, name in ((30, "current"), (60, "31_60"), (90, "61_90")):
        if late is not None and late <= last:
            return name
    return "over_90"


def ar_aging(book: Book, open_items: Figures) -> Figures:
    found: Figures = {}
    for (day, _), line in open_items.items():
        customer = line["customer_id"]
        before = None if day == book.plan.today else midnight_after(book, day)
        row = found.setdefault((day, customer), {
            "current": ZERO, "days_31_60": ZERO, "days_61_90": ZERO, "over_90": ZERO,
            "total_outstanding": ZERO, "total_overdue": ZERO, "oldest_days": 0,
            "credit_limit": limit_known(book, customer, before),
        })  # fmt: skip
        names = {"31_60": "days_31_60", "61_90": "days_61_90"}
        row[names.get(line["bucket"], line["bucket"])] += line["open_amount"]
        row["total_outstanding"] += line["open_amount"]
        late = line["days_past_due"] or 0
        row["total_overdue"] += line["open_amount"] if late > 0 else 0
        row["oldest_days"] = max(row["oldest_days"], late)
    return found


def limit_known(book: Book, customer: str | None, before: datetime | None) -> Decimal | None:
    """The last limit seen by then, also of a customer that is gone."""
    rows = ordered(book.rows["customers"], "customers").get((customer or "",), [])
    seen = [r for r in rows if r["_op"] == "upsert" and (not before or r["_pulled_at"] < before)]
    return seen[-1]["creditLimit"] if seen else None


def days_to_pay(rows: Iterable[Row]) -> Decimal | None:
    """Mean of days from invoice to last payment of invoices that are paid."""
    days = [
        (row["lastPaymentDate"] - row["invoiceDate"]).days
        for row in rows
        if due_of(row) <= 0 < total_of(row) and row.get("lastPaymentDate") and row["invoiceDate"]
    ]
    return Decimal(sum(days)) / len(days) if days else None


def months_before(day: date, months: int) -> date:
    """The same day so many months before, or that month's last."""
    first = month_of(day, -months)
    return first.replace(day=min(day.day, end_of(first).day))


def customers(book: Book, open_items: Figures) -> Figures:
    today = book.plan.today
    found: Figures = {}
    for key, (row, is_gone) in last_known(book.rows["customers"], "customers").items():
        mine = [i for i in recognised(book).values() if i["customerId"] == key]
        dates = [i["invoiceDate"] for i in mine if i["invoiceDate"]]
        year_ago = months_before(today, 12)
        is_owed = [
            line for (day, _), line in open_items.items()
            if day == today and line["customer_id"] == key
        ]  # fmt: skip
        owed = sum((line["open_amount"] for line in is_owed), ZERO)
        found[(key,)] = {
            "customer_name": row["name"],
            "is_deleted": is_gone,
            "credit_limit": row["creditLimit"],
            "open_balance": owed,
            "overdue_balance": sum(
                (line["open_amount"] for line in is_owed if (line["days_past_due"] or 0) > 0), ZERO
            ),
            "credit_used_pct": percent(owed, row["creditLimit"]),
            "first_invoice_date": min(dates, default=None),
            "last_invoice_date": max(dates, default=None),
            "invoice_count": len(mine),
            "revenue_total": sum((in_ringgit(i, i["subtotal"] or ZERO) for i in mine), ZERO),
            "revenue_12m": sum(
                (in_ringgit(i, i["subtotal"] or ZERO) for i in mine
                 if i["invoiceDate"] and year_ago < i["invoiceDate"] <= today), ZERO,
            ),
            "avg_days_to_pay": days_to_pay(mine),
            "days_since_last_invoice": (today - max(dates)).days if dates else None,
        }  # fmt: skip
    return found


def entries_of(accounts: Accounts) -> Iterator[tuple[date, dict[str, Decimal]]]:
    """Yield month and sums by account of each entry."""
    if len(accounts.ledger):
        for _, lines in accounts.ledger.groupby("journal_id"):
            yield lines["period"].iloc[0], dict(lines.groupby("account_id")["amount"].sum())


def has_revenue(amounts: dict[str, Decimal]) -> bool:
    return any(ACCOUNTS[account][1] == "revenue" for account in amounts)


def collections(book: Book, accounts: Accounts, aging: Figures) -> Figures:
    today = book.plan.today
    sold: dict[date, Decimal] = defaultdict(Decimal)
    cashed: dict[date, Decimal] = defaultdict(Decimal)
    for month, amounts in entries_of(accounts):
        amount = amounts.get(RECEIVABLE, ZERO)
        if not amounts.keys().isdisjoint(CASH):
            cashed[month] -= amount
        elif TAX in amounts or has_revenue(amounts):
            sold[month] += amount
    found = {}
    for place, month in enumerate(accounts.months):
        closing, moved = accounts.balance(RECEIVABLE, month), accounts.moved(RECEIVABLE, month)
        quarter = accounts.months[max(place - 2, 0) : place + 1]
        days = sum(max((min(end_of(m), today) - m).days + 1, 0) for m in quarter)
        sales = sum((sold[m] for m in quarter), ZERO)
        has_begun = month <= today
        owing = [r for (day, _), r in aging.items() if day == min(end_of(month), today)]
        owed = sum((r["total_outstanding"] for r in owing), ZERO) if has_begun else ZERO
        payments = [
            i for i in recognised(book).values()
            if i.get("lastPaymentDate") and month_of(i["lastPaymentDate"]) == month
        ]  # fmt: skip
        found[(month,)] = {
            "opening_ar": closing - moved,
            "credit_sales": sold[month],
            "cash_collected": cashed[month],
            "other_movement": moved - sold[month] + cashed[month],
            "closing_ar": closing,
            "dso": closing * days / sales if has_begun and sales > 0 else None,
            "overdue_pct": percent(sum((r["total_overdue"] for r in owing), ZERO), owed),
            "over_90_pct": percent(sum((r["over_90"] for r in owing), ZERO), owed),
            "avg_days_to_pay": days_to_pay(payments),
        }
    return found


def invoices(book: Book) -> Figures:
    live = latest(book.rows["invoices"], "invoices")
    return {
        (key[0],): {
            "customer_id": row["customerId"] or None,
            "status": row["status"],
            "due_date": due_date(row),
            "total": total_of(row),
            "amount_paid": row["amountPaid"] or ZERO,
            "amount_due": due_of(row),
            "exchange_rate": rate_of(row),
            "days_past_due": (book.plan.today - due).days
            if (due := due_date(row)) and due_of(row) > 0
            and row["status"] not in ("draft", "cancelled") else None,
        }
        for key, row in live.items()
    }  # fmt: skip


def sold_lines(book: Book) -> Iterator[tuple[str, Row, Row]]:
    """Yield (invoice, header, line) of what was sold, by invoices with a date."""
    for key, row in recognised(book).items():
        for line in row["items"] or [] if row["invoiceDate"] else []:
            yield key, row, line


def revenue_monthly(book: Book) -> Figures:
    found: Figures = {}
    invoiced: dict[Key, set[str]] = defaultdict(set)

    def row_of(key: Key) -> dict[str, Any]:
        names = ("quantity", "discount", "net_revenue", "tax", "previous_year_net_revenue")
        return found.setdefault(key, dict.fromkeys(names, ZERO))

    for invoice, row, line in sold_lines(book):
        rest = (row["customerId"] or None, line["itemId"])
        month = month_of(row["invoiceDate"])
        figures = row_of((month, *rest))
        net = in_ringgit(row, line["lineTotal"] or ZERO)
        figures["quantity"] += line["quantity"] or ZERO
        figures["discount"] += in_ringgit(row, line["discountAmount"] or ZERO)
        figures["net_revenue"] += net
        figures["tax"] += in_ringgit(row, line["taxAmount"] or ZERO)
        invoiced[month, *rest].add(invoice)
        if month_of(month, 12) <= book.plan.today:
            row_of((month_of(month, 12), *rest))["previous_year_net_revenue"] += net
    for key, figures in found.items():
        figures["gross_revenue"] = figures["net_revenue"] + figures["discount"]
        figures["invoice_count"] = len(invoiced[key])
    return found


def gross_margin(book: Book) -> Figures:
    sold: dict[Key, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    for _, row, line in sold_lines(book):
        of_item = sold[month_of(row["invoiceDate"]), line["itemId"]]
        of_item[0] += line["quantity"] or ZERO
        of_item[1] += in_ringgit(row, line["lineTotal"] or ZERO)
    costs = {key: unit_cost(book, key) for key in (None, "item_a", "item_b", "item_c")}
    found: Figures = {}
    for key, (quantity, net) in sold.items():
        cost, basis = costs[key[1]]
        estimated = None if cost is None else cents(quantity * cost)
        found[key] = {
            "quantity": quantity,
            "net_revenue": net,
            "cost_basis": basis,
            "cogs_estimated": estimated,
            "gross_profit": None if estimated is None else net - estimated,
            "margin_pct": None if estimated is None else percent(net - estimated, net),
        }
    return found


def unit_cost(book: Book, item: str | None) -> tuple[Decimal | None, str]:
    """Value of the stock on hand by its quantity, else the item's own cost price."""
    mine = [r for (i, _), r in latest(book.rows["stock"], "stock").items() if i == item]
    quantity = sum((row["currentStock"] or ZERO for row in mine), ZERO)
    value = sum((row["stockValue"] or ZERO for row in mine), ZERO)
    if quantity > 0 and value > 0:
        return (value / quantity).quantize(Decimal("0.000001"), "ROUND_HALF_UP"), "average_cost"
    row = latest(book.rows["items"], "items").get((item or "",))
    cost = row["pricing"]["costPrice"] if row else None
    return cost, "none" if cost is None else "cost_price"


def tax_summary(book: Book, accounts: Accounts) -> Figures:
    found: Figures = {}
    billed: dict[Key, set[str]] = defaultdict(set)
    for invoice, row, line in sold_lines(book):
        key = (month_of(row["invoiceDate"]), line["taxCode"], line["taxRate"])
        figures = found.setdefault(key, {"taxable_amount": ZERO, "tax_amount": ZERO})
        figures["taxable_amount"] += in_ringgit(row, line["lineTotal"] or ZERO)
        figures["tax_amount"] += in_ringgit(row, line["taxAmount"] or ZERO)
        billed[key].add(invoice)
    for key, figures in found.items():
        figures["invoice_count"] = len(billed[key])
    moved: dict[date, Decimal] = defaultdict(Decimal)
    for month, amounts in entries_of(accounts):
        if RECEIVABLE in amounts or has_revenue(amounts):
            moved[month] -= amounts.get(TAX, ZERO)
    for month, movement in moved.items():
        if movement and not any(key[0] == month for key in found):
            found[month, None, None] = {
                "taxable_amount": ZERO, "tax_amount": ZERO, "invoice_count": 0
            }  # fmt: skip
    share_tax(found, moved)
    return found


def share_tax(found: Figures, moved: dict[date, Decimal]) -> None:
    """Share a month's movement by tax; the row with the most tax bears what rounding leaves."""
    for month in {key[0] for key in found}:
        mine = [key for key in found if key[0] == month]
        whole = sum((found[key]["tax_amount"] for key in mine), ZERO)
        parts = {
            key: cents(moved[month] * found[key]["tax_amount"] / whole) if whole else ZERO
            for key in mine
        }
        largest = max(
            mine, key=lambda k: (abs(found[k]["tax_amount"]), k[1] is not None, k[1] == "SST-10")
        )
        parts[largest] += moved[month] - sum(parts.values(), ZERO)
        for key in mine:
            found[key]["gl_tax_movement"] = parts[key]
            found[key]["difference"] = found[key]["tax_amount"] - parts[key]


# --- stock ----------------------------------------------------------------------------------------


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


# --- all of it ------------------------------------------------------------------------------------


@cache
def figures_of(book: Book) -> dict[str, Figures]:
    """Table → key → column → what it should be."""
    accounts = accounts_of(book)
    flows = cash_flow(accounts)
    open_items = ar_open_items(book)
    aging = ar_aging(book, open_items)
    return {
        "accounts": accounts_table(book),
        "periods": periods(book, accounts),
        "customers": customers(book, open_items),
        "general_ledger": general_ledger(book, accounts),
        "trial_balance": trial_balance(accounts),
        "balance_sheet": balance_sheet(book, accounts),
        "profit_and_loss": profit_and_loss(accounts),
        "profit_and_loss_summary": profit_and_loss_summary(accounts),
        "cash_flow": flows,
        "cash_flow_summary": cash_flow_summary(accounts, flows),
        "invoices": invoices(book),
        "ar_open_items": open_items,
        "ar_aging": aging,
        "collections": collections(book, accounts, aging),
        "revenue_monthly": revenue_monthly(book),
        "gross_margin": gross_margin(book),
        "tax_summary": tax_summary(book, accounts),
        "stock_on_hand": stock_on_hand(book),
        "inventory_valuation": inventory_valuation(book),
    }
