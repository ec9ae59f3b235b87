"""What 400 nights leave behind, and what the nights take after them: sizes and times, as a table.

Each night the limits of some customers change, every fifth by a push, and what changed is pulled,
on small books that stay as they are, under a system clock that is a day further each time
(libfaketime). The nights that are shown are whole: pull, build, checks, publishing. Of the others
customers are pulled, every fifth night everything, and Dagster's history gets a copy of what the
night before recorded. `prune` runs after each. Fails where the last nights take up more than they
may.
"""

from __future__ import annotations

import csv
import os
import resource
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from blsync.sandbox import Handle, Options, running

OPTIONS = Options(invoices=40, customers=12, items=6, months=2, modules=False, limits=False)
NIGHTS = 400
SHOWN = (2, 50, 100, 200, 400)
CHANGED = 3
"""Customers that change each night."""
MOST_GROWTH = 1.25
"""What the last night shown may take up of what was there when the first term was over."""
NO_FAKETIME = (
    "faketime is not here, so nothing was measured: install it (`apt-get install faketime`, "
    "`brew install libfaketime`) and run this again."
)
CLOCK = {
    "FAKETIME_NO_CACHE": "1",  # the clock is set anew between two nights
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "DONT_FAKE_MONOTONIC": "1",
}


def main(nights: int) -> None:
    if not shutil.which("faketime"):
        print(NO_FAKETIME, file=sys.stderr)
        return
    command = ["faketime", "-m", "-f", "+0d", sys.executable, __file__, "under", str(nights)]
    sys.exit(subprocess.run(command, env={**os.environ, **CLOCK}, check=False).returncode)


def under_faketime(nights: int) -> None:
    os.environ.pop("LD_PRELOAD", None)  # programs that Dagster starts have the real clock
    # Python's own sleep names a moment of the monotonic clock, which libfaketime does not take.
    time.sleep = lambda seconds: select.select([], [], [], max(0.0, seconds)) and None
    with tempfile.TemporaryDirectory() as folder, running(OPTIONS) as sandbox:
        data = Path(folder) / "data"
        os.environ |= environment(sandbox, data)
        shown = run_nights(sandbox, data, nights)
    print_table(shown)
    check(shown)


def environment(sandbox: Handle, data: Path) -> dict[str, str]:
    return {
        "BLSYNC_DATA": str(data),
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_START": str((datetime.now(UTC) - timedelta(days=1)).date()),
        "BIGLEDGER_BASE_URL": sandbox.base_url,
        "BIGLEDGER_API_KEY": sandbox.api_key,
        "BIGLEDGER_COMPANY_ID": sandbox.company_id,
        "BLSYNC_QUOTA_PER_HOUR": "1000000",
        "BLSYNC_QUOTA_PER_SECOND": "10000",
    }


def run_nights(sandbox: Handle, data: Path, nights: int) -> list[dict[str, Any]]:
    from blsync import settings
    from blsync.orchestration import nightly, upkeep

    current, shown = settings.load(), []
    customers = customers_of(sandbox)
    for night in range(1, nights + 1):
        os.environ["FAKETIME"] = f"+{night - 1}d"
        began, cpu = time.perf_counter(), time.process_time()
        change_limits(current, sandbox, customers, night)
        if night == 1 or night in (*SHOWN, nights):
            began, cpu = time.perf_counter(), time.process_time()
            if error := nightly.sync(current, say=lambda _: None).error:
                raise error
        else:
            pull_alone(current, ["customers"] if night % 5 else [])
            copy_run(data / "dagster/history")
            upkeep.prune_after_night(current, lambda text: print(text, file=sys.stderr))
        took, cpu_took = time.perf_counter() - began, time.process_time() - cpu
        if night in SHOWN or night == nights:
            row = {"night": night, "wall, s": took, "CPU, s": cpu_took, **measured(data)}
            shown.append(row)
            print(" ".join(f"{name} {value:.1f}" for name, value in row.items()), file=sys.stderr)
        elif not night % 10 or night < 6:
            print(f"night {night}: {took:.1f} s, {size(data) / 2**20:.0f} MiB", file=sys.stderr)
    return shown


def customers_of(sandbox: Handle) -> dict[str, str]:
    """Return ids and emails of those whose limits change each night."""
    answer = httpx.get(
        f"{sandbox.base_url}/customers", params={"limit": "50"}, headers=headers_of(sandbox)
    )
    records = answer.raise_for_status().json()["data"][:CHANGED]
    return {record["id"]: record["email"] for record in records}


def headers_of(sandbox: Handle) -> dict[str, str]:
    return {"Authorization": f"Bearer {sandbox.api_key}", "X-Company-Id": sandbox.company_id}


def change_limits(current: Any, sandbox: Handle, customers: dict[str, str], night: int) -> None:
    """Change the same records again, every fifth night by a push."""
    if night % 5 == 1:
        push_limits(current, customers, night, current.data.parent / "limits.csv")
        return
    for one in customers:
        httpx.put(
            f"{sandbox.base_url}/customers/{one}",
            json={"creditLimit": 1000 + night},
            headers=headers_of(sandbox),
        ).raise_for_status()


def push_limits(current: Any, customers: dict[str, str], night: int, sheet: Path) -> None:
    from blsync import push
    from blsync.session import open_session

    with sheet.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "creditLimit"])
        writer.writerows([email, 1000 + night] for email in customers.values())
    with open_session(current) as session:
        company = current.companies()[0]
        plan = push.plan(session, company, "customers", sheet, push.PlanOptions("update"))
        done = push.apply(session, plan.plan.plan_id)
    if done.outcomes["applied"] != len(customers):
        raise RuntimeError(f"night {night}: {done.outcomes}")


def pull_alone(current: Any, names: list[str]) -> None:
    """Pull these entities, or all where none is named, without Dagster."""
    from blsync.entities import select_pulled
    from blsync.pull import pull, raise_failures
    from blsync.session import open_session

    with open_session(current) as session:
        raise_failures(
            pull(session, current.companies()[0], select_pulled(names, current.entities))
        )


def copy_run(history: Path) -> None:
    """Record the last night's run once more, under an id of its own, a day later."""
    later, new = "+1 days", str(uuid.uuid4())
    with closing(sqlite3.connect(history / "runs.db")) as db, db:
        old, ends = db.execute(
            "select runs.run_id, value from runs join run_tags using (run_id) "
            "where key = 'dagster/asset_partition_range_end' order by runs.create_timestamp desc "
            "limit 1"
        ).fetchone()
        day = ends.rpartition("|")[2]
        next_day = str(date.fromisoformat(day) + timedelta(days=1))
        told = {"run_id": "?2", "run_body": "replace(replace(run_body, ?1, ?2), ?4, ?5)"}
        told |= {f"{at}_timestamp": f"datetime({at}_timestamp, ?3)" for at in ("create", "update")}
        copy_rows(db, "runs", told, (old, new, later, day, next_day))
        told = {"run_id": "?2", "value": "replace(value, ?4, ?5)"}
        copy_rows(db, "run_tags", told, (old, new, later, day, next_day))
    with closing(sqlite3.connect(history / f"runs/{old}.db")) as db:
        db.execute(f"vacuum into '{history}/runs/{new}.db'")
    event = "replace(replace(event, ?1, ?2), ?4, ?5)"
    told = {"run_id": "?2", "event": event, "timestamp": "datetime(timestamp, ?3)"}
    told |= {"partition": "replace(partition, ?4, ?5)"}
    given = (old, new, later, day, next_day)
    with closing(sqlite3.connect(history / f"runs/{new}.db")) as db, db:
        changes = ", ".join(f"{name} = {value}" for name, value in told.items())
        db.execute(f"update event_logs set {changes} where run_id = ?1", given)
    with closing(sqlite3.connect(history / "runs/index.db")) as db, db:
        last = db.execute("select max(id) from event_logs").fetchone()[0]
        copy_rows(db, "event_logs", told, given)
        db.execute(
            "insert into asset_event_tags (event_id, asset_key, key, value, event_timestamp) "
            "select id, asset_key, 'dagster/data_version', ?1, timestamp from event_logs "
            "where id > ?2 and dagster_event_type = 'ASSET_MATERIALIZATION'",
            (uuid.uuid4().hex * 2, last),
        )
        told = {"run_id": "?2", "evaluation_event": "replace(evaluation_event, ?1, ?2)"}
        copy_rows(db, "asset_check_executions", told, given)


def copy_rows(
    db: sqlite3.Connection, table: str, told: dict[str, str], given: tuple[str, ...]
) -> None:
    """Copy a run's rows of a table, with other values in some columns."""
    names = [row[1] for row in db.execute(f"pragma table_info({table})") if row[1] != "id"]
    values = ", ".join(told.get(name, name) for name in names)
    used = " and ".join(f"?{n} is not null" for n in range(1, len(given) + 1))
    db.execute(
        f"insert into {table} ({', '.join(names)}) select {values} from {table} "
        f"where run_id = ?1 and {used} order by rowid",
        given,
    )


def measured(data: Path) -> dict[str, float]:
    """Return sizes by part (MiB), files, and what reading the history for the UI takes (s)."""
    parts: Counter[str] = Counter()
    files = 0
    for path in data.rglob("*"):
        if path.is_file():
            files += 1
            parts[part_of(path.relative_to(data))] += path.stat().st_size
    sizes = {name: parts[name] / 2**20 for name in PARTS}
    return {
        "whole": sum(parts.values()) / 2**20,
        **sizes,
        "files": files,
        "read, s": history_read(),
        "load, s": definitions_loaded(),
    }


PARTS = ("Dagster", "ledger", "plans", "landing", "build", "published", "other")


def part_of(path: Path) -> str:
    first = path.parts[0]
    named = {"dagster": "Dagster", "plans": "plans", "landing": "landing"}
    if first.startswith("ledger"):
        return "ledger"
    if first.startswith("blsync."):
        return "published"
    return named.get(first, "build" if first.startswith("build.") else "other")


def size(data: Path) -> int:
    return sum(path.stat().st_size for path in data.rglob("*") if path.is_file())


def history_read() -> float:
    """Read what the UI's first pages show: the runs, every asset's latest, the pulled days."""
    import dagster as dg

    began = time.process_time()
    with dg.DagsterInstance.get() as instance:
        instance.get_run_records(limit=30)
        for record in instance.get_asset_records():
            if record.asset_entry.asset_key.path[0] == "raw":
                instance.get_materialized_partitions(record.asset_entry.asset_key)
    return time.process_time() - began


def definitions_loaded() -> float:
    clean = {name: text for name, text in os.environ.items() if "FAKETIME" not in name}
    clean.pop("LD_PRELOAD", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import blsync.definitions"], env=clean, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_table(shown: list[dict[str, Any]]) -> None:
    names = [*shown[0]]
    print("| " + " | ".join(names) + " |\n|" + "--:|" * len(names))
    for row in shown:
        cells = (f"{v:.1f}" if isinstance(v, float) else f"{v}" for v in row.values())
        print("| " + " | ".join(cells) + " |")


def check(shown: list[dict[str, Any]]) -> None:
    settled = [row for row in shown if row["night"] >= 100]
    for name in ("whole", "CPU, s", "read, s"):
        if settled and settled[-1][name] > MOST_GROWTH * settled[0][name]:
            print(f"NOT SO: {name} is flat after the first term", file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["under"]:
        under_faketime(int(given[1]))
    else:
        main(int(given[0]) if given else NIGHTS)
