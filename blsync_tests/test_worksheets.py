"""What a worksheet shows is what is read of it, whatever else its file holds."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet
from rig.push_desk import opened, server

from blsync.cli.app import app
from blsync.errors import InputFileError
from blsync.push.endpoints import endpoint_named
from blsync.push.plan.validate import validate
from blsync.push.source.form import Form
from blsync.push.source.read import read
from blsync.push.source.sheet import Sheet

HEADER = ["email", "name", "creditLimit", "status"]
CELLS = [[f"r{n}@kedai.my", f"Kedai {n}", 100 * n, "blocked"] for n in range(1, 6)]


def workbook(folder: Path, change: Callable[[Worksheet], object] = lambda _: None) -> Path:
    book = openpyxl.Workbook()
    for row in [HEADER, *CELLS]:
        book.active.append(row)
    change(book.active)
    book.save(folder / "f.xlsx")
    return folder / "f.xlsx"


def shown(found: Sheet) -> list[dict[str, Any]]:
    return [dict(row.cells) for row in found.rows]


def hide_rows(page: Worksheet) -> None:
    for number in (3, 5):
        page.row_dimensions[number].hidden = True


def rewritten(path: Path, change: Callable[[bytes], bytes], name: str) -> Path:
    """Write a workbook whose parts another program would have written otherwise."""
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    with zipfile.ZipFile(path.with_name(name), "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, change(content))
    return path.with_name(name)


def test_rows_that_are_hidden_are_left_out_and_named(tmp_path: Path) -> None:
    found = read(workbook(tmp_path, hide_rows))
    assert [row.number for row in found.rows] == [1, 3, 5]
    assert found.notes == (
        "f.xlsx: left out: 2 hidden rows (3, 5 of the sheet); unhide them, or plan with --hidden.",
    )
    every = read(workbook(tmp_path, hide_rows), hidden=True)
    assert [row.number for row in every.rows] == [1, 2, 3, 4, 5]
    assert every.notes == (
        "f.xlsx: read as well, as --hidden asks: 2 hidden rows (3, 5 of the sheet).",
    )


def test_a_row_without_height_is_hidden(tmp_path: Path) -> None:
    flat = rewritten(
        workbook(tmp_path), lambda part: part.replace(b'<row r="4"', b'<row ht="0" r="4"'), "g.xlsx"
    )
    assert [row.number for row in read(flat).rows] == [1, 2, 4, 5]


def test_columns_that_are_hidden_alone_or_in_a_group_are_left_out_and_named(
    tmp_path: Path,
) -> None:
    def hide(page: Worksheet) -> None:
        page.column_dimensions.group("C", "D", hidden=True)

    path = workbook(tmp_path, hide)
    found = read(path)
    assert found.columns == ["email", "name"]
    assert shown(found)[0] == {"email": "r1@kedai.my", "name": "Kedai 1"}
    assert "2 hidden columns ('creditLimit', 'status')" in found.notes[0]
    assert read(path, hidden=True).columns == HEADER


def test_a_hidden_header_still_names_the_columns(tmp_path: Path) -> None:
    def hide(page: Worksheet) -> None:
        page.row_dimensions[1].hidden = True

    found = read(workbook(tmp_path, hide))
    assert (found.columns, len(found.rows), found.notes) == (HEADER, 5, ())


def test_a_worksheet_that_hides_all_its_rows_says_so(tmp_path: Path) -> None:
    def hide(page: Worksheet) -> None:
        for number in range(2, 7):
            page.row_dimensions[number].hidden = True

    with pytest.raises(InputFileError, match=r"5 hidden rows .*--hidden"):
        read(workbook(tmp_path, hide))


def test_a_worksheet_without_hidden_parts_has_no_note(tmp_path: Path) -> None:
    def size(page: Worksheet) -> None:
        page.row_dimensions[2].height = 30
        page.column_dimensions["A"].width = 40

    assert read(workbook(tmp_path, size)).notes == ()


def test_the_plan_tells_what_is_hidden_in_its_text_and_in_json_then_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server() as http, opened(http, tmp_path, monkeypatch):
        path = str(workbook(tmp_path, hide_rows))
        app(["push", "plan", "customers", path, "--json"], standalone_mode=False)
        document = json.loads(capsys.readouterr().out)
        assert [operation["row"] for operation in document["operations"]] == [1, 3, 5]
        assert "2 hidden rows" in document["notes"][0]
        shown = ["push", "show", document["plan_id"]]
        app([*shown, "--json"], standalone_mode=False)
        assert json.loads(capsys.readouterr().out)["notes"] == document["notes"]
        for command in (["push", "plan", "customers", path], shown):
            app(command, standalone_mode=False)
            assert "2 hidden rows" in capsys.readouterr().out
        app(["push", "plan", "customers", path, "--hidden", "--json"], standalone_mode=False)
        assert len(json.loads(capsys.readouterr().out)["operations"]) == 5


def test_a_column_that_is_missed_because_it_is_hidden_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide(page: Worksheet) -> None:
        page.column_dimensions["A"].hidden = True

    told = r"no column that names .* hidden column \('email"
    with (
        server() as http,
        opened(http, tmp_path, monkeypatch) as desk,
        pytest.raises(InputFileError, match=told),
    ):
        desk.plan(workbook(tmp_path, hide))


FORMATS: list[tuple[float, str, Any]] = [
    (42, "00000", "00042"),
    (7, '"PO-"000', "PO-007"),
    (12, '"LOT"0', "LOT12"),
    (123456789, "000\\-0000000", "012-3456789"),
    (123456789, '"0"0', "0123456789"),
    (8, '0"%"', "8%"),
    (8.5, '0.0\\ "%"', "8.5%"),
    (0.085, "0.0%", "8.5%"),
    (0.08, "0.00%", "8%"),
    (1234.5, '"RM"#,##0.00', Decimal("1234.5")),
    (1234.5, "[$RM-43E]#,##0.00;[Red]-[$RM-43E]#,##0.00", Decimal("1234.5")),
    (-3, '_(* #,##0_);_(* (#,##0);_(* "-"??_);_(@_)', -3),
    (0, '_(* #,##0_);_(* (#,##0);_(* "-"??_);_(@_)', 0),
    (30, '0" days"', 30),
    (5.25, "General", Decimal("5.25")),
    (601234567890, "General", 601234567890),
    (601234567890, "0.00E+00", 601234567890),
    (0.5, "# ?/?", Decimal("0.5")),
    (0, '_("RM"* #,##0.00_);_("RM"* (#,##0.00);_("RM"* "-"??_);_(@_)', 0),
    (1234.5, "[$USD] #,##0.00", "USD 1234.5"),
    (1234.5, '#,##0.00" €"', "€ 1234.5"),
    (-5, "$#,##0.00;($#,##0.00)", "$ -5"),
    (5, '"USD-"000', "USD-005"),
]


def formatted(
    folder: Path, number: float | date, number_format: str, column: str = "notes"
) -> Sheet:
    book = openpyxl.Workbook()
    book.active.append(["reference", column])
    book.active.append(["R-1", number])
    book.active["B2"].number_format = number_format
    book.save(folder / "f.xlsx")
    return read(folder / "f.xlsx")


@pytest.mark.parametrize(("number", "number_format", "expected"), FORMATS)
def test_a_number_is_read_as_its_format_shows_it(
    tmp_path: Path, number: float, number_format: str, expected: Any
) -> None:
    [row] = formatted(tmp_path, number, number_format).rows
    assert (row.cells["notes"], row.problems) == (expected, ())


@pytest.mark.parametrize(
    ("number", "number_format", "told"),
    [
        (2.4, "0", "shows 2 and holds 2.4"),
        (10.006, "#,##0.00", "shows 10.01 and holds 10.006"),
        (5400, "#,##0,", "shows 5 and holds 5400"),
        (0.065, "0%", "shows 7% and holds 0.065"),
        (99, ";;;", "shows nothing and holds 99"),
        (0, '0;-0;"free"', "shows free and holds 0"),
        (date(2026, 11, 1), "mmm-yy", "shows no day of its month and holds 2026-11-01"),
        (date(2026, 11, 27), "[$-409]mmmm yyyy", "shows no day of its month and holds 2026-11-27"),
    ],
)
def test_a_format_that_shows_another_number_than_the_cell_holds_is_asked_about(
    tmp_path: Path, number: float | date, number_format: str, told: str
) -> None:
    [row] = formatted(tmp_path, number, number_format).rows
    assert f"row 2: notes {told}" in row.problems[0]


def test_a_foreign_currency_that_a_format_shows_is_read_where_it_is_the_rows_own(
    tmp_path: Path,
) -> None:
    book = openpyxl.Workbook()
    for row in (["email", "currency", "creditLimit"], ["a@x.my", "USD", 5], ["b@x.my", "", 5]):
        book.active.append(row)
    for row in (2, 3):
        book.active[f"C{row}"].number_format = "[$$-409]#,##0.00"
    book.save(tmp_path / "f.xlsx")
    kind = endpoint_named("customers")
    found = read(tmp_path / "f.xlsx", form=Form(kind))
    own, other = validate(kind, found)
    assert (own.data["creditLimit"], own.problems) == (5, ())
    assert "without another currency" in str(other.problems[0]["message"])
    assert ("the currency $ left out", "$ 5") in [(r.rule, r.cell) for r in found.readings]


@pytest.mark.parametrize("number", [0, 0.0, 1, 61, 1462])
def test_a_number_that_shows_as_a_day_of_1900_is_none(tmp_path: Path, number: float) -> None:
    found = formatted(tmp_path, number, "dd/mm/yyyy", column="paymentDate")
    [row] = validate(endpoint_named("payments"), found)
    assert any("paymentDate" in str(p["message"]) for p in row.problems)


def test_a_code_of_more_digits_than_a_spreadsheet_keeps_is_refused(tmp_path: Path) -> None:
    [row] = validate(
        endpoint_named("payments"),
        formatted(tmp_path, 1234567890123456, "0", column="invoiceNumber"),
    )
    assert "a spreadsheet made a number of it" in str(row.problems[0]["message"])


STRICT = {
    b"http://schemas.openxmlformats.org/spreadsheetml/2006/": b"spreadsheetml/",
    b"http://schemas.openxmlformats.org/officeDocument/2006/": b"officeDocument/",
    b"http://schemas.openxmlformats.org/drawingml/2006/": b"drawingml/",
}


def strict(path: Path) -> Path:
    """Save a workbook in the strict namespaces of ISO/IEC 29500."""

    def change(part: bytes) -> bytes:
        for usual, short in STRICT.items():
            part = part.replace(usual, b"http://purl.oclc.org/ooxml/" + short)
        return part

    return rewritten(path, change, "strict.xlsx")


def test_a_workbook_saved_as_strict_open_xml_is_read_like_any_other(tmp_path: Path) -> None:
    path = workbook(tmp_path, hide_rows)
    usual, other = read(path), read(strict(path))
    assert shown(other) == shown(usual)
    assert [note.replace("strict.xlsx", "f.xlsx") for note in other.notes] == [*usual.notes]
