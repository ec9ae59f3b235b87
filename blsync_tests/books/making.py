"""A company's books from its plan, and a lake that holds them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from rig import inputs
from rig.seeds import hand_over

from blsync.entities import ENTITIES
from books.company import (
    CHART,
    DAY,
    ITEMS,
    ROLES_BY_USER,
    Book,
    Plan,
    Row,
    cents,
    end_of,
    latest,
    month_of,
)
from books.desk import Desk
from books.documents import write_documents
from books.entries import write_closings, write_entry
from books.invoices import write_costs, write_invoice

PULLED_DAYS_AGO = (75, 47, 33, 20, 6, 1)


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
    if plan.invoices:
        apart = random.Random(f"{company} {plan.seed} documents")
        write_documents(Desk(book, apart, desk.first_day))
        apart = random.Random(f"{company} {plan.seed} costs")
        write_costs(Desk(book, apart, desk.first_day))
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
        for place in ("north", "south"):
            write_stock(desk, key, place)
        cost = desk.rng.choice([None, desk.amount()])
        least = desk.rng.choice([Decimal(desk.rng.randrange(6)), in_stock(desk, key)])
        point = desk.rng.choice([None, least + 200, max(least, in_stock(desk, key))])
        levels = {"minimumStock": least, "reorderPoint": point, "tracked": key != "item_c"}
        row = desk.put("items", 0, id=key, itemCode=key.upper(), type="inventory",
                       pricing={"costPrice": cost}, inventory=levels, accounting=posts_to,
                       updatedAt=changed)  # fmt: skip
        if desk.chance(0.2):
            desk.put_again("items", row, desk.night(0), itemCode=f"{key.upper()}-2")


def in_stock(desk: Desk, item: str) -> Decimal:
    """Return what can be promised of an item: levels that equal it are the ones to get wrong."""
    rows = [row for (i, _), row in latest(desk.book.rows["stock"], "stock").items() if i == item]
    told = [row["availableStock"] or row["currentStock"] or Decimal(0) for row in rows]
    return max(sum(told, Decimal(0)), Decimal(0))


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
    """Write what a build reads beside the landing, the tables of `write_seeds` among it."""
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
    inputs.write_inputs(data, companies=companies, report_figures=figures)
    hand_over(data, data.parent / "seeds")


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
                f"{b.company},{b.plan.start_month}"
                for b in books
                if b.plan.start_month != 1
            ),
        ),
    }  # fmt: skip
    for name, (header, lines) in tables.items():
        (seeds / f"{name}.csv").write_text("\n".join([header, *lines, ""]))
