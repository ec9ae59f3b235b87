"""Events: received and stored before they are answered, and what they tell of pulled at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow.dataset as ds
import pytest
from rig import patient
from rig.warm import PYTHON
from test_cli import blsync, environment
from test_pull import api, control

from blsync.ledger import Ledger, events
from blsync.live.events import read_webhook
from blsync.sandbox import Handle
from blsync.settings import Company

SECRET = "a-secret-of-these-tests"
PATIENCE = 120
"""Seconds after which what is waited for will not come."""
WARM = f"import sys; sys.executable = {PYTHON!r}; from blsync.cli import main; main()"
"""The `blsync` command, whose own children start at once as well."""


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def event(name: str = "customer.updated", record_id: str = "cust_1", **more: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "event": name,
        "timestamp": datetime.now(UTC).isoformat(),
        "livemode": False,
        "api_version": "v1",
        "data": {"object": {"id": record_id}, "previous_attributes": {}},
        **more,
    }


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Listening:
    """`blsync listen` as a process of its own, and what it has stored; `is_cold` starts it, and who
    pulls for it, as outside tests.
    """

    def __init__(self, env: dict[str, str], *arguments: str, is_cold: bool = False) -> None:
        self.env = env
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [
                *((sys.executable, "-m", "blsync.cli") if is_cold else (PYTHON, "-c", WARM)),
                *("listen", "--port", "0", *arguments),
            ],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert self.process.stderr
        line = self.process.stderr.readline()
        address = re.search(r"Listening at (\S+)\.", line)
        assert address, line + self.process.stderr.read()
        self.url = address[1]
        self._http = patient.client()
        self._threads = ThreadPoolExecutor(1)
        self._threads.submit(self._read)

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def send(self, body: bytes | dict[str, Any], signature: str | None = "") -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = signed(raw) if signature == "" else signature
        headers = {"X-Signature": told} if told else {}
        return self._http.post(self.url, content=raw, headers=headers)

    @property
    def stored(self) -> dict[str, dict[str, Any]]:
        return {row["event_id"]: row for row in stored_in(self.env)}

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self._http.close()
        self._threads.shutdown()


def stored_in(env: dict[str, str]) -> list[dict[str, Any]]:
    with closing(Ledger(f"sqlite:///{env['BLSYNC_DATA']}/ledger.db")) as ledger:
        return events.log(ledger)


@contextmanager
def listening(env: dict[str, str], *arguments: str, is_cold: bool = False) -> Iterator[Listening]:
    process = Listening(env, *arguments, is_cold=is_cold)
    try:
        yield process
    finally:
        process.end()


def live_environment(folder: Path, server: Handle, **more: str) -> dict[str, str]:
    values = {
        "BLSYNC_WEBHOOK_SECRET": SECRET,
        "BLSYNC_START": str(datetime.now(UTC).date() - timedelta(days=1)),
        "BIGLEDGER_COMPANY_ID": server.company_id,
        "BIGLEDGER_API_KEY": server.api_key,
        "BLSYNC_QUOTA_PER_SECOND": "1000",
        "BLSYNC_LIVE_GATHER_SECONDS": "0.1",
    }
    return environment(folder / "data", server.base_url, **{**values, **more})


@pytest.fixture(scope="module")
def receiving(
    module_sandbox: Handle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listening]:
    """A listener to send to, of a folder that no sync has ever filled; quotes are left out."""
    folder = tmp_path_factory.mktemp("receiving")
    env = live_environment(folder, module_sandbox, BLSYNC_ENTITIES="bills suppliers")
    with listening(env, "--no-build") as process:
        yield process


def test_a_signed_event_is_stored_before_it_is_acknowledged(receiving):
    told = event("invoice.paid", "inv_7", context={"companyId": "company_sandbox"})
    answer = receiving.send(told)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    row = receiving.stored[told["id"]]
    assert (row["event"], row["entity"], row["record_id"]) == ("invoice.paid", "invoices", "inv_7")
    assert (row["company_id"], row["source"], row["duplicates"]) == (
        "company_sandbox",
        "webhook",
        0,
    )


def test_a_signature_may_come_without_its_prefix_and_in_capitals(receiving):
    body = json.dumps(told := event()).encode()
    bare = signed(body).removeprefix("sha256=").upper()
    assert receiving.send(body, bare).status_code == 202
    assert told["id"] in receiving.stored


@pytest.mark.parametrize(
    "signature",
    [None, "sha256=", "sha256=" + "0" * 64, "nonsense", "sha256=" + "é" * 3],
    ids=["none", "empty", "zeros", "no hex", "no ASCII"],
)
def test_an_event_whose_signature_does_not_fit_is_refused_and_not_stored(receiving, signature):
    told = event()
    headers = {} if signature is None else {"X-Signature": signature.encode()}
    answer = patient.post(receiving.url, content=json.dumps(told), headers=headers)
    assert answer.status_code == 401
    assert told["id"] not in receiving.stored


def test_an_event_that_was_signed_and_then_altered_is_refused(receiving):
    body = json.dumps(told := event()).encode()
    assert receiving.send(body.replace(b"cust_1", b"cust_2"), signed(body)).status_code == 401
    assert receiving.send(body, signed(body, "another secret")).status_code == 401
    assert told["id"] not in receiving.stored


def test_an_event_that_comes_again_is_acknowledged_and_stored_once(receiving):
    told = event()
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda _: receiving.send(told), range(8))]
    assert {answer.status_code for answer in answers} == {202}
    assert sum(answer.json()["accepted"] for answer in answers) == 1
    assert receiving.stored[told["id"]]["duplicates"] == 7


def test_an_event_older_than_a_day_is_refused_and_one_just_younger_is_not(receiving):
    now = datetime.now(UTC)
    old = event(timestamp=(now - timedelta(hours=24, seconds=5)).isoformat())
    young = event(timestamp=(now - timedelta(hours=23, minutes=55)).isoformat())
    ahead = event(timestamp=(now + timedelta(days=3)).isoformat())
    undated = {name: value for name, value in event().items() if name != "timestamp"}
    refused = [receiving.send(told) for told in (old, ahead, undated)]
    assert [answer.status_code for answer in refused] == [400, 400, 400]
    assert receiving.send(young).status_code == 202
    assert {old["id"], ahead["id"], undated["id"]}.isdisjoint(receiving.stored)
    assert young["id"] in receiving.stored


def test_a_batch_is_stored_event_by_event_each_once(receiving):
    first, second = event("invoice.created"), event("stock.updated", "item_1")
    receiving.send(second)
    old = event(timestamp="2020-01-01T00:00:00Z")
    body = {"batch": True, "events": [first, second, first, old, 7], "batchId": "batch_1"}
    answer = receiving.send(body)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicates": 1, "refused": 2}
    assert {first["id"], second["id"]} <= receiving.stored.keys()
    assert old["id"] not in receiving.stored


def test_an_event_of_an_unknown_name_is_kept_and_told(receiving):
    told = event("moon.waned", "moon_1")
    assert receiving.send(told).status_code == 202
    row = receiving.stored[told["id"]]
    assert (row["event"], row["entity"], row["record_id"]) == ("moon.waned", None, "moon_1")
    wait_for(lambda: any("'moon.waned'" in line for line in receiving.said))


def test_an_event_about_what_is_not_pulled_here_is_kept_as_one_about_nothing(receiving):
    left_out, pulled = event("quote.accepted", "quo_1"), event("bill.paid", "bill_1")
    assert receiving.send({"batch": True, "events": [left_out, pulled]}).json()["accepted"] == 2
    assert receiving.stored[left_out["id"]]["entity"] is None
    assert receiving.stored[pulled["id"]]["entity"] == "bills"
    wait_for(lambda: any("'quote.accepted'" in line for line in receiving.said))


def test_an_event_of_a_company_that_is_not_ours_is_kept_under_its_own_name(receiving):
    told = event(context={"companyId": "company_elsewhere"})
    assert receiving.send(told).status_code == 202
    assert receiving.stored[told["id"]]["company_id"] == "company_elsewhere"
    wait_for(lambda: any("company_elsewhere" in line for line in receiving.said))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b"{}", b'{"id": 7}', b"[" * 90_000, b'{"batch": true, "events": []}'],
    ids=["nothing", "half", "list", "number", "empty", "number id", "deep", "empty batch"],
)
def test_a_signed_body_that_is_no_event_is_refused(receiving, body):
    before = len(receiving.stored)
    assert receiving.send(body).status_code == 400
    assert len(receiving.stored) == before


def test_a_body_above_the_limit_is_refused_before_it_is_read(receiving):
    body = json.dumps(event(padding="x" * (1 << 20))).encode()
    assert receiving.send(body).status_code == 413
    parts = (b"x" * 65536 for _ in range(17))
    assert patient.post(receiving.url, content=parts).status_code == 413


def test_nothing_of_a_person_is_kept_of_an_event(receiving):
    told = event("customer.created")
    told["data"]["object"] |= {"email": "siti.rahmah@example.com", "name": "Siti Rahmah"}
    receiving.send(told)
    assert told["id"] in receiving.stored
    data = Path(receiving.env["BLSYNC_DATA"])
    assert not any(b"siti.rahmah" in path.read_bytes() for path in data.glob("ledger.db*"))


def test_events_of_what_no_sync_has_pulled_wait_for_the_first(receiving):
    receiving.send(event("customer.created"))
    wait_for(lambda: any("no sync has pulled yet" in line for line in receiving.said))


def test_without_a_secret_nothing_listens(module_sandbox, tmp_path):
    env = live_environment(tmp_path, module_sandbox)
    del env["BLSYNC_WEBHOOK_SECRET"]
    done = blsync("listen", "--port", "0", env=env)
    assert done.returncode == 2
    assert "BLSYNC_WEBHOOK_SECRET" in done.stderr


def test_a_port_that_is_taken_is_told_with_what_to_do(receiving):
    port = receiving.url.rpartition(":")[2].partition("/")[0]
    done = blsync("listen", "--port", port, env=receiving.env)
    assert done.returncode == 2
    assert "--port" in done.stderr


class Books:
    """A data folder that was synced once, its server, and events to put into its ledger."""

    def __init__(self, folder: Path, server: Handle) -> None:
        self.server, self.env = server, live_environment(folder, server)
        self.data = Path(self.env["BLSYNC_DATA"])
        self.sync("--no-build")

    def run(self, *arguments: str, **more: str) -> dict[str, Any]:
        done = blsync(*arguments, "--json", env={**self.env, **more})
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def sync(self, *arguments: str) -> dict[str, Any]:
        return self.run("sync", *arguments)

    def pull(self, *arguments: str, **more: str) -> dict[str, Any]:
        return self.run("listen", "pull", *arguments, **more)

    def receive(self, *told: dict[str, Any]) -> None:
        """Put events into the ledger, as a listener does."""
        company = Company.model_construct(name="main", company_id=self.server.company_id)
        with closing(Ledger(f"sqlite:///{self.data}/ledger.db")) as ledger:
            now = datetime.now(UTC)
            found = read_webhook(
                json.dumps({"batch": True, "events": told}).encode(), [company], now
            )
            assert not found.refused
            events.store(ledger, found.events, now)

    def landed(self, entity: str, *columns: str) -> list[dict[str, Any]]:
        folder = self.data / "landing" / entity
        rows: list[dict[str, Any]] = (
            ds.dataset(folder, format="parquet").to_table(list(columns)).to_pylist()
        )
        return rows

    def change_customers(self, *phones: str) -> list[str]:
        """Give so many customers another phone; return their ids."""
        with api(self.server) as client:
            listed = client.get("/customers").raise_for_status().json()["data"]
            ids = [record["id"] for record in listed[: len(phones)]]
            for key, phone in zip(ids, phones, strict=True):
                client.put(f"/customers/{key}", json={"phone": phone}).raise_for_status()
        control(self.server, "reset-stats")
        return ids

    @property
    def asked(self) -> dict[str, int]:
        routes: dict[str, int] = patient.get(f"{self.server.url}/sandbox/stats").json()["routes"]
        return routes


@pytest.fixture(scope="module")
def books(module_sandbox: Handle, tmp_path_factory: pytest.TempPathFactory) -> Books:
    return Books(tmp_path_factory.mktemp("books"), module_sandbox)


def test_what_an_event_tells_of_is_pulled_by_one_request_a_feed_and_once(books):
    (key,) = books.change_customers("+60 3 1111 0001")
    books.receive(event("customer.updated", key))
    done = books.pull("--no-build")
    assert books.asked == {"GET /customers": 1}
    assert done["requests"] == 1
    assert done["companies"]["company_sandbox"]["customers"]["rows"] == 1
    assert "+60 3 1111 0001" in {row["phone"] for row in books.landed("customers", "phone")}
    assert books.pull("--no-build")["requests"] == 0


def test_what_an_event_says_of_a_record_is_never_taken_for_the_record(books):
    (key,) = books.change_customers("+60 3 1111 0002")
    told = event("customer.updated", key)
    told["data"]["object"] |= {"phone": "+60 6 6666 6666", "creditLimit": 1}
    books.receive(told)
    books.pull("--no-build")
    phones = {row["phone"] for row in books.landed("customers", "phone")}
    assert "+60 3 1111 0002" in phones
    assert "+60 6 6666 6666" not in phones


@pytest.mark.deep
def test_a_storm_of_events_costs_what_the_changes_cost(books):
    ids = books.change_customers("+60 3 1111 0003", "+60 3 1111 0004", "+60 3 1111 0005")
    for start in range(0, 10_000, 1000):
        names = ("customer.updated", "customer.status_changed")
        books.receive(*(event(names[n % 2], ids[n % 3]) for n in range(start, start + 1000)))
    done = books.pull("--no-build")
    assert books.asked == {"GET /customers": 1}
    assert done["companies"]["company_sandbox"]["customers"]["rows"] == 3
    rows = [row for row in stored_in(books.env) if row["record_id"] in ids]
    assert len(rows) >= 10_000
    assert all(row["satisfied_by"] for row in rows)


@pytest.mark.deep
def test_beyond_their_share_of_the_hour_events_ask_nothing_and_wait(books):
    (key,) = books.change_customers("+60 3 1111 0006")
    books.receive(told := event("customer.updated", key))
    done = books.pull("--no-build", BLSYNC_LIVE_SHARE="0")
    assert books.asked == {}
    assert "BLSYNC_LIVE_SHARE" in done["waits"][0]
    waiting = {row["event_id"]: row for row in stored_in(books.env)}[told["id"]]
    assert waiting["satisfied_by"] is None
    assert books.pull("--no-build")["requests"] == 1


@pytest.mark.deep
def test_a_sync_satisfies_events_too_and_says_what_none_had_told(books):
    told, untold = books.change_customers("+60 3 1111 0007", "+60 3 1111 0008")
    books.receive(one := event("customer.updated", told))
    done = books.sync("customers", "--no-build")
    assert done["entities"]["customers"]["rows"] == 2
    assert done["entities"]["customers"]["unannounced"] == 1
    row = {row["event_id"]: row for row in stored_in(books.env)}[one["id"]]
    assert row["satisfied_by"] in {path.stem for path in books.data.glob("landing/customers/*/*")}
    control(books.server, "reset-stats")
    assert books.pull("--no-build")["requests"] == 0
    assert untold


@pytest.mark.deep
def test_a_pull_that_fails_leaves_its_events_waiting(books):
    (key,) = books.change_customers("+60 3 1111 0009")
    books.receive(told := event("customer.updated", key))
    control(books.server, "faults", faults="forbid=customers")
    done = blsync("listen", "pull", "--no-build", env=books.env)
    control(books.server, "faults", faults="")
    assert done.returncode != 0
    assert {r["event_id"]: r for r in stored_in(books.env)}[told["id"]]["satisfied_by"] is None
    assert books.pull("--no-build")["companies"]["company_sandbox"]["customers"]["rows"] == 1


@pytest.mark.deep
def test_what_is_not_available_here_is_asked_for_once_and_keeps_its_events_waiting(books):
    control(books.server, "reset-stats")
    books.receive(told := event("supplier.updated", "sup_1"))

    def is_waiting() -> bool:
        return {r["event_id"]: r for r in stored_in(books.env)}[told["id"]]["satisfied_by"] is None

    control(books.server, "faults", faults="absent=suppliers")
    assert books.pull("--no-build")["requests"] == 1
    again = books.pull("--no-build")
    control(books.server, "faults", faults="")
    assert (again["requests"], again["waits"]) == (0, [])
    assert books.asked == {"GET /suppliers": 1}
    assert is_waiting()
    books.sync("suppliers", "--no-build", "--from", str(datetime.now(UTC).date()))
    assert is_waiting()  # of days that are pulled again nobody knows what they had told
    books.pull("--no-build")
    assert not is_waiting()


@pytest.mark.deep
def test_an_entity_that_is_left_out_is_not_pulled_because_of_events(books):
    control(books.server, "reset-stats")
    books.receive(event("quote.accepted", "quo_1"), event("supplier.updated", "sup_2"))
    assert books.pull("--no-build", BLSYNC_ENTITIES="suppliers")["requests"] == 1
    assert books.asked == {"GET /suppliers": 1}
    books.pull("--no-build")


def pulled_at(row: dict[str, Any]) -> datetime:
    at: datetime = row["_pulled_at"]
    return at


@pytest.mark.deep
def test_days_are_pulled_again_without_a_hole_beside_what_events_brought(books):
    (key,) = books.change_customers("+60 3 1111 0010")
    books.receive(event("customer.updated", key))
    books.pull("--no-build")
    control(books.server, "reset-stats")
    today = datetime.now(UTC).astimezone().date()
    again = books.sync("customers", "--no-build", "--from", str(today - timedelta(days=1)))
    assert again["entities"]["customers"]["rows"] == 0
    with api(books.server) as client:
        server = {r["id"]: r["phone"] for r in client.get("/customers").json()["data"]}
    rows = sorted(books.landed("customers", "id", "phone", "_pulled_at"), key=pulled_at)
    assert {row["id"]: row["phone"] for row in rows} == server


@pytest.mark.deep
def test_payments_and_the_log_of_events_are_in_the_marts_after_a_live_build(books):
    with api(books.server) as client:
        listed = client.get("/invoices", params={"limit": 100}).json()["data"]
        owed = next(i for i in listed if i["amountDue"] > 5 and i["status"] in ("sent", "overdue"))
        paid = client.post(
            f"/invoices/{owed['id']}/payment",
            json={
                "amount": 1.05,
                "paymentDate": str(datetime.now(UTC).date()),
                "paymentMethod": "bank_transfer",
                "reference": "PMT-LIVE-1",
            },
        ).json()["data"]
    told = event("payment.received")
    payment = {"id": paid["id"], "amount": 1.05, "currency": "MYR", "invoiceId": owed["id"]}
    payment |= {"paymentMethod": "bank_transfer", "reference": "PMT-LIVE-1", "status": "completed"}
    told["data"] = {"object": payment}
    unknown = event("moon.waxed", "moon_2")
    books.receive(told, unknown)
    books.receive(told)
    done = books.pull()
    assert done["published"]
    with duckdb.connect(str(books.data / "blsync.duckdb"), read_only=True) as db:
        rows = db.sql(
            "select payment_id, amount, reference, invoice_id from finance.webhook_payments"
        )
        assert [(i, str(a), r, v) for i, a, r, v in rows.fetchall()] == [
            (paid["id"], "1.05", "PMT-LIVE-1", owed["id"])
        ]
        log = db.sql(
            "select event_id, entity, record_id, is_verified, is_duplicate, "
            "satisfied_by is not null, delay_seconds >= 0 from finance.webhook_log "
            f"where event_id in ('{told['id']}', '{unknown['id']}')"
        ).fetchall()
        assert sorted(log, key=lambda row: row[1] is None) == [
            (told["id"], "invoices", owed["id"], True, True, True, True),
            (unknown["id"], None, "moon_2", True, False, False, None),
        ]
        ((amount_paid,),) = db.sql(
            f"select amount_paid from finance.invoices where invoice_id = '{owed['id']}'"
        ).fetchall()
        assert float(amount_paid) == pytest.approx(float(owed["amountPaid"]) + 1.05)
        sla = db.sql("select kind, requests, p50_ms <= p95_ms, target_ms from finance.sla_daily")
        assert ("read", 200) in {(kind, target) for kind, _, _, target in sla.fetchall()}
    status = books.run("status")["companies"]["company_sandbox"]
    assert status["events"]["received"] == len(
        [row for row in stored_in(books.env) if row["company_id"] == "company_sandbox"]
    )
    assert status["events"]["waiting"] == 0
    assert status["fresh_until"]
    read = status["response_times"]["read"]
    assert read["p50_ms"] <= read["p95_ms"] <= read["p99_ms"]
    assert 0 <= read["share_within"] <= 1
    page = (books.data / "report.html").read_text()
    assert "events received" in page
    assert "Within target" in page


TICK = """
import json, warnings
warnings.filterwarnings("ignore")
import dagster as dg
from blsync.orchestration.definitions import defs

with dg.DagsterInstance.ephemeral() as instance:
    sensor = defs.resolve_sensor_def("live_events")
    context = dg.build_sensor_context(
        instance=instance, repository_def=defs.get_repository_def(), definitions=None
    )
    data = sensor.evaluate_tick(context)
    print(json.dumps([
        {
            "key": one.run_key,
            "raw": sorted(k.path[-1] for k in one.asset_selection if k.path[0] == "raw"),
            "others": sorted({k.path[0] for k in one.asset_selection}),
            "config": one.run_config,
        }
        for one in data.run_requests
    ]))
"""


@pytest.mark.deep
def test_the_sensor_asks_for_a_run_of_what_events_told_and_only_then(books):
    def tick() -> list[dict[str, Any]]:
        done = subprocess.run(
            [PYTHON, "-c", TICK], env=books.env, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return found

    assert tick() == []
    books.receive(event("stock.updated", "item_1"))
    (request,) = tick()
    assert request["raw"] == ["stock", "stock_adjustments", "stock_transfers"]
    assert {"finance", "inputs", "published", "raw"} <= {*request["others"]}
    assert request["config"]["ops"]["raw"]["config"] == {"again": False, "live": True}
    assert request["config"]["ops"]["inputs"]["config"] == {"reports": False}
