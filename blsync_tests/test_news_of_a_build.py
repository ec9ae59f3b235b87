"""What a build makes of its news: just what stands on them, and what dbt would have made."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from rig import commands
from test_pull import run

from blsync import marts
from blsync.entities import ENTITIES
from blsync.lake.store import Lake
from blsync.marts.compiled import Compiled, compiled_project
from blsync.marts.figures import CompanyFacts
from blsync.marts.files import lake_files
from blsync.marts.fingerprints import fingerprints
from blsync.sandbox import Handle
from blsync.settings import Settings, environment_for_a_child


@pytest.fixture
def given(configure: Callable[..., Settings], module_sandbox: Handle) -> Settings:
    loaded = configure(module_sandbox, BLSYNC_DRIFT_HOURS="0")
    run(loaded)
    commands.write_inputs(loaded, [(loaded.companies()[0], CompanyFacts("Trading", "MYR"))])
    return loaded


def statuses(given: Settings) -> dict[str, str]:
    """Build; how each model and law went, by name; `unchanged` where it had no news."""
    results, _ = marts.run_build(given, lambda _: None)
    nodes = compiled_project(given.data).nodes
    return {
        nodes[result.unique_id].name: result.status if result.has_news else "unchanged"
        for result in results
    }


def land_again(given: Settings, name: str, load: int, **changed: Any) -> None:
    """Land a record of a kind once more, by a later load; none where there is none."""
    folder = given.data / "landing" / name / f"company_id={given.companies()[0].company_id}"
    table = pq.read_table(max(folder.glob("*.parquet")), partitioning=None).slice(0, 1)
    load_id = f"20991231T000000000000Z-{load:08}"
    rows = [row | {"_load_id": load_id, **changed} for row in table.to_pylist()]
    pq.write_table(table.from_pylist(rows, table.schema), folder / f"{load_id}.parquet")


def set_day(given: Settings, day: date) -> None:
    """Have the next builds be of that day."""
    path = Lake(given.data).input_file("companies")
    table = pq.read_table(path)
    rows = [row | {"today": day} for row in table.to_pylist()]
    pq.write_table(table.from_pylist(rows, table.schema), path)


def behind(compiled: Compiled, name: str) -> set[str]:
    """Names of all that reads a model, directly or by way of others, and of itself."""
    [found] = [node.id for node in compiled.nodes.values() if node.name == name]
    ids = {found}
    while more := {n.id for n in compiled.nodes.values() if ids & {*n.parents}} - ids:
        ids |= more
    return {compiled.nodes[unique_id].name for unique_id in ids}


def test_a_build_without_news_makes_and_checks_nothing(given: Settings) -> None:
    assert set(statuses(given).values()) <= {"success", "pass", "warn"}
    assert set(statuses(given).values()) == {"unchanged"}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("name", ENTITIES)
def test_news_of_an_entity_are_news_to_all_that_reads_it_and_to_nothing_else(
    given: Settings, name: str
) -> None:
    compiled = compiled_project(given.data)

    def now() -> dict[str, str]:
        return fingerprints(compiled, given.data, lake_files(given))

    before = now()
    land_again(given, name, 1)
    after = now()
    news = {compiled.nodes[i].name for i in compiled.nodes if before[i] != after[i]}
    assert news == behind(compiled, f"hist_{name}")


@pytest.mark.deep
def test_a_day_that_begins_is_news_and_nothing_remains_of_a_build_that_a_law_stopped(
    given: Settings,
) -> None:
    today = date.today()
    set_day(given, today)
    statuses(given)
    set_day(given, today + timedelta(days=400))
    land_again(given, "journal_entries", 1, lines=[])
    stopped = statuses(given)
    assert stopped["every_journal_balances_and_equals_its_header"] == "fail"
    assert stopped["stock_on_hand"] == "success"  # reads the day, and no entry
    set_day(given, today)
    land_again(given, "journal_entries", 2)
    assert statuses(given)["stock_on_hand"] == "success"
    after_a_stop = every_sum(given)
    marts.ask_for_full_build(given)
    statuses(given)
    assert every_sum(given) == after_a_stop


def every_sum(given: Settings) -> dict[str, Any]:
    """Rows of each table, and the sum of their hashes, but for when they were built."""
    found = {}
    with duckdb.connect(str(given.data / "build.duckdb"), read_only=True) as db:
        tables = db.execute(
            "select schema_name || '.' || table_name, string_agg('\"' || column_name || '\"', ', '"
            " order by column_name) from duckdb_columns() where not internal"
            " and schema_name in ('finance', 'history', 'proposals')"
            " and column_name not in ('built_at', '_built_at') group by all"
        ).fetchall()
        for table, columns in tables:
            sql = f"select count(*), sum(hash({columns})) from {table}"
            found[table] = db.execute(sql).fetchone()
    return found


@pytest.mark.deep
def test_dbt_by_itself_makes_the_same_tables(given: Settings, tmp_path: Path) -> None:
    statuses(given)
    ours = every_sum(given)
    with marts.building(given, lambda _: None):
        (given.data / "build.duckdb").unlink()
        command = [marts.dbt_executable(), "--quiet", "build", "--target-path", str(tmp_path / "t")]
        for name in ("project-dir", "profiles-dir"):
            command += [f"--{name}", str(marts.PROJECT)]
        variables = environment_for_a_child(marts.dbt_environment(given))
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        results = json.loads((tmp_path / "t/run_results.json").read_text())["results"]
        command[2:3] = ["source", "freshness"]
        fresh = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert fresh.returncode == 0, fresh.stdout
    cases = [r["status"] for r in results if r["unique_id"].startswith("unit_test.")]
    assert len(cases) > 1
    assert {*cases} == {"pass"}
    assert every_sum(given) == ours
