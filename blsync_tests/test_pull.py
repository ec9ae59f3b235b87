"""The pull, end to end: everything lands once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pyarrow.parquet as pq
import pytest
from conftest import Asked, Reply, failure, listed
from rig import patient
from rig.commands import pull
from rig.kept import kept

from blsync.entities import ENTITIES, select
from blsync.errors import (
    BlsyncError,
    Forbidden,
    QuotaSpent,
    ServerFault,
    StorageError,
    Unauthorized,
)
from blsync.lake.store import Lake
from blsync.ledger import Ledger, loads
from blsync.pull import Window, raise_failures
from blsync.sandbox import Handle, Options, running
from blsync.settings import Settings

REQUESTS = dict.fromkeys(("accounts", "journal_entries", "stock_adjustments"), 2)
"""Requests of a pull that finds nothing new: one a feed."""


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    pagination: dict


@pytest.fixture
def sandbox(module_sandbox: Handle):
    """The file's sandbox, without faults before and after."""
    yield module_sandbox
    control(module_sandbox, "faults", faults="")


def control(sandbox: Handle, switch: str, **body: object) -> dict:
    answer = patient.post(f"{sandbox.url}/sandbox/{switch}", json=body)
    answer.raise_for_status()
    return answer.json()


def api(sandbox: Handle) -> httpx.Client:
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "X-Company-Id": sandbox.company_id}
    return patient.client(base_url=sandbox.base_url, headers=headers)


def on_server(sandbox: Handle, name: str) -> dict[tuple, str]:
    """Walk a list with a client of the test's own: key → the record's exact text, less what
    is not kept.
    """
    entity = ENTITIES[name]
    found = {}
    with api(sandbox) as client:
        for filters in [{}, {"active": "false"}] if name == "accounts" else [{}]:
            cursor = {}
            while cursor is not None:
                params = {"limit": "50", **filters, **cursor}
                answer = client.get(entity.path, params=params).raise_for_status()
                page = msgspec.json.decode(answer.content, type=_List)
                for raw in page.data:
                    record = msgspec.json.decode(raw)
                    key = tuple(record.get(k) for k in entity.key)
                    found[key] = kept(name, str(raw, "utf-8"))
                told = page.pagination
                ways = {"cursor": told.get("nextCursor"), "offset": told.get("nextOffset")}
                cursor = {way: place for way, place in ways.items() if place} or None
    return found


def landed(settings: Settings, name: str, layer: str = "landing") -> list[dict]:
    """All rows of an entity, in the order in which they came."""
    files = sorted((settings.data / layer / name).rglob("*.parquet"))
    tables = [pq.ParquetFile(file).read() for file in files]
    return [row for table in tables for row in table.to_pylist()]


def latest(settings: Settings, name: str) -> dict[tuple, str]:
    """Key → the payload that came last."""
    rows = sorted(landed(settings, name), key=lambda row: row["_pulled_at"])
    return {tuple(row[k] for k in ENTITIES[name].key): row["_payload"] for row in rows}


def files(settings: Settings) -> list[str]:
    return sorted(
        str(path.relative_to(settings.data))
        for path in settings.data.rglob("*")
        if path.is_file()
        and path.name not in ("ledger.db", "lake.json")
        and not path.name.endswith(".lock")
    )


def run(settings: Settings, *names: str, **options: object) -> dict:
    """Pull, and insist that nothing failed."""
    results = pull(settings, settings.companies()[0], select(names), **options)
    raise_failures(results)
    return results


def assert_in_step(settings: Settings, sandbox: Handle, *names: str) -> None:
    for name in names or ENTITIES:
        assert latest(settings, name) == on_server(sandbox, name), name


def history(settings: Settings) -> list[dict]:
    ledger = Ledger(settings.ledger_url)
    try:
        return loads.history(ledger)
    finally:
        ledger.close()


def test_the_first_pull_lands_every_record_once_and_exactly(configure, sandbox):
    loaded = configure(sandbox)
    results = run(loaded)
    for name, entity in ENTITIES.items():
        rows = landed(loaded, name)
        server = on_server(sandbox, name)
        assert {tuple(r[k] for k in entity.key): r["_payload"] for r in rows} == server
        assert len(rows) == len(server) == results[name].rows
        assert rows or entity.is_optional
        assert results[name].quarantined == results[name].deleted == 0
    assert any(row["isActive"] is False for row in landed(loaded, "accounts"))


def test_the_models_know_every_field_that_is_documented(configure, sandbox):
    results = run(configure(sandbox), *ENTITIES)
    assert {name: r.unknown_fields for name, r in results.items() if r.unknown_fields} == {}


def test_the_footer_of_a_file_holds_its_window_and_counts(configure, sandbox):
    loaded = configure(sandbox)
    before = datetime.now(UTC)
    result = run(loaded, "invoices")["invoices"]
    (path,) = (p for p in loaded.data.rglob("*.parquet") if "schema" not in p.name)
    facts = Lake(loaded.data).facts_of(path)
    assert facts["load_id"] == path.stem
    assert (facts["entity"], facts["company_id"]) == ("invoices", sandbox.company_id)
    assert facts["feeds"] == ["updatedAt"]
    assert facts["window_start"] is None
    window_end = datetime.fromisoformat(facts["window_end"])
    assert before - timedelta(seconds=2) <= window_end <= datetime.now(UTC)
    assert (facts["rows"], facts["requests"]) == (result.rows, result.requests)
    assert facts["quarantined"] == facts["deleted"] == 0


def test_nothing_is_left_behind_but_landed_files(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded)
    assert all(name.startswith("landing/") and name.endswith(".parquet") for name in files(loaded))


def test_a_second_pull_costs_one_request_a_feed_and_lands_nothing(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded)
    before = files(loaded)
    results = run(loaded)
    assert {name: r.requests for name, r in results.items()} == {
        name: REQUESTS.get(name, 1) for name in ENTITIES
    }
    assert {name: r.rows for name, r in results.items()} == dict.fromkeys(ENTITIES, 0)
    assert files(loaded) == before


@pytest.mark.deep
def test_after_nights_of_business_the_lake_is_in_step_with_the_server(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded)
    for _ in range(2):
        control(sandbox, "night")
        run(loaded)
        assert_in_step(loaded, sandbox)
    versions = Counter(row["_payload"] for row in landed(loaded, "journal_entries"))
    assert set(versions.values()) == {1}


def test_a_voided_entry_is_fetched_again_once(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded, "journal_entries")
    long_ago = datetime.now(UTC) - timedelta(days=2)
    voided, *_ = (
        row["id"]
        for row in landed(loaded, "journal_entries")
        if row["status"] == "posted"
        and row["reversesId"] is None
        and row["createdBy"].startswith("user_")
        and row["createdBy"] != "user_import"
        and row["postedAt"] < long_ago
    )
    with api(sandbox) as client:
        void = {"reason": "twice", "voidDate": datetime.now(UTC).date().isoformat()}
        client.post(f"/journal-entries/{voided}/void", json=void).raise_for_status()
    result = run(loaded, "journal_entries")["journal_entries"]
    assert (result.rows, result.requests) == (2, 3)
    assert [r["status"] for r in landed(loaded, "journal_entries") if r["id"] == voided] == [
        "posted",
        "void",
    ]
    again = run(loaded, "journal_entries")["journal_entries"]
    assert (again.rows, again.requests) == (0, 2)
    assert_in_step(loaded, sandbox, "journal_entries")


def test_amounts_texts_and_unknown_fields_survive(configure, sandbox):
    loaded = configure(sandbox)
    name = 'Kedai 🍜\nBaris dua \u2028 "petik" 陳'
    with api(sandbox) as client:
        customer = {
            "name": name,
            "email": "noodles@example.my",
            "creditLimit": 9999999999.99,
            "customFields": {"colour": "biru"},
        }
        made = client.post("/customers", json=customer).raise_for_status().json()["data"]["id"]
    run(loaded, "customers")
    (row,) = (row for row in landed(loaded, "customers") if row["id"] == made)
    assert row["name"] == name
    assert row["creditLimit"] == Decimal("9999999999.99")
    assert msgspec.json.decode(row["customFields"])["colour"] == "biru"


def test_odd_records_go_to_quarantine_and_the_others_land(configure, sandbox):
    loaded = configure(sandbox, BLSYNC_QUARANTINE_SHARE="0.3")
    control(sandbox, "faults", faults="odd-records=4")
    result = run(loaded, "customers")["customers"]
    rejects = landed(loaded, "customers", "quarantine")
    assert result.quarantined == len(rejects) == 4
    assert all(row["_reason"] and row["_request_id"] for row in rejects)
    assert {row["_load_id"] for row in rejects} == {
        row["_load_id"] for row in landed(loaded, "customers")
    }
    good = {k: v for k, v in on_server(sandbox, "customers").items() if v not in
            {row["_payload"] for row in rejects}}  # fmt: skip
    assert latest(loaded, "customers") == good


def test_a_window_that_is_covered_costs_nothing_and_again_reads_it_again(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded, "invoices")
    end = datetime.now(UTC) - timedelta(days=3)
    window = Window(end - timedelta(days=10), end)
    assert run(loaded, "invoices", window=window)["invoices"].requests == 0
    result = run(loaded, "invoices", window=window, again=True)["invoices"]
    assert result.requests >= 1
    assert result.rows == 0
    assert result.window == (window.start, end)


def test_cursors_that_expire_in_the_middle_cost_no_record(configure):
    with running(Options(invoices=350, customers=15, items=12, months=3, limits=False)) as sandbox:
        loaded = configure(sandbox)
        control(sandbox, "faults", faults="expire-cursors=1")
        result = run(loaded, "invoices")["invoices"]
        control(sandbox, "faults", faults="")
        assert_in_step(loaded, sandbox, "invoices")
    assert len(landed(loaded, "invoices")) == result.rows == 350


def test_a_bad_key_stops_at_once_and_shows_nowhere(configure, sandbox):
    secret = "blg_test_sk_wrong_and_secret"
    loaded = configure(sandbox, BIGLEDGER_API_KEY=secret)
    with pytest.raises(Unauthorized, match="BIGLEDGER_API_KEY") as caught:
        run(loaded)
    assert caught.value.exit_code == 2
    assert secret not in str(caught.value)
    written = [path for path in loaded.data.rglob("*") if path.is_file()]
    assert written
    assert not any(secret.encode() in path.read_bytes() for path in written)


def test_a_wrong_company_is_refused_by_name(configure, sandbox):
    loaded = configure(sandbox, BIGLEDGER_COMPANY_ID="company_other")
    with pytest.raises(Unauthorized, match="BIGLEDGER_COMPANY_ID"):
        run(loaded)


@pytest.mark.deep
def test_a_missing_scope_stops_one_entity_and_the_others_land(configure, sandbox):
    loaded = configure(sandbox)
    control(sandbox, "faults", faults="forbid=journal_entries")
    results = pull(loaded, loaded.companies()[0], select())
    failed = {name: r.error for name, r in results.items() if r.error}
    assert list(failed) == ["journal_entries"]
    assert isinstance(failed["journal_entries"], Forbidden)
    assert "read:journal_entries" in str(failed["journal_entries"])
    assert "journal_entries" not in {load["entity"] for load in history(loaded)}
    assert_in_step(loaded, sandbox, *(name for name in ENTITIES if name != "journal_entries"))
    control(sandbox, "faults", faults="")
    run(loaded)
    assert_in_step(loaded, sandbox)


def test_a_spent_hour_ends_the_pull_and_the_next_goes_on(configure, sandbox):
    few = {"BLSYNC_QUOTA_PER_HOUR": "1", "BLSYNC_QUOTA_RESERVE": "0"}
    loaded = configure(sandbox, **few)
    (result,) = pull(loaded, loaded.companies()[0], select(["accounts"]), waits=False).values()
    assert isinstance(result.error, QuotaSpent)
    result = run(configure(sandbox), "accounts")["accounts"]
    assert_in_step(loaded, sandbox, "accounts")
    assert result.requests <= 3


PULL = (
    "from blsync import settings; from blsync.entities import select; from blsync.pull import pull;"
    "from blsync.session import open_session\n"
    "with open_session(settings.load()) as s:\n"
    "    found = pull(s, s.settings.companies()[0], select(['invoices', 'journal_entries']))\n"
)


def test_a_killed_pull_goes_on_from_where_it_was(configure):
    with running(Options(invoices=500, customers=15, items=12, months=3, limits=False)) as sandbox:
        loaded = configure(sandbox)
        names = ("invoices", "journal_entries")
        whole = sum(math.ceil(len(on_server(sandbox, name)) / 100) for name in names)
        control(sandbox, "faults", faults="latency=100ms")
        control(sandbox, "reset-stats")
        with subprocess.Popen([sys.executable, "-c", PULL]) as process:
            deadline = time.monotonic() + 30
            while requests_at(sandbox) < 8 and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        first = requests_at(sandbox)
        assert list(loaded.data.rglob(".*.draft"))
        control(sandbox, "faults", faults="")
        results = run(loaded, *names)
        assert not list(loaded.data.rglob(".*.draft"))
        second = requests_at(sandbox) - first
        assert 8 <= first < whole
        assert second <= whole - first + 1 * len(names)  # one page an open walk
        assert_in_step(loaded, sandbox, *names)
        for name in names:
            assert len(landed(loaded, name)) == len(on_server(sandbox, name))
            assert results[name].rows == len(landed(loaded, name))
        assert not list((loaded.data / "spool").glob("*/*.json"))


def test_pages_are_typed_and_written_while_others_are_waited_for(configure, tiny_server):
    large = [customer(n) | {"notes": "x" * 500_000} for n in range(1, 11)]
    cursors = [None, *"abcdefghijklmno"]
    pages = {
        cursor: listed(large if cursor is None else [customer(10 + number)], after)
        for number, (cursor, after) in enumerate(zip(cursors, [*cursors[1:], None], strict=True))
    }
    walk = walk_of(pages)
    sizes = []

    def answer(asked: Asked) -> Reply:
        deadline = time.monotonic() + 10
        while asked.params.get("cursor") == cursors[-1] and max(sizes, default=0) < 1000:
            assert time.monotonic() < deadline
            sizes.extend(path.stat().st_size for path in loaded.data.rglob(".*.draft"))
            time.sleep(0.01)
        return walk(asked)

    loaded = configure(tiny_server(answer))
    assert run(loaded, "customers")["customers"].rows == 25
    assert sizes


def requests_at(sandbox: Handle) -> int:
    return patient.get(f"{sandbox.url}/sandbox/stats").json()["requests"]


def copy_state(settings: Settings, to: Path) -> None:
    """Copy the ledger and the spool as they are at this moment."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(settings.data / "spool", to / "spool")
    with (
        contextlib.closing(sqlite3.connect(settings.data / "ledger.db")) as source,
        contextlib.closing(sqlite3.connect(to / "ledger.db")) as target,
    ):
        source.backup(target)


def as_it_was(settings: Settings, kept: Path) -> None:
    """Put back the ledger and the spool of that moment."""
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (settings.data / name).unlink(missing_ok=True)
    shutil.rmtree(settings.data / "spool")
    shutil.copytree(kept, settings.data, dirs_exist_ok=True)


def test_killed_between_the_lake_and_the_ledger_nothing_lands_twice(configure, sandbox, tmp_path):
    loaded = configure(sandbox)
    kept = tmp_path / "kept"
    run(loaded, "invoices", progress=lambda *_: copy_state(loaded, kept))
    before = files(loaded)
    rows = len(landed(loaded, "invoices"))
    as_it_was(loaded, kept)
    assert history(loaded) == []
    result = run(loaded, "invoices")["invoices"]
    assert files(loaded) == before
    assert (result.rows, result.requests) == (rows, 1)
    assert [load["rows"] for load in history(loaded)] == [rows, 0]


def test_killed_between_the_quarantine_and_the_landing_the_rejects_are_counted_again(
    configure, sandbox, tmp_path
):
    loaded = configure(sandbox, BLSYNC_QUARANTINE_SHARE="0.3")
    control(sandbox, "faults", faults="odd-records=4")
    kept = tmp_path / "kept"
    run(loaded, "customers", progress=lambda *_: copy_state(loaded, kept))
    rejects = landed(loaded, "customers", "quarantine")
    rows = len(landed(loaded, "customers"))
    as_it_was(loaded, kept)
    shutil.rmtree(loaded.data / "landing")
    result = run(loaded, "customers")["customers"]
    assert (result.rows, result.quarantined) == (rows, len(rejects)) == (rows, 4)
    assert landed(loaded, "customers", "quarantine") == rejects


def test_bytes_that_are_no_text_are_reported_once_and_land_when_mended(configure, tiny_server):
    now = datetime.now(UTC).isoformat()
    good = listed([customer(1, now), customer(2, now), "{}"]).body
    odd = good.replace(b"Customer 2", b"\xff")
    bodies = [good.replace(b"Customer 2", "\ufffd".encode()), odd, odd]
    loaded = configure(tiny_server(lambda _: Reply(bodies[-1])), BLSYNC_QUARANTINE_SHARE="1")
    found = []
    while bodies:
        result = run(loaded, "customers")["customers"]
        found.append((result.rows, result.quarantined))
        bodies.pop()
    assert found == [(1, 2), (0, 0), (1, 0)]
    reject, _ = landed(loaded, "customers", "quarantine")
    assert r"\uefff" in reject["_payload"]


def test_a_spool_that_somebody_deleted_is_read_again(configure, tiny_server):
    pages = {None: listed([customer(1)], "a"), "a": failure(403, "FORBIDDEN")}
    server = tiny_server(walk_of(pages))
    loaded = configure(server)
    (result,) = pull(loaded, loaded.companies()[0], select(["customers"])).values()
    assert isinstance(result.error, Forbidden)
    shutil.rmtree(loaded.data / "spool")
    pages["a"] = listed([customer(2)])
    run(loaded, "customers")
    assert [row["id"] for row in landed(loaded, "customers")] == ["c1", "c2"]


def test_two_pulls_at_once_land_the_window_once(configure, sandbox):
    loaded = configure(sandbox)
    control(sandbox, "faults", faults="latency=50ms")
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda _: run(loaded, "invoices", "items"), range(2)))
    for name in ("invoices", "items"):
        assert sorted(r[name].rows for r in both) == [0, len(on_server(sandbox, name))]
        assert len(landed(loaded, name)) == len(on_server(sandbox, name))


def walk_of(pages: dict[str | None, Reply]) -> Callable[[Asked], Reply]:
    """Answer with the page of each cursor; nothing has changed since."""
    return lambda asked: (
        listed([]) if "updatedAt[gte]" in asked.params else pages[asked.params.get("cursor")]
    )


def customer(number: int, updated_at: str | None = None) -> dict:
    at = updated_at or f"2026-01-{number:02d}T00:00:00Z"
    return {"id": f"c{number}", "name": f"Customer {number}", "updatedAt": at}


def test_a_cursor_refused_by_a_server_that_sorts_goes_on_from_the_last_record(
    configure, tiny_server
):
    records = [customer(number) for number in range(1, 10)]

    def answer(asked: Asked) -> Reply:
        if "cursor" in asked.params:
            return failure(400, "INVALID_CURSOR")
        since = asked.params.get("updatedAt[gte]", "")
        rest = [r for r in records if r["updatedAt"] >= since[:10]]
        return listed(rest[:3], "next" if len(rest) > 3 else None)

    server = tiny_server(answer)
    loaded = configure(server)
    run(loaded, "customers")
    assert [row["id"] for row in landed(loaded, "customers")] == [f"c{n}" for n in range(1, 10)]
    assert len(server.asked) <= 9


def test_a_server_that_does_not_sort_is_read_whole(configure, tiny_server):
    order = [5, 2, 9, 1, 7, 3, 8, 4, 6]

    def answer(asked: Asked) -> Reply:
        at = int(asked.params.get("cursor", "0"))
        following = str(at + 3) if at + 3 < len(order) else None
        return listed([customer(n) for n in order[at : at + 3]], following)

    loaded = configure(tiny_server(answer))
    run(loaded, "customers")
    assert sorted(row["id"] for row in landed(loaded, "customers")) == [
        f"c{n}" for n in range(1, 10)
    ]


def test_a_server_that_neither_sorts_nor_keeps_its_cursors_is_at_fault(configure, tiny_server):
    def answer(asked: Asked) -> Reply:
        if "cursor" in asked.params:
            return failure(400, "INVALID_CURSOR")
        return listed([customer(5), customer(2)], "next")

    server = tiny_server(answer)
    loaded = configure(server)
    (result,) = pull(loaded, loaded.companies()[0], select(["customers"])).values()
    assert isinstance(result.error, ServerFault)
    assert len(server.asked) <= 10
    assert history(loaded) == []


def test_records_of_one_instant_that_fill_more_than_a_page_end_in_a_clear_fault(
    configure, tiny_server
):
    def answer(asked: Asked) -> Reply:
        if "cursor" in asked.params:
            return failure(400, "INVALID_CURSOR")
        return listed([customer(n, "2026-01-01T00:00:00Z") for n in (1, 2)], "next")

    server = tiny_server(answer)
    loaded = configure(server)
    (result,) = pull(loaded, loaded.companies()[0], select(["customers"])).values()
    assert isinstance(result.error, ServerFault)
    assert len(server.asked) <= 10


@pytest.mark.parametrize(
    "broken",
    [
        listed([customer(2)], "a"),
        listed([customer(2)], has_more=True),
        Reply(b'{"success":true,"data":[]}'),
        Reply(b"", 302, {"Location": "/v1/elsewhere"}),
    ],
    ids=["cursor twice", "no cursor", "no pagination", "redirect"],
)
def test_a_broken_page_lands_nothing_and_a_mended_one_completes_the_walk(
    configure, tiny_server, broken
):
    pages = {None: listed([customer(1)], "a"), "a": broken}
    server = tiny_server(walk_of(pages))
    loaded = configure(server)
    (result,) = pull(loaded, loaded.companies()[0], select(["customers"])).values()
    assert result.error is not None
    assert landed(loaded, "customers") == []
    assert len(server.asked) == 2
    pages["a"] = listed([customer(2)])
    run(loaded, "customers")
    assert [row["id"] for row in landed(loaded, "customers")] == ["c1", "c2"]


@pytest.mark.parametrize("odd", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00", "soon"])
def test_an_impossible_change_time_stops_no_walk(configure, tiny_server, odd):
    loaded = configure(tiny_server(lambda _: listed([customer(1), customer(2, odd), customer(3)])))
    result = run(loaded, "customers")["customers"]
    assert result.rows + result.quarantined == 3


def test_a_version_that_comes_twice_lands_once_and_a_newer_one_beside_it(configure, tiny_server):
    newer = customer(1, "2026-02-01T00:00:00Z")
    pages = {
        None: listed([customer(1), customer(2)], "a"),
        "a": listed([customer(2), newer]),
    }
    loaded = configure(tiny_server(walk_of(pages)))
    run(loaded, "customers")
    assert [row["id"] for row in landed(loaded, "customers")] == ["c1", "c2", "c1"]


def test_a_folder_that_cannot_be_written_fails_its_entity_alone(configure, sandbox):
    loaded = configure(sandbox)
    blocked = loaded.data / "landing" / "invoices"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder should be")
    results = pull(loaded, loaded.companies()[0], select(["invoices", "items"]))
    assert isinstance(results["invoices"].error, StorageError)
    assert "landing/invoices" in str(results["invoices"].error)
    assert_in_step(loaded, sandbox, "items")
    assert {load["entity"] for load in history(loaded)} == {"items"}
    blocked.unlink()
    run(loaded, "invoices", "items")
    assert_in_step(loaded, sandbox, "invoices", "items")


def test_a_data_folder_that_cannot_be_written_is_said_at_once(configure, sandbox):
    loaded = configure(sandbox)
    loaded.data.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="BLSYNC_DATA"):
        run(loaded)


@pytest.mark.deep
@pytest.mark.parametrize("room", [60_000, 150_000])
def test_a_full_disk_lands_nothing_half_and_the_next_pull_completes(configure, sandbox, room):
    """A limit on the size of files stands for the full disk: it holds for root too."""
    loaded = configure(sandbox)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    code = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from blsync.errors import StorageError; from blsync.pull import raise_failures;"
        + PULL
        + "raise_failures(found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    assert done.returncode == 1
    assert "Free some room" in done.stderr or "the disk has room" in done.stderr
    assert "OSError: [Errno" not in done.stderr.splitlines()[-1]
    for path in (loaded.data / "landing").rglob("*.parquet"):
        pq.ParquetFile(path).read()
    assert not list(loaded.data.rglob("*.draft"))
    run(loaded)
    assert_in_step(loaded, sandbox)


def account(number: str, is_active: bool) -> dict:
    at = "2026-01-01T00:00:00Z"
    return {"id": f"acc_{number}", "accountNumber": number, "isActive": is_active, "updatedAt": at}


def test_inactive_accounts_are_asked_for_in_the_other_spelling_where_the_first_is_refused(
    configure, tiny_server
):
    def answer(asked: Asked) -> Reply:
        if "active" in asked.params:
            return failure(400, "BAD_REQUEST")
        return listed([account("2", False) if "isActive" in asked.params else account("1", True)])

    loaded = configure(tiny_server(answer))
    run(loaded, "accounts")
    assert {row["id"] for row in landed(loaded, "accounts")} == {"acc_1", "acc_2"}


def test_a_server_that_cannot_list_inactive_accounts_still_gives_the_active_ones(
    configure, tiny_server
):
    def answer(asked: Asked) -> Reply:
        if asked.params.keys() & {"active", "isActive"}:
            return failure(400, "BAD_REQUEST")
        return listed([account("1", True)])

    loaded = configure(tiny_server(answer))
    said: list[str] = []
    run(loaded, "accounts", say=said.append)
    assert [row["id"] for row in landed(loaded, "accounts")] == ["acc_1"]
    assert any("inactive" in line for line in said)


def test_the_next_window_begins_by_the_apis_own_clock_where_a_gateways_runs_ahead(
    configure, tiny_server
):
    behind = datetime.now(UTC) - timedelta(minutes=30)

    def answer(asked: Asked) -> Reply:
        page = json.loads(listed([customer(1)]).body)
        return Reply(json.dumps({**page, "meta": {"timestamp": behind.isoformat()}}).encode())

    loaded = configure(tiny_server(answer))
    assert run(loaded, "customers")["customers"].window[1] == behind
    assert run(loaded, "customers")["customers"].window[0] == behind - timedelta(minutes=5)


def test_only_a_part_failing_is_a_part_and_everything_failing_is_a_failure(configure, tiny_server):
    def answer(asked: Asked) -> Reply:
        return listed([]) if asked.path == "/items" else failure(403, "FORBIDDEN")

    loaded = configure(tiny_server(answer))
    for names, code in ((("items", "customers"), 3), (("customers",), 1)):
        with pytest.raises(BlsyncError) as error:
            run(loaded, *names)
        assert error.value.exit_code == code
        assert "customers failed" in str(error.value)


@pytest.fixture(scope="module")
def many():
    """Books of more pages, for walks side by side."""
    with running(Options(invoices=1600, customers=20, items=12, months=12, limits=False)) as handle:
        yield handle


@pytest.fixture
def larger(many: Handle):
    yield many
    control(many, "faults", faults="")
    control(many, "reset-stats")


@pytest.mark.deep
def test_slow_answers_are_asked_for_side_by_side_at_no_more_than_one_page_a_slice(
    configure, larger
):
    loaded = configure(larger, BLSYNC_QUOTA_PER_SECOND="40")
    control(larger, "faults", faults="latency=200ms")
    control(larger, "reset-stats")
    result = run(loaded, "invoices")["invoices"]
    stats = patient.get(f"{larger.url}/sandbox/stats").json()
    pages = math.ceil(result.rows / 100)
    assert stats["max_per_second"] > 5  # what one walk reaches
    assert pages < result.requests <= pages + 4
    assert_in_step(loaded, larger, "invoices")
    assert len(landed(loaded, "invoices")) == result.rows


@pytest.mark.deep
def test_fast_answers_are_asked_for_one_after_the_other(configure, larger):
    loaded = configure(larger, BLSYNC_QUOTA_PER_SECOND="10")
    result = run(loaded, "invoices")["invoices"]
    assert result.requests == math.ceil(result.rows / 100)


@pytest.mark.deep
def test_slices_that_are_killed_go_on_where_each_was(configure, larger):
    loaded = configure(larger, BLSYNC_QUOTA_PER_SECOND="40")
    control(larger, "faults", faults="latency=100ms")
    control(larger, "reset-stats")
    pull_invoices = PULL.replace("['invoices', 'journal_entries']", "['invoices']")
    with subprocess.Popen([sys.executable, "-c", pull_invoices]) as process:
        while requests_at(larger) < 14 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    first = requests_at(larger)
    second = run(loaded, "invoices")["invoices"].requests
    pages = math.ceil(len(on_server(larger, "invoices")) / 100)
    assert first < pages
    assert first + second <= pages + 4 + 4  # a page a slice, and one an open walk
    assert_in_step(loaded, larger, "invoices")
    assert len(landed(loaded, "invoices")) == len(on_server(larger, "invoices"))


ODD_SERVERS = [
    "unsorted",
    "unsorted,expire-cursors=20",
    "unsorted,expire-cursors=1",
    "unsorted,expire-cursors=2,twins=0.4,clamp=30",
    "expire-cursors=1,twins=0.4",
    "expire-cursors=3",
    "offset-cursors",
    "twins=0.2",
    "empty-pages=2",
    "clamp=30",
    "max-limit=40",
    "no-total",
    "text-numbers",
    "extra-fields",
    "no-quota-headers",
    "reset-past",
    "error=0.1,html=0.05,refuse=0.05,truncate=0.05,reset=0.05,drop-after=0.05",
]


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("faults", ODD_SERVERS)
def test_every_odd_server_is_read_whole_and_without_doubles(configure, larger, faults):
    loaded = configure(larger)
    names = ("customers", "invoices")
    control(larger, "faults", faults=faults)
    results = run(loaded, *names)
    control(larger, "touch", entity="invoices", count=130)
    nightly = run(loaded, *names)
    for name in names:
        assert_in_step_despite(loaded, larger, name)
        assert len({row["_payload"] for row in landed(loaded, name)}) == len(landed(loaded, name))
        assert results[name].drift in (0, None)
    assert nightly["invoices"].rows == 130


def assert_in_step_despite(settings: Settings, sandbox: Handle, name: str) -> None:
    """Compare with the server's truth, which no fault touches."""
    truth = patient.get(f"{sandbox.url}/sandbox/records", params={"entity": name}).json()
    wanted = {tuple(record[k] for k in ENTITIES[name].key): record["updatedAt"] for record in truth}
    held = {key: json.loads(text)["updatedAt"] for key, text in latest(settings, name).items()}
    assert held == wanted


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("faults", ["churn=0.3", "churn=0.3,offset-cursors", "churn=0.3,unsorted"])
def test_records_that_move_while_being_walked_end_complete(configure, larger, faults):
    loaded = configure(larger, BLSYNC_DRIFT_HOURS="0")
    control(larger, "faults", faults=faults)
    run(loaded, "invoices")
    control(larger, "touch", entity="invoices", count=250)
    run(loaded, "invoices")
    control(larger, "faults", faults=faults.removeprefix("churn=0.3").strip(","))
    run(loaded, "invoices")
    assert_in_step_despite(loaded, larger, "invoices")


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("is_cut_off", [False, True])
def test_records_that_slide_past_a_walk_are_read_in_the_same_sync(configure, is_cut_off):
    # Books of its own: what other tests changed in the last minutes would be in the window.
    with running(Options(invoices=600, customers=15, items=12, limits=False)) as sandbox:
        loaded = configure(sandbox)
        run(loaded, "invoices")
        touched = control(sandbox, "touch", entity="invoices", count=350)["ids"]
        time.sleep(2.2)  # what changes in the seconds of the first page counts for the next window
        moved: list[str] = []

        def move_what_was_read(*_: object) -> None:
            if not moved:
                moved.extend(touched[:20])
                control(sandbox, "touch", entity="invoices", ids=moved)

        if is_cut_off:
            control(sandbox, "faults", faults="offset-cursors,revoke-after=3")
            with pytest.raises(Unauthorized):
                run(loaded, "invoices")
            move_what_was_read()
        control(sandbox, "faults", faults="offset-cursors")
        run(loaded, "invoices", progress=move_what_was_read)
        assert_in_step_despite(loaded, sandbox, "invoices")


@pytest.mark.deep
def test_what_is_gone_from_the_rest_of_a_walk_that_was_cut_off_is_not_looked_for(configure):
    with running(Options(invoices=600, customers=15, items=12, limits=False)) as sandbox:
        loaded = configure(sandbox)
        run(loaded, "invoices")
        touched = control(sandbox, "touch", entity="invoices", count=350)["ids"]
        time.sleep(2.2)  # as above
        control(sandbox, "faults", faults="revoke-after=3")
        with pytest.raises(Unauthorized):
            run(loaded, "invoices")
        control(sandbox, "faults", faults="")
        control(sandbox, "delete", entity="invoices", ids=[touched[-1]])
        said: list[str] = []
        result = run(loaded, "invoices", say=said.append)["invoices"]
        assert (result.rows, said) == (349, [])
        assert result.requests <= 2 + 1  # the pages that are left, and one to count


def test_records_without_an_id_do_not_make_a_window_be_read_twice(configure):
    with running(Options(invoices=20, customers=80, items=12, limits=False)) as sandbox:
        loaded = configure(sandbox, BLSYNC_QUARANTINE_SHARE="1")
        run(loaded, "customers")
        control(sandbox, "faults", faults="odd-records=6,clamp=30")
        control(sandbox, "touch", entity="customers", count=80)
        result = run(loaded, "customers")["customers"]
        odd = landed(loaded, "customers", "quarantine")
        assert any("id" not in json.loads(row["_payload"]) for row in odd)
        assert (result.rows, result.quarantined, result.requests) == (80, 6, 1 + 3)


def test_more_records_of_one_instant_than_fit_a_page_come_whole(configure, larger):
    loaded = configure(larger)
    run(loaded, "invoices")
    control(larger, "ties", entity="invoices", count=250)
    assert run(loaded, "invoices")["invoices"].rows == 250
    assert_in_step_despite(loaded, larger, "invoices")


def test_one_per_cent_changed_costs_its_pages_and_one_request(configure):
    with running(Options(invoices=600, customers=15, items=12, months=3, limits=False)) as sandbox:
        loaded = configure(sandbox)
        run(loaded, "invoices")
        control(sandbox, "touch", entity="invoices", count=16)
        assert run(loaded, "invoices")["invoices"].requests == 1
        control(sandbox, "touch", entity="invoices", count=250)
        result = run(loaded, "invoices")["invoices"]
        assert (result.rows, result.requests) == (250, 3 + 1)


def test_the_largest_page_is_learnt_once(configure, larger):
    loaded = configure(larger)
    control(larger, "faults", faults="max-limit=40")
    first = run(loaded, "customers")["customers"]
    assert first.requests == 1 + math.ceil(first.rows / 40)
    assert run(loaded, "customers")["customers"].requests == 1


@pytest.mark.deep
def test_a_key_that_is_revoked_in_the_middle_stops_at_once_and_loses_nothing(configure):
    # Books of its own: what other tests changed in the last minutes would be in the window.
    with running(Options(invoices=1500, customers=40, items=15, limits=False)) as sandbox:
        loaded = configure(sandbox)
        pages = sum(math.ceil(len(on_server(sandbox, n)) / 100) for n in ("customers", "invoices"))
        control(sandbox, "faults", faults="revoke-after=9")
        control(sandbox, "reset-stats")
        with pytest.raises(Unauthorized, match="BIGLEDGER_API_KEY"):
            run(loaded, "customers", "invoices")
        asked = requests_at(sandbox)
        assert asked <= 9 + 3  # each entity's walk may have one under way
        control(sandbox, "faults", faults="")
        run(loaded, "customers", "invoices")
        assert requests_at(sandbox) - 9 <= pages + 2
        assert_in_step_despite(loaded, sandbox, "invoices")


def test_unknown_and_newly_null_fields_are_told_once(configure, larger):
    loaded = configure(larger)
    first = run(loaded, "customers")["customers"]
    assert (first.unknown_fields, first.newly_null) == ([], [])
    control(larger, "faults", faults="extra-fields,null-fields=phone")
    control(larger, "touch", entity="customers", count=3)
    second = run(loaded, "customers")["customers"]
    assert second.newly_null == ["phone"]
    assert second.unknown_fields
    control(larger, "touch", entity="customers", count=3)
    assert run(loaded, "customers")["customers"].newly_null == []


def test_too_many_odd_records_fail_their_entity_until_the_server_is_mended(configure, larger):
    loaded = configure(larger)
    control(larger, "faults", faults="odd-records=4")
    with pytest.raises(BlsyncError, match="4 of 24 new customers cannot be typed"):
        run(loaded, "customers")
    assert landed(loaded, "customers") == landed(loaded, "customers", "quarantine") == []
    control(larger, "faults", faults="")
    result = run(loaded, "customers")["customers"]
    assert (result.rows, result.quarantined) == (20, 0)


def test_too_many_odd_records_are_not_asked_for_again_where_more_are_allowed(configure, larger):
    control(larger, "faults", faults="odd-records=4")
    (result,) = pull(
        loaded := configure(larger), loaded.companies()[0], select(["customers"])
    ).values()
    assert isinstance(result.error, BlsyncError)
    loaded = configure(larger, BLSYNC_QUARANTINE_SHARE="0.5")
    result = run(loaded, "customers")["customers"]
    assert (result.rows, result.quarantined) == (20, 4)


def test_a_late_commit_behind_the_watermark_is_met_by_the_overlap(configure):
    with running(Options(invoices=10, customers=15, items=12, months=3, limits=False)) as sandbox:
        loaded = configure(sandbox)
        run(loaded, "customers")
        control(sandbox, "faults", faults="late-commit=5s")
        control(sandbox, "touch", entity="customers", count=2)
        assert run(loaded, "customers")["customers"].rows == 0
        control(sandbox, "faults", faults="")
        assert run(loaded, "customers")["customers"].rows == 2
        assert_in_step_despite(loaded, sandbox, "customers")
