"""Spellings of spreadsheets: each is read, refused or asked about, alike in every kind of file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blsync.files import spreadsheet
from blsync.push.compare import to_text
from blsync.push.endpoints import ENDPOINTS, endpoint_named
from blsync.push.plan.validate import ParsedRow, validate
from blsync.push.source.form import Form
from blsync.push.source.read import read
from blsync.text.spellings import DASH, SPELLINGS, Kind, Spelling, Verdict

Row = dict[str, Any]

FIELDS = {
    Kind.ANY: [("customers", "name"), ("invoices", "notes"), ("customers", "address.street2")],
    Kind.KEY: [
        *[("invoices", "reference"), ("journal-entries", "reference"), ("payments", "reference")],
        *[("inventory-adjustments", "reference"), ("inventory-adjustments", "itemCode")],
        *[("payments", "invoiceNumber"), ("payments", "accountNumber"), ("invoices", "customerId")],
        *[("invoices", "invoiceNumber"), ("customers", "customerNumber"), ("customers", "id")],
        *[("customers", "taxNumber"), ("customers", "phone"), ("customers", "address.postalCode")],
        *[("invoices", "items[0].itemCode"), ("journal-entries", "lines[0].accountNumber")],
    ],
    Kind.EMAIL: [("customers", "email"), ("invoices", "customer.email")],
    Kind.TEXT: [
        *[("customers", "name"), ("customers", "customFields.region"), ("invoices", "notes")],
        *[("customers", "address.street"), ("customers", "tags"), ("invoices", "purchaseOrder")],
        *[("invoices", "items[0].description"), ("journal-entries", "lines[0].description")],
        *[("payments", "paymentMethod"), ("customers", "website")],
    ],
    Kind.NUMBER: [
        *[("customers", "creditLimit"), ("invoices", "shippingCost"), ("payments", "amount")],
        *[("inventory-adjustments", "quantity"), ("inventory-adjustments", "unitCost")],
        *[("invoices", "items[0].unitPrice"), ("journal-entries", "lines[0].debit")],
    ],
    Kind.PERCENT: [("invoices", "items[0].taxRate"), ("invoices", "items[0].discountPercent")],
    Kind.DAY: [
        *[("invoices", "invoiceDate"), ("invoices", "dueDate"), ("payments", "paymentDate")],
        *[("journal-entries", "date"), ("inventory-adjustments", "date")],
    ],
}
"""Kind → fields that are of it."""


def write_csv(path: Path, row: Row) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)


def write_xlsx(path: Path, row: Row) -> None:
    spreadsheet.write_table(path, "Sheet", list(row), [list(row.values())])


def write_json(path: Path, row: Row) -> None:
    path.write_text(to_text([row]), "utf-8")


def write_jsonl(path: Path, row: Row) -> None:
    path.write_text(to_text(row), "utf-8")


def write_parquet(path: Path, row: Row) -> None:
    pq.write_table(pa.Table.from_pylist([row]), path)


WRITERS: dict[str, Callable[[Path, Row], None]] = {
    ".csv": write_csv,
    ".xlsx": write_xlsx,
    ".json": write_json,
    ".jsonl": write_jsonl,
    ".parquet": write_parquet,
}


def parsed(folder: Path, ending: str, endpoint: str, row: Row) -> ParsedRow:
    kind = endpoint_named(endpoint)
    path = folder / f"f{ending}"
    WRITERS[ending](path, row)
    [only] = validate(kind, read(path, lines=kind.lines, key=kind.natural_key, form=Form(kind)))
    return only


def cases(spelling: Spelling) -> Iterator[tuple[str, str, Any, str | None]]:
    for kind in spelling.kinds:
        for endpoint, column in FIELDS[kind]:
            if spelling.name == DASH and column.replace("[0]", "") in ENDPOINTS[endpoint].sides:
                continue  # read there: of a debit and a credit one is nothing
            for cell, read_as in spelling.examples.items():
                yield endpoint, column, cell, read_as


def row_with(endpoint: str, column: str, cell: Any) -> Row:
    """A row that is whole but for what is tried."""
    own = {"email": "aina@kedai.my"} if endpoint == "customers" else {"reference": "R-1"}
    line: Row = {}
    if column.startswith("items"):
        line = {"items[0].quantity": "2", "items[0].unitPrice": "5", "items[0].itemId": "item_1"}
    if column.startswith("lines"):
        line = {"lines[0].accountId": "a", "lines[1].accountId": "b", "lines[1].credit": "5"}
        line |= {} if column.endswith("debit") else {"lines[0].debit": "5"}
    return {**own, **line, column: cell}


def value_at(found: ParsedRow, column: str) -> Any:
    if column in found.named:
        return found.named[column]
    value: Any = found.data
    for part in column.replace("[0]", ".0").split("."):
        value = value[int(part)] if isinstance(value, list) else value.get(part)
        if value is None:
            return None
    return value


def same(value: Any, told: str | None) -> bool:
    if isinstance(value, Decimal):
        return told is not None and value == Decimal(told)
    return value == told if value is None or isinstance(value, str) else str(value) == told


@pytest.mark.deep_after(9)
@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda each: each.name)
def test_a_spelling_is_read_refused_or_asked_about_in_every_kind_of_file(
    tmp_path: Path, spelling: Spelling, ending: str
) -> None:
    for endpoint, column, cell, expected in cases(spelling):
        found = parsed(tmp_path, ending, endpoint, row_with(endpoint, column, cell))
        told = "; ".join(str(problem["message"]) for problem in found.problems)
        place = f"{endpoint} {column} {cell!r}: {told}"
        if spelling.verdict == Verdict.READ:
            balance = "balance" if column.startswith("lines") else ""
            assert not told or (balance and "must be equal" in told), place
            assert balance or same(value_at(found, column), expected), place
        else:
            assert column in told or column.replace("[0]", "") in told, place
            is_address = column.endswith("email")
            assert spelling.told in told or is_address, place


def test_words_that_are_read_as_empty_are_counted_and_told(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("email,name,phone\na@kedai.my,A,NULL\nb@kedai.my,nan,NULL\n")
    assert read(path).notes == ("f.csv: 3 cells hold NULL, nan, and are read as empty.",)


SEMICOLONS = "reference;items.quantity;items.unitPrice\n"


@pytest.mark.parametrize(
    ("text", "is_doubtful"),
    [
        ("reference,items.quantity,items.unitPrice\nA,1.500,2\n", False),
        ('reference,items.quantity,items.unitPrice\nA,1.500,"2,5"\n', True),
        ('reference,items.quantity,items.unitPrice\nA,1.500,"1,234.50"\n', False),
        (f"{SEMICOLONS}A;1.500;2\n", True),
        (f"{SEMICOLONS}A;1.500;2.5\n", False),
        (f"{SEMICOLONS}A;0.500;2\n", False),
        (f"{SEMICOLONS}A;1.500;2,5\n", True),
        (f"{SEMICOLONS}A;1.500;2\nB;2;2,5\n", True),
        (f"{SEMICOLONS}A;12.5000;2\n", False),
    ],
)
def test_whether_a_point_stands_between_thousands_is_told_by_the_whole_file(
    tmp_path: Path, text: str, is_doubtful: bool
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    first, *_ = validate(endpoint_named("invoices"), read(path, lines="items", key="reference"))
    told = [str(p["message"]) for p in first.problems if "quantity" in str(p["field"])]
    assert bool(told) == is_doubtful
    assert all("may be in thousands" in message for message in told)


def test_a_line_that_names_its_separator_is_read_as_a_spreadsheet_reads_it(tmp_path: Path) -> None:
    for separator in ";|\t,":
        path = tmp_path / "f.csv"
        path.write_text(
            f"sep={separator}\r\nemail{separator}name\r\na@kedai.my{separator}A;B\r\n"
            if separator != ";"
            else "\ufeffsep=;\r\nemail;name\r\na@kedai.my;A,B\r\n",
            "utf-8",
        )
        [row] = read(path).rows
        assert row.cells["email"] == "a@kedai.my"
        assert row.cells["name"] in ("A;B", "A,B")
        assert row.number == 1


def test_cells_that_lines_leave_out_at_their_end_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("email,name,phone,website\na@k.my,A,1,w\nb@k.my,B\nc@k.my\nd@k.my,D,,,,\n")
    found = [dict(row.cells) for row in read(path).rows]
    assert found[1:] == [
        {"email": "b@k.my", "name": "B"},
        {"email": "c@k.my"},
        {"email": "d@k.my", "name": "D"},
    ]


def test_a_code_that_a_data_frame_made_a_float_of_is_read_only_while_it_is_whole(
    tmp_path: Path,
) -> None:
    for number, is_whole in ((9555012345678.0, True), (2.0**53, False), (1e22, False)):
        pq.write_table(pa.Table.from_pylist([{"reference": number}]), tmp_path / "f.parquet")
        [row] = validate(endpoint_named("payments"), read(tmp_path / "f.parquet", key="reference"))
        told = [p for p in row.problems if p["field"] == "reference"]
        assert bool(told) != is_whole
        assert not is_whole or row.key == "9555012345678"
