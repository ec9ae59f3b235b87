"""Damaged, emptied and stray files: each is named with its cure, and costs no more than it held."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import open_for_writing
from rig import commands, patient
from rig.commands import compact, pull
from test_cli import blsync, call, said_once  # noqa: F401
from test_cli import environment as environment_of

from blsync import marts, settings, status
from blsync.entities import ENTITIES, select
from blsync.errors import (
    BuildError,
    ConfigError,
    LedgerDamaged,
    PartlyFailed,
    StorageError,
    Unexpected,
)
from blsync.files.aside import MOST_KEPT, move_aside
from blsync.files.locks import blocking_file_lock
from blsync.lake.store import Lake
from blsync.ledger import loads
from blsync.maintenance import repair
from blsync.orchestration.parallel import run_in_parallel
from blsync.pull import Result, raise_failures
from blsync.push import policies
from blsync.sandbox import Handle, Options, running
from blsync.session.binding import open_ledger
from blsync.settings import Settings
from blsync.ui.token import token_of

pytestmark = pytest.mark.deep
"""A sync and a build for each way to break a file."""

Damage = Callable[[Path], Any]
COMPANY = "company_id=company_sandbox"


def zero(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"no such thing\n" * 500)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def become_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "letter.txt").write_text("dear")


DAMAGES = [zero, garbage, truncate]


@pytest.fixture(scope="module")
def server() -> Iterator[Handle]:
    with running(Options(invoices=40, customers=12, items=8, months=2, limits=False)) as handle:
        yield handle


@pytest.fixture(scope="module")
def synced(server: Handle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a folder that was synced, built and published once."""
    env = environment_of(tmp_path_factory.mktemp("damage") / "data", server.base_url)
    done = blsync("sync", env=env)
    assert done.returncode == 0, done.stderr
    return env


@pytest.fixture
def env(synced: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a copy of it, to be damaged."""
    shutil.copytree(synced["BLSYNC_DATA"], tmp_path / "data")
    return {**synced, "BLSYNC_DATA": str(tmp_path / "data")}


@pytest.fixture
def given(env: dict[str, str], environment: pytest.MonkeyPatch) -> Settings:
    for name, value in env.items():
        if name.startswith(("BIGLEDGER_", "BLSYNC_")):
            environment.setenv(name, value)
    return settings.load()


def pulled(given: Settings, *names: str) -> dict[str, Result]:
    (company,) = given.companies()
    return pull(given, company, select(list(names)))


def repaired(given: Settings, say: Callable[[str], None] = lambda _: None) -> Any:
    return repair(given, given.companies(), list(ENTITIES.values()), say=say)


def asked(server: Handle) -> int:
    routes = patient.get(f"{server.url}/sandbox/stats").json()["routes"]
    return sum(routes.values())


def forget_requests(server: Handle) -> None:
    patient.post(f"{server.url}/sandbox/reset-stats").raise_for_status()


def a_load_of(given: Settings, name: str, layer: str = "landing") -> Path:
    return next((given.data / layer / name / COMPANY).glob("2*.parquet"))


def strew(data: Path) -> set[str]:
    """Leave behind what systems, editors and people do; return what is to be told of it."""
    landing = data / "landing/customers" / COMPANY
    pq.write_table(pa.table({"id": [1], "name": [2.5]}), landing / "foo.parquet")
    (landing / "Thumbs.db").write_bytes(b"thumbs")
    (landing / "desktop.ini").write_text("[x]")
    garbage(landing / "20260101T000000000000Z-0000abcd (copy).parquet")
    (landing / "folder.parquet").mkdir()
    (data / "landing/.DS_Store").write_bytes(b"store")
    (data / "landing/customers/company_id=nobody").mkdir()
    garbage(data / "landing/customers/company_id=nobody/x.parquet")
    (data / "landing/notes").mkdir()
    quarantine = data / "quarantine/items" / COMPANY
    quarantine.mkdir(parents=True, exist_ok=True)
    garbage(quarantine / "~lock.parquet")
    (data / "spool/MyZ-folder").mkdir()
    (data / "inputs/loads.parquet~").write_text("backup")
    of_customers = f"landing/customers/{COMPANY}"
    return {
        f"{of_customers}/foo.parquet",
        f"{of_customers}/Thumbs.db",
        f"{of_customers}/desktop.ini",
        f"{of_customers}/20260101T000000000000Z-0000abcd (copy).parquet",
        f"{of_customers}/folder.parquet",
        "landing/.DS_Store",
        "landing/customers/company_id=nobody",
        "landing/notes",
        f"quarantine/items/{COMPANY}/~lock.parquet",
        "spool/MyZ-folder",
        "inputs/loads.parquet~",
    }


def test_strays_stop_neither_a_sync_nor_a_build_and_are_told_in_one_line(env):
    data = Path(env["BLSYNC_DATA"])
    expected = strew(data)
    done = blsync("sync", env=env)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "not blsync's" in line]
    assert line.startswith(f"{len(expected)} files or folders")
    assert all((data / name).exists() for name in expected)
    found = blsync("query", "select count(*) as n from finance.customers", env=env)
    assert found.returncode == 0, found.stderr


def test_doctor_and_status_list_what_strayed_into_the_folder(given, env, call):  # noqa: F811
    expected = strew(given.data)
    assert set(status.report(given)["strays"]) == expected
    done = call("doctor", "--json", env=env)
    (check,) = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "stray files"]
    assert check["ok"]
    assert "landing/.DS_Store" in check["message"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_landed_file_fails_its_entity_alone_and_is_named_with_its_cure(given, damage):
    path = a_load_of(given, "customers")
    damage(path)
    found = pulled(given, "customers", "items", "invoices")
    assert isinstance(found["customers"].error, StorageError)
    told = str(found["customers"].error)
    assert str(path) in told
    assert "blsync repair" in told
    assert found["items"].error is None
    assert found["invoices"].error is None
    with pytest.raises(PartlyFailed, match="customers failed"):
        raise_failures(found)


def test_the_cure_of_a_damaged_landed_file_brings_its_records_back(given):
    path = a_load_of(given, "customers")
    truncate(path)
    with pytest.raises(PartlyFailed, match="customers of company_sandbox failed") as told:
        repaired(given)
    assert str(path) in str(told.value)
    path.unlink()
    assert len(repaired(given).forgotten) == 1
    assert pulled(given, "customers")["customers"].rows == 12


def test_a_damaged_file_in_quarantine_is_named_too(given):
    folder = given.data / "quarantine/customers" / COMPANY
    folder.mkdir(parents=True, exist_ok=True)
    garbage(folder / a_load_of(given, "customers").name)
    found = pulled(given, "customers", "items")
    assert "quarantine" in str(found["customers"].error)
    assert found["items"].error is None


def test_a_schema_file_is_made_anew_because_it_holds_nothing(given):
    garbage(given.data / "landing/customers" / COMPANY / "00000000-schema.parquet")
    assert pulled(given, "customers")["customers"].error is None
    pq.read_schema(given.data / "landing/customers" / COMPANY / "00000000-schema.parquet")


def test_compaction_goes_on_with_the_others_where_one_entity_is_damaged(given):
    garbage(a_load_of(given, "customers"))
    with pytest.raises(PartlyFailed, match="customers of company_sandbox failed"):
        compact(given, given.companies(), list(ENTITIES.values()))


def test_a_build_names_the_damaged_file_and_leaves_the_published_marts(env):
    data = Path(env["BLSYNC_DATA"])
    path = next((data / "landing/customers" / COMPANY).glob("2*.parquet"))
    truncate(path)
    (data / "build.full").touch()
    before = (data / "blsync.duckdb").read_bytes()
    done = blsync("build", env=env)
    assert done.returncode == 1
    line = said_once(done)
    assert str(path) in line
    assert "blsync repair" in line
    assert (data / "blsync.duckdb").read_bytes() == before


def test_an_error_that_nobody_foresaw_stays_with_its_entity(given):
    with closing(sqlite3.connect(given.data / "ledger.db")) as db:
        db.execute("update loads set findings = '{' where entity = 'customers'")
        db.commit()
    found = pulled(given, "customers", "items")
    error = found["customers"].error
    assert isinstance(error, Unexpected)
    assert "The pull of customers" in str(error)
    assert "JSONDecodeError" in str(error)
    assert isinstance(error.__cause__, json.JSONDecodeError)
    assert found["items"].error is None


def test_an_error_that_nobody_foresaw_stays_with_its_company():
    def work(name: str, _: Any) -> str:
        if name == "bad":
            raise OverflowError("too large")
        return "done"

    found = run_in_parallel(["bad", "good"], work)
    assert found["good"] == "done"
    assert isinstance(found["bad"], Unexpected)
    assert "OverflowError: too large" in str(found["bad"])


def test_the_end_of_memory_is_no_company_s_own_failure():
    def work(name: str, _: Any) -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        run_in_parallel(["one", "other"], work)


@pytest.mark.parametrize("name", ["landing", "quarantine", "spool", "inputs"])
@pytest.mark.parametrize("kind", ["file", "loop"])
def test_a_file_or_a_loop_in_a_folder_s_place_is_named(given, name, kind):
    folder = given.data / name
    if folder.exists():
        shutil.rmtree(folder)
    if kind == "file":
        folder.write_text("a file")
    else:
        folder.symlink_to(folder)
    with pytest.raises(StorageError, match=f"{name} is no folder"):
        pulled(given, "customers")


def test_a_file_in_an_entity_s_place_fails_that_entity_alone(given):
    shutil.rmtree(given.data / "landing/customers")
    (given.data / "landing/customers").write_text("a file")
    found = pulled(given, "customers", "items")
    assert "landing/customers" in str(found["customers"].error)
    assert found["items"].error is None


# The build's own files.


def tables_when_building(given: Settings, said: list[str]) -> int:
    with marts.building(given, said.append), duckdb.connect(str(given.data / "build.duckdb")) as db:
        return len(db.execute("from duckdb_tables()").fetchall())


@pytest.mark.parametrize("damage", [*DAMAGES, become_folder])
def test_a_damaged_build_begins_anew_by_itself(given, damage):
    assert tables_when_building(given, []) > 0
    damage(given.data / "build.duckdb")
    said: list[str] = []
    assert tables_when_building(given, said) == 0
    assert "build.duckdb is damaged" in said[0]


def test_a_log_that_does_not_fit_the_build_stops_nothing(given):
    garbage(given.data / "build.duckdb.wal")
    file = str(given.data / "build.duckdb")
    with marts.building(given, lambda _: None), duckdb.connect(file) as db:
        db.execute("create table finance.one_more as select 1")
    assert "finance.one_more" in marts.tables_of_build(given)


@pytest.mark.parametrize("name", ["build.models", "build.whole", "build.full"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\xff\xfe"), become_folder])
def test_a_damaged_mark_of_the_build_stops_nothing(given, name, damage):
    (given.data / name).touch()
    damage(given.data / name)
    tables_when_building(given, [])
    assert not (given.data / name).is_dir()
    tables_when_building(given, [])


def test_a_build_whose_blocks_are_damaged_is_built_anew_in_the_same_run(env):
    spoil_blocks(Path(env["BLSYNC_DATA"]) / "build.duckdb")
    done = blsync("build", env=env)
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stderr


# What is published.


def spoil_blocks(path: Path) -> None:
    """Damage what lies past the headers, so that the file opens."""
    with path.open("r+b") as opened:
        opened.seek(12_288 + 4096)
        opened.write(b"\xa5" * (path.stat().st_size - 12_288 - 8192))


@pytest.mark.parametrize("damage", [*DAMAGES, become_folder])
def test_damaged_marts_are_named_and_published_over(given, env, call, damage):  # noqa: F811
    damage(given.data / "blsync.duckdb")
    done = call("query", "from finance.accounts", env=env)
    assert done.returncode == 1
    assert "blsync build" in said_once(done)
    assert status.report(given)["companies"]["company_sandbox"]["reconciliation"] is None
    assert marts.companies_known(given) == {"company_sandbox"}
    said: list[str] = []
    marts.publish(given, said.append)
    assert "published anew" in said[0]
    assert marts.fetch_rows(given, "select count(*) from finance.accounts")[1][0][0] > 0


@pytest.mark.parametrize("allowed", [[], ["company_sandbox"]])
def test_marts_that_another_program_has_open_for_writing_are_not_damaged(
    given,
    env,
    call,  # noqa: F811
    allowed,
):
    with open_for_writing(given.data / "blsync.duckdb") as pid:
        done = call("query", "from finance.accounts", env=env)
        assert done.returncode == 1
        told = said_once(done)
        assert f"PID {pid}" in told
        assert "Close it there" in told
        assert "build" not in told.replace("build.duckdb", "")
        said: list[str] = []
        with pytest.raises(BuildError, match=rf"PID {pid}.*Close it there"):
            marts.publish(given, said.append, allowed=allowed)
        assert said == []
    assert not list(given.data.glob("*.damaged-*"))
    assert marts.fetch_rows(given, "select count(*) from finance.accounts")[1][0][0] > 0


def test_marts_whose_blocks_are_damaged_are_published_over(given):
    spoil_blocks(given.data / "blsync.duckdb")
    marts.publish(given)
    assert marts.fetch_rows(given, "select sum(debit) from finance.general_ledger")[1][0][0] > 0


def test_marts_whose_blocks_are_damaged_are_named_too(given, env, call):  # noqa: F811
    spoil_blocks(given.data / "blsync.duckdb")
    done = call("query", "select sum(debit) from finance.general_ledger", env=env)
    assert done.returncode == 1
    assert "blsync build" in said_once(done)


def test_a_policy_over_damaged_marts_fails_alone(given, environment):
    file = given.data / "policies.toml"
    file.write_text("[push_customers_credit_limit]\nmax_creates=0\nmax_updates=1\nmax_money=0\n")
    environment.setenv("BLSYNC_PUSH_POLICIES", str(file))
    garbage(given.data / "blsync.duckdb")
    reports, failed = commands.within(settings.load(), policies.run_all)
    assert reports == []
    assert "blsync build" in str(failed["push_customers_credit_limit of company_sandbox"])


# Inputs.


@pytest.mark.parametrize("name", ["companies", "report_figures"])
@pytest.mark.parametrize("damage", [garbage, become_folder, "schema"])
def test_damaged_inputs_are_told_and_asked_for_again(given, name, damage):
    path = given.data / "inputs" / f"{name}.parquet"
    if callable(damage):
        damage(path)
    else:
        pq.write_table(pa.table({"something": [1]}), path)
    with pytest.raises((StorageError, BuildError), match="blsync sync") as told:
        commands.refresh_inputs(given)
    assert str(path) in str(told.value)
    said: list[str] = []
    marts.mend_inputs(given, said.append)
    assert len(said) == 1
    assert str(path) in said[0]
    assert not path.exists()

    facts, _ = commands.ask(given, given.companies()[0])
    commands.write_inputs(given, [(given.companies()[0], facts)])
    assert facts.figures
    commands.refresh_inputs(given)


def test_a_sync_makes_damaged_inputs_anew(env):
    for name in ("companies", "report_figures", "loads", "push_log"):
        truncate(Path(env["BLSYNC_DATA"]) / "inputs" / f"{name}.parquet")
    done = blsync("sync", env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Doing so now") == 2


@pytest.mark.parametrize("damage", [garbage, become_folder])
def test_status_tells_damaged_inputs_beside_all_else(given, env, call, damage):  # noqa: F811
    path = given.data / "inputs" / "companies.parquet"
    damage(path)
    told = status.report(given)
    assert str(path) in told["problem"]
    assert "blsync sync" in told["problem"]
    assert told["companies"]["company_sandbox"]["entities"]["customers"]["rows"] == 12
    assert call("status", env=env).returncode == 0


def test_a_list_of_files_that_a_killed_build_left_is_gone_when_the_next_one_begins(given):
    files = Lake(given.data).build_files
    garbage(files)
    (given.data / "seeds").mkdir()
    (given.data / "seeds/accepted_exceptions.csv").write_text("no header\n")
    broken = given.model_copy(update={"seeds": given.data / "seeds"})
    with pytest.raises(ConfigError), marts.building(broken, lambda _: None):
        raise AssertionError
    assert not files.exists()


# Dagster's history.


@pytest.mark.parametrize("name", ["runs.db", "index.db"])
@pytest.mark.parametrize("damage", [garbage, truncate, become_folder])
def test_a_damaged_history_never_stops_a_pull(env, server, name, damage):
    data = Path(env["BLSYNC_DATA"])
    (path,) = (data / "dagster").rglob(name)
    for log in path.parent.glob(f"{name}-*"):
        log.unlink()
    damage(path)
    done = blsync("sync", "customers", "--no-build", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entities"]["customers"]["rows"] == 0
    (aside,) = data.glob("dagster.damaged-*")
    assert str(aside) in done.stderr
    again = blsync("sync", "customers", "--no-build", env=env)
    assert again.returncode == 0
    assert "damaged" not in again.stderr


def test_the_address_of_the_ui_stays_the_same_where_the_history_is_damaged(env):
    home = Path(env["BLSYNC_DATA"]) / "dagster"
    token = token_of(home, lambda _: None)
    (path,) = home.rglob("runs.db")
    garbage(path)
    done = blsync("sync", "customers", "--no-build", env=env)
    assert "begun" in done.stderr
    assert token_of(home, lambda _: None) == token
    assert (home / "ui_token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [zero, garbage, become_folder])
def test_other_damage_in_dagster_s_home_never_stops_a_pull(env, damage):
    data = Path(env["BLSYNC_DATA"])
    damage(data / "dagster/dagster.yaml")
    schedules = list((data / "dagster/schedules").rglob("*.db"))
    assert schedules
    for path in schedules:
        damage(path)
    done = blsync("sync", "customers", "--no-build", env=env)
    assert done.returncode == 0, done.stderr


def test_a_file_in_the_history_s_place_never_stops_a_pull(env):
    data = Path(env["BLSYNC_DATA"])
    shutil.rmtree(data / "dagster")
    (data / "dagster").write_text("a file")
    done = blsync("sync", "customers", "--no-build", env=env)
    assert done.returncode == 0, done.stderr


def test_only_the_latest_of_what_was_moved_aside_is_kept(tmp_path):
    for number in range(MOST_KEPT + 3):
        (tmp_path / "dagster").mkdir()
        (tmp_path / "dagster/number").write_text(str(number))
        last = move_aside(tmp_path / "dagster")
    assert len(list(tmp_path.iterdir())) == MOST_KEPT
    assert (last / "number").read_text() == str(MOST_KEPT + 2)


def test_a_log_goes_with_the_ledger_that_is_moved_aside_and_no_ledger_is_thrown_away(tmp_path):
    for number in range(MOST_KEPT + 3):
        (tmp_path / "ledger.db").write_text(str(number))
        (tmp_path / "ledger.db-wal").write_text(str(number))
        aside = move_aside(tmp_path / "ledger.db", companions=("-wal", "-shm"), most_kept=None)
        assert Path(f"{aside}-wal").read_text() == str(number)
    assert len(list(tmp_path.iterdir())) == 2 * (MOST_KEPT + 3)


# The ledger.


def drop_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (name,) in names:
            if not name.startswith("sqlite_"):
                db.execute(f'drop table "{name}"')
        db.commit()


def drop_loads(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("drop table loads")
        db.commit()


def empty_loads(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("delete from loads")
        db.commit()


def damage_ledger(data: Path, damage: Damage) -> None:
    path = data / "ledger.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    for log in data.glob("ledger.db-*"):
        log.unlink()
    damage(path)


LEDGER_DAMAGES = [zero, garbage, truncate, Path.unlink, drop_tables, drop_loads, empty_loads]


@pytest.mark.parametrize("damage", LEDGER_DAMAGES)
def test_a_lost_ledger_is_recognised_and_repair_brings_it_back(given, server, damage):
    with closing(open_ledger(given)) as ledger:
        # A list without records leaves no file that would tell of it; it is read anew.
        before = [load for load in loads.history(ledger) if load["rows"]]
    damage_ledger(given.data, damage)
    forget_requests(server)
    with pytest.raises(LedgerDamaged, match="blsync repair"):
        raise_failures(pulled(given, "customers"))
    assert asked(server) == 0
    done = repaired(given)
    assert len(done.adopted) == len(before)
    assert (done.moved_aside is None) == (damage not in (garbage, truncate, drop_loads))
    with closing(open_ledger(given)) as ledger:
        assert len(loads.history(ledger)) == len(before)
    found = pulled(given, "customers")["customers"]
    assert (found.rows, found.error) == (0, None)
    assert repaired(given).adopted == []


@pytest.mark.parametrize("damage", [garbage, Path.unlink, empty_loads, drop_loads])
def test_status_and_doctor_tell_a_lost_ledger_and_go_on(given, env, call, damage):  # noqa: F811
    damage_ledger(given.data, damage)
    told = status.report(given)
    assert "blsync repair" in told["problem"]
    assert told["published_at"]
    company = told["companies"]["company_sandbox"]
    assert company["reconciliation"]["fail"] == 0
    assert (company["entities"], company["quota_left"]) == ({}, None)
    shown = call("status", env=env)
    assert shown.returncode == 0
    assert "blsync repair" in shown.stdout + shown.stderr
    done = call("doctor", "--json", env=env)
    assert done.returncode == 1
    checks = {c["name"]: c for c in json.loads(done.stdout)["checks"]}
    assert "blsync repair" in checks["ledger"]["message"]
    assert checks["disk"]["ok"]
    assert "stray files" in checks


def test_of_two_repairs_at_once_one_moves_the_damaged_ledger_aside(given):
    damage_ledger(given.data, garbage)
    (lock, *_) = sorted((given.data / "spool").glob("*.lock"))
    waiting = [threading.Event() for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        with blocking_file_lock(lock, lambda _: None, ""):
            runs = [pool.submit(repaired, given, lambda _, e=event: e.set()) for event in waiting]
            assert all(event.wait(20) for event in waiting)
        moved = [run.result().moved_aside for run in runs]
    assert sum(path is not None for path in moved) == 1
    assert len(list(given.data.glob("ledger.db.damaged-*Z"))) == 1


def test_the_command_tells_which_plan_could_not_be_brought_back(env):
    data = Path(env["BLSYNC_DATA"])
    (data / "plans").mkdir(exist_ok=True)
    (data / "plans/0123456789ab.json").write_bytes(b"\xff")
    assert blsync("sync", env=env).returncode == 1
    done = blsync("repair", "--json", env=env)
    assert done.returncode == 3
    assert json.loads(done.stdout)["lost_plans"] == ["0123456789ab"]
    assert "0123456789ab" in done.stderr
    assert blsync("repair", env=env).returncode == 0


def test_the_command_says_that_a_lost_ledger_is_to_be_repaired(env):
    damage_ledger(Path(env["BLSYNC_DATA"]), Path.unlink)
    done = blsync("sync", env=env)
    assert done.returncode == 1
    assert "blsync repair" in said_once(done)
    assert blsync("repair", env=env).returncode == 0
    assert blsync("sync", "--no-build", env=env).returncode == 0


def test_an_empty_folder_begins_with_an_empty_ledger(given, server):
    shutil.rmtree(given.data)
    assert pulled(given, "customers")["customers"].rows == 12


def test_a_load_that_landed_and_was_killed_before_the_ledger_knew_is_no_loss(given):
    with closing(sqlite3.connect(given.data / "ledger.db")) as db:
        db.execute("update loads set state = 'open', committed_at = null, window_end = null")
        db.commit()
    found = pulled(given, "customers")["customers"]
    assert found.error is None
