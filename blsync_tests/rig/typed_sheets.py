"""Sheets as a person types them: titles, other names, other spellings, remarks, notes below.

Each is made for a desk: its references and addresses are the desk's own, and it names records that
the desk's sandbox has. Beside the sheet stands what BigLedger has to have once it is applied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from rig.push_desk import Desk, Row, sent_invoices

Values = dict[str, Any]


@dataclass(frozen=True)
class TypedSheet:
    """A workbook, and what it means: natural key → field → value; `read` are readings that the
    plan has to tell (column, first cell, what it is read as), `notes` parts of its notes.
    """

    endpoint: str
    path: Path
    meant: dict[str, Values]
    read: list[tuple[str, str, str]]
    notes: list[str] = field(default_factory=list)


def day_before(desk: Desk) -> date:
    """Return the last day of the month before: its number is no month's."""
    return desk.today.replace(day=1) - timedelta(days=1)


def customers(desk: Desk) -> TypedSheet:
    """A credit control list with a title, a total, a signature, and amounts with commas."""
    book = openpyxl.Workbook()
    page = book.active
    page.append(["CREDIT LIMITS - NEW CUSTOMERS"])
    page["A1"].font = Font(bold=True, size=14)
    page.merge_cells("A1:F1")
    page.append(["Sales department, to be keyed in by Friday"])
    page.append([])
    page.append(
        ["No", "Email Address", "Company", "Status", "Credit Limit (RM)", "Terms", "Remarks"]
    )
    rows = [
        (f"Ong@{desk.word}.example", "Ong Trading\u00a0", "Active", "105,000", "30 days"),
        (f"siti@{desk.word}.example", "Kedai Siti", "aktif", "RM 1,234.50", "Net 14"),
        (f" raj@{desk.word}.example ", "Raj & Sons", "ACTIVE", "2,500", 7),
    ]
    for number, row in enumerate(rows, start=1):
        page.append([number, *row, "good payer" if number == 1 else None])
    page.append([None, "TOTAL", None, None, "108,734.50"])
    page.append([])
    page.append(["Prepared by: Siti"])
    path = desk.folder / "credit limits.xlsx"
    book.save(path)
    limits = ("105000", "1234.50", "2500")
    called = ("Ong Trading", "Kedai Siti", "Raj & Sons")
    return TypedSheet(
        "customers",
        path,
        {
            row[0].strip().lower(): {
                "name": name,
                "status": "active",
                "creditLimit": Decimal(limit),
                "paymentTerms": terms,
            }
            for row, name, limit, terms in zip(rows, called, limits, (30, 14, 7), strict=True)
        },
        [
            ("email", "Email Address", "email"),
            ("status", "Active", "active"),
            ("creditLimit", "105,000", "105000"),
            ("creditLimit", "RM 1,234.50", "1234.50"),
            ("paymentTerms", "30 days", "30"),
        ],
        [
            "rows 1, 2 are above it",
            "row 8 is left out: a sum",
            "row 10 is left out: notes below the table",
            "column 'Remarks' is unknown",
            "column 'No' is unknown",
        ],
    )


def invoices(desk: Desk) -> TypedSheet:
    """Invoices on the second worksheet, days as they are spoken, merged cells over their lines."""
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    book.active.append(["Please key in all invoices of the month. Thanks, Aina"])
    page = book.create_sheet("Invoices")
    header = ["Ref No", "Customer Email", "Inv Date", "Due", "Item", "Qty", "Unit Price", "Tax %"]
    page.append(header)
    email = desk.seeded()["email"]
    items = [item["itemCode"] for item in desk.records("/items")[:2]]
    first, last = day_before(desk).replace(day=3), day_before(desk)
    due = last + timedelta(days=60)
    for word, item, price in (("a", items[0], "1,250.00"), ("a", items[1], "80.5")):
        begin = word == "a" and item == items[0]
        page.append(
            [
                f"{desk.word}-a" if begin else None,
                email if begin else None,
                f"{first:%d/%m/%Y}" if begin else None,
                f"{due:%d-%b-%y}" if begin else None,
                item,
                2,
                price,
                0.06,
            ]
        )
    page.append(
        [f"{desk.word}-b", email.upper(), f"{last:%d/%m/%Y}", f"{due:%d %B %Y}", items[0], 1.5,
         "99.90", 0.06]
    )  # fmt: skip
    page.merge_cells("A2:A3")
    page.merge_cells("B2:B3")
    for row in (2, 3, 4):
        page[f"H{row}"].number_format = "0%"
    path = desk.folder / "invoices november.xlsx"
    book.save(path)
    dates = ((first, due), (last, due))
    totals = (Decimal("2661.00"), Decimal("149.85"))
    return TypedSheet(
        "invoices",
        path,
        {
            f"{desk.word}-{word}": {
                "invoiceDate": day.isoformat(),
                "dueDate": due_day.isoformat(),
                "subtotal": total,
            }
            for word, (day, due_day), total in zip("ab", dates, totals, strict=True)
        },
        [
            ("invoiceDate", f"{first:%d/%m/%Y}", first.isoformat()),
            ("dueDate", f"{due:%d-%b-%y}", due.isoformat()),
            ("items.unitPrice", "1,250.00", "1250.00"),
            ("items.unitPrice", "Unit Price", "items.unitPrice"),
            ("reference", "", f"{desk.word}-a"),
        ],
        ["only the worksheet 'Invoices' is read; not 'Read me'"],
    )


def payments(desk: Desk) -> TypedSheet:
    """A bank list of the other date system, with times, currency and words for methods."""
    open_ = sent_invoices(desk, 3)
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    page = book.active
    page.append(["Receipt No", "Invoice No", "Date Paid", "Amount Paid", "Mode"])
    amounts, modes = ("RM 1,000.00", "RM250.50", "99"), ("Bank Transfer", "Cek", "FPX")
    at = datetime(desk.today.year, desk.today.month, desk.today.day, 10, 15)
    for number, (invoice, amount, mode) in enumerate(zip(open_, amounts, modes, strict=True)):
        reference = f"{desk.word}-{number}"
        page.append([reference, invoice["invoiceNumber"], at, amount, mode])
    path = desk.folder / "bank.xlsx"
    book.save(path)
    paid = (Decimal("1000.00"), Decimal("250.50"), Decimal(99))
    return TypedSheet(
        "payments",
        path,
        {
            str(invoice["id"]): {"amountPaid": amount, "lastPaymentDate": desk.today.isoformat()}
            for invoice, amount in zip(open_, paid, strict=True)
        },
        [
            ("paymentDate", at.isoformat(), desk.today.isoformat()),
            ("amount", "RM 1,000.00", "1000.00"),
            ("paymentMethod", "Bank Transfer", "bank_transfer"),
            ("paymentMethod", "Cek", "cheque"),
        ],
    )


def journal_entries(desk: Desk) -> TypedSheet:
    """A journal with blank columns, months as words and a blank row between its entries."""
    day = day_before(desk)
    book = openpyxl.Workbook()
    page = book.active
    page.append([None, "JV No", "Tarikh", None, "Akaun", "Line Narration", "Dr", "Cr"])
    page.append([None, f"{desk.word}-1", f"{day:%d-%b-%y}", None, 6030, "Rent", "1,200.00", None])
    page.append([None, None, None, None, 1010, "Bank", None, "1,200.00"])
    page.append([])
    page.append([None, f"{desk.word}-2", f"{day:%d %b %Y}", None, 6030, "Power", 85.25, None])
    page.append([None, None, None, None, 1010, None, None, 85.25])
    path = desk.folder / "journal.xlsx"
    book.save(path)
    return TypedSheet(
        "journal-entries",
        path,
        {
            f"{desk.word}-1": {"date": day.isoformat(), "totalDebit": Decimal(1200)},
            f"{desk.word}-2": {"date": day.isoformat(), "totalDebit": Decimal("85.25")},
        },
        [
            ("date", f"{day:%d-%b-%y}", day.isoformat()),
            ("lines.debit", "1,200.00", "1200.00"),
            ("lines.credit", "Cr", "lines.credit"),
        ],
    )


def inventory_adjustments(desk: Desk) -> TypedSheet:
    """A stock count with decimal commas, saved where those are usual."""
    places = desk.records("/stock")[:2]
    codes = {item["id"]: item["itemCode"] for item in desk.records("/items")}
    book = openpyxl.Workbook()
    page = book.active
    page.title = "Count"
    page.append(["Count No", "Item", "Location", "Type", "Qty", "Cost", "Reason", "Count Date"])
    day = day_before(desk)
    for number, (stock, cost) in enumerate(zip(places, ("12,50", "1.234,56"), strict=True)):
        code = codes[stock["itemId"]]
        reference = f"{desk.word}-{number}"
        spoken = f"{day:%d.%m.%Y}"
        page.append(
            [reference, code, stock["locationId"], "In", number + 1, cost, "Stock Take", spoken]
        )
    path = desk.folder / "count.xlsx"
    book.save(path)
    values = (Decimal("12.50"), Decimal("2469.12"))
    return TypedSheet(
        "inventory-adjustments",
        path,
        {
            f"{desk.word}-{number}": {"date": day.isoformat(), "totalValue": value}
            for number, value in enumerate(values)
        },
        [
            ("adjustmentType", "In", "increase"),
            ("unitCost", "12,50", "12.50"),
            ("reason", "Stock Take", "stock_count"),
            ("date", f"{day:%d.%m.%Y}", day.isoformat()),
        ],
    )


TYPED = (customers, invoices, payments, journal_entries, inventory_adjustments)


def live(desk: Desk, typed: TypedSheet) -> dict[str, Row]:
    """Return what BigLedger has of a sheet, by natural key; of payments the invoices."""
    endpoint = typed.endpoint
    if endpoint == "customers":
        found = desk.customers(**{"email[endswith]": f"@{desk.word}.example"})
        return {record["email"].lower(): record for record in found}
    if endpoint == "payments":
        found = desk.records("/invoices", **{"id[in]": ",".join(typed.meant)})
        return {str(record["id"]): record for record in found}
    path = {"invoices": "/invoices", "inventory-adjustments": "/inventory/adjustments"}.get(
        endpoint, "/journal-entries"
    )
    found = desk.records(path, **{"reference[startswith]": f"{desk.word}-"})
    return {record["reference"].partition("~")[0]: record for record in found}
