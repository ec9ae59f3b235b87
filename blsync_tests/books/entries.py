"""Random journal entries: drafts, voids, corrections, closings."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

from books.company import DAY, PROFIT, USED, Row, end_of, latest, month_of
from books.desk import Desk

Lines = list[tuple[str, Decimal]]


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
            if desk.chance(0.3):  # what changed is nothing that a statement shows
                desk.put_again("journal_entries", row, later, reference="another")
            else:
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
    if desk.chance(0.4):
        day = max(desk.year_end(day) - desk.rng.choice([0, 1]) * DAY, desk.first_day)
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
    """Close most fiscal years of the books the way the plan says."""
    how, start = desk.book.plan.closings, desk.book.plan.start_month
    period = month_of(desk.first_day)
    while how != "none" and period < month_of(desk.today):
        if period.month == (start + 10) % 12 + 1 and desk.chance(0.7):
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
