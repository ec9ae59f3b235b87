"""A sync from the command line: companies side by side, interruptions, ranges of days."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from rig.warm import PYTHON
from test_cli import blsync, environment
from test_pull import control, requests_at

from blsync.sandbox import Handle, Options, running

Pair = tuple[Handle, Handle]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two companies' servers."""
    few = {"invoices": 500, "customers": 15, "items": 12, "months": 3, "limits": False}
    with (
        running(Options(company_id="co_a", **few)) as first,
        running(Options(company_id="co_b", **few)) as second,
    ):
        yield first, second


@pytest.fixture
def companies(pair: Pair, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a sync of both."""
    file = tmp_path / "companies.toml"
    names = zip(("alpha", "beta"), pair, strict=True)
    file.write_text(
        "".join(
            f'[companies.{name}]\ncompany_id = "{server.company_id}"\n'
            f'api_key_env = "KEY_{name.upper()}"\nbase_url = "{server.base_url}"\n'
            for name, server in names
        )
    )
    yield environment(
        tmp_path / "data",
        pair[0].base_url,
        BLSYNC_COMPANIES=str(file),
        BLSYNC_START=str(datetime.now(UTC).date() - timedelta(days=1)),
        KEY_ALPHA=pair[0].api_key,
        KEY_BETA=pair[1].api_key,
    )
    for server in pair:
        control(server, "faults", faults="")


def slow(pair: Pair, latency: str) -> None:
    for server in pair:
        control(server, "faults", faults=f"latency={latency}")
        control(server, "reset-stats")


def start(env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PYTHON, "-m", "blsync.cli", "sync", *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal's: a shell's `&` would have it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupt(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C; return what it said, having waited for its end far less than for an hour."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=120)[1]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what it says up to the first line that has this text."""
    said = ""
    assert process.stderr
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


def landed(env: dict[str, str], name: str) -> dict[str, int]:
    """Company id → files of an entity that hold loads."""
    folder = Path(env["BLSYNC_DATA"]) / "landing" / name
    return {
        path.name.removeprefix("company_id="): len(list(path.glob("2*.parquet")))
        for path in sorted(folder.iterdir())
    }


def runs(env: dict[str, str]) -> list[dg.RunRecord]:
    with dg.DagsterInstance.from_config(str(Path(env["BLSYNC_DATA"]) / "dagster")) as instance:
        return list(instance.get_run_records())


def test_several_companies_are_pulled_at_the_same_time_each_in_its_own_run(pair, companies):
    slow(pair, "2s")
    process = start(companies, "invoices", "--no-build", "--json")
    wait_until(lambda: all(requests_at(server) > 0 for server in pair), process)
    seen = [requests_at(server) for server in pair]
    for server in pair:
        control(server, "faults", faults="")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    for server, early in zip(pair, seen, strict=True):
        assert 0 < early < requests_at(server)
    report = json.loads(stdout)
    assert {n: c["entities"]["invoices"]["rows"] for n, c in report["companies"].items()} == {
        "alpha": 500,
        "beta": 500,
    }
    assert report["requests"] == sum(requests_at(server) for server in pair)
    assert landed(companies, "invoices") == {"co_a": 1, "co_b": 1}
    records = runs(companies)
    assert [r.dagster_run.status for r in records] == [dg.DagsterRunStatus.SUCCESS] * 2
    for name in ("alpha", "beta"):
        assert f"{name} invoices: " in stderr


@pytest.mark.deep
def test_an_interruption_ends_every_company_and_the_next_sync_goes_on(pair, companies):
    slow(pair, "400ms")
    process = start(companies, "invoices", "--no-build")
    wait_until(lambda: all(requests_at(server) > 2 for server in pair), process)
    said = interrupt(process)
    assert process.returncode == 1
    assert "Interrupted" in said
    assert "Traceback" not in said
    before = [requests_at(server) for server in pair]
    assert landed(companies, "invoices") == {"co_a": 0, "co_b": 0}
    slow(pair, "0ms")
    done = blsync("sync", "invoices", "--no-build", env=companies)
    assert done.returncode == 0, done.stderr
    assert landed(companies, "invoices") == {"co_a": 1, "co_b": 1}
    for server, spent in zip(pair, before, strict=True):
        assert requests_at(server) <= 5 - spent + 2


def test_an_interruption_ends_companies_that_wait_for_the_next_hour(pair, companies):
    slow(pair, "0ms")
    few = {"BLSYNC_QUOTA_PER_HOUR": "2", "BLSYNC_QUOTA_RESERVE": "0"}
    process = start(companies | few, "invoices", "--no-build")
    read_until(process, "is used up")
    assert "Interrupted" in interrupt(process)
    assert process.returncode == 1


@pytest.mark.deep
def test_in_one_run_over_several_companies_one_that_fails_leaves_the_others(pair, companies):
    script = (
        "import json\n"
        "from blsync.definitions import defs\n"
        "from blsync.orchestration import location as d\n"
        "day = d.days.get_first_partition_key()\n"
        "tags = d.range_tags('alpha', day, day)\n"
        "name = 'dagster/asset_partition_range_end'\n"
        "tags[name] = d.range_tags('beta', day, day)[name]\n"
        "run = defs.resolve_job_def('backfill').execute_in_process(\n"
        "    tags=tags, raise_on_error=False)\n"
        "(event,) = [e for e in run.all_node_events if e.is_step_failure]\n"
        "print(json.dumps(event.step_failure_data.user_failure_data.description))\n"
    )
    done = subprocess.run(
        [PYTHON, "-c", script],
        env=companies | {"KEY_ALPHA": "blg_test_sk_wrong", "DAGSTER_HOME": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.startswith("alpha failed: ")
    assert "KEY_ALPHA" in told
    assert "beta failed" not in told
    for name in ("customers", "invoices", "items"):
        assert landed(companies, name)["co_b"] == 1


def publish_a_difference(env: dict[str, str], company_id: str) -> None:
    """Have the published trial balance of last month, and of today, differ from BigLedger's."""
    today = datetime.now(UTC).date()
    with duckdb.connect(str(Path(env["BLSYNC_DATA"]) / "blsync.duckdb")) as db:
        db.execute("create schema finance")
        db.execute(
            "create table finance.reconciliation as select * from (values "
            "(?, 'trial_balance', null::date, ?::date, 'a:debit', 0, 5, 5, 'fail', false, false, "
            "'request', now()::timestamp)) as t(company_id, check_name, period_from, as_of_date, "
            "entity_key, mart_value, report_value, difference, status, failed_before, is_healed, "
            "source_request_id, checked_at)",
            [company_id, today.replace(day=1) - timedelta(days=1)],
        )


def deleted(env: dict[str, str], company_id: str) -> int:
    """How many delete rows of journal entries have landed."""
    files = Path(env["BLSYNC_DATA"]) / f"landing/journal_entries/company_id={company_id}/2*.parquet"
    sql = f"select count(*) filter (where _op = 'delete') from '{files}'"
    return int(duckdb.sql(sql).fetchall()[0][0])


@pytest.mark.deep
def test_what_is_allowed_for_one_company_is_held_back_of_the_others_and_told(pair, companies):
    """The journals of beta are read again, because they differed, and its server lost them."""
    first = blsync("sync", "--no-build", env=companies)
    assert first.returncode == 0, first.stderr
    publish_a_difference(companies, "co_b")
    control(pair[1], "faults", faults="hide=1")
    arguments = ("sync", "customers", "--company", "alpha", "--allow", "--json")
    done = blsync(*arguments, env=companies)
    assert deleted(companies, "co_b") == 0
    assert done.returncode == 3, done.stderr
    assert "--company beta --allow" in done.stderr.splitlines()[-1]
    assert json.loads(done.stdout)["published"], done.stderr


@pytest.mark.deep
def test_a_clock_that_every_company_refuses_ends_with_the_code_of_a_setting(pair, companies):
    control(pair[0], "faults", faults="clock=+7200s")
    one = blsync("sync", "customers", "--no-build", env=companies)
    planned = blsync("plan", "customers", env=companies)
    assert (one.returncode, planned.returncode) == (3, 3), one.stderr + planned.stderr
    control(pair[1], "faults", faults="clock=+7200s")
    for command in (("sync", "customers", "--no-build"), ("plan", "customers")):
        both = blsync(*command, env=companies)
        assert both.returncode == 2, both.stderr
        assert "more than 5 minutes are not safe" in both.stderr
    alone = blsync("plan", "customers", "--company", "alpha", env=companies)
    assert alone.returncode == 2, alone.stderr


@pytest.mark.deep
def test_a_year_of_days_is_one_run_and_one_walk_a_feed(tmp_path):
    today = datetime.now(UTC).date()
    first = today - timedelta(days=365)
    options = Options(invoices=250, customers=10, items=6, months=14, limits=False)
    with running(options) as sandbox:
        env = environment(tmp_path, sandbox.base_url, BLSYNC_START=str(first - timedelta(days=9)))
        arguments = ("invoices", "--from", str(first), "--to", str(today - timedelta(days=1)))
        planned = json.loads(blsync("plan", *arguments, "--json", env=env).stdout)
        control(sandbox, "reset-stats")
        done = blsync("sync", *arguments, "--no-build", "--json", env=env)
        assert done.returncode == 0, done.stderr
        invoices = json.loads(done.stdout)["entities"]["invoices"]
        assert requests_at(sandbox) == invoices["requests"] == math.ceil(invoices["rows"] / 100)
    assert planned["entities"]["invoices"]["requests"] == invoices["requests"]
    assert date.fromisoformat(invoices["window"][0][:10]) <= first
    (record,) = runs(env)
    assert record.dagster_run.status is dg.DagsterRunStatus.SUCCESS
