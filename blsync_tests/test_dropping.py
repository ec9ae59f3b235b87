"""A company is dropped whole: told first, then removed, whatever stops it on the way."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import commands
from rig.commands import pull
from test_binding import several
from test_cli import blsync, environment
from test_pull import landed, run

from blsync import settings
from blsync.entities import ENTITIES, select
from blsync.errors import ConfigError, SafetyLimit
from blsync.lake.landed import INPUTS
from blsync.ledger import lakes, loads, plans
from blsync.ledger.plans import Operation, Plan
from blsync.marts.figures import CompanyFacts
from blsync.orchestration.dropping import drop, survey
from blsync.pull import raise_failures
from blsync.sandbox import Handle, Options, running
from blsync.session.binding import open_ledger
from blsync.settings import Settings

pytestmark = pytest.mark.deep
"""A build for each input that is lost."""

FEW = {"invoices": 60, "customers": 15, "items": 12, "months": 2, "limits": False}
STEPS = ("noted", "lake emptied", "ledger emptied", "released", "marts renewed")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Handle, Handle]]:
    with (
        running(Options(company_id="co_a", **FEW)) as one,
        running(Options(company_id="co_b", **FEW)) as other,
    ):
        yield one, other


@pytest.fixture
def both(configure, environment, pair, tmp_path) -> Settings:
    """Two companies that were pulled, with a plan each and inputs for the marts."""
    configure(pair[0])
    given = several(environment, tmp_path, ("alpha", "co_a", pair[0]), ("beta", "co_b", pair[1]))
    for company in given.companies():
        raise_failures(pull(given, company, select(["customers", "items"])))
        put_plan(given, company.company_id, "not_sent")
    commands.write_inputs(
        given, [(company, CompanyFacts(company.name)) for company in given.companies()]
    )
    return given


def put_plan(given: Settings, company_id: str, state: str) -> None:
    ledger = open_ledger(given)
    at = datetime.now(UTC)
    plan = Plan(f"{company_id}-{state}", company_id, company_id, "http://127.0.0.1:1/v1",
                "customers", "applying", "x.csv", "upsert", at)  # fmt: skip
    plans.put(ledger, plan, [Operation(1, "a@b.example", "create", state)])
    ledger.close()


def traces(given: Settings, company_id: str) -> list[str]:
    """Where something of a company is left, but empty locks."""
    found = [str(path) for path in given.data.rglob(f"company_id={company_id}")]
    ledger = open_ledger(given)
    found += loads.history(ledger) and [
        load["load_id"] for load in loads.history(ledger) if load["company_id"] == company_id
    ]
    found += [plan.plan_id for plan in lakes.plans_of(ledger, company_id)]
    ledger.close()
    for path in (given.data / "inputs").glob("*.parquet"):
        rows = duckdb.sql(f"from '{path}' where company_id = '{company_id}'").fetchall()
        found += [f"{path.name}: {row}" for row in rows]
    return found


def test_without_yes_it_is_told_and_nothing_changes(both):
    before = {path: path.stat().st_mtime_ns for path in both.data.rglob("*.parquet")}
    told = survey(both, "alpha")
    assert told.company_id == "co_a"
    assert told.entities["customers"].rows == len(
        [row for row in landed(both, "customers") if row["_company_id"] == "co_a"]
    )
    assert all(holding.files and holding.size for holding in told.entities.values())
    assert len(told.loads) == 2
    assert [plan.plan_id for plan in told.plans] == ["co_a-not_sent"]
    assert told.inputs > 0
    assert not told.is_dropped
    assert {path: path.stat().st_mtime_ns for path in both.data.rglob("*.parquet")} == before
    assert traces(both, "co_a")


@pytest.mark.parametrize("name", ["alpha", "co_a"])
def test_a_company_goes_whole_and_the_others_stay(both, name):
    kept = traces(both, "co_b")
    assert drop(both, name).is_dropped
    assert traces(both, "co_a") == []
    assert traces(both, "co_b") == kept
    assert not list((both.data).glob("dropping.json"))


def test_a_company_that_the_settings_no_longer_list_is_dropped_and_the_rest_goes_on(
    both, environment, pair, tmp_path
):
    alone = several(environment, tmp_path, ("beta", "co_b", pair[1]))
    with pytest.raises(ConfigError, match="blsync company drop co_a"):
        open_ledger(alone)
    drop(alone, "alpha")  # its name is known from the folder
    run(alone, "customers")
    told = json.loads((alone.data / "lake.json").read_text())
    assert set(told["companies"]) == {"co_b"}


def test_a_name_that_is_none_is_refused_with_those_there_are(both):
    with pytest.raises(ConfigError, match="alpha, beta, co_a, co_b"):
        drop(both, "gamma")


def _drop_until(given: Settings, step: str) -> None:
    drop(given, "co_a", on_step=lambda done: os._exit(9) if done == step else None)


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_any_step_the_same_command_ends_it(both, step):
    child = multiprocessing.get_context("forkserver").Process(target=_drop_until, args=(both, step))
    child.start()
    child.join(120)
    assert child.exitcode == 9
    if step in ("noted", "lake emptied", "ledger emptied"):
        with pytest.raises(ConfigError, match="interrupted"):
            pull(both, both.company("beta"), select(["items"]))
    assert drop(both, "alpha").is_dropped
    assert traces(both, "co_a") == []
    raise_failures(pull(both, both.company("alpha"), select(["customers"])))
    assert traces(both, "co_a")


def test_rows_that_are_not_answered_keep_a_company_until_that_is_allowed(both):
    put_plan(both, "co_a", "held")
    assert survey(both, "alpha").unanswered == 1
    with pytest.raises(SafetyLimit, match="co_a-held") as refused:
        drop(both, "alpha")
    assert "blsync push settle" in str(refused.value)
    assert traces(both, "co_a")
    assert drop(both, "alpha", allow=True).is_dropped
    assert traces(both, "co_a") == []


def test_it_waits_for_a_sync_that_is_running(both):
    lock = both.data / "spool" / f"{ENTITIES['items'].name}.co_a.lock"
    said: list[str] = []
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        dropping = threading.Thread(target=drop, args=(both, "co_a"), kwargs={"say": said.append})
        dropping.start()
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "waiting" in said[0]
        assert traces(both, "co_a")
    dropping.join(60)
    assert traces(both, "co_a") == []


def test_the_last_company_takes_the_published_marts_along(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    names = ("blsync.duckdb", "blsync.previous.duckdb", "report.html", "build.duckdb",
             "build.duckdb.wal", "build.whole")  # fmt: skip
    for name in names:
        (given.data / name).write_bytes(b"of co_a")
    drop(given, "co_a")
    assert not [name for name in names if (given.data / name).exists()]
    run(configure(pair[1]), "customers")  # the folder is free for another


def garbage(path: Path) -> None:
    path.write_bytes(b"no such thing\n" * 500)


def another_table(path: Path) -> None:
    pq.write_table(pa.table({"something": [1]}), path)


def of_numbers(path: Path) -> None:
    pq.write_table(pa.table({"company_id": [1]}), path)


@pytest.mark.parametrize("damage", [garbage, another_table, of_numbers])
def test_damaged_inputs_hold_up_the_removal_of_no_company(
    both, environment, pair, tmp_path, damage
):
    alone = several(environment, tmp_path, ("beta", "co_b", pair[1]))
    inputs = both.data / "inputs"
    for name in INPUTS:
        damage(inputs / f"{name}.parquet")
    assert survey(alone, "alpha").inputs == 0
    said: list[str] = []
    assert drop(alone, "alpha", say=said.append).is_dropped
    assert traces(alone, "co_a") == []
    assert "companies.parquet" in " ".join(said)
    assert not (inputs / "companies.parquet").exists()
    commands.write_inputs(alone, [(alone.company("beta"), CompanyFacts("beta"))])


def test_strays_among_the_inputs_are_not_read_and_stay_as_they_are(both):
    inputs = both.data / "inputs"
    counted = survey(both, "alpha").inputs
    another_table(inputs / "mine.parquet")
    garbage(inputs / "broken.parquet")
    pq.write_table(pa.table({"company_id": ["co_a", "co_x"]}), inputs / "copy.parquet")
    strays = {path: path.read_bytes() for path in inputs.iterdir() if path.stem not in INPUTS}
    told = survey(both, "alpha")
    assert (len(strays), told.inputs, told.others) == (3, counted, ["co_b"])
    drop(both, "alpha")
    assert {path: path.read_bytes() for path in strays} == strays


@pytest.mark.parametrize("damage", [Path.unlink, garbage])
def test_the_others_marts_are_built_without_a_company_where_the_input_of_companies_is_lost(
    both, damage
):
    damage(both.data / "inputs" / "companies.parquet")
    with duckdb.connect(str(both.data / "blsync.duckdb")) as db:
        db.execute("create table marts as select 'co_b' as company_id")
    assert survey(both, "alpha").others == ["co_b"]
    done = blsync("company", "drop", "alpha", "--yes", env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert held_in(both.data / "blsync.duckdb") == {"co_b"}


def test_what_strayed_beside_and_among_a_company_s_files_stays_and_is_told(both):
    beside = both.data / "landing" / "invoices.bak" / "company_id=co_a" / "mine.parquet"
    among = both.data / "landing" / "customers" / "company_id=co_a" / "letter.txt"
    beside.parent.mkdir(parents=True)
    landed_file = next(among.parent.glob("2*.parquet"))
    beside.write_bytes(landed_file.read_bytes())
    among.write_text("dear")
    (among.parent / f".{landed_file.name}.0123abcd.draft").write_bytes(b"half")
    told = drop(both, "alpha")
    assert beside.exists()
    assert [path.name for path in among.parent.iterdir()] == ["letter.txt"]
    assert not (both.data / "landing" / "items" / "company_id=co_a").exists()
    assert str(among) in told.left
    assert "items" in told.entities
    assert "invoices.bak" not in told.entities


def test_a_damaged_backup_of_its_own_plan_goes_and_the_rest_goes_on(both):
    folder = both.data / "plans"
    garbage(folder / "co_a-not_sent.json")
    for name in (".co_a-not_sent.json.17.draft",
                 "co_a-not_sent.changes.damaged-20260101T000000000000Z"):  # fmt: skip
        (folder / name).write_bytes(b"of co_a")
    assert drop(both, "alpha").is_dropped
    assert not [path.name for path in folder.iterdir() if "co_a" in path.name]
    assert (folder / "co_b-not_sent.json").exists()
    open_ledger(both).close()


def test_marts_from_before_they_were_published_elsewhere_go_too(both, environment, tmp_path):
    environment.setenv("BLSYNC_PUBLISH_TO", str(tmp_path / "published"))
    elsewhere = settings.load()
    put_stale_marts(elsewhere.data)
    assert drop(elsewhere, "alpha").is_dropped
    assert not names_of_stale_marts(elsewhere.data)


STALE = ("blsync.duckdb", "blsync.previous.duckdb", "report.html", "build.files",
         "blsync.duckdb.damaged-20260101T000000000000Z",
         ".blsync.duckdb.0123abcd.draft")  # fmt: skip


def put_stale_marts(data: Path) -> None:
    for name in STALE:
        (data / name).write_bytes(b"of co_a")


def names_of_stale_marts(data: Path) -> list[str]:
    return [name for name in STALE if (data / name).exists()]


def test_what_was_moved_aside_and_may_hold_the_company_is_told(both):
    aside = both.data / "ledger.db.damaged-20260101T000000000000Z"
    aside.write_bytes(b"of co_a and co_b")
    told = drop(both, "alpha")
    assert told.left == [str(aside)]
    assert aside.exists()


def test_the_published_marts_hold_a_dropped_company_no_more(pair, tmp_path):
    file = tmp_path / "companies.toml"
    file.write_text(
        "".join(
            f'[companies.{name}]\ncompany_id = "{server.company_id}"\napi_key_env = "KEY"\n'
            f'base_url = "{server.base_url}"\n'
            for name, server in zip(("alpha", "beta"), pair, strict=True)
        )
    )
    data, published = tmp_path / "data", tmp_path / "published"
    env = environment(data, pair[0].base_url, BLSYNC_COMPANIES=str(file), KEY=pair[0].api_key,
                      BLSYNC_START=str(datetime.now(UTC).date()),
                      BLSYNC_PUBLISH_TO=str(published))  # fmt: skip
    first = blsync("sync", env=env)
    assert first.returncode == 0, first.stderr
    assert held_in(published / "blsync.duckdb") == {"co_a", "co_b"}
    told = blsync("company", "drop", "alpha", "--json", env=env)
    assert json.loads(told.stdout)["is_dropped"] is False
    assert held_in(published / "blsync.duckdb") == {"co_a", "co_b"}
    put_stale_marts(data)
    done = blsync("company", "drop", "alpha", "--yes", env=env)
    assert done.returncode == 0, done.stderr
    assert held_in(published / "blsync.duckdb") == {"co_b"}
    assert not (published / "blsync.previous.duckdb").exists()
    assert not names_of_stale_marts(data)
    assert "co_a" not in (published / "report.html").read_text()


def held_in(path: Path) -> set[str]:
    """Return the companies of which any published table has a row."""
    with duckdb.connect(str(path), read_only=True) as db:
        tables = db.execute(
            "select schema_name, table_name from duckdb_columns() "
            "where column_name = 'company_id' and not internal"
        ).fetchall()
        return {
            row[0]
            for schema, table in tables
            for row in db.sql(f'select distinct company_id from "{schema}"."{table}"').fetchall()
            if row[0]
        }
