"""`blsync.open()`: the published marts in Python."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import blsync
from blsync.errors import BuildError, ConfigError


@pytest.fixture
def published(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Marts of three rows, where the settings have them published."""
    path = tmp_path / "data" / "blsync.duckdb"
    path.parent.mkdir()
    publish(path, "0.10", "0.20", "1234567890123.45")
    return path


def publish(path: Path, *amounts: str) -> None:
    with duckdb.connect(str(path)) as db:
        db.execute("create schema if not exists finance; create schema if not exists history")
        db.execute(
            "create or replace table finance.ar_aging (customer varchar, amount decimal(36, 2), "
            "due_date date, built_at timestamp)"
        )
        for amount in amounts:
            db.execute(
                "insert into finance.ar_aging values ('Ada', ?::decimal(36, 2), '2026-11-30', "
                "'2026-11-30 01:00:00'), ('Bob', null, null, null)",
                [amount],
            )
        db.execute("create or replace view history.customers as select 1 as version")


def test_a_table_comes_as_a_frame_whose_money_adds_up_exactly(published):
    frame = blsync.open().df("ar_aging")
    total = frame["amount"].sum()
    assert (type(total), total) == (Decimal, Decimal("1234567890123.75"))
    assert frame.groupby("customer")["amount"].sum()["Ada"] == Decimal("1234567890123.75")
    assert frame["due_date"].dt.year.dropna().unique().tolist() == [2026]
    assert frame["built_at"].dt.hour.dropna().unique().tolist() == [1]
    assert blsync.open().arrow("finance.ar_aging").num_rows == len(frame) == 6


def test_marts_of_one_night_answer_alike_whatever_is_published_meanwhile(published, tmp_path):
    with blsync.open().of_one_night() as marts:
        before = marts.arrow("ar_aging").num_rows
        other = tmp_path / "new.duckdb"
        publish(other, "1.00")
        other.replace(published)
        assert marts.arrow("ar_aging").num_rows == before == 6
    assert blsync.open().arrow("ar_aging").num_rows == 2


def test_a_question_takes_values_and_answers_in_three_forms(published):
    asked = blsync.open().sql(
        "select amount from finance.ar_aging where customer = $who and amount > $least",
        who="Ada",
        least=Decimal("0.15"),
    )
    assert asked.rows() == [{"amount": Decimal("0.20")}, {"amount": Decimal("1234567890123.45")}]
    assert asked.arrow()["amount"].to_pylist() == asked.df()["amount"].tolist()


def test_each_question_is_answered_by_the_latest_night(published):
    marts = blsync.open()
    asked = marts.sql("select count(*) as n from finance.ar_aging")
    assert asked.rows() == [{"n": 6}]
    later = published.with_name("later.duckdb")
    publish(later, "1.00")
    later.replace(published)
    assert asked.rows() == [{"n": 2}]


def test_tables_are_named_with_or_without_their_schema_and_listed(published):
    marts = blsync.open(published)
    assert marts.tables() == ["finance.ar_aging", "history.customers"]
    assert marts.df("customers").equals(blsync.open(published.parent).df("history.customers"))


@pytest.mark.parametrize(
    ("ask", "error", "why"),
    [
        (lambda marts: marts.df("ar_ageing"), ConfigError, "Near it are finance.ar_aging"),
        (lambda marts: marts.sql("drop table finance.ar_aging").rows(), ConfigError, "read-only"),
        (lambda marts: marts.sql("from read_csv('/etc/passwd')").df(), ConfigError, "no files"),
        (lambda marts: marts.sql("select $a").df(), ConfigError, "refused"),
        (lambda _: blsync.open("/nowhere/x.duckdb").df("a"), BuildError, "`blsync sync` first"),
    ],
)
def test_what_cannot_be_answered_is_told_plainly(published, ask, error, why):
    with pytest.raises(error, match=why):
        ask(blsync.open())


def test_importing_blsync_alone_brings_neither_duckdb_nor_pandas():
    code = "import sys, blsync; sys.exit(bool({'duckdb', 'pandas', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
