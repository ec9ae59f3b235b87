"""A statement of account as PDF and as a workbook: the same rows in both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.pdf import Column, Paper, Row
from blsync.pack.sheet import HEADING, SECTION, TITLE, TOTAL, Formula, Sheet, summed
from blsync.statements.figures import BUCKETS, ZERO, Books, Statement

TITLE_TEXT = "Statement of account"
_ENTRIES = ("Date", "What", "Document", "Debit", "Credit", "Balance")
_OPEN = ("Document", "Date", "Due", "Days past due", "Open")
_OVERPAID = "Overpaid"


def write_pdf(books: Books, statement: Statement, file: Path, font: Path | None) -> int:
    """Write a statement as PDF; return how many different letters are not as they should be.

    Raises ConfigError where `font` is none, StorageError.
    """
    paper = Paper(
        f"{TITLE_TEXT} {statement.customer.called}",
        foot=f"{books.company_name} · {TITLE_TEXT.lower()} of {statement.customer.called}",
        dated=books.built_at,
        own_font=font,
    )
    paper.title(books.company_name)
    paper.heading(TITLE_TEXT)
    paper.beside(_addressee(statement), _facts(books, statement))
    columns = _columns(_ENTRIES, (1.1, 1.3, 2, 1.3, 1.3, 1.4))
    rows = [Row(cells) for cells in _entries(books, statement)]
    closing = [books.last, "Closing balance", None, *_sums(statement), statement.closing]
    paper.table(columns, [*rows, Row(closing, is_total=True)])
    paper.heading(f"Open at {books.last}, by days past due")
    ageing = _ageing(statement)
    paper.table(
        [Column(head, is_number=True) for head in ageing],
        [Row(list(ageing.values()), is_bold=True)],
    )
    if statement.open_items:
        paper.heading("Open documents")
        columns = _columns(_OPEN, (2, 1.1, 1.1, 1.1, 1.4))
        total = sum((item.amount for item in statement.open_items), ZERO)
        rows = [Row(cells) for cells in _open(statement)]
        paper.table(columns, [*rows, Row(["Open", None, None, None, total], is_total=True)])
    for note in statement.notes:
        paper.line(note, is_small=True)
    with storage_errors(file), atomic_write(file) as draft:
        paper.save(draft)
    return len(paper.spoilt)


def write_xlsx(books: Books, statement: Statement, file: Path) -> None:
    """Write a statement as a workbook that adds up its balances itself. Raises StorageError."""
    book = Workbook()
    book.remove(book.active)
    sheet = Sheet(book, "Statement")
    sheet.put([books.company_name], TITLE)
    sheet.put([TITLE_TEXT], SECTION)
    sheet.put([])
    for line in _addressee(statement):
        sheet.put([line])
    sheet.put([])
    for name, value in _facts(books, statement):
        sheet.put([name, value])
    sheet.put([])
    sheet.put(_ENTRIES, HEADING)
    first = sheet.next_row
    for cells in _entries(books, statement):
        row = sheet.next_row
        balance = cells[-1] if row == first else Formula(f"=ROUND(F{row - 1}+D{row}-E{row},2)")
        sheet.put([*cells[:-1], balance])
    last = sheet.next_row - 1
    sums = (summed("D", first, last), summed("E", first, last))
    sheet.put([books.last, "Closing balance", None, *sums, Formula(f"=F{last}")], TOTAL)
    sheet.put([])
    sheet.put([f"Open at {books.last}, by days past due"], SECTION)
    ageing = _ageing(statement)
    sheet.put(ageing, HEADING)
    row = sheet.next_row
    values = [*ageing.values()][:-1]
    letters = [chr(ord("A") + number) for number in range(len(values))]
    sheet.put([*values, Formula("=" + "+".join(f"{letter}{row}" for letter in letters))], TOTAL)
    sheet.put([])
    for note in statement.notes:
        sheet.put([note])
    items = Sheet(book, "Open documents")
    names = ("number", "invoice_date", "due_date", "days", "amount")
    rows = [dict(zip(names, cells, strict=True)) for cells in _open(statement)]
    items.put([f"Open at {books.last}"], TITLE)
    items.put([])
    items.table(dict(zip(names, _OPEN, strict=True)), rows, sums=("amount",))
    with storage_errors(file), atomic_write(file) as draft:
        book.save(draft)


def _columns(heads: Sequence[str], shares: Sequence[float]) -> list[Column]:
    """Return columns of which all from the fourth on are amounts or days."""
    return [
        Column(head, share, is_number=number > 2)
        for number, (head, share) in enumerate(zip(heads, shares, strict=True))
    ]


def _addressee(statement: Statement) -> list[str]:
    return [statement.customer.name or statement.customer.called, *statement.address]


def _facts(books: Books, statement: Statement) -> list[tuple[str, str]]:
    return [
        ("Customer", statement.customer.called),
        ("Period", f"{books.first} to {books.last}"),
        ("Currency", books.currency),
        ("From the books of", f"{books.built_at:%Y-%m-%d %H:%M} UTC"),
    ]


def _entries(books: Books, statement: Statement) -> list[list[Any]]:
    """Return the opening balance, and each document and payment with the balance after it."""
    rows: list[list[Any]] = [[books.first, "Opening balance", None, None, None, statement.opening]]
    for entry in statement.entries:
        moved = (entry[name] or None for name in ("debit", "credit"))
        rows.append(
            [
                entry["event_date"],
                entry["event_type"].capitalize(),
                entry["document_number"],
                *moved,
                entry["running_balance"],
            ]
        )
    return rows


def _sums(statement: Statement) -> list[Any]:
    return [sum((entry[name] for entry in statement.entries), ZERO) for name in ("debit", "credit")]


def _ageing(statement: Statement) -> dict[str, Any]:
    """Return what is open by age, what was overpaid (as less), and the balance that they make."""
    found = {BUCKETS[name]: value for name, value in statement.ageing.items()}
    return {**found, _OVERPAID: -statement.overpaid, "Balance": statement.closing}


def _open(statement: Statement) -> list[list[Any]]:
    return [
        [item.number, item.invoice_date, item.due_date, item.days_past_due, item.amount]
        for item in statement.open_items
    ]
