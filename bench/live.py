"""From a change at BigLedger to the published mart, by way of its event.

    bench/live.py [--changes N] [--pause SECONDS] [--invoices N] [--left N]

A sandbox, a first sync, then `blsync listen` as a process of its own, subscribed to the sandbox's
webhooks. Every pause a customer's phone is changed there; each published file is asked which of the
changes it shows. Shown are the seconds from the change to the mart, those from the stored event to
the load that satisfied it, how fast webhooks were answered, and the requests that were spent. With
`--left` the hour has only so many requests left when the changes begin.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx

from blsync.sandbox import Handle, Options, running

BLSYNC = str(Path(sys.executable).with_name("blsync"))
SECRET = "a-secret-of-the-benchmark"
PATIENCE = 180.0
"""Seconds after the last change in which all have to be in the mart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--invoices", type=int, default=3000)
    parser.add_argument("--left", type=int)
    given = parser.parse_args()
    options = Options(invoices=given.invoices, customers=250, items=120, months=12)
    with tempfile.TemporaryDirectory() as folder, running(options) as server:
        env = environment(server, Path(folder))
        subprocess.run([BLSYNC, "sync"], env=env, check=True, capture_output=True)
        if given.left is not None:
            left = json.loads(
                subprocess.check_output([BLSYNC, "status", "--json"], env=env, stderr=-3)
            )["companies"][server.company_id]["quota_left"]
            used = {"faults": f"other-program={max(0, left - given.left)}"}
            httpx.post(f"{server.url}/sandbox/faults", json=used).raise_for_status()
        measure(server, Path(folder), env, given.changes, given.pause)


def environment(server: Handle, data: Path) -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))},
        "BIGLEDGER_BASE_URL": server.base_url,
        "BIGLEDGER_API_KEY": server.api_key,
        "BIGLEDGER_COMPANY_ID": server.company_id,
        "BLSYNC_DATA": str(data),
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_START": str(datetime.now(UTC).date() - timedelta(days=1)),
        "BLSYNC_WEBHOOK_SECRET": SECRET,
    }


def measure(server: Handle, data: Path, env: dict[str, str], changes: int, pause: float) -> None:
    command = [BLSYNC, "listen", "--port", "0"]
    with (
        (data / "listen.log").open("w+") as log,
        subprocess.Popen(command, env=env, stderr=log) as listener,
        api(server) as client,
    ):
        try:
            url = address(data / "listen.log")
            subscription = {"url": url, "events": ["customer.updated"], "secret": SECRET}
            made = client.post("/webhooks/subscribe", json=subscription).json()["data"]
            ids = [one["id"] for one in client.get("/customers?limit=100").json()["data"]]
            time.sleep(15)  # the process that pulls takes up Dagster once
            httpx.post(f"{server.url}/sandbox/reset-stats").raise_for_status()
            made_at, seen_at = play(client, data, ids, changes, pause)
            about = client.get(f"/webhooks/{made['id']}/logs?limit=500").json()["data"]
        finally:
            listener.send_signal(signal.SIGINT)
    asked = httpx.get(f"{server.url}/sandbox/stats").json()["routes"]
    read = {route: n for route, n in asked.items() if route.startswith("GET ")}
    reads = sum(n for route, n in read.items() if "webhooks" not in route)
    waits = [seen_at[n] - made_at[n] for n in seen_at]
    tell("from the change to the published mart, seconds", waits)
    tell("from the stored event to its load, seconds", delays(data))
    tell("answer to a webhook, ms", [row["responseTime"] for row in about])
    print(f"{len(waits)} of {changes} changes in the mart, {reads} requests")


def play(
    client: httpx.Client, data: Path, ids: list[str], changes: int, pause: float
) -> tuple[dict[int, float], dict[int, float]]:
    """Make the changes; return when each was made, and when the mart showed it first."""
    made_at: dict[int, float] = {}
    seen_at: dict[int, float] = {}
    looked_at: Any = None
    while len(seen_at) < changes:
        now = time.monotonic()
        number = len(made_at)
        if number < changes and (not made_at or now - made_at[number - 1] >= pause):
            made_at[number] = now
            body = {"phone": f"+60 {number}"}
            client.put(f"/customers/{ids[number % len(ids)]}", json=body).raise_for_status()
        if len(made_at) == changes and now - made_at[changes - 1] > PATIENCE:
            break
        published = (data / "blsync.duckdb").stat().st_mtime_ns
        if published != looked_at:
            looked_at = published
            for number in shown(data):
                seen_at.setdefault(number, time.monotonic())
        time.sleep(0.1)
    return made_at, seen_at


def shown(data: Path) -> list[int]:
    with duckdb.connect(str(data / "blsync.duckdb"), read_only=True) as db:
        rows = db.sql("select phone from finance.customers where phone similar to '\\+60 [0-9]+'")
        return [int(phone.split()[1]) for (phone,) in rows.fetchall() if phone.count(" ") == 1]


def delays(data: Path) -> list[float]:
    with duckdb.connect(str(data / "blsync.duckdb"), read_only=True) as db:
        rows = db.sql(
            "select delay_seconds from finance.webhook_log where delay_seconds is not null"
        )
        return [float(seconds) for (seconds,) in rows.fetchall()]


def address(log: Path) -> str:
    while True:
        with contextlib.suppress(IndexError):
            return log.read_text().split("Listening at ")[1].split()[0].rstrip(".")
        time.sleep(0.1)


def api(server: Handle) -> httpx.Client:
    headers = {"Authorization": f"Bearer {server.api_key}", "X-Company-Id": server.company_id}
    return httpx.Client(base_url=server.base_url, headers=headers, timeout=60)


def tell(what: str, figures: Sequence[float]) -> None:
    if not figures:
        print(f"{what}: none")
        return
    ordered = sorted(figures)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    print(f"{what}: median {statistics.median(ordered):.1f}, 95th percentile {p95:.1f}")


if __name__ == "__main__":
    main()
