"""A collector of lineage hears where each table came from, and nothing of a record."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rig import patient
from rig.listening import listening
from test_cli import blsync, call, environment  # noqa: F401
from test_pull import control

from blsync.alerts import lineage
from blsync.errors import Unanswered
from blsync.sandbox import Handle
from blsync.settings import load

Node = tuple[str, str]
KEY = "K3y-of-the-lineage-collector"


@dataclass
class Collector:
    """A server that takes events."""

    port: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    text: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of_job(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["job"]["name"] == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    found = Collector()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with lock:
                found.text += body
                found.keys.add(self.headers.get("Authorization", ""))
                if self.path == "/api/v1/lineage":
                    found.events.append(json.loads(body))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(Handler) as found.port:
        yield found


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def env(module_sandbox: Handle, tmp_path: Path) -> Iterator[dict[str, str]]:
    yield environment(tmp_path / "data", module_sandbox.base_url)
    control(module_sandbox, "faults", faults="")


@pytest.fixture(autouse=True)
def nothing_known_of_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_told", set())
    monkeypatch.setattr(lineage, "_left_alone_until", [0.0])


def records(server: Handle, entity: str) -> list[dict[str, Any]]:
    url = server.base_url.removesuffix("/v1")
    found: list[dict[str, Any]] = patient.get(
        f"{url}/sandbox/records", params={"entity": entity}
    ).json()
    return found


def reached_from(events: list[dict[str, Any]], start: Node) -> set[Node]:
    """The data sets to which one leads, over the jobs that read and wrote."""
    found, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for event in events:
            if node in {(one["namespace"], one["name"]) for one in event["inputs"]}:
                made = {(one["namespace"], one["name"]) for one in event["outputs"]} - found
                found |= made
                waiting += made
    return found


@pytest.mark.deep
def test_a_night_tells_from_which_list_each_published_table_came(env, module_sandbox, collector):
    env |= {"BLSYNC_OPENLINEAGE_URL": collector.address, "BLSYNC_OPENLINEAGE_API_KEY": KEY}
    done = blsync("sync", env=env)
    assert done.returncode == 0, done.stderr
    assert "BLSYNC_OPENLINEAGE_URL" not in done.stderr
    assert collector.keys == {f"Bearer {KEY}"}
    runs: dict[str, list[str]] = {}
    for event in collector.events:
        assert datetime.fromisoformat(event["eventTime"]).tzinfo
        assert event["schemaURL"].startswith("https://openlineage.io/spec/")
        assert event["producer"].startswith("https://")
        assert event["job"]["namespace"] == "blsync"
        assert UUID(event["run"]["facets"]["parent"]["run"]["runId"])
        runs.setdefault(str(UUID(event["run"]["runId"])), []).append(event["eventType"])
    assert {tuple(states) for states in runs.values()} == {("START", "COMPLETE")}
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in collector.events}
    assert len(parents) == 1  # Dagster's run

    server = module_sandbox.base_url.removesuffix("/v1")
    found = reached_from(collector.events, (server, "company_sandbox/v1/invoices"))
    assert {("blsync", "raw.invoices"), ("blsync", "finance.invoices")} <= found
    assert ("blsync", "finance.suppliers") not in found
    assert collector.of_job("publish.finance.suppliers")
    _, published = collector.of_job("publish.finance.invoices")
    [invoices] = published["outputs"]
    assert invoices["outputFacets"]["outputStatistics"]["rowCount"] == 60
    columns = {one["name"]: one for one in invoices["facets"]["schema"]["fields"]}
    assert columns["invoice_id"]["type"] == "VARCHAR"
    assert columns["invoice_id"]["description"]
    _, pulled = collector.of_job("pull.company_sandbox.customers")
    assert pulled["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 15

    everybody = records(module_sandbox, "customers")
    assert len(everybody) == 15
    for customer in everybody:
        assert customer["name"] not in collector.text
        assert (customer["email"] or customer["name"]) not in collector.text
    assert env["BIGLEDGER_API_KEY"] not in collector.text


@pytest.mark.deep
def test_a_pull_that_failed_is_told_as_failed(env, module_sandbox, collector):
    env |= {"BLSYNC_OPENLINEAGE_URL": collector.address, "BLSYNC_OPENLINEAGE_NAMESPACE": "books"}
    control(module_sandbox, "faults", faults="forbid=invoices")
    assert blsync("sync", "--no-build", "invoices", "customers", env=env).returncode == 3
    _, failed = collector.of_job("pull.company_sandbox.invoices")
    assert failed["eventType"] == "FAIL"
    assert failed["job"]["namespace"] == "books"
    assert failed["run"]["facets"]["errorMessage"]["message"].startswith("Forbidden: ")
    assert collector.of_job("pull.company_sandbox.customers")[1]["eventType"] == "COMPLETE"


def told(monkeypatch: pytest.MonkeyPatch, url: str, count: int = 100) -> list[str]:
    """Tell a collector of so many jobs, twice; return what was said."""
    monkeypatch.setenv("BLSYNC_ENV_FILE", "/dev/null")
    monkeypatch.setenv("BLSYNC_OPENLINEAGE_URL", url)
    now = datetime.fromisoformat("2026-11-29T00:00:00+00:00")
    error = Unanswered("no answer about 'Kedai Aman' of a@b.example")
    jobs = [lineage.Job(f"job {number}", now, error=error) for number in range(count)]
    said: list[str] = []
    for _ in range(2):
        lineage.tell(load(), said.append, "0199d8a8-0000-7000-8000-000000000000", lambda: jobs)
    return said


def test_a_silent_collector_is_told_once_and_asked_no_more(monkeypatch):
    monkeypatch.setattr(lineage, "SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        said = told(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.setblocking(False)
        asked = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                asked += 1
    [line] = said
    assert "did not take all events (ReadTimeout)" in line
    assert 1 <= asked <= lineage.SENDERS  # of twice a hundred jobs


def test_an_error_is_told_without_what_it_quotes(monkeypatch, collector):
    assert told(monkeypatch, collector.address, 1) == []
    assert "Unanswered: no answer about" in collector.text
    assert "Kedai" not in collector.text
    assert "a@b.example" not in collector.text


def test_a_library_that_is_missing_loses_no_night_and_is_told(
    call,  # noqa: F811
    env,
    monkeypatch,
    collector,
):
    monkeypatch.setattr(lineage, "is_installed", lambda: False)
    said = told(monkeypatch, collector.address)
    assert said == [lineage.MISSING]
    found = call("doctor", "--json", env=env | {"BLSYNC_OPENLINEAGE_URL": collector.address})
    [check] = [one for one in json.loads(found.stdout)["checks"] if one["name"] == "lineage"]
    assert not check["ok"]
    assert "pip install 'blsync[openlineage]'" in check["message"]
    assert found.returncode == 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("collector:5000", "must be an http or https address"),
        ("https://a:b@collector", "must hold neither credentials nor a query"),
        ("http://collector.internal", "would send BLSYNC_OPENLINEAGE_API_KEY readable"),
    ],
)
def test_an_address_of_a_collector_that_cannot_be_used_is_refused(call, env, url, why):  # noqa: F811
    settings = {"BLSYNC_OPENLINEAGE_URL": url, "BLSYNC_OPENLINEAGE_API_KEY": KEY}
    done = call("status", env=env | settings)
    assert done.returncode == 2
    assert why in done.stderr
    assert KEY not in done.stderr
