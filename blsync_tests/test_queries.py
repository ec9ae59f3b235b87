"""`blsync query`: it prints what is stored, and reads nothing but the marts."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest
from rig.warm import PYTHON

ODD = [
    "SO:100:7",
    "[bold]red[/bold]",
    "\x1b[31mred\x1b[0m\a",
    "=1+1",
    "+60 12-345",
    "@sum",
    "-- plain",
    "\tx",
    "\rx",
    "'=quoted",
    "'Abdul",
    "-5.00",
    "a\u202etxt.exe",
    "\x9b31m",
]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A data folder whose published marts hold odd texts, and a secret file beside it."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.csv").write_text("password\nhunter2\n")
    with duckdb.connect(str(data / "blsync.duckdb")) as db:
        db.execute("create schema finance")
        db.execute("create table finance.odd (place integer, text varchar, amount decimal(18, 2))")
        db.executemany("insert into finance.odd values (?, ?, -5)", list(enumerate(ODD)))
        db.execute("create table finance.long as select range as n, 'text ' || range as text, "
                   "timestamp '0001-01-01' - interval 8 hours as at "
                   "from range(200000)")  # fmt: skip
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    return {**kept, "BLSYNC_ENV_FILE": os.devnull, "BLSYNC_DATA": str(data)}


def query(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "blsync.cli", "query", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    return subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


SQL = "select text, amount from finance.odd order by place"


def test_a_table_shows_what_is_stored_and_sends_a_terminal_nothing(env):
    printed = query(env, SQL).stdout
    assert "SO:100:7" in printed
    assert "[bold]red[/bold]" in printed
    assert r"\x1b[31mred\x1b[0m\x07" in printed
    assert r"a\u202etxt.exe" in printed
    assert r"\x9b31m" in printed
    assert not set("\x1b\a\x9b\u202e\t\r") & set(printed)


def test_a_table_of_the_column_names_that_were_asked_for(env):
    assert "a:100:b" in query(env, "select 1 as 'a:100:b'").stdout


def test_csv_into_a_pipe_is_exact_but_for_the_guard_of_formulas(env):
    rows = list(csv.reader(io.StringIO(query(env, SQL, "--format", "csv").stdout, newline="")))
    assert rows[0] == ["text", "amount"]
    guarded = {"=1+1", "+60 12-345", "@sum", "-- plain", "\tx", "\rx", "'=quoted"}
    assert [row[0] for row in rows[1:]] == [f"'{t}" if t in guarded else t for t in ODD]
    assert {row[1] for row in rows[1:]} == {"-5.00"}


def test_json_is_exact(env):
    told = json.loads(query(env, SQL, "--format", "json").stdout, parse_float=Decimal)
    assert [row["text"] for row in told] == ODD
    assert str(told[0]["amount"]) == "-5.00"


@pytest.mark.parametrize("form", ["csv", "json"])
def test_to_a_terminal_no_escape_sequence_is_sent_in_any_format(env, form):
    main, side = pty.openpty()
    command = [PYTHON, "-m", "blsync.cli", "query", SQL, "--format", form]
    subprocess.run(command, env=env, stdout=side, check=True)
    os.close(side)
    sent = b""
    while chunk := _read(main):
        sent += chunk
    assert b"SO:100:7" in sent
    assert not set(b"\x1b\a") & set(sent)
    assert "\x9b".encode() not in sent


def _read(main: int) -> bytes:
    try:
        return os.read(main, 65536)
    except OSError:  # the other end is closed
        return b""


def test_an_error_that_repeats_an_escape_sequence_shows_it(env):
    done = query(env, "select \x1b[31m from finance.odd")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert r"\x1b[31m" in done.stderr


REFUSED = {
    "a file": "from read_csv('{secret}')",
    "a file by its name": "from '{secret}'",
    "a file's text": "select content from read_text('{secret}')",
    "a folder": "from glob('{folder}/*')",
    "copy": "copy finance.odd to '{folder}/out.csv'",
    "copy from": "copy finance.odd from '{secret}'",
    "explained copy": "explain analyze copy finance.odd to '{folder}/out.csv'",
    "attach": "attach '{folder}/other.duckdb' as other",
    "export": "export database '{folder}/out'",
    "install": "install httpfs",
    "load": "load httpfs",
    "set": "set enable_external_access = true",
    "pragma": "pragma database_list",
    "call": "call pragma_version()",
    "insert": "insert into finance.odd values (1, 'x', 1)",
    "create": "create temp table t as select 1",
    "two statements": "select 1; select 2",
    "none": " -- nothing",
    "an environment variable": "select getenv('HOME')",
    "a variable of the program's": "from sys",
}


@pytest.mark.deep_after(3)
@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED.keys())
def test_a_query_reads_the_published_marts_and_does_nothing_else(env, tmp_path, sql):
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = query(env, sql.format(secret=tmp_path / "secret.csv", folder=tmp_path))
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.deep_after(2)
@pytest.mark.parametrize(
    "sql",
    ["from finance.odd", "with a as (from finance.odd) from a", "values (1)", "show all tables",
     "describe finance.odd", "summarize finance.odd", "explain from finance.odd"],
)  # fmt: skip
def test_whatever_only_asks_is_answered(env, sql):
    done = query(env, sql, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1


def test_an_answer_that_takes_long_has_no_progress_bar_in_it(env):
    """DuckDB draws one on stdout after two seconds where Python was begun with -m."""
    asked = "select value from duckdb_settings() where name = 'enable_progress_bar'"
    assert query(env, asked, "--format", "csv").stdout == "value\nfalse\n"


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "xlsx"])
def test_an_answer_is_written_to_a_file_as_it_is_stored(env, tmp_path, form):
    target = tmp_path / f"answer.{form}"
    done = query(env, SQL, "--output", str(target))
    assert done.stderr == f"{len(ODD)} rows written to {target}\n"
    if form == "csv":
        assert "'=1+1,-5.00" in target.read_text()
    elif form == "json":
        assert [row["text"] for row in json.loads(target.read_text())] == ODD
    elif form == "parquet":
        assert pq.read_table(target)["text"].to_pylist() == ODD
    else:
        cells = [row[0] for row in openpyxl.load_workbook(target).active.iter_rows(min_row=2)]
        assert {cell.data_type for cell in cells} == {"s"}
        assert cells[3].value == "=1+1"


def test_a_long_answer_with_instants_that_no_calendar_has_comes_whole(env):
    done = query(env, "from finance.long", "--format", "csv")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == 200_001
    assert lines[-1] == "199999,text 199999,0000-12-31 16:00:00.000000"


def test_a_workbook_keeps_its_header_in_sight_filters_its_rows_and_shows_what_they_hold(
    env, tmp_path
):
    output = tmp_path / "odd.xlsx"
    assert query(env, SQL, "--output", str(output)).returncode == 0
    sheet = openpyxl.load_workbook(output).active
    assert (sheet.title, sheet.freeze_panes) == ("query", "A2")
    assert sheet.auto_filter.ref == f"A1:B{len(ODD) + 1}"
    assert sheet.column_dimensions["A"].width >= max(map(len, ODD))
    assert sheet.column_dimensions["B"].width < 15
    assert {sheet.cell(row, 2).number_format for row in range(2, len(ODD) + 2)} == {"#,##0.00"}
    texts = [sheet.cell(row, 1) for row in range(2, len(ODD) + 2)]
    assert {cell.data_type for cell in texts} == {"s"}


def test_a_workbook_of_no_rows_has_its_header(env, tmp_path):
    output = tmp_path / "none.xlsx"
    assert query(env, f"from ({SQL}) limit 0", "--output", str(output)).returncode == 0
    sheet = openpyxl.load_workbook(output).active
    assert [cell.value for cell in sheet[1]] == ["text", "amount"]
    assert sheet.auto_filter.ref == "A1:B1"
