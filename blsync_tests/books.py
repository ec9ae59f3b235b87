"""Random books of whole companies, as what a lake holds after several nights of them.

A plan says what a company is like; everything else comes from its seed. All companies use the same
ids, so that whatever mixes companies up shows.
"""

from __future__ import annotations

import random
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from blsync.entities import ENTITIES
from blsync.marts import FIGURES, LOADS, PUSH_LOG
from blsync.reconcile import COMPANIES

Row = dict[str, Any]
Lines = list[tuple[str, Decimal]]
DAY = timedelta(days=1)
PULLED_DAYS_AGO = (75, 47, 33, 20, 6, 1)

CHART = {
    "1000": ("Public Mutual 3391", "asset", "current_asset", "cash"),
    "1010": ("Petty Cash", "asset", "current_asset", "cash"),
    "1200": ("Trade Debtors", "asset", "current_asset", "accounts_receivable"),
    "1300": ("Goods", "asset", "current_asset", "inventory"),
    "1400": ("Prepaid Rent", "asset", "current_asset", "prepaid_expense"),
    "1500": ("Van", "asset", "fixed_asset", "fixed_asset"),
    "1510": ("Accumulated Depreciation", "asset", "fixed_asset", "accumulated_depreciation"),
    "1900": ("Goodwill", "asset", "other_asset", None),
    "1990": ("Sundries", "asset", None, None),
    "2000": ("Trade Creditors", "liability", "current_liability", "accounts_payable"),
    "2100": ("SST Payable", "liability", "current_liability", "tax_payable"),
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
}
"""Number → name, type, category, and the role that the name, the items or the user give."""
ROLES_BY_USER = {"1000": "cash"}
USED = tuple(number for number in CHART if number != "9990")
PROFIT = tuple(number for number in USED if CHART[number][1] in ("revenue", "expense"))
CURRENCIES = {"MYR": None, "USD": Decimal("4.25512345"), "IDR": Decimal("0.00028"), "SGD": None}
"""Exchange rates; BigLedger gives none for the company's own, and here for Singapore's neither."""
ITEMS = ("item_a", "item_b", "item_c", None)
TAX_RATES = {"SST-10": 10, "SST-6": 6, None: 0}


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
                day = end_of(day.replace(month=(self.book.plan.start_month + 10) % 12 + 1, day=1))
            case 4 if self.chance(0.3):
                day = self.today + self.rng.randrange(45) * DAY
            case 5 if self.chance(0.5):
                day = self.today - self.rng.choice([0, 1, 89, 90, 91, 365, 366]) * DAY
        return max(day, self.first_day)

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
            "_pulled_at": self.book.nights[night] + self.rng.randrange(50) * (DAY / 86400),
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


def end_of(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def month_of(day: date, offset: int = 0) -> date:
    """Return the first day of the month, so many months on."""
    months = day.year * 12 + day.month - 1 + offset
    return date(months // 12, months % 12 + 1, 1)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), "ROUND_HALF_UP")


def make(company: str, plan: Plan) -> Book:
    """Write a company's books."""
    rng = random.Random(f"{company} {plan.seed}")
    zone = ZoneInfo(plan.timezone)
    built_at = datetime(plan.today.year, plan.today.month, plan.today.day, 3, tzinfo=zone)
    midnight = datetime(plan.today.year, plan.today.month, 1, tzinfo=zone)
    nights = {built_at - days * DAY for days in rng.sample(PULLED_DAYS_AGO, rng.randint(1, 5))}
    nights |= {midnight, midnight - DAY / 1440, built_at - DAY / 24}
    book = Book(company, plan, built_at, sorted(at.astimezone(UTC) for at in nights))
    desk = Desk(book, rng, month_of(plan.today, -plan.months))
    write_chart(desk)
    write_masters(desk)
    for number in range(plan.invoices):
        write_invoice(desk, f"inv_{number}")
    for number in range(plan.entries):
        write_entry(desk, f"je_{number}")
    write_closings(desk)
    for period in {month_of(desk.day()) for _ in range(rng.randrange(5))}:
        if period < month_of(plan.today):
            at = rng.choice([*nights, desk.instant(end_of(period) + 5 * DAY)])
            book.closes[period] = at.astimezone(UTC) + timedelta(minutes=rng.choice([0, 2]))
    return book


def write_chart(desk: Desk) -> None:
    for number, (name, kind, category, _) in CHART.items():
        row = desk.put(
            "accounts", 0, id=f"acc_{number}", accountNumber=number, name=name, type=kind,
            category=category, isActive=True, updatedAt=desk.book.nights[0] - DAY,
        )  # fmt: skip
        if desk.chance(0.15):
            row = desk.put_again("accounts", row, desk.night(0), name=f"{name} (renamed)",
                                 updatedAt=desk.book.nights[0])  # fmt: skip
        if desk.chance(0.1):
            row = desk.put_again("accounts", row, desk.night(0), isActive=False,
                                 updatedAt=desk.book.nights[0])  # fmt: skip
        if desk.chance(0.1):
            desk.drop("accounts", row, len(desk.book.nights) - 1)


def write_masters(desk: Desk) -> None:
    """Customers, items and stock; some of each are gone by now, and some come back."""
    changed = desk.book.nights[0] - DAY
    for key in ("c1", "c2", "c3", "c4", "c_without_invoices"):
        row = desk.put("customers", 0, id=key, name=f"Customer {key}", status="active",
                       creditLimit=desk.rng.choice([None, Decimal(0), desk.amount()]),
                       updatedAt=changed)  # fmt: skip
        if desk.chance(0.4):
            row = desk.put_again("customers", row, desk.night(0), creditLimit=desk.amount(),
                                 name=f"{row['name']} Sdn Bhd", updatedAt=changed)  # fmt: skip
        if desk.chance(0.25):
            desk.drop("customers", row, desk.night(0))
    posts_to = {"incomeAccountId": "acc_4000", "expenseAccountId": "acc_5000",
                "assetAccountId": "acc_1300"}  # fmt: skip
    for key in filter(None, ITEMS):
        cost = desk.rng.choice([None, desk.amount()])
        point = desk.rng.choice([None, Decimal(desk.rng.randrange(16))])
        levels = {"minimumStock": Decimal(desk.rng.randrange(8)), "reorderPoint": point}
        row = desk.put("items", 0, id=key, itemCode=key.upper(), type="inventory",
                       pricing={"costPrice": cost}, inventory=levels, accounting=posts_to,
                       updatedAt=changed)  # fmt: skip
        if desk.chance(0.2):
            desk.put_again("items", row, desk.night(0), itemCode=f"{key.upper()}-2")
        for place in ("north", "south"):
            write_stock(desk, key, place)


def write_stock(desk: Desk, item: str, place: str) -> None:
    night = desk.night()
    for _ in range(desk.rng.choice([0, 1, 1, 2, 4, 6])):
        whole = desk.rng.choice([desk.rng.randrange(-1, 6), desk.rng.randrange(900)])
        quantity = whole + Decimal(desk.rng.choice([0, 0, desk.rng.randrange(9999)])) / 10_000
        value = cents(quantity * desk.rng.randrange(1, 900_000) / 100)
        told: Row = {"currentStock": quantity, "stockValue": value}
        if desk.chance(0.1):
            told[desk.rng.choice([*told])] = None
        available = desk.rng.choice([None, quantity - desk.rng.randrange(5)])
        row = desk.put("stock", night, itemId=item, locationId=place, **told,
                       availableStock=available, averageCost=desk.amount(),
                       updatedAt=desk.book.nights[night] - DAY / 48)  # fmt: skip
        if night == len(desk.book.nights) - 1:
            return
        night = desk.night(night)
        if desk.chance(0.2):
            desk.drop("stock", row, night)
            return


def posted(desk: Desk, key: str, day: date, lines: Lines, night: int, **more: Any) -> Row:
    """Land an entry of these lines, debits positive."""
    has_ids = desk.chance(0.7)
    nothing = desk.rng.choice([None, Decimal(0)])
    total = sum((amount for _, amount in lines if amount > 0), Decimal(0))
    created = desk.instant(day + desk.rng.choice([-3, 0, 0, 0, 1, 25]) * DAY)
    standard: Row = {
        "id": key,
        "journalNumber": f"N{desk.rng.randrange(90_000) + 10_000}-{key}",
        "date": day,
        "status": "posted",
        "totalDebit": total,
        "totalCredit": total,
        "createdAt": created,
        "postedAt": created,
        "lines": journal_lines(lines, nothing, has_ids),
    }
    return desk.put("journal_entries", night, **standard | more)


def journal_lines(lines: Lines, nothing: Decimal | None, has_ids: bool) -> list[Row]:
    return [
        {
            "id": f"line {number}" if has_ids else None,
            "accountId": f"acc_{account}",
            "accountNumber": account,
            "debit": amount if amount > 0 else nothing,
            "credit": -amount if amount < 0 else nothing,
        }
        for number, (account, amount) in enumerate(lines)
    ]


def random_lines(desk: Desk) -> Lines:
    accounts = [desk.rng.choice(USED) for _ in range(desk.rng.choice([2, 2, 2, 3, 5]))]
    amounts = [desk.amount() * desk.rng.choice([1, -1]) for _ in accounts[1:]]
    return list(zip(accounts, [*amounts, -sum(amounts)], strict=True))


def write_entry(desk: Desk, key: str) -> None:
    """Write an entry and what became of it over the nights."""
    day, lines, night = desk.day(), random_lines(desk), desk.night()
    later = desk.night(night)
    match desk.rng.randrange(24):
        case 0 | 1:
            early = desk.first_day - 400 * DAY  # a draft is no beginning of the books
            posted(desk, key, desk.rng.choice([day, early]), lines, night, status="draft",
                   postedAt=None)  # fmt: skip
        case 2 | 3:
            other = posted(desk, key, day, random_lines(desk), night, status="draft", postedAt=None)
            posted(desk, key, desk.day(), lines, later, postedAt=desk.instant(desk.today),
                   createdAt=other["createdAt"])  # fmt: skip
        case 4 | 5 | 6:
            write_void(desk, posted(desk, key, day, lines, night), lines, later)
        case 7:
            row = posted(desk, key, day, lines, night)
            desk.put_again("journal_entries", row, later, status="void")
        case 8 | 9:
            row = posted(desk, key, day, lines, night)
            posted(desk, key, desk.day(), random_lines(desk), later, createdAt=row["createdAt"])
        case 10 | 11:
            row = posted(desk, key, day, lines, night)
            desk.drop("journal_entries", row, later)
            if desk.chance(0.3):
                desk.put_again("journal_entries", row, len(desk.book.nights) - 1)
        case 12 | 13:
            write_odd_profit(desk, key, day, night)
        case _:
            posted(desk, key, day, lines, night)


def write_odd_profit(desk: Desk, key: str, day: date, night: int) -> None:
    """Write an entry that is a closing, or only looks like one."""
    amount = desk.amount()
    other = desk.rng.choice(["3200", "3200", "3000", *PROFIT])
    lines = [(desk.rng.choice(PROFIT), amount), (other, -amount)]
    if desk.chance(0.2):
        lines += [("1300", amount), ("2000", -amount)]
    word = desk.rng.choice([None, None, "Goods enclosed", "Closing stock", "Books closed"])
    posted(desk, key, day, lines, night, description=word)


def write_void(desk: Desk, row: Row, lines: Lines, night: int, **more: Any) -> None:
    """Void an entry that was seen posted, at times in the same pull, by an entry against it."""
    void = desk.put_again("journal_entries", row, night, status="void")
    if desk.chance(0.3):
        void |= {name: row[name] for name in ("_pulled_at", "_load_id")}
        desk.book.rows["journal_entries"].reverse()
    day = min(desk.today, row["date"] + desk.rng.choice([0, 0, 3, 40]) * DAY)
    against = [(account, -amount) for account, amount in lines]
    posted(desk, f"{row['id']}_r", max(day, row["date"]), against, night, reversesId=row["id"],
           **more)  # fmt: skip


def write_closings(desk: Desk) -> None:
    """Close each fiscal year of the books the way the plan says."""
    how, start = desk.book.plan.closings, desk.book.plan.start_month
    period = month_of(desk.first_day)
    while how != "none" and period < month_of(desk.today):
        if period.month == (start + 10) % 12 + 1:
            close(desk, how, end_of(period))
        period = month_of(period, 1)


def close(desk: Desk, how: str, year_end: date) -> None:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in latest(desk.book.rows["journal_entries"], "journal_entries").values():
        if entry["status"] in ("posted", "void") and entry["date"] <= year_end:
            for line in entry["lines"]:
                sums[line["accountNumber"]] += (line["debit"] or 0) - (line["credit"] or 0)
    to_close = [number for number in PROFIT if sums[number]]
    if how == "partly":
        to_close = to_close[:2]
    lines = [(number, -sums[number]) for number in to_close]
    if not lines:
        return
    lines.append(("3200", sum(sums[number] for number in to_close)))
    more: Row = {}
    if how in ("after", "taken back"):
        more["description"] = f"Closing of the year to {year_end}"
    day = year_end + (desk.rng.randrange(1, 6) * DAY if how == "after" else 0 * DAY)
    row = posted(desk, f"close_{year_end}", min(day, desk.today), lines, desk.night(), **more)
    if how == "taken back":
        night = desk.book.nights.index(max(n for n in desk.book.nights if n <= row["_pulled_at"]))
        write_void(desk, row, lines, desk.night(night))


def write_invoice(desk: Desk, key: str) -> None:
    """Write an invoice, what became of it over the nights, and at times its entry in the ledger."""
    currency = desk.rng.choice(["MYR"] * 4 + list(CURRENCIES))
    day = desk.day()
    item, lines = desk.rng.choice(ITEMS), desk.rng.choice([0, 1, 1, 1, 2, 3, 3])
    items = [invoice_line(desk, number, item) for number in range(lines)]
    parts = {
        "subtotal": sum((line["lineTotal"] or 0 for line in items), Decimal(0)),
        "totalTax": sum((line["taxAmount"] or 0 for line in items), Decimal(0)),
        "shippingCost": desk.rng.choice([None, Decimal(0), Decimal("12.34")]),
    }
    total = sum((part or 0 for part in parts.values()), Decimal(0))
    if not items and desk.chance(0.5):
        parts, total = dict.fromkeys(parts), None
    terms = desk.rng.choice([0, 7, 30, 30, 60, 90, desk.rng.randrange(400)])
    night = desk.night()
    row = desk.put(
        "invoices", night, id=key, invoiceNumber=key.upper(),
        customerId=desk.rng.choice(["c1", "c2", "c3", "c4", "c_unknown", "", None]),
        customer={"name": "As the invoice says"},
        invoiceDate=None if desk.chance(0.02) else day,
        dueDate=None if desk.chance(0.05) else edge(desk, day + terms * DAY),
        status=desk.rng.choice(["draft", *["sent"] * 8]), currency=currency,
        exchangeRate=CURRENCIES[currency], items=items or desk.rng.choice([None, []]), **parts,
        total=total, amountPaid=desk.rng.choice([None, Decimal(0)]), amountDue=total,
        createdAt=desk.instant(day), updatedAt=desk.instant(day),
    )  # fmt: skip
    for _ in range(desk.rng.choice([0, 1, 1, 2, 3]) if total is not None else 0):
        if night == len(desk.book.nights) - 1:
            break
        night = desk.night(night)
        if desk.chance(0.06):
            desk.drop("invoices", row, night)
            if desk.chance(0.5):
                break
            night = desk.night(night)
        row = change_invoice(desk, row, night)
    if row["status"] != "draft" and total is not None and desk.chance(0.6):
        write_sale(desk, row, parts)


def edge(desk: Desk, due: date) -> date:
    """Move a due date onto the edge of a bucket of today's, at times."""
    if desk.chance(0.25):
        return desk.today - desk.rng.choice([0, 1, 30, 31, 60, 61, 90, 91]) * DAY
    return due


def invoice_line(desk: Desk, number: int, item: str | None) -> Row:
    net = desk.amount() * (1 if desk.chance(0.95) else -1)
    code = desk.rng.choice(list(TAX_RATES))
    line = {
        "id": str(number),
        "itemId": item if desk.chance(0.5) else desk.rng.choice(ITEMS),
        "quantity": Decimal(desk.rng.randrange(1, 99_999)) / desk.rng.choice([100, 10_000]),
        "discountAmount": desk.rng.choice([None, Decimal("0.05"), desk.amount()]),
        "lineTotal": net,
        "taxCode": code,
        "taxRate": Decimal(TAX_RATES[code]),
        "taxAmount": cents(net * TAX_RATES[code] / 100),
    }
    if desk.chance(0.05):
        line |= dict.fromkeys(desk.rng.choice([("quantity",), ("lineTotal", "taxAmount")]))
    return line


def change_invoice(desk: Desk, row: Row, night: int) -> Row:
    """Pay an invoice in part, in full or too much, credit it, cancel it, take it back."""
    changes: Row = {"updatedAt": desk.book.nights[night] - desk.rng.randrange(1, 30) * (DAY / 48)}
    match desk.rng.randrange(12):
        case 0:
            changes["status"] = "cancelled"
        case 1:
            changes["status"] = "draft"
        case 2:
            changes["amountDue"] = cents((row["amountDue"] or row["total"]) / 2)
        case 3:
            changes |= {"amountPaid": None, "amountDue": None}
        case _:
            share = Decimal(desk.rng.choice(["0.01", "0.3", "0.5", "1", "1", "1", "1.2"]))
            paid = cents(row["total"] * share)
            changes |= {"status": "sent", "amountPaid": paid, "amountDue": row["total"] - paid}
            if desk.chance(0.2):
                changes["amountDue"] = None
            changes["lastPaymentDate"] = max(
                desk.first_day, desk.book.nights[night].date() - desk.rng.randrange(70) * DAY
            )
    return desk.put_again("invoices", row, night, **changes)


def write_sale(desk: Desk, row: Row, parts: Row) -> None:
    """Post an invoice as BigLedger does, and a payment of it."""
    day, total = row["invoiceDate"] or desk.day(), row["total"]
    lines = [("1200", total), ("4000", parts["totalTax"] - total), ("2100", -parts["totalTax"])]
    posted(desk, f"{row['id']}_sale", day, lines, desk.night(), reference=row["invoiceNumber"])
    if row["amountPaid"]:
        lines = [("1000", row["amountPaid"]), ("1200", -row["amountPaid"])]
        posted(desk, f"{row['id']}_pay", row["lastPaymentDate"], lines, desk.night())


# --- what of it is known, and onto the disk -------------------------------------------------------

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


def write_landing(data: Path, books: list[Book], nights: slice = slice(None)) -> None:
    """Write the loads of some nights; every entity has a file, if one of no rows."""
    for name, entity in ENTITIES.items():
        for book in books:
            folder = data / "landing" / name / f"company_id={book.company}"
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(entity.schema.empty_table(), folder / "00000000-schema.parquet")
            loads = [f"{book.company} {n:02}" for n in range(len(book.nights))][nights]
            for load in loads:
                rows = [row for row in book.rows[name] if row["_load_id"] == load]
                if rows:
                    table = pa.Table.from_pylist(rows, schema=entity.schema)
                    pq.write_table(table, folder / f"{load}.parquet")


def write_inputs(data: Path, books: list[Book], figures: list[Row]) -> None:
    """Write what a build reads beside the landing."""
    companies = [
        {
            "company_id": book.company,
            "company_name": book.company,
            "currency": "MYR",
            "timezone": book.plan.timezone,
            "today": book.plan.today,
            "built_at": book.built_at,
        }
        for book in books
    ]
    (data / "inputs").mkdir(parents=True, exist_ok=True)
    for name, rows, schema in (
        ("companies", companies, COMPANIES),
        ("loads", [], LOADS),
        ("push_log", [], PUSH_LOG),
        ("report_figures", figures, FIGURES),
    ):
        pq.write_table(pa.Table.from_pylist(rows, schema), data / "inputs" / f"{name}.parquet")


def write_seeds(seeds: Path, books: list[Book]) -> None:
    """Write the user's own tables."""
    seeds.mkdir(parents=True, exist_ok=True)
    tables: dict[str, tuple[str, Iterator[str]]] = {
        "account_roles": (
            "company_id,account_number,account_role",
            (f"{b.company},{n},{role}" for b in books for n, role in ROLES_BY_USER.items()),
        ),
        "period_close": (
            "company_id,period,closed_at",
            (
                f"{b.company},{period},{closed_at.isoformat()}"
                for b in books
                for period, at in b.closes.items()
                for closed_at in (at, at - 3 * DAY)  # the last one counts
            ),
        ),
        "fiscal_year": (
            "company_id,start_month",
            (
                f"{b.company},{month}"
                for b in books
                if b.plan.start_month != 1
                for month in (b.plan.start_month, 13)  # there is no such month
            ),
        ),
    }  # fmt: skip
    for name, (header, lines) in tables.items():
        (seeds / f"{name}.csv").write_text("\n".join([header, *lines, ""]))
