"""Workers on many machines: Dagster's runs in PostgreSQL, a run a company, one that builds."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import dagster as dg
import psycopg2
import pytest
from moto.server import ThreadedMotoServer
from rig import patient
from rig.ui_process import descendants, serving_ui
from test_backfill import HASTE, Dagster
from test_cli import blsync, environment, said_once
from test_ledger import new_schema, postgresql  # noqa: F401 (a fixture)
from test_ledger import run as statements
from test_pull import control
from test_retention import pulled

from blsync import settings as the_settings
from blsync.errors import ConfigError
from blsync.orchestration.launches import BUILD_OF, COMPANY, NIGHT
from blsync.orchestration.pruning import prune_history
from blsync.sandbox import Handle, Options, running

pytestmark = pytest.mark.scale
DATABASES = count(1)
PASSWORD = "s3cret/of%the=database"
WRITTEN = "s3cret%2Fof%25the%3Ddatabase"


def database(server: str) -> str:
    """Make an empty database with an owner who has a password; returns its address for Dagster."""
    name = f"dagster_{next(DATABASES)}"
    statements(
        server,
        f"create role {name} login password '{PASSWORD}'",
        f"create database {name} owner {name}",
    )
    folder = server.partition("host=")[2]
    return f"postgresql+psycopg2://{name}:{WRITTEN}@/{name}?host={folder}"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def asked(address: str, question: str) -> list[tuple]:
    with psycopg2.connect(address.replace("+psycopg2", "")) as db, db.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


@pytest.fixture
def storage(postgresql: str) -> str:  # noqa: F811
    return database(postgresql)


def test_runs_are_kept_in_the_database_and_leave_it_when_their_term_is_over(storage, tmp_path):
    env = environment(tmp_path, "http://127.0.0.1:1/v1", BLSYNC_DAGSTER_STORAGE=storage)
    done = blsync("sync", "customers", "--no-build", env=env)
    assert done.returncode != 0  # nobody answers there; the run is recorded
    days = asked(storage, "select count(*) from runs")
    assert days == [(1,)]
    assert not list((tmp_path / "dagster").rglob("*.db"))
    kept = "".join(path.read_text() for path in (tmp_path / "dagster").glob("*.yaml"))
    assert "env: BLSYNC_DAGSTER_STORAGE" in kept
    statements(
        storage.replace("+psycopg2", ""),
        "update runs set create_timestamp = create_timestamp - interval '91 days'",
    )
    pruned = blsync("prune", "--json", env=env)
    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["runs"] == 1
    assert asked(storage, "select count(*) from runs, event_logs") == [(0,)]
    for said in (done.stdout, done.stderr, pruned.stderr, kept):
        assert PASSWORD not in said
        assert WRITTEN not in said


def test_what_was_pulled_stays_known_when_its_runs_leave_the_database(
    storage, tmp_path, monkeypatch
):
    monkeypatch.setenv("BLSYNC_DAGSTER_STORAGE", storage)
    (tmp_path / "dagster.yaml").write_text(
        "storage: {postgres: {postgres_url: {env: BLSYNC_DAGSTER_STORAGE}}}"
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for day in ("first", "second", "second"):
            dg.materialize([pulled], instance=instance, partition_key=day)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert prune_history(instance, tmp_path, tomorrow, lambda _: None).runs == 3
        assert instance.get_runs() == []
        key = dg.AssetKey("pulled")
        assert instance.get_materialized_partitions(key) == {"first", "second"}
        (check,) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(key, "law"), limit=10
        )
        assert check.status.value == "SUCCEEDED"


def test_a_database_that_cannot_be_used_is_told_without_its_password(storage, tmp_path):
    wrong = storage.replace("/dagster_", "/nowhere_")
    env = environment(tmp_path, "http://127.0.0.1:1/v1", BLSYNC_DAGSTER_STORAGE=wrong)
    for command in (("sync", "customers"), ("ui", "--port", free_port()), ("prune",)):
        done = blsync(*command, env=env)
        assert done.returncode in (1, 3)
        assert "BLSYNC_DAGSTER_STORAGE) cannot be used" in said_once(done)
        assert "nowhere_" in done.stderr
        assert WRITTEN not in done.stderr
        assert PASSWORD not in done.stderr
    told = json.loads(blsync("doctor", "--json", env=env).stdout)["checks"]
    (found,) = [check for check in told if check["name"] == "Dagster's runs"]
    assert not found["ok"]


@pytest.mark.parametrize("address", ["postgresql://u:hidden-word@h/d", "sqlite:///x.db"])
def test_an_address_that_dagster_would_read_otherwise_is_refused(monkeypatch, address):
    monkeypatch.setenv("BLSYNC_DAGSTER_STORAGE", address)
    with pytest.raises(ConfigError, match=r"postgresql\+psycopg2://USER") as refused:
        the_settings.load()
    assert "hidden-word" not in str(refused.value)


DEPLOY = Path(__file__).parent.parent / "deploy/celery"
COMPANIES = ("alpha", "beta", "gamma")
KEY = "blg_test_sk_workers_0123456789"
ZONE = ZoneInfo("Asia/Kuala_Lumpur")
NO_WORKER_SECONDS = 30
"""How long a run waits for a worker here, instead of a quarter of an hour."""
BEFORE_THE_KILL = 4
"""Pages of journal entries that are asked for before a company's worker is killed."""
DRY_RUN = """
mutation($at: Float!) {
  scheduleDryRun(timestamp: $at, selectorData: {
    repositoryName: "__repository__", repositoryLocationName: "blsync",
    scheduleName: "nightly_sync"
  }) {
    ... on DryRunInstigationTick { evaluationResult {
      runRequests { assetSelection { path } tags { key value } }
    } }
  }
}"""
LAUNCH = """
mutation($job: String!, $assets: [AssetKeyInput!], $tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
    selector: {
      repositoryName: "__repository__", repositoryLocationName: "blsync", jobName: $job,
      assetSelection: $assets
    }
    executionMetadata: { tags: $tags }
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
RUNS = """
{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"""
TICKS = """
{ sensorOrError(sensorSelector: {
  repositoryName: "__repository__", repositoryLocationName: "blsync", sensorName: "nightly_build"
}) { ... on Sensor { sensorState { ticks(limit: 50) { error { message } } } } } }"""


@dataclass
class Run:
    """A run as Dagster's pages show it."""

    run_id: str
    status: str
    tags: dict[str, str]


@dataclass
class Story:
    """What a night came to on three workers: one for builds, two for pulls, one of them killed."""

    env: dict[str, str]
    """That of the machine that builds and publishes."""
    runs: list[Run]
    said: dict[str, list[str]]
    """What the events of each run say."""
    requests: dict[str, Counter[str]]
    """By company and route."""
    logs: str

    def pulls(self, company: str) -> list[Run]:
        """Return a company's runs, the first first."""
        return [run for run in self.runs if run.tags.get(COMPANY) == company]

    def says(self, run: Run, text: str) -> bool:
        return any(text in said for said in self.said[run.run_id])


def worker(queue: str, env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a worker as its unit does, for one run at a time."""
    unit = (DEPLOY / "blsync-worker@.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    line = line.partition("=")[2].replace("%i@%%h", f"{log.stem}@here").replace("%i", queue)
    program, *words = shlex.split(line.replace("-c 2", "-c 1"))
    assert program == "/opt/blsync/bin/celery"
    command = [str(Path(sys.executable).with_name("celery")), *words]
    with log.open("ab") as output:
        return subprocess.Popen(
            command, env=env, cwd=log.parent, stdout=output, stderr=output, start_new_session=True
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a worker and the runs that it has as a power cut does."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait(is_so: Callable[[], Any], what: str, seconds: float = 150) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.3)
    return found


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis of its own that keeps nothing; its address."""
    port = free_port()
    options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
    with subprocess.Popen(["redis-server", "--port", port, *options], stdout=-3) as server:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """An empty bucket; the settings of a lake in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    url = f"http://{host}:{port}"
    boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    ).create_bucket(Bucket="books")
    try:
        yield {**access, "AWS_ENDPOINT_URL_S3": url, "BLSYNC_STORE": "s3://books/lake"}
    finally:
        server.stop()


def home(folder: Path) -> Path:
    """Make a home of Dagster's from the shipped file, less patient than that."""
    text = (DEPLOY / "dagster.yaml").read_text()
    for shipped, here in (
        ("poll_interval_seconds: 60", "poll_interval_seconds: 2"),
        ("start_timeout_seconds: 900", f"start_timeout_seconds: {NO_WORKER_SECONDS}"),
        ("max_concurrent_runs: 8", "max_concurrent_runs: 3"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    folder.mkdir()
    (folder / "dagster.yaml").write_text(text)
    return folder


def all_runs(dagster: Dagster) -> list[Run]:
    """Return all runs, the first first."""
    results = dagster.ask(RUNS)["results"]
    return [
        Run(one["runId"], one["status"], {tag["key"]: tag["value"] for tag in one["tags"]})
        for one in reversed(results)
    ]


def begin_a_night(dagster: Dagster) -> None:
    """Launch what the schedule asked for at half past two of the last day, and a run that no worker
    is there for.
    """
    tags = {"dagster-celery/queue": "nobody", "dagster/max_retries": "0"}
    launch(dagster, "compact", None, [{"key": key, "value": tags[key]} for key in tags])
    tick = dagster.ask(DRY_RUN, at=time.time() - 24 * 3600)
    requests = tick["evaluationResult"]["runRequests"]
    assert len(requests) == len(COMPANIES)
    for request in requests:
        launch(dagster, "nightly", request["assetSelection"], request["tags"])


def launch(dagster: Dagster, job: str, assets: Any, tags: list[dict[str, str]]) -> None:
    answer = dagster.ask(LAUNCH, job=job, assets=assets, tags=tags)
    assert answer["__typename"] == "LaunchRunSuccess", answer


def routes_at(server: Handle) -> Counter[str]:
    return Counter(patient.get(f"{server.url}/sandbox/stats").json()["routes"])


def of_journal(routes: Counter[str]) -> int:
    return sum(count for route, count in routes.items() if "journal" in route)


def process_of(dagster: Dagster, run: Run) -> int | None:
    """Return the process that has taken up a run, where one has."""
    for event in dagster.events(run.run_id):
        if "Started process for run (pid: " in event.get("message", ""):
            return int(event["message"].partition("pid: ")[2].partition(")")[0])
    return None


def kill_whose_worker_it_is(
    dagster: Dagster, workers: list[subprocess.Popen[bytes]], server: Handle
) -> None:
    """Kill the worker that pulls the last company, in the middle of it."""
    wait(lambda: of_journal(routes_at(server)) >= BEFORE_THE_KILL, "the pull of gamma")
    (run,) = [
        run
        for run in all_runs(dagster)
        if run.tags.get(COMPANY) == "gamma" and run.status == "STARTED"
    ]
    pid = process_of(dagster, run)
    (doomed,) = [one for one in workers if pid in descendants(one.pid)]
    kill(doomed)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, postgresql: str) -> Iterator[Story]:  # noqa: F811
    folder = tmp_path_factory.mktemp("workers")
    few = {"invoices": 300, "customers": 15, "items": 12, "months": 3, "limits": False}
    with ExitStack() as stack:
        books = {
            name: stack.enter_context(running(Options(company_id=f"co_{name}", api_key=KEY, **few)))
            for name in COMPANIES
        }
        shared = shared_settings(folder, books) | {
            **stack.enter_context(bucket()),
            "BLSYNC_LEDGER_URL": new_schema(postgresql),
            "BLSYNC_DAGSTER_STORAGE": database(postgresql),
        }
        address = stack.enter_context(redis(folder))
        shared |= {"CELERY_BROKER_URL": address, "CELERY_RESULT_BACKEND": address}
        envs = {
            name: environment(folder / name, "", **shared)
            | {"DAGSTER_HOME": str(home(folder / f"{name}-home"))}
            for name in ("data", "one", "two")
        }
        control(books["gamma"], "faults", faults="latency=700ms")
        workers = [
            worker(queue, envs[name], folder / f"{name}.log")
            for queue, name in (("dagster", "one"), ("dagster", "two"), ("build", "data"))
        ]
        for one in workers:
            stack.callback(kill, one)
        ui_env = envs["data"] | {"PYTHONPATH": str(folder / "haste")}
        ui = stack.enter_context(serving_ui(folder, ui_env))
        dagster = Dagster(ui.url, ui.token, ui.data / "dagster")
        begin_a_night(dagster)
        kill_whose_worker_it_is(dagster, workers[:2], books["gamma"])
        control(books["gamma"], "faults", faults="")
        wait(lambda: builds_that_ended(dagster), "the build", 500)
        runs = all_runs(dagster)
        ticks = dagster.ask(TICKS)["sensorState"]["ticks"]
        assert not [tick["error"] for tick in ticks if tick["error"]]
        yield Story(
            envs["data"],
            runs,
            {r.run_id: [e.get("message", "") for e in dagster.events(r.run_id)] for r in runs},
            {name: routes_at(server) for name, server in books.items()},
            "".join(path.read_text() for path in folder.glob("*.log")),
        )


def builds_that_ended(dagster: Dagster) -> list[Run]:
    ended = ("SUCCESS", "FAILURE", "CANCELED")
    return [run for run in all_runs(dagster) if BUILD_OF in run.tags and run.status in ended]


def shared_settings(folder: Path, books: dict[str, Handle]) -> dict[str, str]:
    """Return the settings that all machines have in common, but for where things are kept."""
    file = folder / "companies.toml"
    file.write_text(
        "".join(
            f'[companies.{name}]\ncompany_id = "{server.company_id}"\n'
            f'api_key_env = "KEY"\nbase_url = "{server.base_url}"\n'
            for name, server in books.items()
        )
    )
    (folder / "haste").mkdir()
    (folder / "haste/sitecustomize.py").write_text(HASTE)
    return {
        "BLSYNC_COMPANIES": str(file),
        "KEY": KEY,
        "BLSYNC_START": str(datetime.now(ZONE).date() - timedelta(days=1)),
        "BLSYNC_NIGHT_ON_WORKERS": "true",
        "BLSYNC_BUILD_TAGS": json.dumps({"dagster-celery/queue": "build"}),
        # Tomorrow: whatever the clock says now, no company is left out of the build.
        "BLSYNC_RETRY_UNTIL": f"{datetime.now(ZONE) - timedelta(hours=1):%H:%M}",
    }


def test_a_run_that_no_worker_takes_is_told_and_ends(story: Story):
    (run,) = [run for run in story.runs if run.tags.get("dagster-celery/queue") == "nobody"]
    assert run.status == "FAILURE"
    assert story.says(run, f"longer than {NO_WORKER_SECONDS} seconds to start")


def test_a_company_whose_worker_is_killed_is_told_and_pulled_by_another_without_a_page_twice(
    story: Story,
):
    killed, again = story.pulls("gamma")
    assert killed.status == "FAILURE"
    assert story.says(killed, "@here is gone")
    assert again.status == "SUCCESS"
    assert again.tags["dagster/parent_run_id"] == killed.run_id
    of_other, own = story.requests["alpha"], story.requests["gamma"]
    assert of_journal(of_other) > BEFORE_THE_KILL
    # The same is asked, but for the page that a walk was at; some lists take two walks.
    assert {r: n - of_other[r] for r, n in own.items() if n - of_other[r] > 2} == {}


def test_every_company_is_pulled_once_and_one_run_builds_and_publishes_what_came(story: Story):
    for company in COMPANIES:
        assert Counter(run.status for run in story.pulls(company))["SUCCESS"] == 1
    (build,) = [run for run in story.runs if BUILD_OF in run.tags]
    assert build.status == "SUCCESS", story.said[build.run_id][-5:]
    assert build.tags[BUILD_OF] == story.pulls("alpha")[0].tags[NIGHT]
    data = Path(story.env["BLSYNC_DATA"])
    assert (data / "blsync.duckdb").exists()
    assert not (data / "blsync.previous.duckdb").exists()
    for name in ("one", "two"):
        assert not (data.with_name(name) / "blsync.duckdb").exists()
    question = (
        "select company_id, count(*) as invoices, count(distinct invoice_id) as apart "
        "from finance.invoices group by all order by all"
    )
    assert answers(story, question) == [
        {"company_id": f"co_{name}", "invoices": 300, "apart": 300} for name in COMPANIES
    ]
    question = (
        "select company_id, bool_and(status = 'pass') as ties_out from finance.reconciliation "
        "where check_name = 'trial_balance' group by all order by all"
    )
    assert answers(story, question) == [
        {"company_id": f"co_{name}", "ties_out": True} for name in COMPANIES
    ]


def test_no_secret_is_in_what_workers_say_or_dagster_keeps(story: Story):
    kept = story.logs + json.dumps(list(story.said.values()))
    for secret in (KEY, PASSWORD, WRITTEN):
        assert secret not in kept


def answers(story: Story, question: str) -> list[dict[str, Any]]:
    asked = blsync("query", question, "--format", "json", env=story.env)
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)
