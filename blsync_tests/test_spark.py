"""Random books built on a Spark cluster that loses an executor: row by row what DuckDB builds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from books.company import CLOSINGS, Plan
from books.making import make, write_inputs, write_landing, write_seeds
from books.reports import reports_of
from test_cli import blsync, environment

from blsync import marts, settings
from blsync.errors import ConfigError

pytestmark = pytest.mark.scale

OWN_ON_EACH_ENGINE = {"intermediate.int_documents": "reference_hash, number_hash, series_hash"}
"""Columns that hold hashes, which only one build compares with one another."""
GOOD = ("success", "pass", "warn")


@dataclass
class Built:
    """A folder that both engines built: what each made and said."""

    env: dict[str, str]
    data: Path
    duckdb: Path
    results: dict[str, dict[str, str]]
    said: list[str]
    killed: list[int]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("spark")
    data, env = books_in(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        results = {"duckdb": build([])}
        (data / "build.duckdb").rename(folder / "expected.duckdb")
        with cluster(folder, patch) as (master, workers):
            patch.setenv("BLSYNC_ENGINE", "spark")
            patch.setenv("BLSYNC_SPARK", master)
            left = data / "builds/20200101T000000.000000/finance"
            left.mkdir(parents=True)  # of a build that was killed
            killed: list[int] = []
            watch = threading.Thread(target=kill_an_executor, args=(data, workers, killed))
            watch.start()
            said: list[str] = []
            results["spark"] = build(said)
            watch.join()
        env |= {"BLSYNC_ENGINE": "spark"}
        yield Built(env, data, folder / "expected.duckdb", results, said, killed)


def books_in(folder: Path) -> tuple[Path, dict[str, str]]:
    books = [
        make(f"co_{place}", Plan(place, closings=closings))
        for place, closings in enumerate(CLOSINGS[:4])
    ]
    data = folder / "data"
    write_seeds(folder / "seeds", books)
    write_inputs(data, books, [figure for book in books for figure in reports_of(book)])
    write_landing(data, books, slice(None))
    listed = folder / "companies.toml"
    listed.write_text(
        "".join(
            f'[companies.{book.company}]\ncompany_id = "{book.company}"\n'
            'base_url = "http://127.0.0.1:9/v1"\napi_key_env = "KEY_OF_BOOKS"\n'
            for book in books
        )
    )
    env = environment(data, "http://127.0.0.1:9/v1", BLSYNC_SEEDS=str(folder / "seeds"))
    for name in ("BIGLEDGER_API_KEY", "BIGLEDGER_COMPANY_ID", "BIGLEDGER_BASE_URL"):
        del env[name]
    return data, env | {"BLSYNC_COMPANIES": str(listed), "KEY_OF_BOOKS": "blg_test_sk_sandbox"}


def build(said: list[str]) -> dict[str, str]:
    """Build the marts as the settings say; returns how each node went."""
    results, failure = marts.run_build(settings.load(), said.append)
    assert not failure, failure
    return {result.unique_id: result.status for result in results}


@contextmanager
def cluster(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[int]]]:
    """A master and two workers on loopback, from pyspark's own jars: its address, the workers."""
    conf = folder / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.executor.memory 700m\n")
    quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    for name, value in {
        "SPARK_CONF_DIR": str(conf),
        "SPARK_DAEMON_JAVA_OPTS": quick,
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
    }.items():
        patch.setenv(name, value)
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    at = ("--host", "127.0.0.1", "--webui-port", "0")
    programs = [start("master.Master", *at, "--port", str(port))]
    try:
        wait_until(lambda: is_open(port), "the master to listen")
        size = ("--cores", "1", "--memory", "1g")
        programs += [start("worker.Worker", *at, *size, address) for _ in range(2)]
        yield address, [program.pid for program in programs[1:]]
    finally:
        for program in reversed(programs):
            program.terminate()
        for program in programs:
            program.wait()


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    import pyspark

    spark_class = Path(pyspark.__file__).parent / "bin/spark-class"
    return subprocess.Popen(
        [spark_class, f"org.apache.spark.deploy.{program}", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_an_executor(data: Path, workers: list[int], killed: list[int]) -> None:
    """Kill one of the programs that the workers have started, once some tables are made."""
    made = lambda: len(list(data.glob("builds/*/*/*/_SUCCESS")))  # noqa: E731
    wait_until(lambda: made() >= 20, "Spark to make tables", seconds=400)
    started = [
        int(child)
        for worker in workers
        for child in Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    ] or [
        int(child)
        for worker in workers
        for children in Path(f"/proc/{worker}/task").glob("*/children")
        for child in children.read_text().split()
    ]
    os.kill(started[0], signal.SIGKILL)
    killed.append(started[0])


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_every_relation_is_the_same_row_by_row_though_an_executor_was_killed(
    built: Built,
) -> None:
    assert built.killed
    by_schema: dict[str, int] = {}
    differing = []
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        db.execute(f"attach '{built.duckdb}' as expected (read_only)")
        db.execute(f"attach '{built.data / 'build.duckdb'}' as build (read_only)")
        for schema, table in relations(db, "expected"):
            name = f'"{schema}"."{table}"'
            left_out = OWN_ON_EACH_ENGINE.get(f"{schema}.{table}")
            columns = f"* exclude ({left_out})" if left_out else "*"
            expected = f"select {columns} from expected.{name}"
            made = f"select {columns} from build.{name}"
            types = [db.sql(f"describe {query}").fetchall() for query in (expected, made)]
            count = "select count(*) from ({} except all {})"
            if types[0] != types[1] or any(
                db.sql(count.format(*pair)).fetchall() != [(0,)]
                for pair in ((expected, made), (made, expected))
            ):
                differing.append(name)
            by_schema[schema] = by_schema.get(schema, 0) + 1
        assert relations(db, "build") == relations(db, "expected")
    assert not differing
    assert by_schema.keys() >= {"finance", "history", "intermediate", "staging", "proposals"}


def relations(db: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str]]:
    return db.execute(
        "select distinct schema_name, table_name from duckdb_columns() "
        "where database_name = ? and not internal and schema_name <> 'last_build' order by all",
        [database],
    ).fetchall()


def test_every_model_and_law_went_as_it_did_in_duckdb(built: Built) -> None:
    assert built.results["spark"] == built.results["duckdb"]
    assert set(built.results["spark"].values()) <= set(GOOD)


def test_spark_says_nothing_of_its_own(built: Built) -> None:
    assert len(built.said) == 2
    assert "Spark (spark://127.0.0.1:" in built.said[0]
    assert "checks passed" in built.said[1]


def test_what_was_killed_is_removed_and_what_was_built_is_kept(built: Built) -> None:
    [kept] = (built.data / "builds").iterdir()
    assert not kept.name.startswith("2020")
    assert {path.name for path in kept.iterdir()} >= {"finance", "history", "ended"}
    assert not (kept / "scratch").exists()


def test_it_is_published_and_read_as_any_other_build_and_can_be_taken_along(
    built: Built, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in built.env.items():
            patch.setenv(name, value)
        rows = marts.publish(settings.load())
        tables = marts.tables_of_build(settings.load())
    assert rows["finance.general_ledger"] == tables["finance.general_ledger"].rows > 0
    assert tables["finance.invoices"].comment
    asked = blsync(
        "query",
        "--format",
        "json",
        "select count(*) as n from finance.trial_balance_as_known(date '2026-02-28', now())",
        env=built.env,
    )
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)[0]["n"] > 0
    report = blsync("report", env=built.env)
    assert report.returncode == 0, report.stderr
    taken = (built.data / "blsync.duckdb").read_bytes()
    (tmp_path / "taken.duckdb").write_bytes(taken)
    with duckdb.connect(str(tmp_path / "taken.duckdb"), read_only=True) as db:
        assert db.sql("select count(*) from duckdb_views() where not internal").fetchall() == [(0,)]
        assert db.sql("select count(*) > 0 from history.invoices").fetchall() == [(True,)]


def test_without_java_it_is_said_what_to_install(built: Built, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in built.env.items():
            patch.setenv(name, value)
        patch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(ConfigError, match="no java in JAVA_HOME"):
            marts.run_build(settings.load(), print)


def test_a_cluster_that_is_not_there_fails_in_words_and_leaves_the_build(built: Built) -> None:
    before = (built.data / "build.duckdb").stat().st_ino
    with pytest.MonkeyPatch.context() as patch:
        for name, value in built.env.items():
            patch.setenv(name, value)
        patch.setenv("BLSYNC_SPARK", "nowhere://127.0.0.1")
        _, failure = marts.run_build(settings.load(), lambda _: None)
    assert failure
    assert "Spark (nowhere://127.0.0.1) did not come to its end" in str(failure)
    assert "Traceback" not in str(failure)
    assert (built.data / "build.duckdb").stat().st_ino == before


def test_a_night_of_duckdb_after_it_begins_anew_and_makes_the_same(built: Built) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (built.env | {"BLSYNC_ENGINE": "duckdb"}).items():
            patch.setenv(name, value)
        assert build([]) == built.results["duckdb"]
    assert not (built.data / "builds").exists()
    query = "from finance.trial_balance order by all"
    found = []
    for file in (built.duckdb, built.data / "build.duckdb"):
        with duckdb.connect(str(file), read_only=True) as db:
            found.append(db.sql(query).fetchall())
    assert found[0] == found[1]
