"""Headers and cells as people write them: what each column is, what each cell means, what is told.

What must hold: a cell is changed only where one thing can be meant by it; what may mean two things
is rejected with both; every change is told with its column, rule, count and first example.
"""

from __future__ import annotations

import csv
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from blsync.errors import ConfigError, InputFileError
from blsync.push.compare import to_text
from blsync.push.endpoints import EVERY, endpoint_named
from blsync.push.plan.validate import ParsedRow, validate
from blsync.push.source.form import DateOrder, Decimals, Form, maps_of
from blsync.push.source.read import read
from blsync.push.source.sheet import Sheet
from blsync.push.template import label
from blsync.text.readings import READINGS
from blsync.text.synonyms import HEADERS, WORDS, letters

Lines = list[list[Any]]


def write_csv(path: Path, rows: Lines) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_xlsx(path: Path, rows: Lines) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def records(rows: Lines) -> list[dict[str, Any]]:
    names, *below = rows
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in below
    ]


def write_json(path: Path, rows: Lines) -> None:
    path.write_text(to_text(records(rows)), "utf-8")


def write_jsonl(path: Path, rows: Lines) -> None:
    path.write_text("\n".join(map(to_text, records(rows))), "utf-8")


def write_parquet(path: Path, rows: Lines) -> None:
    pq.write_table(pa.Table.from_pylist(records(rows)), path)


WRITERS = {
    ".csv": write_csv,
    ".xlsx": write_xlsx,
    ".json": write_json,
    ".jsonl": write_jsonl,
    ".parquet": write_parquet,
}


def sheet(
    folder: Path, rows: Lines, endpoint: str = "customers", ending: str = ".csv", **said: Any
) -> Sheet:
    kind = endpoint_named(endpoint)
    path = folder / f"f{ending}"
    WRITERS[ending](path, rows)
    maps = maps_of(kind, said.pop("maps", ()))
    return read(path, lines=kind.lines, key=kind.natural_key, form=Form(kind, maps, **said))


def parsed(found: Sheet, endpoint: str = "customers") -> list[ParsedRow]:
    return validate(endpoint_named(endpoint), found)


def told(row: ParsedRow) -> str:
    return "; ".join(str(problem["message"]) for problem in row.problems)


def readings(found: Sheet) -> list[tuple[str, int, int | None, str, str]]:
    return [(r.column, r.count, r.row, r.cell, r.read_as) for r in found.readings]


# Values

COLUMNS = {
    "number": [("payments", "amount"), ("customers", "creditLimit"), ("invoices", "shippingCost")],
    "day": [("payments", "paymentDate"), ("invoices", "dueDate"), ("journal-entries", "date")],
}
MATRIX = [
    (kind, cells.split(" | "), expected)
    for _, kind, examples in READINGS
    for cells, expected in examples.items()
]


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(("kind", "cells", "expected"), MATRIX, ids=lambda value: str(value))
def test_a_column_is_read_where_it_proves_what_is_meant_and_asked_about_where_not(
    tmp_path: Path, kind: str, cells: list[str], expected: tuple[str | None, ...], ending: str
) -> None:
    for endpoint, column in COLUMNS[kind]:
        key = "email" if endpoint == "customers" else "reference"
        rows = [[key, column], *([f"k{n}@x.example", cell] for n, cell in enumerate(cells))]
        found = sheet(tmp_path, rows, endpoint, ending)
        read_rows = parsed(found, endpoint)
        for row, cell, wanted in zip(read_rows, cells, expected, strict=True):
            value = found.rows[row.row - 1].cells[column]
            if wanted is None:
                assert f"{column} {cell!r} must be" in told(row), (column, cell)
                assert " or " in told(row)
            else:
                is_number = kind == "number"
                assert (Decimal(value) if is_number else value) == (
                    Decimal(wanted) if is_number else wanted
                )
        changed = sum(w is not None and w != c for w, c in zip(expected, cells, strict=True))
        counted = sum(r.count for r in found.readings if r.column == column)
        assert counted == changed, (column, cells)


@pytest.mark.parametrize(
    ("order", "day"),
    [("dmy", date(2026, 4, 3)), ("mdy", date(2026, 3, 4))],
)
def test_whoever_plans_says_which_order_days_have(tmp_path: Path, order: str, day: date) -> None:
    rows = [["reference", "paymentDate"], ["A", "03/04/2026"]]
    [row] = parsed(sheet(tmp_path, rows, "payments", dates=DateOrder(order)), "payments")
    assert (row.data["paymentDate"], row.problems) == (day, ())


def test_a_day_that_is_none_in_the_order_that_was_said_is_rejected(tmp_path: Path) -> None:
    rows = [["reference", "paymentDate"], ["A", "27/11/2026"], ["B", "11/02/2026"]]
    found = sheet(tmp_path, rows, "payments", dates=DateOrder.MDY)
    first, second = parsed(found, "payments")
    assert "in the order mdy" in told(first)
    assert second.data["paymentDate"] == date(2026, 11, 2)


def test_a_header_may_name_the_order_of_its_days(tmp_path: Path) -> None:
    rows = [["reference", "Payment Date (DD/MM/YYYY)"], ["A", "03/04/2026"]]
    [row] = parsed(sheet(tmp_path, rows, "payments"), "payments")
    assert row.data["paymentDate"] == date(2026, 4, 3)


@pytest.mark.parametrize(("said", "limit"), [("point", "1234"), ("comma", "1.23")])
def test_whoever_plans_says_what_stands_before_decimals(
    tmp_path: Path, said: str, limit: str
) -> None:
    cell = "1,234" if said == "point" else "1,23"
    rows = [["email", "creditLimit"], ["a@x.example", cell]]
    [row] = parsed(sheet(tmp_path, rows, decimals=Decimals(said)))
    assert row.data["creditLimit"] == Decimal(limit)


def test_a_column_proves_nothing_where_the_file_has_numbers_of_the_other_kind(
    tmp_path: Path,
) -> None:
    header = ["reference", "invoiceDate", "shippingCost", "items[0].unitPrice"]
    rows = [header, ["A", "2026-03-01", "2,50", "12.75"], ["B", "2026-03-01", "3,50", "1,234"]]
    _, second = parsed(sheet(tmp_path, rows, "invoices"), "invoices")
    assert "it is 1.234 or 1234" in told(second) or "it is 1234 or 1.234" in told(second)


def test_a_currency_that_is_not_the_rows_own_is_never_left_out(tmp_path: Path) -> None:
    header = ["email", "currency", "creditLimit"]
    rows = [header, ["a@x.example", "USD", "RM 5.00"], ["b@x.example", "USD", "USD 5.00"]]
    first, second = parsed(sheet(tmp_path, rows))
    assert "creditLimit" in told(first)
    assert second.data["creditLimit"] == Decimal("5.00")


@pytest.mark.parametrize("endpoint_and_column", WORDS, ids=str)
def test_a_choice_is_known_by_its_letters_and_by_its_other_words(
    tmp_path: Path, endpoint_and_column: tuple[str, str]
) -> None:
    endpoint, column = endpoint_and_column
    key = "email" if endpoint == "customers" else "reference"
    for choice, words in WORDS[endpoint_and_column].items():
        spelled = (*words, choice.upper(), choice.replace("_", " ").title(), f"\u00a0{choice} ")
        for word in spelled:
            found = sheet(tmp_path, [[key, column], ["k@x.example", word]], endpoint)
            assert found.rows[0].cells[column] == choice, word


def test_a_word_that_is_no_choice_is_rejected_with_the_choices(tmp_path: Path) -> None:
    rows = [["reference", "Payment Method"], ["A", "barter"]]
    [row] = parsed(sheet(tmp_path, rows, "payments"), "payments")
    assert "paymentMethod 'barter' must be bank_transfer, duitnow, fpx" in told(row)


@pytest.mark.parametrize(
    ("header", "word", "status"),
    [("Active", "Yes", "active"), ("Aktif?", "tidak", "inactive"), ("Is Active", "0", "inactive")],
)
def test_a_header_that_asks_is_answered_by_yes_and_no(
    tmp_path: Path, header: str, word: str, status: str
) -> None:
    found = sheet(tmp_path, [["email", header], ["a@x.example", word]])
    assert found.rows[0].cells["status"] == status


def test_yes_is_no_status(tmp_path: Path) -> None:
    [row] = parsed(sheet(tmp_path, [["email", "status"], ["a@x.example", "Yes"]]))
    assert "status 'Yes' must be active, inactive or blocked" in told(row)


def test_days_of_workbooks_are_read_in_either_date_system_and_times_are_left_out(
    tmp_path: Path,
) -> None:
    for epoch in (None, CALENDAR_MAC_1904):
        book = openpyxl.Workbook()
        if epoch:
            book.epoch = epoch
        book.active.append(["reference", "Tarikh"])
        book.active.append(["A", date(2026, 11, 27)])
        book.active.append(["B", datetime(2026, 11, 27, 17, 30)])
        book.save(tmp_path / "f.xlsx")
        kind = endpoint_named("payments")
        found = read(tmp_path / "f.xlsx", key=kind.natural_key, form=Form(kind))
        days = [row.data["paymentDate"] for row in parsed(found, "payments")]
        assert days == [date(2026, 11, 27)] * 2
        assert readings(found)[-1][1:] == (1, 3, "2026-11-27T17:30:00", "2026-11-27")


def test_digits_of_codes_are_kept_and_lost_ones_are_told(tmp_path: Path) -> None:
    header = ["email", "Phone", "Billing Address Postal Code", "Tax No"]
    rows = [header, ["a@x.example", 60123456789, 50450, "0012"], ["b@x.example", 123, 5400, 12]]
    found = sheet(tmp_path, rows, ending=".xlsx")
    first, second = parsed(found)
    assert first.data["phone"] == "60123456789"
    assert first.data["billingAddress"]["postalCode"] == "50450"
    assert first.data["taxNumber"] == "0012"
    for column in ("phone", "billingAddress.postalCode", "taxNumber"):
        assert column in told(second)


# Headers


@pytest.mark.parametrize("endpoint", EVERY)
def test_every_name_of_a_column_is_that_columns_alone(endpoint: str) -> None:
    form = Form(endpoint_named(endpoint))
    for column in form.known():
        spaced = column.replace(".", " ")
        for name in (column, column.upper(), f" {spaced}: ", label(form.endpoint, column)):
            [found] = form.headers([name])
            assert found.column == column, name
    by_letters: dict[str, str] = {}
    for column, names in HEADERS[endpoint].items():
        assert form.is_known(column), column
        for name in names:
            assert by_letters.setdefault(letters(name), column) == column, name
            [found] = form.headers([name])
            assert found.column == column, name


def test_the_last_part_of_a_name_is_enough_where_one_column_has_it(tmp_path: Path) -> None:
    rows = [["reference", "Unit Price", "QTY", "description"], ["A", "5", "2", "Work"]]
    found = sheet(tmp_path, rows, "invoices")
    [row] = parsed(found, "invoices")
    line = {"unitPrice": Decimal(5), "quantity": Decimal(2), "description": "Work"}
    assert row.data["items"] == [line]
    rules = {(r.cell, r.read_as) for r in found.readings}
    assert rules >= {("Unit Price", "items.unitPrice"), ("QTY", "items.quantity")}


def test_a_name_that_several_columns_have_is_left_out_and_named(tmp_path: Path) -> None:
    found = sheet(tmp_path, [["email", "City"], ["a@x.example", "Ipoh"]])
    assert "address" not in parsed(found)[0].data
    assert "'City' may be 'address.city' or 'billingAddress.city'" in found.notes[0]


def test_columns_that_are_not_known_are_left_out_and_named_or_refused_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    rows = [["email", "Remarks", "currentBalance"], ["a@x.example", "call him", "5"]]
    found = sheet(tmp_path, rows)
    assert parsed(found)[0].data == {"email": "a@x.example"}
    assert "nothing of it is sent: column 'Remarks' is unknown" in found.notes[0]
    assert "'currentBalance' is read-only" in found.notes[0]
    with pytest.raises(InputFileError, match=r"'Remarks' is unknown.*without --strict"):
        sheet(tmp_path, rows, is_strict=True)


def test_a_column_that_is_nearly_a_needed_one_is_asked_about(tmp_path: Path) -> None:
    rows = [["email", "Nmae"], ["a@x.example", "Aina"]]
    with pytest.raises(InputFileError, match=r"did you mean 'name'.*--map 'Nmae=name'"):
        sheet(tmp_path, rows)
    assert parsed(sheet(tmp_path, rows, maps=["Nmae=name"]))[0].data["name"] == "Aina"
    assert "name" not in parsed(sheet(tmp_path, rows, maps=["Nmae="]))[0].data
    with_name = [["email", "Nmae", "name"], ["a@x.example", "Aina", "Siti"]]
    assert parsed(sheet(tmp_path, with_name))[0].data["name"] == "Siti"


def test_a_column_is_what_map_says_before_all_else(tmp_path: Path) -> None:
    rows = [["Email", "Cust Email", "Company"], ["old@x.example", "a@x.example", "Kedai"]]
    found = sheet(tmp_path, rows, maps=["cust  EMAIL=email", "Email="])
    assert parsed(found)[0].data == {"email": "a@x.example", "name": "Kedai"}


@pytest.mark.parametrize("said", ["Cust Email", "=email", "Cust Email=nothing", "Cust=items.x"])
def test_a_map_that_says_nothing_is_told(said: str) -> None:
    with pytest.raises(ConfigError, match="--map"):
        maps_of(endpoint_named("customers"), [said])


def test_two_columns_that_are_one_are_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = [["E-mail Address", "Emel"], ["a@x.example", "b@x.example"]]
    with pytest.raises(InputFileError, match=r"two columns that are 'email'.*--map 'Emel='"):
        sheet(tmp_path, rows)


def test_the_columns_own_name_goes_before_another_for_it(tmp_path: Path) -> None:
    found = sheet(tmp_path, [["email", "Emel"], ["a@x.example", "b@x.example"]])
    assert parsed(found)[0].data == {"email": "a@x.example"}
    assert "'Emel' would be 'email', which another column is already" in found.notes[0]


# Sheets


def test_titles_blank_rows_sums_and_notes_are_no_rows_and_numbers_are_the_sheets_own(
    tmp_path: Path,
) -> None:
    rows = [
        ["Kedai list, November"],
        [],
        ["Email", None, "Name", "Credit Limit", None],
        ["a@x.example", None, "A", 5, None],
        [],
        ["b@x.example", None, "B", -6, None],
        ["Email", None, "Name", "Credit Limit", None],
        ["Total", None, None, 11, None],
        [],
        ["Prepared by Siti"],
        ["checked by Aina"],
    ]
    for ending in (".csv", ".xlsx"):
        found = sheet(tmp_path, rows, ending=ending)
        assert [row.place for row in found.rows] == [4, 6]
        assert [row.number for row in found.rows] == [1, 3]
        assert [note.partition(": ")[2] for note in found.notes] == [
            "the header is row 3; row 1 is above it.",
            "row 7 is left out: the header again.",
            "row 8 is left out: a sum.",
            "rows 10, 11 are left out: notes below the table.",
        ]
        assert found.readings == ()


def test_a_record_with_little_in_it_is_no_note(tmp_path: Path) -> None:
    rows = [["email", "name", "phone"], ["a@x.example", "A", ""], ["b@x.example", "", ""]]
    assert [row.place for row in sheet(tmp_path, rows).rows] == [2, 3]
    few = [["email", "name"], ["a@x.example", "A"], [], ["b@x.example", ""]]
    assert [row.place for row in sheet(tmp_path, few).rows] == [2, 4]


def test_columns_without_a_name_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [["email", None, "name"], ["a@x.example", "odd", "A", "aside"]]
    found = sheet(tmp_path, rows, ending=".xlsx")
    assert parsed(found)[0].data == {"email": "a@x.example", "name": "A"}
    assert "column number 2 has no name; column number 4 has no name" in found.notes[0]
    with pytest.raises(InputFileError, match="column number 2 has no name"):
        sheet(tmp_path, rows, ending=".xlsx", is_strict=True)


def test_merged_cells_hold_for_each_of_their_rows(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    for row in (["Status of customers", None, None], ["Email", "Status", "Name"]):
        page.append(row)
    for name in "abc":
        page.append([f"{name}@x.example", "Active" if name == "a" else None, name])
    page.merge_cells("A1:C1")
    page.merge_cells("B3:B4")
    book.save(tmp_path / "f.xlsx")
    found = read(tmp_path / "f.xlsx", form=Form(endpoint_named("customers")))
    assert [row.cells.get("status") for row in found.rows] == ["active", "active", None]
    assert ("status", 1, 4, "", "Active") in readings(found)


def test_the_worksheet_is_the_one_that_is_named_or_the_first_whose_header_fits(
    tmp_path: Path,
) -> None:
    book = openpyxl.Workbook()
    book.active.append(["what to do", "who"])
    for title in ("October", "November"):
        page = book.create_sheet(title)
        page.append(["Email", "Name"])
        page.append([f"{title}@x.example", title])
    book.save(tmp_path / "f.xlsx")
    form = Form(endpoint_named("customers"))
    found = read(tmp_path / "f.xlsx", form=form)
    assert found.rows[0].cells["name"] == "October"
    assert found.notes == (
        "f.xlsx: only the worksheet 'October' is read; not 'Sheet', 'November'. 'November' has "
        "such a header too: --sheet 'November' reads that one.",
    )
    named = Form(endpoint_named("customers"), sheet="november")
    assert read(tmp_path / "f.xlsx", form=named).rows[0].cells["name"] == "November"
    with pytest.raises(InputFileError, match=r"no worksheet 'May' .*'October'"):
        read(tmp_path / "f.xlsx", form=Form(endpoint_named("customers"), sheet="May"))


def test_of_several_worksheets_the_one_whose_header_fits_best_is_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Invoice No", "Amount"])
    book.active.append(["INV-1", 5])
    page = book.create_sheet("Receipts")
    page.append(["Receipt No", "Invoice No", "Date", "Amount"])
    page.append(["R-1", "INV-1", date(2026, 3, 31), 5])
    book.save(tmp_path / "f.xlsx")
    found = read(tmp_path / "f.xlsx", form=Form(endpoint_named("payments")))
    assert found.rows[0].cells["reference"] == "R-1"
    assert found.notes == ("f.xlsx: only the worksheet 'Receipts' is read; not 'Sheet'.",)


@pytest.mark.parametrize(
    "below",
    [
        ["Jumlah (RM)", None, None, 11, 11],
        ["TOTAL:", None, None, 11, 11],
        [None, None, "Grand Total", 11, 11],
        ["Jumlah Keseluruhan", 4, "1,250.00", 11, 11],
    ],
    ids=str,
)
def test_a_sum_is_no_row_however_it_is_written_and_notes_may_follow_at_once(
    tmp_path: Path, below: list[Any]
) -> None:
    header = ["Voucher No", "Date", "Account", "Dr", "Cr"]
    entry = [["J1", date(2026, 3, 1), 6030, 11, None], [None, None, 1010, None, 11]]
    notes = [["Nota: disahkan oleh Siti"], ["Prepared by Aina"]]
    found = sheet(tmp_path, [header, *entry, below, *notes], "journal-entries", ".xlsx")
    assert [row.problems for row in parsed(found, "journal-entries")] == [()]
    assert "row 4 is left out: a sum" in found.notes[0]
    assert "rows 5, 6 are left out: notes" in " ".join(found.notes)


def test_a_formula_without_its_value_matters_only_where_it_would_be_sent(tmp_path: Path) -> None:
    rows = [
        ["No", "Email", "Name", "Credit Limit"],
        ["=ROW()-1", "a@x.example", "A", 5],
        [None, "Total", None, "=SUM(D2:D2)"],
    ]  # as a program writes them that works out nothing
    found = sheet(tmp_path, rows, ending=".xlsx")
    assert [row.cells["email"] for row in found.rows] == ["a@x.example"]
    for row in (["", "b@x.example", "B", "=D2"], [None, None, None, "=D2"]):
        with pytest.raises(InputFileError, match="cell D4 has a formula without the value"):
            sheet(tmp_path, [*rows, row], ending=".xlsx")


def test_a_record_that_is_called_total_is_no_sum(tmp_path: Path) -> None:
    rows = [["Name", "Email", "Phone"], ["Total", "a@x.example", "03-7785 1234"]]
    assert len(sheet(tmp_path, rows).rows) == 1


def test_a_name_twice_is_refused_only_where_something_would_be_sent_of_it(tmp_path: Path) -> None:
    rows = [["email", "Remarks", "name", "Remarks"], ["a@x.example", "x", "A", "y"]]
    found = sheet(tmp_path, rows)
    assert parsed(found)[0].data == {"email": "a@x.example", "name": "A"}
    assert found.rows[0].source[0] == {
        "email": "a@x.example", "_Remarks": "x", "name": "A", "_Remarks (column 4)": "y"
    }  # fmt: skip
    with pytest.raises(InputFileError, match="the column 'Name' more than once"):
        sheet(tmp_path, [["email", "Name", "Name"], ["a@x.example", "A", "B"]])


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("Name (as per SSM)", "name"),
        ("Company Name [registered]:", "name"),
        ("Credit Limit (approved by CFO)", "creditLimit"),
        ("Credit Limit (USD)", None),
        ("Credit Limit ($)", None),
    ],
)
def test_what_brackets_explain_is_no_part_of_a_header_but_a_currency_is(
    tmp_path: Path, header: str, column: str | None
) -> None:
    found = sheet(tmp_path, [["email", header], ["a@x.example", "5"]])
    is_read = any(r.cell == header and "brackets" in r.rule for r in found.readings)
    assert (column in found.columns, is_read) == ((True, True) if column else (False, False))


@pytest.mark.parametrize(
    ("header", "day"),
    [
        ("Date dd/mm/yy", date(2026, 4, 3)),
        ("Payment Date (MM-DD-YYYY)", date(2026, 3, 4)),
        ("Tarikh (hh/bb/tttt)", date(2026, 4, 3)),
        ("Tarikh Bayaran HH.BB.TTTT", date(2026, 4, 3)),
    ],
)
def test_a_header_tells_the_order_of_its_days_in_brackets_or_behind_its_name_in_two_languages(
    tmp_path: Path, header: str, day: date
) -> None:
    found = sheet(tmp_path, [["reference", header], ["R-1", "03/04/2026"]], "payments")
    assert parsed(found, "payments")[0].data["paymentDate"] == day
    assert "as its header says" in found.readings[-1].rule


def test_days_that_are_left_out_are_asked_about_where_nothing_else_dates_the_document(
    tmp_path: Path,
) -> None:
    rows = [["reference", "amount", "Received on"], ["R-1", "5", "31/3/2026"]]
    with pytest.raises(InputFileError, match=r"--map 'Received on=paymentDate', else with --map"):
        sheet(tmp_path, rows, "payments")
    found = sheet(tmp_path, rows, "payments", maps=["Received on="])
    assert "paymentDate" not in parsed(found, "payments")[0].data
    dated = [[*rows[0], "Date"], [*rows[1], "2026-03-30"]]
    assert "paymentDate" in sheet(tmp_path, dated, "payments").columns


@pytest.mark.parametrize(
    ("header", "cells", "column"),
    [
        ("Discount", ["10%", "0%"], "items.discountPercent"),
        ("SST", ["6%", "6 %"], "items.taxRate"),
        ("Tax", ["SR", "ZRL"], "items.taxCode"),
        ("Discount", ["10", "5%"], None),
        ("SST", ["6", "6"], None),
    ],
)
def test_a_name_for_two_columns_of_money_is_decided_by_its_cells_or_asked_about(
    tmp_path: Path, header: str, cells: list[str], column: str | None
) -> None:
    rows = [["reference", "items.quantity", header]]
    rows += [[f"R-{n}", "1", cell] for n, cell in enumerate(cells)]
    if column:
        found = sheet(tmp_path, rows, "invoices")
        assert column in found.columns
        assert (column, 1, None, header, column) in readings(found)
        return
    with pytest.raises(InputFileError, match=rf"'{header}' may be .* --map '{header}='"):
        sheet(tmp_path, rows, "invoices")
    assert sheet(tmp_path, [*rows[:1], ["R-1", "1", ""]], "invoices").columns[:2] == rows[0][:2]


def test_a_column_of_customers_is_read_by_their_addresses_or_asked_about(tmp_path: Path) -> None:
    header = ["Ref", "Customer", "Qty", "Description"]
    by_address = sheet(tmp_path, [header, ["R-1", "a@x.example", "1", "x"]], "invoices")
    assert "customer.email" in by_address.columns
    by_name = [header, ["R-1", "Aminah", "1", "x"]]
    with pytest.raises(InputFileError, match=r"'customer.customerNumber'.*by its name alone"):
        sheet(tmp_path, by_name, "invoices")
    both = [[*header, "E-mail"], [*by_name[1], "a@x.example"]]
    assert "customer.email" in sheet(tmp_path, both, "invoices").columns


def test_a_day_that_no_calendar_has_is_told_so(tmp_path: Path) -> None:
    found = sheet(tmp_path, [["reference", "Date"], ["R-1", "31/11/2026"]], "payments")
    assert "it is in no calendar" in told(parsed(found, "payments")[0])


def test_days_that_a_program_may_have_read_month_first_are_pointed_at(tmp_path: Path) -> None:
    rows = [["reference", "Date"], ["R-1", "27/11/2026"], ["R-2", date(2026, 4, 3)]]
    found = sheet(tmp_path, rows, "payments", ".xlsx")
    assert parsed(found, "payments")[1].data["paymentDate"] == date(2026, 4, 3)
    [pointed] = [r for r in found.readings if "month first" in r.rule]
    assert (pointed.row, pointed.cell, pointed.count) == (3, "2026-04-03", 1)
    timed = sheet(tmp_path, [*rows, ["R-3", datetime(2026, 4, 3, 10, 15)]], "payments", ".xlsx")
    assert parsed(timed, "payments")[2].data["paymentDate"] == date(2026, 4, 3)
    assert any("time of day left out" in r.rule and "month first" in r.rule for r in timed.readings)
    proven = sheet(tmp_path, [*rows, ["R-3", date(2026, 4, 30)]], "payments", ".xlsx")
    assert not [r for r in proven.readings if "month first" in r.rule]


def test_an_example_that_somebody_wrote_over_is_asked_about(tmp_path: Path) -> None:
    rows = [["Email *", "Name *", "_note"], ["own@x.example", "A", "example, not sent"]]
    found = sheet(tmp_path, rows)
    assert "empty that cell to have the row sent" in told(parsed(found)[0])
    rows[1][0] = "name@company.my"
    with pytest.raises(InputFileError, match="row 2 is left out: the example"):
        sheet(tmp_path, rows)


def test_a_description_that_differs_within_an_entry_is_that_of_its_lines(tmp_path: Path) -> None:
    header = ["Ref", "Date", "Account", "Description", "Debit", "Credit"]
    lines = [["J1", "2026-03-01", "6030", "Rent", "5", "-"], ["", "", "1010", "Bank", "RM -", "5"]]
    found = sheet(tmp_path, [header, *lines], "journal-entries")
    [row] = parsed(found, "journal-entries")
    assert row.problems == ()
    assert [line["description"] for line in row.data["lines"]] == ["Rent", "Bank"]
    assert ("lines.debit", 1, 3, "RM -", "0") in readings(found)
    lines[1][0], lines[1][3] = "J1", "Rent"
    [same] = parsed(sheet(tmp_path, [header, *lines], "journal-entries"), "journal-entries")
    assert same.data["description"] == "Rent"


def test_a_line_that_repeats_the_date_and_not_the_reference_is_told_what_it_lacks(
    tmp_path: Path,
) -> None:
    header = ["Ref", "Date", "Account", "Debit", "Credit"]
    lines = [["J1", "2026-03-01", "6030", "5", ""], ["", "2026-03-01", "1010", "", "5"]]
    found = parsed(sheet(tmp_path, [header, *lines], "journal-entries"), "journal-entries")
    assert "row 3 has no reference, and date of its own, so it is no line of row 2" in told(
        found[1]
    )


def test_a_line_that_cannot_be_read_is_told_with_its_own_row(tmp_path: Path) -> None:
    header = ["Voucher No", "Date", "Account", "Dr", "Cr"]
    rows = [header, ["J1", "2026-03-01", "6030", "5.00", ""], ["", "", "1010", "", "x"]]
    [row] = parsed(sheet(tmp_path, rows, "journal-entries"), "journal-entries")
    assert "lines[1].credit (row 3) 'x' must be an amount" in told(row)


def test_keys_in_wrappers_are_told_and_two_documents_stay_two(tmp_path: Path) -> None:
    header = ["reference", "items.itemCode", "items.quantity"]
    rows = [header, ["PO-1", "A", "2"], ["\u201cPO-1\u201d", "A", "2"]]
    found = sheet(tmp_path, rows, "invoices")
    assert len(found.rows) == 2
    assert ("reference", 1, 3, "\u201cPO-1\u201d", "PO-1") in readings(found)
