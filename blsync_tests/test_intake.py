"""Files of changes that are small and would take gigabytes, or nest or spread beyond all use."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Reply

from blsync.errors import ConfigError, InputFileError
from blsync.files.intake import MOST_FILE, MOST_ROWS
from blsync.push import policies
from blsync.push.endpoints import endpoint_named
from blsync.push.plan.validate import validate
from blsync.push.source.read import read

READING = """
import sys
from pathlib import Path
from blsync.push import policies
from blsync.errors import ConfigError, InputFileError
from blsync.push.endpoints import endpoint_named
from blsync.push.source.read import read
from blsync.push.plan.validate import validate
try:
    print(len(read(Path(sys.argv[1])).rows), "rows")
except InputFileError as error:
    print(error)
print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])
"""
SHEET, STYLES, TEXTS = "xl/worksheets/sheet1.xml", "xl/styles.xml", "xl/sharedStrings.xml"


def read_apart(path: Path) -> tuple[str, int]:
    """Read a file in a process of its own; return what it said and its peak memory in MB."""
    ended = subprocess.run(
        [sys.executable, "-c", READING, str(path)], capture_output=True, text=True, timeout=60
    )
    assert not ended.stderr, ended.stderr[-2000:]
    said, peak = ended.stdout.splitlines()
    return said, int(peak) >> 10


def workbook(path: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(["name", "email"])
    book.active.append(["A", "a@example.com"])
    book.save(path)
    return path


def with_filling(path: Path, part: str, after: bytes, filling: bytes, times: int) -> Path:
    """Put a filling into a part of a workbook so many times, without ever holding it whole."""
    with zipfile.ZipFile(workbook(path)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[TEXTS] = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"></sst>'
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    told = b'<Override PartName="/xl/sharedStrings.xml" ContentType="' + kind + b'"/></Types>'
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(b"</Types>", told)
    before, found, rest = parts.pop(part).partition(after)
    assert found
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        with archive.open(part, "w") as target:
            target.write(before + after)
            for _ in range(times):
                target.write(filling)
            target.write(rest)
    return path


@pytest.mark.deep
@pytest.mark.parametrize(
    ("part", "after", "filling", "times", "told"),
    [
        (SHEET, b"<sheetData>", b"<row/>" * 200_000, 130, "more than 128 MiB once it is inflated"),
        (SHEET, b"<sheetData>", b"<row/>" * 200_000, 25, f"can be read in the part {SHEET}"),
        (SHEET, b"</sheetData>", b"<mergeCell/>" * 100_000, 10, f"can be read in the part {SHEET}"),
        (STYLES, b"<cellXfs ", b' a=""' * 100_000, 20, f"can be read in the part {STYLES}"),
        (STYLES, b"</fonts>", b"<xf/>" * 200_000, 40, f"can be read in the part {STYLES}"),
        (TEXTS, b'main">', b"<si/>" * 200_000, 40, f"can be read in the part {TEXTS}"),
        (TEXTS, b'main">', b"<si/>" * 200_000, 3, f"can be read in the part {TEXTS}"),
    ],
    ids=["inflated", "rows", "beside cells", "attributes", "styles", "texts", "texts of no cell"],
)
def test_a_small_workbook_takes_no_gigabytes(tmp_path, part, after, filling, times, told):
    path = with_filling(tmp_path / "f.xlsx", part, after, filling, times)
    assert path.stat().st_size < 2**20
    said, peak = read_apart(path)
    assert told in said
    assert "save the sheet as csv" in said
    assert peak < 300


@pytest.mark.deep
def test_a_workbook_that_lies_about_its_size_is_no_workbook(tmp_path):
    path = with_filling(tmp_path / "f.xlsx", SHEET, b"<sheetData>", b"<row/>" * 200_000, 130)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(SHEET).file_size
    content = path.read_bytes()
    assert content.count(size.to_bytes(4, "little")) == 2
    path.write_bytes(content.replace(size.to_bytes(4, "little"), (5000).to_bytes(4, "little")))
    said, peak = read_apart(path)
    assert "not a workbook that can be read" in said
    assert peak < 300


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_texts_that_a_workbook_defines_for_itself_are_refused(tmp_path, encoding):
    ten = "&eN;" * 10
    entities = "".join(f'<!ENTITY e{n + 1} "{ten.replace("N", str(n))}">' for n in range(9))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "0123456789">{entities}]><x>&e9;</x>'
    path = workbook(tmp_path / "f.xlsx")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    declared = f'<?xml version="1.0" encoding="{encoding}"?>{bomb}'
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {STYLES: declared.encode(encoding)}).items():
            archive.writestr(name, content)
    with pytest.raises(InputFileError, match="defines texts of its own"):
        read(path)


@pytest.mark.parametrize("cell", ["ZZZZZZZ1", "A123456789", "XFE99999999"])
def test_a_cell_that_no_worksheet_has_is_refused(tmp_path, cell):
    filling = f'<row r="3"><c r="{cell}" t="inlineStr"><is><t>x</t></is></c></row>'.encode()
    path = with_filling(tmp_path / "f.xlsx", SHEET, b"a@example.com</t></is></c></row>", filling, 1)
    with pytest.raises(InputFileError, match="beyond the last row or column"):
        read(path)


@pytest.mark.deep
def test_cells_far_to_the_right_are_refused_before_the_places_between_take_memory(tmp_path):
    filling = b"".join(
        b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>' % (n, n) for n in range(3, 3003)
    )
    path = with_filling(tmp_path / "f.xlsx", SHEET, b"a@example.com</t></is></c></row>", filling, 1)
    said, peak = read_apart(path)
    assert "more than 1,000,000 cells" in said
    assert peak < 400


def test_what_a_workbook_says_of_its_size_and_empty_cells_far_out_are_no_matter(tmp_path):
    filling = b'<row r="1048576"><c r="XFD1048576" s="0"/></row>'
    path = with_filling(tmp_path / "f.xlsx", SHEET, b"a@example.com</t></is></c></row>", filling, 1)
    assert len(read(path).rows) == 1


@pytest.mark.deep
def test_one_long_text_in_every_cell_takes_no_gigabytes(tmp_path):
    long = b"<si><t> " + b"x" * 30_000 + b" </t></si>"
    path = with_filling(tmp_path / "f.xlsx", TEXTS, b'main">', long, 1)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    rows = b"".join(
        b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (n, n) for n in range(3, 90_000)
    )
    parts[SHEET] = parts[SHEET].replace(b"</sheetData>", rows + b"</sheetData>")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    said, peak = read_apart(path)
    assert "more than 64 million characters" in said
    assert peak < 400


@pytest.mark.deep
def test_one_long_text_in_every_row_of_parquet_takes_no_gigabytes(tmp_path):
    longs = pa.DictionaryArray.from_arrays(
        pa.array([0] * 90_000, pa.int32()), pa.array(["x" * 2**20])
    )
    pq.write_table(pa.table({"name": longs}), tmp_path / "f.parquet")
    assert (tmp_path / "f.parquet").stat().st_size < 2**20
    said, peak = read_apart(tmp_path / "f.parquet")
    assert "more than 64 million characters" in said
    assert peak < 600


def test_a_list_of_a_million_values_in_a_row_of_parquet_is_refused_unread(tmp_path):
    pq.write_table(pa.table({"name": [[0] * 1_100_000]}), tmp_path / "f.parquet")
    with pytest.raises(InputFileError, match="more than 1,000,000 cells"):
        read(tmp_path / "f.parquet")


@pytest.mark.parametrize("name", ["f.csv", "f.xlsx", "f.json", "f.jsonl", "f.parquet"])
def test_a_file_that_is_too_large_is_refused_unread(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(MOST_FILE + 1)  # takes no room on the disk
    with pytest.raises(InputFileError, match=r"more than 32 MiB.*split it"):
        read(tmp_path / name)


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("name", ["f.csv", "f.json", "f.jsonl", "f.parquet"])
def test_more_rows_than_are_planned_at_once_are_refused(tmp_path, name):
    count = MOST_ROWS + 1
    if name == "f.parquet":
        pq.write_table(pa.table({"name": range(count)}), tmp_path / name)
    else:
        texts = {
            "f.csv": "name\n" + "1\n" * count,
            "f.json": "[" + ",".join(['{"a":1}'] * count) + "]",
            "f.jsonl": '{"a":1}\n' * count,
        }
        (tmp_path / name).write_text(texts[name])
    with pytest.raises(InputFileError, match="more than 100,000 rows"):
        read(tmp_path / name)


def test_a_cell_of_csv_too_long_to_read_is_one_clear_line(tmp_path):
    (tmp_path / "f.csv").write_text(f'email,notes\na@b.example,"{"x" * 140_000}"\n')
    with pytest.raises(InputFileError, match=r"more than 131,072 characters.* line 2: shorten it"):
        read(tmp_path / "f.csv")


def test_more_columns_than_a_record_can_have_are_refused(tmp_path):
    (tmp_path / "f.csv").write_text(",".join(map(str, range(200_000))) + "\n")
    with pytest.raises(InputFileError, match="more than 5,000 columns"):
        read(tmp_path / "f.csv")


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("name", ["f.json", "f.jsonl"])
def test_json_of_more_values_than_can_be_read_takes_no_gigabytes(tmp_path, name):
    (tmp_path / name).write_text("[" + "{}," * (10 * 2**20) + "{}]")
    said, peak = read_apart(tmp_path / name)
    assert "more than 1,000,000 values" in said
    assert peak < 300


@pytest.mark.parametrize("depth", [101, 450, 900, 100_000])
def test_values_nested_beyond_use_are_one_clear_line(tmp_path, depth):
    deep = "[" * depth + "]" * depth
    (tmp_path / "f.json").write_text(f'[{{"name":{deep}}}]')
    (tmp_path / "f.jsonl").write_text(f'{{"name":{deep}}}')
    for name in ("f.json", "f.jsonl"):
        with pytest.raises(InputFileError, match="nested more than 100 deep"):
            read(tmp_path / name)
    deep = "[" * min(depth, 60_000) + "]" * min(depth, 60_000)
    (tmp_path / "f.csv").write_text(f"reference,items\nR-1,{deep}\n")
    (row,) = read(tmp_path / "f.csv", lines="items", key="reference").rows
    assert "nested more than 100 deep" in row.problems[0]


@pytest.mark.deep
def test_parquet_nested_beyond_use_is_one_clear_line(tmp_path):
    kind, value = pa.int32(), 1
    for _ in range(300):
        kind, value = pa.struct([("a", kind)]), {"a": value}
    pq.write_table(pa.table({"name": pa.array([value], kind)}), tmp_path / "f.parquet")
    said, _ = read_apart(tmp_path / "f.parquet")
    assert "nested" in said or "rows" in said


@pytest.mark.parametrize("name", ["f.csv", "f.json", "f.parquet"])
def test_a_nul_character_is_a_problem_of_its_row_alone(tmp_path, name):
    rows = [
        {"email": "a\0@example.com", "name": "A", "phone": "1"},
        {"email": "b@example.com", "name": "B", "phone": "2"},
        {"email": "c@example.com", "name": "C", "phone": "3\0"},
    ]
    if name == "f.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name == "f.json":
        (tmp_path / name).write_text(json.dumps(rows))
    else:
        lines = [",".join(row.values()) for row in rows]
        (tmp_path / name).write_text("\n".join(["email,name,phone", *lines]))
    found = validate(endpoint_named("customers"), read(tmp_path / name))
    told = [[p["message"] for p in row.problems] for row in found]
    header = int(name == "f.csv")  # a row of the sheet, where there is one
    assert f"row {1 + header}: 'email' holds a NUL character" in told[0][-1]
    assert told[1] == []
    assert f"row {3 + header}: 'phone' holds a NUL character" in told[2][-1]
    assert "\\x00" not in repr(found)


@pytest.mark.parametrize(
    "content", ["x = " + "[" * 3000 + "]" * 3000, "x = 1e99999999999999999999"]
)
def test_settings_nested_beyond_use_are_one_clear_line(configure, tiny_server, tmp_path, content):
    path = tmp_path / "f.toml"
    path.write_text(content)
    loaded = configure(tiny_server(lambda _: Reply()), BLSYNC_PUSH_POLICIES=str(path))
    with pytest.raises(ConfigError):
        policies.load(loaded)
    loaded = configure(tiny_server(lambda _: Reply()), BLSYNC_COMPANIES=str(path))
    with pytest.raises(ConfigError):
        loaded.companies()
