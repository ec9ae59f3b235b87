"""Several machines on one ledger: locks that all of them see, and one store."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from rig.listening import listening
from sqlalchemy import insert, select, text
from test_cli import blsync
from test_ledger import new_schema, postgresql  # noqa: F401 (a fixture)
from test_ledger import run as statements
from test_pull import PULL, api, assert_in_step, control, landed, on_server, requests_at, run

from blsync import maintenance, marts
from blsync import settings as the_settings
from blsync.entities import select as select_entities
from blsync.errors import ConfigError, LockLost, StorageError
from blsync.ledger import Ledger
from blsync.ledger.tables import quota_requests
from blsync.maintenance.compacting import FEWEST
from blsync.orchestration import dropping
from blsync.pull import pull
from blsync.sandbox import Handle, Options, running
from blsync.session import open_session
from blsync.settings import Settings

BUCKETS = count(1)
NAMES = ("invoices", "journal_entries")


@pytest.fixture
def shared(postgresql: str) -> Iterator[str]:  # noqa: F811
    return new_schema(postgresql)


def end_connections(url: str) -> None:
    """Cut every connection to the server but the one that does it, as a network does."""
    ledger = Ledger(url)
    with ledger.begin() as db:
        db.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
        )
    ledger.close()


def note(ledger: Ledger, key: str) -> None:
    with ledger.begin() as db:
        db.execute(insert(quota_requests).values(key_id=key, sent_at=1.0))


def noted(ledger: Ledger) -> list[str]:
    with ledger.begin() as db:
        return [row.key_id for row in db.execute(select(quota_requests.c.key_id))]


def test_a_lock_is_held_against_another_machine_and_who_waits_is_told_for_whom(shared, tmp_path):
    one, other = Ledger(shared), Ledger(shared)
    said: list[str] = []
    came = threading.Event()

    def wait() -> None:
        with other.blocking_lock(tmp_path / "b/spool/x.lock", said.append, "Busy."):
            came.set()

    with one.blocking_lock(tmp_path / "a/spool/x.lock", said.append, "Busy."):
        waiting = threading.Thread(target=wait)
        waiting.start()
        with other.blocking_lock(tmp_path / "b/spool/y.lock", said.append, "Busy."):
            pass  # another name is free
        assert not came.wait(0.6)
    waiting.join(30)
    assert came.is_set()
    assert len(said) == 1
    assert "Busy. It is process" in said[0]
    one.close()
    other.close()


def test_what_a_process_writes_after_its_lock_was_taken_over_is_not_committed(shared, tmp_path):
    one, other = Ledger(shared), Ledger(shared)

    async def cut_off() -> None:
        async with one.lock(tmp_path / "a/spool/x.lock", print, "Busy."):
            note(one, "before")
            end_connections(shared)
            with other.blocking_lock(tmp_path / "b/spool/x.lock", print, "Busy."):
                note(other, "other")
                with pytest.raises(LockLost, match=r"taken over spool/x\.lock"):
                    note(one, "behind")
            with pytest.raises(LockLost):
                note(one, "later")

    asyncio.run(cut_off())
    note(one, "after")
    assert noted(one) == ["before", "other", "after"]
    one.close()
    other.close()


def test_a_cut_connection_costs_nothing_where_nobody_took_the_lock(shared, tmp_path):
    one = Ledger(shared)
    with one.blocking_lock(tmp_path / "a/spool/x.lock", print, "Busy."):
        end_connections(shared)
        note(one, "still")
    with one.blocking_lock(tmp_path / "a/spool/x.lock", print, "Busy."):
        note(one, "again")
    assert noted(one) == ["still", "again"]
    one.close()


HOLDER = """
import sys
from pathlib import Path
from blsync.ledger import Ledger
from sqlalchemy import insert
from blsync.ledger.tables import quota_requests
from blsync.maintenance.compacting import FEWEST
from blsync.orchestration import dropping
from blsync.pull import pull
ledger = Ledger(sys.argv[1], lease=1)
with ledger.blocking_lock(Path(sys.argv[2]), print, "Busy."):
    print("held", flush=True)
    sys.stdin.readline()
    with ledger.begin() as db:
        db.execute(insert(quota_requests).values(key_id="stale", sent_at=1.0))
"""


@pytest.mark.deep
def test_a_process_that_was_stopped_longer_than_its_lease_does_no_damage_when_it_wakes(
    shared, tmp_path
):
    words = [sys.executable, "-c", HOLDER, shared, str(tmp_path / "a/spool/x.lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        other = Ledger(shared, lease=1)
        with other.blocking_lock(tmp_path / "b/spool/x.lock", print, "Busy."):
            note(other, "other")
            holder.send_signal(signal.SIGCONT)
            _, told = holder.communicate("\n", timeout=60)
        assert "LockLost" in told
        assert noted(other) == ["other"]
        other.close()


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    """A server that speaks S3; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def books() -> Iterator[Handle]:
    options = Options(invoices=500, customers=15, items=12, months=3, limits=False)
    with running(options) as handle:
        yield handle


@pytest.fixture
def machine(
    configure, books: Handle, object_store: str, shared: str, tmp_path: Path, monkeypatch
) -> Callable[[str], Settings]:
    """Give the settings of one of several machines: a folder each, one ledger, one bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", object_store)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    bucket = f"books-{next(BUCKETS)}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=bucket)
    control(books, "faults", faults="")

    def of(name: str) -> Settings:
        return configure(
            books,
            BLSYNC_DATA=str(tmp_path / name),
            BLSYNC_LEDGER_URL=shared,
            BLSYNC_START=str(datetime.now(UTC).date() - timedelta(days=1)),
            BLSYNC_STORE=f"s3://{bucket}/lake",
        )

    return of


def objects(given: Settings) -> list[str]:
    bucket = given.store.split("/")[2]
    found = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(one["Key"].removeprefix("lake/") for one in found)


@pytest.mark.deep
def test_a_pull_killed_on_one_machine_goes_on_on_another_and_asks_for_no_page_twice(machine, books):
    machine("a")
    whole = sum(math.ceil(len(on_server(books, name)) / 100) for name in NAMES)
    control(books, "faults", faults="latency=100ms")
    control(books, "reset-stats")
    with subprocess.Popen([sys.executable, "-c", PULL]) as process:
        deadline = time.monotonic() + 60
        while requests_at(books) < 8 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    first = requests_at(books)
    control(books, "faults", faults="")
    second = machine("b")
    run(second, *NAMES)
    assert 8 <= first < whole
    assert requests_at(books) - first <= whole - first + len(NAMES)  # one page an open walk
    assert_in_step(second, books, *NAMES)
    assert not [name for name in objects(second) if name.startswith("spool/")]
    again = run(machine("a"), *NAMES)
    assert [result.rows for result in again.values()] == [0, 0]
    assert {name: landed(machine("a"), name) for name in NAMES} == {
        name: landed(second, name) for name in NAMES
    }


@pytest.mark.deep
def test_two_machines_that_pull_at_once_make_one_lake_without_an_error(machine, books):
    settings = [machine("a"), machine("b")]
    control(books, "reset-stats")
    with ThreadPoolExecutor(2) as machines:
        results = list(machines.map(lambda given: run(given, *NAMES), settings))
    for name in NAMES:
        rows = [result[name].rows for result in results]
        assert sorted(rows) == [0, len(on_server(books, name))]
    settings = [machine("a"), machine("b")]
    for given in settings:
        run(given, *NAMES)
        assert_in_step(given, books, *NAMES)
    one, other = ({name: landed(given, name) for name in NAMES} for given in settings)
    assert one == other


@pytest.mark.deep
def test_files_that_one_machine_compacts_are_exchanged_on_the_others_and_built_from(machine, books):
    a, b = machine("a"), machine("b")
    run(a, *NAMES)
    run(b, *NAMES)
    for _ in range(FEWEST):
        control(books, "touch", entity="invoices", count=3)
        run(a, "invoices")
    before = landed(a, "invoices")
    with open_session(a) as session:
        maintenance.compact(session, a.companies(), select_entities(["invoices"]))
    assert sorted(landed(a, "invoices"), key=str) == sorted(before, key=str)
    assert {name.split("/")[3] for name in objects(a) if name.startswith("landing/inv")} == {
        "g0001"
    }
    with open_session(b) as session:
        marts.refresh_inputs(session)
    assert landed(b, "invoices") == landed(a, "invoices")
    assert run(b, "invoices")["invoices"].rows == 0
    assert_in_step(b, books, *NAMES)


@pytest.mark.deep
def test_a_folder_that_landed_before_the_store_was_set_is_put_there(
    machine, books, configure, shared, tmp_path
):
    alone = configure(books, BLSYNC_DATA=str(tmp_path / "a"), BLSYNC_LEDGER_URL=shared)
    run(alone, *NAMES)
    assert [r.rows for r in run(machine("a"), *NAMES).values()] == [0, 0]
    run(machine("b"), *NAMES)
    for name in NAMES:
        assert landed(machine("b"), name) == landed(alone, name)


def test_a_bucket_of_another_lake_is_refused(machine, books, configure, postgresql, tmp_path):  # noqa: F811
    store = machine("a").store
    run(machine("a"), "accounts")
    other = configure(
        books,
        BLSYNC_DATA=str(tmp_path / "c"),
        BLSYNC_LEDGER_URL=new_schema(postgresql),
        BLSYNC_STORE=store,
    )
    with pytest.raises(ConfigError, match=r"the ledger .* knows nothing of it"):
        run(other, "accounts")


def test_a_store_that_cannot_be_reached_is_told_and_nothing_counts_as_landed(
    machine, books, monkeypatch
):
    run(machine("a"), "accounts")
    bucket = machine("a").store.split("/")[2]
    monkeypatch.setenv("BLSYNC_STORE", f"s3://{bucket}-is-not-there/lake")
    with pytest.raises(StorageError, match="NoSuchBucket"):
        run(the_settings.load(), "accounts")


@pytest.mark.deep
def test_a_ledger_whose_connections_are_cut_in_the_middle_of_a_pull_costs_no_page_twice(
    machine, books
):
    given = machine("a")
    whole = sum(math.ceil(len(on_server(books, name)) / 100) for name in NAMES)
    control(books, "reset-stats")
    is_cut = threading.Event()

    def cut(*_: object) -> None:
        if requests_at(books) >= 5 and not is_cut.is_set():
            is_cut.set()
            end_connections(given.ledger_url)

    with open_session(given, progress=cut) as session:
        results = pull(session, given.companies()[0], select_entities(NAMES))
    assert is_cut.is_set()
    assert {type(result.error) for result in results.values()} <= {type(None), StorageError}
    run(machine("b"), *NAMES)
    assert requests_at(books) <= whole + 3 * len(NAMES)
    assert_in_step(machine("b"), books, *NAMES)


@pytest.mark.deep
def test_a_ledger_that_was_lost_is_made_again_from_the_store(machine, books, shared, postgresql):  # noqa: F811
    run(machine("a"), *NAMES)
    schema = shared.rpartition("%3D")[2]
    statements(postgresql, f"drop schema {schema} cascade", f"create schema {schema}")
    given = machine("b")
    maintenance.repair(given, given.companies(), select_entities(NAMES))
    again = run(given, *NAMES)
    assert [result.rows for result in again.values()] == [0, 0]
    assert_in_step(given, books, *NAMES)


@pytest.mark.deep
def test_a_plan_made_on_one_machine_is_applied_on_another(machine, books, tmp_path):
    sheet = tmp_path / "new.csv"
    sheet.write_text("email,companyName\nada@example.com,Ada Sdn Bhd\n")
    given = machine("a")
    planned = blsync("push", "plan", "customers", str(sheet), "--json", env={**os.environ})
    assert planned.returncode == 0, planned.stderr
    plan_id = json.loads(planned.stdout)["plan_id"]
    machine("b")
    words = ("push", "apply", plan_id, "--yes", "--json")
    applied = blsync(*words, env={**os.environ})
    assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["outcomes"]["applied"] == 1
    machine("a")
    again = blsync(*words, env={**os.environ})
    assert again.returncode == 0, again.stderr
    assert given.store
    with api(books) as client:
        found = client.get("/customers", params={"email": "ada@example.com"}).json()["data"]
    assert len(found) == 1


@pytest.mark.deep
def test_a_company_that_is_dropped_leaves_the_store_too(machine, books):
    given = machine("a")
    run(given, *NAMES)
    dropping.drop(given, given.company_id)
    assert objects(given) == ["lake.json"]


class Heedless(BaseHTTPRequestHandler):
    """Passes on to a store what it is asked, less the conditions."""

    protocol_version = "HTTP/1.1"
    store = ""

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if k.lower() != "if-none-match"}
        asked = urllib.request.Request(
            self.store + self.path, body or None, headers, method=self.command
        )
        try:
            answer = urllib.request.urlopen(asked)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            told = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

    do_GET = do_PUT = do_POST = do_any  # noqa: N815 (the library's names)


def test_a_store_that_does_not_heed_conditions_is_refused_before_anything_is_asked(
    machine, books, object_store, monkeypatch
):
    given = machine("a")
    control(books, "reset-stats")
    monkeypatch.setattr(Heedless, "store", object_store)
    with listening(Heedless) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        with pytest.raises(ConfigError, match="does not heed If-None-Match"):
            run(given, "accounts")
    assert requests_at(books) == 0


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"BLSYNC_LEDGER_URL": "sqlite:////nowhere/ledger.db"}, "need one ledger"),
        ({"BLSYNC_STORE": "gs://books"}, "like s3://books/blsync"),
        ({"AWS_ENDPOINT_URL_S3": "http://example.com"}, "is not https"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(machine, monkeypatch, changed, why):
    machine("a")
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=why):
        run(the_settings.load(), "accounts")


@pytest.mark.deep
def test_doctor_tells_of_the_store(machine):
    machine("a")
    done = blsync("doctor", "--json", env={**os.environ})
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["store"]["ok"]
    assert "objects" in checks["store"]["message"]


@pytest.mark.deep
def test_a_night_on_one_machine_and_a_build_on_another_publish_the_same_marts(machine, books):
    """The commands themselves, as cron starts them: the first machine's marts are checked too."""
    question = "select * exclude (built_at) from finance.trial_balance order by all"
    told = []
    for name, command in (("a", "sync"), ("b", "build"), ("b", "sync")):
        machine(name)
        done = blsync(command, env={**os.environ})
        assert done.returncode == 0, done.stdout + done.stderr
        asked = blsync("query", question, "--format", "json", env={**os.environ})
        assert asked.returncode == 0, asked.stderr
        told.append(json.loads(asked.stdout))
    assert len(told[0]) > 10
    assert told[0] == told[1] == told[2]
