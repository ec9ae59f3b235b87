"""History and staging over nights: what was known when, and that reading new loads alone is enough.

Each build is of the models that a test needs; what is compared is every row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import commands, models
from rig.inputs import write_inputs
from test_pull import control, run

from blsync import marts
from blsync.entities import ENTITIES
from blsync.maintenance import compacting
from blsync.marts.figures import CompanyFacts
from blsync.pull import Window
from blsync.sandbox import Handle
from blsync.settings import Settings

pytestmark = pytest.mark.deep
"""Nights of whole books, each built twice."""

WAREHOUSE = Path(__file__).parent.parent / "warehouse"
RECORDS = tuple(
    path.stem
    for place in ("history", "staging")
    for path in (WAREHOUSE / "models" / place).glob("*.sql")
)
NIGHT = datetime(2026, 3, 14, 18, 0, tzinfo=UTC)
COMPANY = "company_one"

Row = dict[str, Any]


def build(given: Settings, *wanted: str) -> None:
    """Build in a data folder as `blsync build` does; where models are named, these alone."""
    with marts.building(given, lambda _: None):
        assert not models.failed(models.build(given.data, *wanted, laws=not wanted))


@pytest.fixture
def given(configure: Callable[..., Settings], module_sandbox: Handle) -> Settings:
    return configure(module_sandbox, BLSYNC_DRIFT_HOURS="0")


def version(name: str, night: float, load: str, **fields: Any) -> Row:
    """A landed row: pulled so many nights after the first, by a load of that id."""
    at = NIGHT + timedelta(days=night)
    told = {"_pulled_at": at, "_load_id": load, "_request_id": f"{load} {name}", "_op": "upsert"}
    return {"_company_id": COMPANY, **told, **fields}


def invoice(night: float, load: str, key: str, due: int, **fields: Any) -> Row:
    lines = [{"id": str(n), "lineTotal": Decimal(due)} for n in range(fields.pop("lines", 1))]
    return version(
        "invoices", night, load, id=key, amountDue=Decimal(due), status="sent", items=lines,
        updatedAt=NIGHT, **fields,
    )  # fmt: skip


def entry(night: float, load: str, key: str, status: str) -> Row:
    lines = [{"id": "1", "accountId": "a", "debit": Decimal(5)}, {"id": "2", "accountId": "b"}]
    return version(
        "journal_entries", night, load, id=key, status=status, lines=lines, createdAt=NIGHT
    )


def gone(name: str, night: float, load: str, key: str) -> Row:
    return version(name, night, load, id=key, _op="delete")


def land(given: Settings, file: str, **landed: list[Row]) -> None:
    for name, entity in ENTITIES.items():
        folder = given.data / "landing" / name / f"company_id={COMPANY}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = landed.get(name, [])
        if rows or not any(folder.iterdir()):
            table = pa.Table.from_pylist(rows, schema=entity.schema)
            pq.write_table(table, folder / f"{file if rows else 'empty'}.parquet")


def merge(given: Settings) -> None:
    """Do what compaction does: other files, the same rows under the same load ids."""
    for folder in (given.data / "landing").glob("*/*"):
        files = sorted(folder.glob("*.parquet"))
        table = pa.concat_tables(pq.ParquetFile(file).read() for file in files)
        for file in files:
            file.unlink()
        pq.write_table(table, folder / "merged.parquet")


def asked(given: Settings, sql: str) -> list[Any]:
    with duckdb.connect(str(given.data / "build.duckdb"), read_only=True) as db:
        return db.execute(sql).fetchall()


def every_row(given: Settings) -> dict[str, list[str]]:
    """All tables and views of the build, each row as text, but when they were built."""
    names = asked(
        given,
        "select distinct schema_name, table_name from duckdb_columns() where not internal"
        " and schema_name in ('finance', 'history', 'staging')",
    )
    found = {}
    for schema, table in names:
        columns = asked(
            given,
            f"select string_agg('\"' || column_name || '\"', ', ' order by column_name)"
            f" from duckdb_columns() where schema_name = '{schema}' and table_name = '{table}'"
            " and column_name <> 'built_at'",
        )[0][0]
        rows = asked(given, f'select {columns} from "{schema}"."{table}"')
        found[f"{schema}.{table}"] = sorted(map(repr, rows))
    return found


def known(given: Settings, table: str, key: str, what: str) -> list[Any]:
    """The versions of a record: from and to in nights after the first, and `what`."""
    rows = asked(
        given,
        f"select known_from, known_to, {what} from history.{table} where {key} order by known_from",
    )
    day = timedelta(days=1)
    first = NIGHT.replace(tzinfo=None)
    return [((a - first) / day, (b - first) / day if b else None, c) for a, b, c in rows]


@pytest.fixture
def story(environment: pytest.MonkeyPatch) -> Settings:
    from blsync import settings

    environment.setenv("BIGLEDGER_COMPANY_ID", COMPANY)
    loaded = settings.load()
    loaded.data.mkdir(parents=True)
    company = {"company_id": COMPANY, "timezone": "Asia/Kuala_Lumpur", "today": NIGHT.date()}
    write_inputs(loaded.data, companies=[{**company, "built_at": NIGHT}])
    return loaded


def test_history_tells_what_was_known_when_and_nights_add_up_to_a_full_build(
    story: Settings,
) -> None:
    land(story, "load 0")
    build(story)  # nights go on from a whole build
    land(
        story,
        "load 2",
        invoices=[
            invoice(0, "load 2", "paid later", 10),
            invoice(0, "load 2", "deleted", 20, lines=2),
            # Two versions of one pull: the record's own change time tells the later.
            invoice(0, "load 2", "twin", 1),
            invoice(0, "load 2", "twin", 2) | {"updatedAt": NIGHT + timedelta(hours=1)},
            invoice(0, "load 2", "untouched", 7),
        ],
        journal_entries=[entry(0, "load 2", "voided", "posted")],
    )
    build(story, *RECORDS)
    land(
        story,
        "load 3",
        invoices=[
            invoice(2, "load 3", "paid later", 0, lines=0),
            gone("invoices", 2, "load 3", "deleted"),
        ],
        # A void moves no timestamp: the two differ by status alone, and came at once.
        journal_entries=[
            entry(2, "load 3", "voided", "void"),
            entry(2, "load 3", "voided", "posted"),
        ],
    )
    merge(story)
    build(story, *RECORDS)
    assert asked(story, "select invoice_id from staging.stg_invoices where is_deleted") == [
        ("deleted",)
    ]
    # A load that began earlier lands later; what was deleted comes back.
    land(
        story,
        "load 1",
        invoices=[
            invoice(1, "load 1", "paid later", 5),
            invoice(3, "load 4", "deleted", 21, lines=3),
        ],
    )
    build(story, "hist_invoices")  # and a kill before the lines are brought in step
    build(story, *RECORDS)

    due = "cast(amount_due as integer)"
    assert known(story, "invoices", "invoice_id = 'paid later'", due) == [
        (0, 1, 10),
        (1, 2, 5),
        (2, None, 0),
    ]
    assert known(story, "invoices", "invoice_id = 'deleted'", f"({due}, is_deleted)") == [
        (0, 2, (20, False)),
        (2, 3, (None, True)),
        (3, None, (21, False)),
    ]
    assert known(story, "invoices", "invoice_id = 'twin'", due) == [(0, None, 2)]
    assert known(story, "journal_entries", "journal_id = 'voided'", "status") == [
        (0, 2, "posted"),
        (2, None, "void"),
    ]
    lines = asked(story, "select invoice_id, count(*) from staging.stg_invoice_lines group by all")
    assert dict(lines) == {"deleted": 3, "twin": 1, "untouched": 1}
    assert asked(story, "select invoice_id from staging.stg_invoices where is_deleted") == []

    incremental = every_row(story)
    marts.ask_for_full_build(story)
    build(story, *RECORDS)
    assert every_row(story) == incremental


def test_a_record_that_is_only_known_to_be_gone_is_in_history_alone(story: Settings) -> None:
    land(story, "load 1", customers=[gone("customers", 0, "load 1", "quarantined")])
    build(story, "hist_customers", "stg_customers")
    assert known(story, "customers", "true", "is_deleted") == [(0, None, True)]
    assert asked(story, "from staging.stg_customers") == []


def test_nights_of_business_give_the_same_marts_as_a_full_build(
    given: Settings, module_sandbox: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = given.companies()[0]
    monkeypatch.setattr(compacting, "FEWEST", 2)

    def night_passes(*wanted: str) -> None:
        run(given)
        commands.write_inputs(given, [(company, CompanyFacts("Trading", "MYR"))])
        build(given, *wanted)

    night_passes()
    control(module_sandbox, "night")
    for name in ("customers", "invoices"):
        control(module_sandbox, "delete", entity=name, count=2, seed=7)
    night_passes(*RECORDS)
    commands.compact(given, [company], list(ENTITIES.values()))
    control(module_sandbox, "night")
    run(given, window=Window(None, datetime.now(UTC)), again=True)
    night_passes(*RECORDS)
    control(module_sandbox, "night")
    night_passes()

    versions = asked(given, "select count(*), count(distinct load_id) from history.invoices")
    assert versions[0][1] >= 3
    assert asked(given, "select count(*) from history.customers where is_deleted")[0][0] >= 1
    assert asked(given, "from history.journal_entries where status = 'void'") != []
    incremental = every_row(given)
    marts.ask_for_full_build(given)
    build(given)
    full = every_row(given)
    differing = defaultdict(list)
    for table in full.keys() | incremental.keys():
        if full.get(table) != incremental.get(table):
            differing[table] = sorted(set(full.get(table, [])) ^ set(incremental.get(table, [])))[
                :4
            ]
    assert dict(differing) == {}
    assert len(full) > 30


def a_table_of_an_earlier_build(given: Settings) -> None:
    given.data.mkdir(parents=True, exist_ok=True)
    with marts.building(given, lambda _: None):
        pass
    with duckdb.connect(str(given.data / "build.duckdb")) as db:
        db.execute("create table earlier as select 1 as n")


def tables_when_building(given: Settings) -> list[Any]:
    with marts.building(given, lambda _: None):
        return asked(given, "select table_name from duckdb_tables()")


def test_a_build_goes_on_from_the_one_before(story: Settings) -> None:
    a_table_of_an_earlier_build(story)
    assert tables_when_building(story) == [("earlier",)]


def test_a_build_begins_anew_where_it_was_asked_to_and_only_once(story: Settings) -> None:
    a_table_of_an_earlier_build(story)
    marts.ask_for_full_build(story)
    assert tables_when_building(story) == []
    a_table_of_an_earlier_build(story)
    assert tables_when_building(story) == [("earlier",)]


def test_a_build_begins_anew_where_the_models_changed(
    story: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_table_of_an_earlier_build(story)
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").touch()
    (project / "models" / "other.sql").write_text("select 1")
    monkeypatch.setattr("blsync.marts.build.PROJECT", project)
    assert tables_when_building(story) == []


def test_a_replay_has_the_next_build_begin_anew(given: Settings) -> None:
    run(given, "accounts")
    a_table_of_an_earlier_build(given)
    commands.replay(given, given.companies(), ENTITIES["accounts"])
    assert tables_when_building(given) == []


def test_what_is_published_has_the_public_schemas_alone_and_stands_on_its_own(
    story: Settings,
) -> None:
    with (
        marts.building(story, lambda _: None),
        duckdb.connect(str(story.data / "build.duckdb")) as db,
    ):
        for schema in ("staging", "finance", "history", "proposals"):
            db.execute(f"create schema {schema}")
        db.execute("create table finance.customers as select 1 as customer_id")
        db.execute("create table history.customers as select 2 as customer_id")
        db.execute("create view staging.stg_customers as from build.history.customers")
        db.execute("create view proposals.push_b as from build.finance.customers")
        db.execute("create view proposals.push_a as from build.proposals.push_b")
        db.execute("comment on view proposals.push_a is 'It''s due'")
        db.execute("comment on column proposals.push_a.customer_id is 'Who'")
    rows = marts.publish(story)
    assert rows == {
        "finance.customers": 1,
        "history.customers": 1,
        "proposals.push_a": 1,
        "proposals.push_b": 1,
    }
    with marts.open_published(story) as db:
        assert db.execute("from proposals.push_a").fetchall() == [(1,)]
        schemas = "select distinct schema_name from duckdb_tables() order by all"
        assert db.execute(schemas).fetchall() == [("finance",), ("history",), ("proposals",)]
        comments = "select comment from duckdb_{} where table_name = 'push_a'"
        assert db.execute(comments.format("tables()")).fetchall() == [("It's due",)]
        assert db.execute(comments.format("columns()")).fetchall() == [("Who",)]


def test_a_reader_keeps_the_file_that_it_opened_and_the_one_before_is_kept(story: Settings) -> None:
    def publish(number: int) -> None:
        with (
            marts.building(story, lambda _: None),
            duckdb.connect(str(story.data / "build.duckdb")) as db,
        ):
            db.execute("create schema if not exists finance")
            db.execute(f"create or replace table finance.numbers as select {number} as n")
        marts.publish(story)

    publish(1)
    with marts.open_published(story) as reader:
        publish(2)
        assert reader.execute("from finance.numbers").fetchone() == (1,)
    with marts.open_published(story) as reader:
        assert reader.execute("from finance.numbers").fetchone() == (2,)
    with duckdb.connect(str(story.data / "blsync.previous.duckdb"), read_only=True) as db:
        assert db.execute("from finance.numbers").fetchone() == (1,)
