"""Events at their worst: floods, kills, a stream that is cut all the time, everything at once."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.dataset as ds
import pytest
from rig import patient
from rig.warm import PYTHON
from test_cli import blsync
from test_live import (
    SECRET,
    Listening,
    event,
    listening,
    live_environment,
    pulled_at,
    signed,
    stored_in,
    wait_for,
)
from test_pull import api, control

from blsync.sandbox import Handle, Options, running

pytestmark = pytest.mark.deep
FLOOD = 2000
WORKERS = 24
ENTITIES = {"customers": "customers", "invoices": "invoices", "journal_entries": "journal-entries"}


@pytest.fixture
def server() -> Iterator[Handle]:
    with running(Options(invoices=60, customers=15, items=12, months=3, limits=False)) as handle:
        yield handle


def landed(env: dict[str, str], entity: str) -> dict[str, Any]:
    """Return the latest version that landed of each record, without those found deleted."""
    folder = Path(env["BLSYNC_DATA"]) / "landing" / entity
    columns = ["id", "_payload", "_op", "_pulled_at"]
    rows = ds.dataset(folder, format="parquet").to_table(columns).to_pylist()
    latest = {row["id"]: row for row in sorted(rows, key=pulled_at)}
    return {
        key: json.loads(row["_payload"]) for key, row in latest.items() if row["_op"] == "upsert"
    }


def on_server(server: Handle, entity: str) -> dict[str, Any]:
    answer = patient.get(f"{server.url}/sandbox/records", params={"entity": entity})
    return {record["id"]: record for record in answer.json()}


def equal(env: dict[str, str], server: Handle) -> bool:
    return all(landed(env, name) == on_server(server, name) for name in ENTITIES)


def test_no_acknowledged_event_of_a_flood_is_lost_by_a_kill_and_none_is_there_twice(
    server, tmp_path
):
    env = live_environment(tmp_path, server)
    told = [event("customer.updated", f"cust_{n}") for n in range(FLOOD)]
    bodies = [json.dumps(one).encode() for one in told]
    acknowledged: list[str] = []
    process = Listening(env, "--no-build", is_cold=True)
    with httpx.Client(limits=httpx.Limits(max_connections=WORKERS), timeout=60) as client:

        def send(n: int) -> None:
            headers = {"X-Signature": signed(bodies[n], SECRET)}
            try:
                answer = client.post(process.url, content=bodies[n], headers=headers)
            except httpx.HTTPError:
                return
            if answer.status_code == 202:
                acknowledged.append(told[n]["id"])

        with ThreadPoolExecutor(WORKERS) as threads:
            flood = [threads.submit(send, n) for n in range(FLOOD)]
            wait_for(lambda: len(acknowledged) >= FLOOD // 3)
            process.kill()
            for sent in flood:
                sent.result()
    assert FLOOD // 3 <= len(acknowledged) < FLOOD
    stored = [row["event_id"] for row in stored_in(env)]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    with listening(env, "--no-build", is_cold=True) as again, ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(again.send, bodies)]
    assert {answer.status_code for answer in answers} == {202}
    stored = [row["event_id"] for row in stored_in(env)]
    assert sorted(stored) == sorted(one["id"] for one in told)


def test_who_pulls_for_the_listener_tells_as_the_listener_does(server, tmp_path):
    env = live_environment(tmp_path, server)
    with listening(env, "--no-build", "--log-format", "json", is_cold=True) as process:
        assert process.send(event("moon.waned")).status_code == 202
        assert process.send(event("customer.created")).status_code == 202
        wait_for(lambda: any("no sync has pulled yet" in line for line in process.said))
    told = [json.loads(line) for line in process.said]
    assert {(line["command"], line["level"], line["event"]) for line in told} == {
        ("listen", "info", "note")
    }
    assert len({line["run"] for line in told}) == 2


def test_nothing_is_missed_where_the_stream_is_cut_every_second_for_a_minute(server, tmp_path):
    env = live_environment(tmp_path, server)
    assert blsync("sync", "--no-build", env=env).returncode == 0
    control(server, "faults", faults="cut-stream=1s")
    with listening(env, "--no-build", "--stream") as process, api(server) as client:
        ids = [one["id"] for one in client.get("/customers").json()["data"]]
        until = time.monotonic() + 60
        changes = 0
        while time.monotonic() < until:
            changes += 1
            body = {"name": f"Kedai {changes}", "email": f"kedai{changes}@example.com"}
            client.post("/customers", json=body).raise_for_status()
            client.put(f"/customers/{ids[changes % len(ids)]}", json={"phone": f"+60 {changes}"})
            time.sleep(0.5)
        control(server, "faults", faults="")
        wait_for(lambda: equal(env, server))
        assert any("stream was cut" in line for line in process.said)
    assert patient.get(f"{server.url}/sandbox/stats").json()["requests"] < 900


def test_events_that_are_late_doubled_disordered_or_forged_leave_nothing_out(server, tmp_path):
    env = live_environment(tmp_path, server)
    assert blsync("sync", "--no-build", env=env).returncode == 0
    with listening(env, "--no-build") as process, api(server) as client:
        ids = [one["id"] for one in client.get("/customers").json()["data"]]
        subscription = {"url": process.url, "events": ["*"], "secret": SECRET}
        client.post("/webhooks/subscribe", json=subscription).raise_for_status()
        faults = "late-events=300ms,shuffle-events,double-events=0.4,forge-events=0.3"
        control(server, "faults", faults=faults)
        for number in range(60):
            body = {"phone": f"+60 {number}"}
            client.put(f"/customers/{ids[number % len(ids)]}", json=body).raise_for_status()
        wait_for(lambda: any("was refused" in line for line in process.said))
        wait_for(lambda: any(row["duplicates"] for row in process.stored.values()))
        control(server, "faults", faults="")
        client.put(f"/customers/{ids[0]}", json={"phone": "+60 last"}).raise_for_status()
        wait_for(lambda: equal(env, server))
        stored = process.stored.values()
    sent = [row["sent_at"] for row in sorted(stored, key=lambda row: row["seq"])]
    assert sent != sorted(sent)


QUOTA, WINDOW = 60, 20
"""Requests in so many seconds: less than what runs at once would send."""


def test_a_listener_a_night_a_sync_a_backfill_and_a_push_at_once_land_what_the_server_has(
    tmp_path,
):
    limits = {"per_hour": QUOTA, "window_seconds": WINDOW}
    with running(Options(invoices=60, customers=15, items=12, months=3, **limits)) as server:
        env = live_environment(
            tmp_path,
            server,
            BLSYNC_QUOTA_PER_HOUR=str(QUOTA),
            BLSYNC_QUOTA_WINDOW_SECONDS=str(WINDOW),
            BLSYNC_QUOTA_PER_SECOND="10",
        )
        assert blsync("sync", "--no-build", env=env).returncode == 0
        sheet = tmp_path / "customers.csv"
        lines = [f"Kedai {n},kedai.push{n}@example.com,Kuala Lumpur" for n in range(40)]
        sheet.write_text("\n".join(["name,email,billingAddress.city", *lines]))
        planned = blsync("push", "plan", "customers", str(sheet), "--json", env=env)
        assert planned.returncode == 0, planned.stderr
        plan_id = json.loads(planned.stdout)["plan_id"]
        yesterday = str(datetime.now(UTC).date() - timedelta(days=1))
        commands = [
            ("push", "apply", plan_id, "--yes"),
            ("sync",),
            ("sync", "--no-build", "customers", "invoices"),
            ("sync", "--no-build", "--from", yesterday),
        ]
        with listening(env, "--no-build") as process:
            subscription = {"url": process.url, "events": ["*"], "secret": SECRET}
            with api(server) as client:
                # The second may be used up by the sync just now: that is the test's own refusal.
                wait_for(
                    lambda: client.post("/webhooks/subscribe", json=subscription).status_code == 201
                )
            control(server, "reset-stats")
            together = [
                subprocess.Popen(
                    [PYTHON, "-m", "blsync.cli", *command],
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for command in commands
            ]
            night = threading.Thread(target=control, args=(server, "night"), kwargs={"seed": 7})
            night.start()
            for one in together:
                _, said = one.communicate(timeout=600)
                assert one.returncode == 0, said
            night.join()
            wait_for(lambda: equal(env, server))
        stats = patient.get(f"{server.url}/sandbox/stats").json()
        assert stats["refused"] == 0
        assert stats["max_per_window"] <= QUOTA < stats["requests"]
        shown = json.loads(blsync("push", "show", plan_id, "--json", env=env).stdout)
        assert shown["outcomes"]["applied"] == 40
