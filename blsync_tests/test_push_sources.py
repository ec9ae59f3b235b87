"""What a push reads: files of every kind, documents, views; and the rejects that it writes."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rig.depth import is_deep

from blsync import settings
from blsync.errors import BuildError, ConfigError, InputFileError
from blsync.files import spreadsheet
from blsync.files.cells import guarded
from blsync.ledger.plans import Operation
from blsync.push.compare import to_text
from blsync.push.endpoints import endpoint_named
from blsync.push.plan.rejects import check_target, write_rejects
from blsync.push.plan.validate import validate
from blsync.push.source.read import read
from blsync.push.source.sheet import Sheet
from blsync.push.source.views import read_view
from blsync.text.spellings import Kind, OddSpelling, read_any, read_as

LINE_ROWS = """\
reference,invoiceDate,items.itemId,items.quantity
INV-1,2026-03-01,item_1,2
INV-1,2026-03-01,item_2,1.5
,,item_3,4
INV-2,2026-03-02,item_1,1
"""


def sheet(folder: Path, text: str, name: str = "f.csv", lines: str | None = "items") -> Sheet:
    path = folder / name
    path.write_bytes(text.encode())
    return read(path, lines=lines, key="reference")


def cells(found: Sheet) -> list[dict[str, Any]]:
    return [dict(row.cells) for row in found.rows]


def workbook(folder: Path, *rows: list[Any], name: str = "f.xlsx") -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(folder / name)
    return folder / name


def patched(path: Path, old: str, new: str) -> Path:
    """Change the text of the first worksheet, as another program would have written it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    part = "xl/worksheets/sheet1.xml"
    assert old.encode() in parts[part], parts[part]
    parts[part] = parts[part].replace(old.encode(), new.encode())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


# Documents with lines


def test_rows_of_one_reference_are_the_lines_of_one_document(tmp_path: Path) -> None:
    found = sheet(tmp_path, LINE_ROWS)
    assert [(row.number, row.cells["reference"], row.problems) for row in found.rows] == [
        (1, "INV-1", ()),
        (4, "INV-2", ()),
    ]
    assert found.rows[0].cells["items"] == [
        {"itemId": "item_1", "quantity": "2"},
        {"itemId": "item_2", "quantity": "1.5"},
        {"itemId": "item_3", "quantity": "4"},
    ]
    assert [source.get("reference") for source in found.rows[0].source] == ["INV-1", "INV-1", None]
    assert found.columns == ["reference", "invoiceDate", "items.itemId", "items.quantity"]


def test_columns_with_an_index_are_lines_in_the_order_of_the_index(tmp_path: Path) -> None:
    text = "reference,items[10].itemId,items[2].itemId,items[2].tax.code\nA,ten,two,SST\nB,,two,\n"
    [a, b] = cells(sheet(tmp_path, text))
    assert a["items"] == [{"itemId": "two", "tax": {"code": "SST"}}, {"itemId": "ten"}]
    assert b["items"] == [{"itemId": "two"}]
    [dotted] = cells(sheet(tmp_path, "reference,items.0.itemId,items.1.itemId\nA,x,y\n"))
    assert dotted["items"] == [{"itemId": "x"}, {"itemId": "y"}]


def test_a_cell_may_hold_the_lines_as_json(tmp_path: Path) -> None:
    text = 'reference,items\nA,"[{""itemId"": "" x "", ""quantity"": 1.10, ""notes"": null}]"\n'
    [row] = cells(sheet(tmp_path, text))
    assert row["items"] == [{"itemId": "x", "quantity": Decimal("1.10")}]


def test_a_cell_that_begins_like_a_list_and_is_none_is_a_problem_of_its_row(tmp_path: Path) -> None:
    [bad, good] = sheet(tmp_path, "reference,items\nA,[{itemId: x}]\nB,[]\n").rows
    assert "row 2: items begins with [ and is not well-formed JSON" in bad.problems[0]
    assert "items" not in bad.cells
    assert good.cells["items"] == []
    assert good.problems == ()


def test_rows_of_a_document_that_contradict_each_other_are_a_problem(tmp_path: Path) -> None:
    [row] = sheet(tmp_path, LINE_ROWS.replace("2026-03-01,item_2", "2026-03-09,item_2")).rows[:1]
    assert row.problems == (
        "row 3 and row 2 of the same document say different things in invoiceDate; make them the "
        "same",
    )


def test_a_value_that_only_a_later_row_of_the_document_has_counts(tmp_path: Path) -> None:
    text = "reference,notes,items.itemId\nA,,x\nA,late,y\n"
    assert cells(sheet(tmp_path, text))[0]["notes"] == "late"


def test_documents_of_one_reference_with_others_between_are_not_put_together(
    tmp_path: Path,
) -> None:
    rows = sheet(tmp_path, "reference,items.itemId\nA,x\nB,x\nA,y\n").rows
    assert [len(row.cells["items"]) for row in rows] == [1, 1, 1]
    assert "row 4 has the reference of row 2" in rows[2].problems[0]


def test_without_a_reference_rows_that_say_the_same_are_one_document(tmp_path: Path) -> None:
    text = "invoiceNumber,items.itemId\nN-1,x\nN-1,y\nN-2,z\n"
    assert [len(row["items"]) for row in cells(sheet(tmp_path, text))] == [2, 1]
    text = "reference,dueDate,items.itemId\nA,2026-01-01,x\n,2026-01-01,y\n"
    assert [row.get("reference") for row in cells(sheet(tmp_path, text))] == ["A", None]


def test_nothing_is_put_together_where_records_have_no_lines(tmp_path: Path) -> None:
    text = "reference,amount\nA,1\nA,2\n"
    assert len(sheet(tmp_path, text, lines=None).rows) == 2
    assert len(sheet(tmp_path, text, lines="items").rows) == 2
    documents = json.dumps([{"reference": "A", "items": [{"itemId": "x"}]}] * 2)
    assert len(sheet(tmp_path, documents, "f.json").rows) == 2


def test_lines_in_two_ways_are_refused(tmp_path: Path) -> None:
    for header in ("reference,items,items.itemId", "reference,items.itemId,items[0].itemId"):
        with pytest.raises(InputFileError, match="items in two ways"):
            sheet(tmp_path, f"{header}\nA,x,y\n")


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#DIV/0!"])
def test_the_error_of_a_formula_is_a_problem_and_never_a_value(tmp_path: Path, error: str) -> None:
    [in_csv, fine] = sheet(tmp_path, f"reference,notes\nA,{error}\nB,#1\n").rows
    assert f"row 2: notes holds {error}" in in_csv.problems[0]
    assert dict(in_csv.cells) == {"reference": "A"}
    assert fine.cells["notes"] == "#1"
    path = workbook(tmp_path, ["reference", "notes"], ["A", error])
    assert read(path).rows[0].problems == in_csv.problems


# Text files


def test_delimiters_byte_order_marks_line_ends_and_trailing_columns_are_no_matter(
    tmp_path: Path,
) -> None:
    expected = [{"reference": "A", "notes": "x,y;z"}]
    for delimiter in ",;\t":
        text = (
            f'\ufeff\r\nreference{delimiter}notes{delimiter}\r\nA{delimiter}"x,y;z"{delimiter}\r\n'
        )
        found = sheet(tmp_path, text)
        assert (cells(found), found.delimiter) == (expected, delimiter)


def test_a_missing_value_is_no_cell_and_the_word_clear_is_one(tmp_path: Path) -> None:
    assert cells(sheet(tmp_path, "reference,notes,terms\nA, ,(clear)\n")) == [
        {"reference": "A", "terms": "(clear)"}
    ]
    text = '{"reference": " A ", "notes": null, "customer": {"email": "", "name": "N"}}\n'
    assert cells(sheet(tmp_path, text, "f.jsonl")) == [{"reference": "A", "customer.name": "N"}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("f.txt", b"x", "not read"),
        ("f.csv", b" \n", "empty"),
        ("f.csv", b"a,a\n1,2\n", "more than once"),
        ("f.csv", b"a,,b\n1,2,3\n", "column 2 of the header has no name"),
        ("f.csv", b"a,b\n1,2,3\n", "row 2 has 3 cells"),
        ("f.csv", b"a\tb\n1\t2\t3\n", "a tab into double quotes"),
        ("f.csv", b"a\n\xff\n", "not UTF-8 (line 2"),
        ("f.csv", b"a,b\n", "no rows below its header"),
        ("f.json", b"{}", "must hold a list"),
        ("f.json", b"[1]", "row 1 is not an object"),
        ("f.jsonl", b"{}\n{", "line 2 is not well-formed JSON"),
        ("f.parquet", b"PAR1 of no use", "not a Parquet file"),
        ("f.xlsx", b"PK\x03\x04 of no use", "not a workbook that can be read"),
        ("f.xlsx", b"", "not a workbook that can be read"),
        ("f.xlsx", b"\xd0\xcf\x11\xe0" + b"\0" * 600, "old kind (.xls); save it as .xlsx"),
        (
            "f.xlsx",
            b"\xd0\xcf\x11\xe0" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"),
            "locked by a password",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        read(tmp_path / name)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["f.csv", "f.xlsx", "f.json", "f.jsonl", "f.parquet"])
def test_a_file_that_is_missing_is_said_to_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputFileError, match="does not exist"):
        read(tmp_path / name)


# Spreadsheets


def test_values_of_a_spreadsheet_are_what_it_shows(tmp_path: Path) -> None:
    given = {
        "reference": " A ",
        "amount": 5000.1,
        "computed": 0.25,
        "whole": 30.0,
        "phone": 60123456789,
        "day": date(2026, 3, 1),
        "midnight": datetime(2026, 3, 1),
        "instant": datetime(2026, 3, 1, 8, 30),
        "flag": True,
        "none": None,
        "blank": " ",
    }
    path = workbook(tmp_path, [], list(given), list(given.values()), [], ["B"])
    patched(path, "<v>0.25</v>", "<v>0.30000000000000004</v>")  # as a program saves 0.1 + 0.2
    first, second = read(path).rows
    assert dict(first.cells) == {
        "reference": "A",
        "amount": Decimal("5000.1"),
        "computed": Decimal("0.3"),
        "whole": 30,
        "phone": 60123456789,
        "day": "2026-03-01",
        "midnight": "2026-03-01",
        "instant": "2026-03-01T08:30:00",
        "flag": True,
    }
    assert [type(first.cells[name]) for name in ("whole", "phone")] == [int, int]
    assert (first.number, second.number) == (1, 3)


def test_a_percentage_is_read_as_the_text_that_the_sheet_shows(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["reference", "taxRate"], ["A", 0.06], ["B", 0.125])
    book = openpyxl.load_workbook(path)
    for cell in ("B2", "B3"):
        book.active[cell].number_format = "0.0%"
    book.save(path)
    assert [row.cells["taxRate"] for row in read(path).rows] == ["6%", "12.5%"]


def test_formulas_count_with_the_value_that_was_saved_with_them(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["reference", "amount"], ["A", "=1+1"], ["B", '=""'])
    with pytest.raises(InputFileError, match="cell B2 has a formula without the value"):
        read(path)
    patched(path, "<f>1+1</f><v />", "<f>1+1</f><v>2</v>")
    patched(path, '<c r="B3"><f>""</f><v />', '<c r="B3" t="str"><f>""</f><v></v>')
    assert cells(read(path)) == [{"reference": "A", "amount": 2}, {"reference": "B"}]


def test_the_first_worksheet_that_is_not_hidden_is_read_and_others_are_told(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["hidden"])
    book.active.sheet_state = "hidden"
    for title, content in (("Changes", "A"), ("Notes", "n"), ("Blank", None)):
        page = book.create_sheet(title)
        if content:
            page.append(["reference"])
            page.append([content])
    book.save(tmp_path / "f.xlsx")
    found = read(tmp_path / "f.xlsx")
    assert cells(found) == [{"reference": "A"}]
    assert found.notes == ("f.xlsx: only the worksheet 'Changes' is read; not 'Notes'.",)
    assert read(workbook(tmp_path, ["reference"], ["A"])).notes == ()


def test_a_cell_beside_the_named_columns_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["reference", None], ["A", None, "aside"])
    with pytest.raises(InputFileError, match="row 2 of the sheet has a cell right of"):
        read(path)


def test_a_table_is_written_with_numbers_days_and_text_as_such(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    values = [
        Decimal("5000.10"),
        date(2026, 3, 1),
        "=1+1",
        "#REF!",
        10**17,
        None,
        2.5,
        [1],
        "a\x01",
    ]
    spreadsheet.write_table(path, "query", [f"c{n}" for n in range(9)], [values, values])
    page = openpyxl.load_workbook(path)["query"]
    for row in (2, 3):
        money, day, formula, error, large, none, number, other, odd = page[row]
        assert (money.value, money.number_format) == (5000.1, "#,##0.00")
        assert (day.value, day.number_format) == (datetime(2026, 3, 1), "yyyy-mm-dd")
        assert (formula.value, formula.data_type) == ("=1+1", "s")
        assert (error.value, error.data_type) == ("#REF!", "s")
        assert (large.value, none.value, number.value) == (str(10**17), None, 2.5)
        assert (other.value, odd.value) == ("[1]", "a_x0001_")
    assert page["A1"].font.bold


def test_a_table_that_a_spreadsheet_has_no_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheet, "MOST_ROWS", 3)
    spreadsheet.write_table(tmp_path / "t.xlsx", "query", ["a"], [[1], [2]])
    with pytest.raises(ConfigError, match="room for 2 rows"):
        spreadsheet.write_table(tmp_path / "t.xlsx", "query", ["a"], [[1], [2], [3]])
    with pytest.raises(ConfigError, match="40,000 characters"):
        spreadsheet.write_table(tmp_path / "t.xlsx", "query", ["a"], [["x" * 40_000]])


# Parquet


def test_typed_columns_of_parquet_become_plain_values(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            ("reference", pa.string()),
            ("amount", pa.decimal128(18, 2)),
            ("terms", pa.float64()),
            ("share", pa.float64()),
            ("day", pa.date32()),
            ("midnight", pa.timestamp("us")),
            ("base_updated_at", pa.timestamp("us", "Asia/Kuala_Lumpur")),
            ("address", pa.struct([("city", pa.string()), ("street", pa.string())])),
            ("items", pa.list_(pa.struct([("itemId", pa.string()), ("quantity", pa.float64())]))),
            ("empty", pa.string()),
        ]
    )
    row = {
        "reference": "A",
        "amount": Decimal("5000.10"),
        "terms": 30.0,
        "share": 5000.1,
        "day": date(2026, 3, 1),
        "midnight": datetime(2026, 3, 1),
        "base_updated_at": datetime.fromisoformat("2026-03-01T08:00:00+08:00"),
        "address": {"city": "Ipoh", "street": None},
        "items": [{"itemId": "x", "quantity": None}, {"itemId": "y", "quantity": 1.5}],
    }
    nothing = {"reference": "B", "terms": float("nan")}
    pq.write_table(pa.Table.from_pylist([row, nothing], schema), tmp_path / "f.parquet")
    found = read(tmp_path / "f.parquet", lines="items", key="reference")
    assert cells(found) == [
        {
            "reference": "A",
            "amount": Decimal("5000.10"),
            "terms": 30,
            "share": Decimal("5000.1"),
            "day": "2026-03-01",
            "midnight": "2026-03-01",
            "base_updated_at": "2026-03-01T00:00:00+00:00",
            "address.city": "Ipoh",
            "items": [{"itemId": "x"}, {"itemId": "y", "quantity": Decimal("1.5")}],
        },
        {"reference": "B"},
    ]


# The same documents in every kind of file


def is_read_as_it_is(text: str, kind: Kind = Kind.ANY) -> bool:
    """Tell whether a text is no spelling that stands for something else."""
    try:
        return read_any(text) == text and read_as(kind, text) == text
    except OddSpelling:
        return False


NUMBERS = st.decimals(0, 10**9, places=2).filter(lambda number: number >= 0)
TEXTS = (
    st.text(st.one_of(st.sampled_from(" ,;\"'\n=[]{}#é"), st.characters(codec="utf-8")), min_size=1)
    .map(lambda text: "".join(c for c in text if c == "\n" or c.isprintable()).strip())
    .filter(lambda text: text and not text.startswith(("#", "\ufeff")))
    .filter(lambda text: is_read_as_it_is(text))
)
DOCUMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "reference": TEXTS.filter(
                lambda text: not text.startswith("[") and is_read_as_it_is(text, Kind.KEY)
            ),
            "items": st.lists(
                st.fixed_dictionaries(
                    {"itemId": TEXTS, "quantity": NUMBERS}, optional={"description": TEXTS}
                ),
                min_size=1,
                max_size=3,
            ),
        },
        optional={
            "notes": TEXTS,
            "shippingCost": NUMBERS,
            "customer": st.just({"email": "a@b.my"}),
        },
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda document: document["reference"],
)
HEAD = ("reference", "notes", "shippingCost", "customer.email")
LINE = ("itemId", "quantity", "description")
Rows = list[list[Any]]


def head_of(document: dict[str, Any]) -> list[Any]:
    return [
        document.get("customer", {}).get("email") if name == HEAD[3] else document.get(name)
        for name in HEAD
    ]


def row_a_line(documents: list[dict[str, Any]]) -> Rows:
    return [[*HEAD, *(f"items.{name}" for name in LINE)]] + [
        [*(head_of(document)), *map(line.get, LINE)]
        for document in documents
        for line in document["items"]
    ]


def row_a_line_said_once(documents: list[dict[str, Any]]) -> Rows:
    header, *rows = row_a_line(documents)
    seen: set[str] = set()
    for row in rows:
        if row[0] in seen:
            row[: len(HEAD)] = [None] * len(HEAD)
        else:
            seen.add(row[0])
    return [header, *rows]


def indexed(documents: list[dict[str, Any]]) -> Rows:
    most = max(len(document["items"]) for document in documents)
    header = [*HEAD, *(f"items[{n}].{name}" for n in range(most) for name in LINE)]
    rows = [
        head_of(document) + [value for line in document["items"] for value in map(line.get, LINE)]
        for document in documents
    ]
    return [header, *(row + [None] * (len(header) - len(row)) for row in rows)]


def in_one_cell(documents: list[dict[str, Any]]) -> Rows:
    rows = [[*head_of(document), to_text(document["items"])] for document in documents]
    return [[*HEAD, "items"], *rows]


def as_csv(rows: Rows) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerows([guarded("" if v is None else str(v)) for v in row] for row in rows)
    return file.getvalue().encode()


def as_xlsx(rows: Rows) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.xlsx"
        spreadsheet.write_table(path, "Sheet", rows[0], rows[1:])
        return path.read_bytes()


def as_parquet(documents: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(documents, PARQUET), sink)
    return bytes(sink.getvalue())


MONEY = pa.decimal128(18, 2)
PARQUET = pa.schema(
    [
        ("reference", pa.string()),
        ("notes", pa.string()),
        ("shippingCost", MONEY),
        ("customer", pa.struct([("email", pa.string())])),
        (
            "items",
            pa.list_(
                pa.struct(
                    [("itemId", pa.string()), ("quantity", MONEY), ("description", pa.string())]
                )
            ),
        ),
    ]
)
WRITERS: list[tuple[str, Callable[[Any], bytes]]] = [
    *((".csv", lambda d, way=way: as_csv(way(d))) for way in (row_a_line, row_a_line_said_once)),
    *((".csv", lambda d, way=way: as_csv(way(d))) for way in (indexed, in_one_cell)),
    *((".xlsx", lambda d, way=way: as_xlsx(way(d))) for way in (row_a_line, row_a_line_said_once)),
    *((".xlsx", lambda d, way=way: as_xlsx(way(d))) for way in (indexed, in_one_cell)),
    (".json", lambda d: to_text(d).encode()),
    (".jsonl", lambda d: "\n".join(map(to_text, d)).encode()),
    (".parquet", as_parquet),
]


def normal(value: Any) -> Any:
    """Bring numbers to one spelling: csv knows nothing but text."""
    if isinstance(value, dict):
        return {name: normal(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    if isinstance(value, int | Decimal):
        return f"{Decimal(value).normalize():f}"
    return value


def normal_cells(found: Sheet) -> list[dict[str, Any]]:
    rows = []
    for row in found.rows:
        assert row.problems == ()
        cost = {n: Decimal(str(v)) for n, v in row.cells.items() if n == "shippingCost"}
        lines = [
            {**each, "quantity": Decimal(str(each["quantity"]))} for each in row.cells["items"]
        ]
        rows.append(normal({**row.cells, **cost, "items": lines}))
    return rows


@pytest.mark.drawn
@examples(max_examples=60 if is_deep() else 15, deadline=None)
@given(documents=DOCUMENTS)
def test_the_same_documents_are_read_from_every_kind_of_file(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, Any]]
) -> None:
    expected = [
        normal(
            {n: v for n, v in zip(HEAD, head_of(d), strict=True) if v is not None}
            | {"items": d["items"]}
        )
        for d in documents
    ]
    folder = tmp_path_factory.mktemp("files")
    for number, (ending, writer) in enumerate(WRITERS):
        path = folder / f"{number}{ending}"
        path.write_bytes(writer(documents))
        assert normal_cells(read(path, lines="items", key="reference")) == expected, path.name


# Rejects


def rejected(*rows: int) -> list[Operation]:
    told = {"code": "X", "field": None, "message": "mend it"}
    return [Operation(row, "k", "reject", "rejected", error=told) for row in rows]  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_rejected_documents_are_written_whole_mended_and_planned_again(
    tmp_path: Path, ending: str
) -> None:
    invoices = endpoint_named("invoices")
    text = LINE_ROWS.replace(",1.5", ",1.x").replace("reference,", "customerId,reference,")
    text = "\n".join(f"cust_1,{row}" if row[:3] == "INV" else row for row in text.splitlines())
    text = text.replace("\n,,item_3", "\n,,,item_3")
    planned = sheet(tmp_path, text)
    [bad, good] = validate(invoices, planned)
    assert bad.problems
    assert not good.problems
    target = tmp_path / f"mend{ending}"
    write_rejects(target, planned, rejected(1))
    again = read(target, lines="items", key="reference")
    assert again.columns == [*planned.columns, "_row", "_reason"]
    assert [{n: v for n, v in row.cells.items() if n[0] != "_"} for row in again.rows] == [
        dict(planned.rows[0].cells)
    ]
    assert [source.get("_reason") for source in again.rows[0].source] == ["mend it", None, None]
    if ending == ".csv":
        target.write_text(target.read_text("utf-8").replace("1.x", "1.5"), "utf-8")
    else:
        patched(target, "1.x", "1.5")
    [mended] = validate(invoices, read(target, lines="items", key="reference"))
    assert not mended.problems
    assert len(mended.data["items"]) == 3


def test_two_documents_of_one_reference_stay_two_in_the_rejects(tmp_path: Path) -> None:
    planned = sheet(tmp_path, "reference,items.itemId\nA,x\nB,x\nA,y\n")
    target = tmp_path / "mend.csv"
    write_rejects(target, planned, rejected(1, 3))
    again = read(target, lines="items", key="reference").rows
    assert [row.cells["items"] for row in again] == [[{"itemId": "x"}], [{"itemId": "y"}]]
    assert "the same _row" in again[1].problems[0]
    target.write_text(target.read_text("utf-8").replace(",4,", ",2,"), "utf-8")
    [one] = read(target, lines="items", key="reference").rows
    assert (len(one.cells["items"]), one.problems) == (2, ())


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_lines_and_lists_of_a_json_file_can_be_planned_from_its_rejects(
    tmp_path: Path, ending: str
) -> None:
    record = {
        "reference": "A",
        "items": [{"itemId": "x", "quantity": Decimal("1.10")}],
        "tags": ["a", "b"],
        "shippingCost": Decimal("5.10"),
        "isOn": True,
    }
    planned = sheet(tmp_path, to_text([record]), "f.json")
    target = tmp_path / f"mend{ending}"
    write_rejects(target, planned, rejected(1))
    [row] = read(target, lines="items", key="reference").rows
    assert row.cells["items"] == record["items"]
    assert row.cells["tags"] == "a;b"
    assert Decimal(str(row.cells["shippingCost"])) == Decimal("5.10")
    assert str(row.cells["isOn"]).lower() == "true"


def test_rejects_keep_the_delimiter_and_may_not_replace_the_file(tmp_path: Path) -> None:
    planned = sheet(tmp_path, "reference;notes\nA;x,y\n")
    write_rejects(tmp_path / "mend.csv", planned, rejected(1))
    text = (tmp_path / "mend.csv").read_text("utf-8-sig")
    assert text.splitlines() == ["reference;notes;_row;_reason", "A;x,y;2;mend it"]
    with pytest.raises(ConfigError, match="another name"):
        check_target(planned.path, planned.path)
    with pytest.raises(ConfigError, match="csv or xlsx"):
        check_target(tmp_path / "mend.json", planned.path)


FORMULAS = ["=1+1", "+60 12-345", "-x", "@x", "'=x", "''=x", "'Abdul", "-5.00", "+7", "plain"]


def test_what_a_spreadsheet_would_work_out_is_guarded_in_rejects_and_read_again_as_it_was(
    tmp_path: Path,
) -> None:
    records = [{"reference": f"R{n}", "notes": text} for n, text in enumerate(FORMULAS)]
    planned = sheet(tmp_path, to_text(records), "f.json")
    target = tmp_path / "mend.csv"
    write_rejects(target, planned, rejected(*range(1, len(FORMULAS) + 1)))
    rows = list(csv.reader(target.open(encoding="utf-8-sig", newline="")))[1:]
    assert [row[1] for row in rows] == [
        "'=1+1", "'+60 12-345", "'-x", "'@x", "''=x", "'''=x", "'Abdul", "-5.00", "+7", "plain",
    ]  # fmt: skip
    again = read(target, lines="items", key="reference").rows
    assert [row.cells["notes"] for row in again] == FORMULAS


def test_in_a_worksheet_of_rejects_such_texts_are_texts(tmp_path: Path) -> None:
    records = [{"reference": f"R{n}", "notes": text} for n, text in enumerate(FORMULAS)]
    planned = sheet(tmp_path, to_text(records), "f.json")
    target = tmp_path / "mend.xlsx"
    write_rejects(target, planned, rejected(*range(1, len(FORMULAS) + 1)))
    again = read(target, lines="items", key="reference").rows
    assert [str(row.cells["notes"]) for row in again] == FORMULAS


# Views


@pytest.fixture
def marts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    monkeypatch.setenv("BLSYNC_DATA", str(tmp_path))
    monkeypatch.setenv("BLSYNC_ENV_FILE", os.devnull)
    with duckdb.connect(str(tmp_path / "blsync.duckdb")) as db:
        db.execute("create schema proposals")
        db.execute(
            "create table proposals.push_customers_limit as select * from (values "
            "('c2', timestamptz '2026-03-01 08:00:00+08', 100.50::decimal(18, 2), null, 'one'), "
            "('c1', timestamptz '2026-03-01 08:00:00+08', null, 'blocked', 'one'), "
            "('c3', null, 1, null, 'two')) t(id, base_updated_at, \"creditLimit\", status, "
            "_company_id)"
        )
        db.execute("create table proposals.push_customers_odd as select 1 as id")
        db.execute(
            "create table proposals.push_journal_entries_accruals as select 'J' as reference, "
            "date '2026-03-31' as date, 'one' as company_id, "
            "[{'accountId': 'a', 'debit': 1.5}, {'accountId': 'b', 'credit': 1.5}] as lines"
        )
    return settings.load()


def test_a_view_gives_the_rows_of_its_company_in_a_fixed_order(marts: settings.Settings) -> None:
    found = read_view(marts, "push_customers_limit", "customers", "one")
    at = "2026-03-01T00:00:00+00:00"
    shown = [{n: v for n, v in row.items() if n != "_company_id"} for row in cells(found)]
    assert shown == [
        {"id": "c1", "base_updated_at": at, "status": "blocked"},
        {"id": "c2", "base_updated_at": at, "creditLimit": Decimal("100.50")},
    ]
    assert found.path.name == "proposals.push_customers_limit"
    assert not any(row.problems for row in validate(endpoint_named("customers"), found))


def test_a_view_may_hold_documents_with_lines(marts: settings.Settings) -> None:
    name = "proposals.push_journal_entries_accruals"
    [row] = cells(read_view(marts, name, "journal-entries", "one", lines="lines"))
    assert row == {
        "reference": "J",
        "date": "2026-03-31",
        "lines": [
            {"accountId": "a", "debit": Decimal("1.5")},
            {"accountId": "b", "credit": Decimal("1.5")},
        ],
    }


def test_a_view_that_proposes_nothing_for_the_company_has_its_columns(
    marts: settings.Settings,
) -> None:
    found = read_view(marts, "push_customers_limit", "customers", "o'ne")
    assert found.rows == []
    assert found.columns == ["id", "base_updated_at", "creditLimit", "status", "_company_id"]


@pytest.mark.parametrize(
    ("name", "endpoint", "told"),
    [
        ("push_customers_limt", "customers", "for it: push_customers_limit, push_customers_odd"),
        ("push_customers_limit", "invoices", "none; a model proposals/push_invoices_"),
        ("push_customers_odd", "customers", "no column _company_id"),
    ],
)
def test_a_view_that_cannot_be_pushed_there_is_refused(
    marts: settings.Settings, name: str, endpoint: str, told: str
) -> None:
    with pytest.raises(ConfigError, match="proposals") as caught:
        read_view(marts, name, endpoint, "one")
    assert told in str(caught.value)


def test_a_view_before_anything_is_published_says_what_to_run(marts: settings.Settings) -> None:
    (marts.data / "blsync.duckdb").unlink()
    with pytest.raises(BuildError, match="blsync sync"):
        read_view(marts, "push_customers_limit", "customers", "one")
