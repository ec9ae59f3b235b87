"""Somebody is told: once that something holds, once that it is over, and nothing of a customer."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from rig import patient
from rig.listening import listening
from rig.warm import PYTHON
from test_cli import Done, blsync, call, environment  # noqa: F401
from test_live import wait_for
from test_pull import api, control

from blsync.entities import ENTITIES
from blsync.ledger import Ledger, conditions
from blsync.ledger.conditions import Condition
from blsync.ledger.states import ConditionKind
from blsync.sandbox import Handle, Options, running
from blsync.settings import ROOT

Call = Callable[..., Done]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOKEN = "T0ken-of-this-collector-0123456789"


@dataclass
class Collector:
    """A server that takes messages, and requests of the heartbeat."""

    port: int = 0
    messages: list[dict[str, str]] = field(default_factory=list)
    beats: int = 0

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.port}/{TOKEN}"

    @property
    def heartbeat(self) -> str:
        return f"http://127.0.0.1:{self.port}/beat"

    @property
    def titles(self) -> list[str]:
        """What was told, without whose it is, in the order in which it came."""
        return [message["title"].partition(": ")[2] for message in self.messages]


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.messages.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            found.beats += 1
            self.send_response(200)
            self.end_headers()

    with listening(Handler, port) as found.port:
        yield found


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Handle]:
    with running(Options(invoices=20, customers=8, items=6, months=2, limits=False)) as handle:
        yield handle


@pytest.fixture(autouse=True)
def without_faults(server: Handle) -> Iterator[None]:
    yield
    control(server, "faults", faults="")


@pytest.fixture(scope="module")
def synced(server: Handle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a folder that was pulled once and never built."""
    env = environment(tmp_path_factory.mktemp("synced"), server.base_url)
    assert blsync("sync", "--no-build", env=env).returncode == 0
    return env


@pytest.fixture
def env(synced: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """That of a copy of the folder."""
    shutil.copytree(synced["BLSYNC_DATA"], tmp_path / "data")
    return {**synced, "BLSYNC_DATA": str(tmp_path / "data")}


def told(call: Call, env: dict[str, str]) -> None:  # noqa: F811
    """Wait until all is sent that is to be: what a run has started, or this one sends it."""
    assert call("alerts", "deliver", env=env).returncode == 0


def status(call: Call, env: dict[str, str]) -> dict[str, Any]:  # noqa: F811
    found: dict[str, Any] = json.loads(call("status", "--json", env=env).stdout)
    return found


def off(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["kind"], one["subject"]) for one in report["off"]}


@pytest.mark.deep
def test_an_entity_that_fails_night_after_night_is_told_once_and_its_end_once(
    call,  # noqa: F811
    env,
    server,
    collector,
):
    env["BLSYNC_ALERTS"] = collector.address
    control(server, "faults", faults="forbid=invoices")
    for _ in range(2):
        assert blsync("sync", "--no-build", "invoices", env=env).returncode == 1
        told(call, env)
    assert collector.titles == ["the night failed"]
    (message,) = collector.messages
    assert message["title"].startswith("blsync, company_sandbox: ")
    assert "invoices could not be pulled" in message["message"]
    assert "read:invoices" not in message["message"]  # an error's own words stay here
    assert message["type"] == "failure"
    control(server, "faults", faults="")
    assert blsync("sync", "--no-build", "invoices", env=env).returncode == 0
    told(call, env)
    # Nothing was ever published in this folder, which is told once the night is well.
    assert collector.titles[1:] == ["the marts are late", "the night is well again"]
    assert collector.messages[2]["type"] == "success"
    told(call, env)
    assert len(collector.messages) == 3


@pytest.mark.deep
def test_status_tells_what_an_entity_failed_with_last_and_when(call, env, server):  # noqa: F811
    control(server, "faults", faults="forbid=invoices")
    before = datetime.now(UTC)
    assert blsync("sync", "--no-build", "invoices", "customers", env=env).returncode == 3
    (company,) = status(call, env)["companies"].values()
    error = company["entities"]["invoices"]["last_error"]
    assert "read:invoices" in error["message"]
    assert error["kind"] == "Forbidden"
    assert error["request_id"]
    assert before < datetime.fromisoformat(error["since"]) == datetime.fromisoformat(error["at"])
    assert company["entities"]["customers"]["last_error"] is None
    assert "invoices failed since" in call("status", env=env).stdout
    checked = call("status", "--check", env=env)
    assert checked.returncode == 1
    assert "invoices could not be pulled" in checked.stdout
    control(server, "faults", faults="")
    assert blsync("sync", "--no-build", "invoices", env=env).returncode == 0
    (company,) = status(call, env)["companies"].values()
    healed = company["entities"]["invoices"]["last_error"]
    assert (healed["at"], healed["since"]) == (error["at"], None)


@pytest.mark.deep
def test_a_key_that_is_refused_is_a_night_that_failed(call, env, collector):  # noqa: F811
    env |= {"BLSYNC_ALERTS": collector.address, "BIGLEDGER_API_KEY": "blg_test_sk_another_key"}
    assert blsync("sync", "--no-build", env=env).returncode == 2
    told(call, env)
    assert collector.titles == ["the night failed"]
    assert "the pull as a whole failed" in collector.messages[0]["message"]
    (company,) = status(call, env)["companies"].values()
    assert company["last_error"]["kind"] == "Unauthorized"


@pytest.mark.deep
def test_a_ledger_that_is_damaged_is_told_once_and_its_end_once(call, env, collector):  # noqa: F811
    env["BLSYNC_ALERTS"] = collector.address
    ledger = Path(env["BLSYNC_DATA"], "ledger.db")
    for path in ledger.parent.glob("ledger.db*"):
        path.unlink()
    ledger.write_bytes(b"no database" * 1000)
    for _ in range(2):
        assert blsync("sync", "--no-build", "customers", env=env).returncode == 1
        told(call, env)
    assert collector.titles == ["the data folder or its ledger cannot be used"]
    assert call("repair", env=env).returncode == 0
    assert blsync("sync", "--no-build", "customers", env=env).returncode == 0
    told(call, env)
    assert "the data folder and its ledger can be used again" in collector.titles
    assert len(collector.titles) == len({*collector.titles})


def test_what_is_late_is_found_by_a_check_and_told_once(call, env, collector):  # noqa: F811
    env["BLSYNC_ALERTS"] = collector.address
    old = {"loads": ("window_end", "committed_at")}
    with closing(sqlite3.connect(f"{env['BLSYNC_DATA']}/ledger.db")) as db:
        for table, columns in old.items():
            for column in columns:
                db.execute(f"update {table} set {column} = datetime({column}, '-30 hours')")
        db.commit()
    checked = [call("status", "--check", "--max-age", "26h", env=env) for _ in range(2)]
    assert [done.returncode for done in checked] == [1, 1]
    assert "the night is late" in checked[0].stdout
    told(call, env)
    assert collector.titles == ["the night is late"]
    assert ("night", "late") not in off(
        json.loads(call("status", "--max-age", "2d", "--json", env=env).stdout)
    )


def test_an_age_that_is_none_is_bad_usage(call, env):  # noqa: F811
    done = call("status", "--check", "--max-age", "yesterday", env=env)
    assert done.returncode == 2
    assert "26h" in done.stderr


def test_a_check_without_a_company_id_fails_and_says_so(call, env):  # noqa: F811
    del env["BIGLEDGER_COMPANY_ID"]
    checked = call("status", "--check", env=env)
    assert checked.returncode == 1
    assert "BIGLEDGER_COMPANY_ID is not set" in checked.stdout


@pytest.mark.deep
def test_status_counts_records_beside_versions(call, env, server):  # noqa: F811
    with api(server) as client:
        key = client.get("/customers").json()["data"][0]["id"]
        client.put(f"/customers/{key}", json={"phone": "+60 1"}).raise_for_status()
    assert blsync("sync", "--no-build", "customers", env=env).returncode == 0
    (company,) = status(call, env)["companies"].values()
    customers = company["entities"]["customers"]
    assert customers["rows"] == customers["records"] + 1
    assert customers["records"] == len(
        patient.get(f"{server.url}/sandbox/records", params={"entity": "customers"}).json()
    )


@pytest.mark.deep
def test_an_address_that_is_down_delays_nothing_is_said_once_and_hears_of_it_later(
    call,  # noqa: F811
    env,
    server,
    collector,
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    down = f"json://127.0.0.1:{port}/{TOKEN}"
    env["BLSYNC_ALERTS"] = f"{down}, {collector.address}"
    control(server, "faults", faults="forbid=invoices")
    said = []
    for _ in range(3):
        done = blsync("sync", "--no-build", "invoices", env=env)
        assert done.returncode == 1
        said.append(done.stderr.count("takes no message"))
        told(call, env)
    assert said == [0, 1, 0]
    assert sorted(collector.titles) == ["an address takes no message", "the night failed"]
    report = call("status", "--json", env=env).stdout
    assert "address 1 of BLSYNC_ALERTS (json)" in report
    assert TOKEN not in report + done.stdout + done.stderr + str(collector.messages)
    with collecting(port) as back:
        told(call, env)
        told(call, env)
        assert back.titles == ["the night failed"]
    assert sorted(collector.titles)[-1] == "the night failed"
    assert "every address takes messages again" in collector.titles
    assert len(collector.messages) == 3


def test_an_address_that_is_none_is_refused_without_being_shown(call, env):  # noqa: F811
    env["BLSYNC_ALERTS"] = "secret-word-without-a-scheme"
    done = call("status", env=env)
    assert done.returncode == 2
    assert "BLSYNC_ALERTS: address 1" in done.stderr
    assert "secret-word" not in done.stderr


def test_a_message_to_try_says_which_address_took_it(call, env, collector):  # noqa: F811
    env["BLSYNC_ALERTS"] = f"{collector.address} nowhere://a/b"
    done = call("alerts", "try", "--json", env=env)
    assert done.returncode == 3
    assert json.loads(done.stdout)["addresses"] == [
        {"place": 1, "service": "json", "is_taken": True},
        {"place": 2, "service": "nowhere", "is_taken": False},
    ]
    assert collector.titles == ["a message to try"]
    checks = json.loads(call("doctor", "--json", env=env).stdout)["checks"]
    (about,) = [check for check in checks if check["name"] == "alerts"]
    assert (about["ok"], "number 2 of BLSYNC_ALERTS" in about["message"]) == (False, True)


def test_metrics_are_what_status_tells_in_a_form_that_its_readers_take(
    call,  # noqa: F811
    env,
    server,
    tmp_path,
):
    text = call("metrics", env=env).stdout
    assert text.endswith("# EOF\n")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    of_customers = (("company", "company_sandbox"), ("entity", "customers"))
    (company,) = status(call, env)["companies"].values()
    customers = company["entities"]["customers"]
    assert samples["blsync_records", *of_customers] == customers["records"]
    assert samples["blsync_failing", *of_customers] == 0
    covered = datetime.fromisoformat(customers["covered_until"]).timestamp()
    assert samples["blsync_covered_until_timestamp_seconds", *of_customers] == covered
    assert samples["blsync_off", ("company", ""), ("kind", "build")] == 1  # never published
    assert not any(name == "blsync_published_timestamp_seconds" for name, *_ in samples)
    file = tmp_path / "blsync.prom"
    file.touch()
    file.chmod(0o644)
    assert call("metrics", "--output", str(file), env=env).returncode == 0
    assert file.read_text().endswith("# EOF\n")
    assert file.stat().st_mode & 0o777 == 0o644
    lost = call("metrics", "--output", str(tmp_path / "no" / "file"), env=env)
    assert lost.returncode == 2


def test_who_was_told_is_kept_by_address_and_an_end_is_told_to_whoever_knew(tmp_path):
    drift = Condition(ConditionKind.DRIFT, "acme", "invoices", 3)
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        conditions.observe(ledger, [drift], NOON)
        conditions.mark_told(ledger, [drift], "one")
        (kept,) = conditions.observe(ledger, [], NOON + timedelta(days=1))
        assert (kept.since, kept.told) == (NOON, {"one"})
        assert kept.ended_at == NOON + timedelta(days=1)
        # It is back before anybody was told of its end: it has never ended.
        (kept,) = conditions.observe(ledger, [drift], NOON + timedelta(days=2))
        assert (kept.since, kept.ended_at, kept.told) == (NOON, None, {"one"})
        conditions.observe(ledger, [], NOON + timedelta(days=3))
        conditions.mark_told_end(ledger, [drift], "one")
        assert conditions.kept(ledger) == []
        conditions.observe(ledger, [drift], NOON)
        assert conditions.observe(ledger, [], NOON) == []  # nobody knew of it


TICK = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import dagster as dg
from blsync.orchestration.definitions import defs
from blsync.orchestration.jobs import nightly

with dg.DagsterInstance.ephemeral() as instance:
    def tick(name, **event):
        context = dg.build_sensor_context(instance, repository_def=defs.get_repository_def())
        defs.resolve_sensor_def(name).evaluate_tick(context)

    @dg.op
    def step():
        if sys.argv[1] == "fail":
            raise ValueError("outside our steps")

    @dg.job(name="nightly")
    def night():
        step()

    result = night.execute_in_process(instance=instance, raise_on_error=False)
    if sys.argv[1] == "fail":
        name, event = "night_failed", result.get_run_failure_event()
    else:
        name, event = "night_ended_well", result.get_run_success_event()
    sensor = defs.resolve_sensor_def(name)
    sensor(dg.build_run_status_sensor_context(name, event, instance, result.dagster_run))
    tick("alerts")
    print(sensor.default_status.value)
"""


@pytest.mark.deep
def test_dagster_s_sensors_tell_and_ping_as_the_command_does(call, env, collector):  # noqa: F811
    env |= {"BLSYNC_ALERTS": collector.address, "BLSYNC_HEARTBEAT_URL": collector.heartbeat}

    def tick(how: str) -> None:
        done = subprocess.run([PYTHON, "-c", TICK, how], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "RUNNING"
        told(call, env)

    tick("fail")
    assert collector.titles == ["the night failed"]
    assert collector.beats == 0
    tick("succeed")
    # This folder was never published, so the marts are late by now.
    assert collector.titles[1:] == ["the marts are late", "the night is well again"]


class Week:
    """A company's nights, each a whole `blsync sync` from cron, and what was told after each."""

    def __init__(self, call: Call, folder: Path, server: Handle, collector: Collector) -> None:  # noqa: F811
        self.call, self.server, self.collector = call, server, collector
        self.seeds = folder / "seeds"
        shutil.copytree(ROOT / "warehouse" / "seeds", self.seeds)
        self.env = environment(
            folder / "data",
            server.base_url,
            BLSYNC_SEEDS=str(self.seeds),
            BLSYNC_DRIFT_HOURS="0",
            BLSYNC_PUSH_SETTLE_SECONDS="0",
            BLSYNC_ALERTS=collector.address,
            BLSYNC_HEARTBEAT_URL=collector.heartbeat,
        )
        self._seen = 0

    def run(self, *command: str) -> int:
        return blsync(*command, env=self.env).returncode

    def night(self, faults: str = "") -> int:
        control(self.server, "faults", faults=faults)
        code = self.run("sync")
        control(self.server, "faults", faults="")
        return code

    def news(self) -> list[str]:
        """Return what was told since it was asked last."""
        told(self.call, self.env)
        titles = self.collector.titles[self._seen :]
        self._seen += len(titles)
        return sorted(titles)

    def owe(self, books: Path, key: str, more: float) -> None:
        """Have the server say that a customer owes more than its documents do."""
        self.set_right(key)
        with closing(sqlite3.connect(books, timeout=60)) as db:
            db.execute(
                "update customers set doc = json_set(doc, '$.currentBalance', "
                "json_extract(doc, '$.currentBalance') + ?) where id = ?",
                [more, key],
            )
            db.commit()

    def set_right(self, key: str) -> None:
        """Have the server write a customer anew, as it has it in mind."""
        control(self.server, "touch", entity="customers", ids=[key])

    def land_broken_entry(self) -> None:
        """Put an entry that is off by a cent among those that landed."""
        folder = Path(self.env["BLSYNC_DATA"]) / "landing/journal_entries"
        source = sorted(folder.glob("company_id=*/2*.parquet"))[0]
        table = pq.read_table(source)
        row = table.filter(pc.equal(table["status"], "posted")).slice(0, 1).to_pylist()[0]
        row |= {"id": "je_broken", "journalNumber": "JE-BROKEN", "_load_id": "99999999-broken"}
        row["_pulled_at"] = datetime.now(UTC)
        row["lines"][0]["debit"] = (row["lines"][0]["debit"] or 0) + Decimal("0.01")
        broken = pa.Table.from_pylist([row], table.schema)
        pq.write_table(broken, source.with_name("99999999-broken.parquet"))

    def accept_broken_entry(self) -> None:
        with (self.seeds / "accepted_exceptions.csv").open("a") as file:
            file.write("company_sandbox,je_broken,unbalanced_entry,known,Mei\n")

    def push(self) -> str:
        sheet = self.seeds.with_name("customers.csv")
        sheet.write_text("name,email,billingAddress.city\nKedai Baru,baru@kedai.example,Ipoh\n")
        planned = blsync("push", "plan", "customers", str(sheet), "--json", env=self.env)
        return str(json.loads(planned.stdout)["plan_id"])


@contextmanager
def week_of(call: Call, folder: Path, collector: Collector) -> Iterator[Week]:  # noqa: F811
    """Begin a week with a good night, after which nobody was told anything of a customer."""
    books = folder / "books.db"
    options = Options(invoices=40, customers=12, items=8, months=3, limits=False, database=books)
    with running(options) as server:
        week = Week(call, folder, server, collector)
        assert week.night() == 0
        assert week.news() == []
        wait_for(lambda: collector.beats == 1)
        yield week
        told_of = json.dumps(collector.messages)
        for name in ENTITIES:
            answer = patient.get(f"{server.url}/sandbox/records", params={"entity": name})
            for record in answer.json():
                words = personal_words(record) if name == "customers" else {record.get("id")}
                assert not [word for word in words if word and word in told_of]


def personal_words(record: dict[str, Any]) -> set[str]:
    """Return what of a customer a message could name."""
    names = ("id", "name", "email", "phone", "customerNumber", "taxNumber")
    return {str(record[name]) for name in names if record.get(name)}


@pytest.mark.deep
def test_of_a_week_each_night_that_fails_or_differs_is_told_once_and_its_end_once(
    call,  # noqa: F811
    tmp_path,
    collector,
):
    with week_of(call, tmp_path, collector) as week:
        assert week.night("forbid=invoices") == 3
        assert week.news() == ["the night failed"]
        assert week.night("forbid=invoices+journal_entries") == 3
        assert week.news() == ["the night failed"]  # of another entity
        assert week.night() == 0
        assert week.news() == ["the night is well again"]
        wait_for(lambda: collector.beats == 2)

        with api(week.server) as client:
            key = client.get("/customers").json()["data"][0]["id"]
        week.owe(tmp_path / "books.db", key, 12.5)
        assert week.night() == 0
        assert week.news() == ["figures differ from BigLedger's own"]
        assert week.night() == 0
        assert week.news() == []
        week.set_right(key)
        assert week.night() == 0
        assert week.news() == ["all figures tie out with BigLedger's again"]
        wait_for(lambda: collector.beats == 5)


@pytest.mark.deep
def test_of_a_week_each_odd_record_stopped_build_and_held_push_is_told_once_and_its_end_once(
    call,  # noqa: F811
    tmp_path,
    collector,
):
    with week_of(call, tmp_path, collector) as week:
        assert week.night("odd-records=1,extra-fields") == 0
        assert week.news() == [
            "BigLedger sends fields that no model knows",
            "records could not be typed and are in quarantine",
        ]
        assert week.night() == 0
        assert week.news() == ["nothing is in quarantine any more"]

        week.land_broken_entry()
        assert week.run("build", "--full") == 1
        assert week.news() == ["the marts are not published"]
        assert week.run("build", "--full") == 1
        assert week.news() == []
        week.accept_broken_entry()
        assert week.run("build", "--full") == 0
        assert "the marts are published again" in week.news()
        wait_for(lambda: collector.beats == 3)

        plan_id = week.push()
        control(week.server, "faults", faults="only=writes,drop-after=1")
        assert week.run("push", "apply", plan_id, "--yes") == 3
        assert week.news() == ["rows of a push were sent and not answered"]
        control(week.server, "faults", faults="")
        assert week.run("push", "settle") == 0
        assert week.news() == ["no push is held any more"]
