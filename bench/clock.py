"""What a clock that is wrong does to real syncs: a shifted system clock (libfaketime), one sandbox.

Each night is a `blsync sync` process of its own; the sandbox runs by the real clock. Shown are what
each command ends with, what it says, and whether landing and server tie afterwards. It fails where
one of them is not as promised.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import httpx

from blsync.sandbox import Handle, Options, running

OPTIONS = Options(invoices=60, customers=30, items=10, months=3, limits=False)
BLSYNC = Path(sys.executable).with_name("blsync")
NO_FAKETIME = (
    "faketime is not here, so nothing was measured: install it (`apt-get install faketime`, "
    "`brew install libfaketime`) and run this again."
)


@dataclass
class Done:
    """What a command came to."""

    code: int
    report: dict[str, Any]
    said: str
    seconds: float


def main() -> None:
    if not shutil.which("faketime"):
        print(NO_FAKETIME, file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder, running(OPTIONS) as sandbox:
        for scene in (two_years_ahead_and_told, two_years_ahead_and_not_told, four_minutes_back):
            data = Path(folder) / scene.__name__
            faults(sandbox, "")
            print(f"\n{(scene.__doc__ or '').strip()}")
            scene(sandbox, data)


def two_years_ahead_and_told(sandbox: Handle, data: Path) -> None:
    """A clock two years ahead, of a server that tells the time."""
    refused = blsync(sandbox, data, "sync", clock="+2y")
    show("sync under +2y", refused)
    expect(refused.code == 2 and "time server" in refused.said, "it is refused")
    expect(not landed(data), "nothing landed")
    right = blsync(sandbox, data, "sync")
    show("sync, clock right", right)
    expect(right.code == 0 and ties(sandbox, data), "all landed and tied out")


def two_years_ahead_and_not_told(sandbox: Handle, data: Path) -> None:
    """A night two years ahead that nobody noticed, because the server tells no time."""
    faults(sandbox, "clock=none")
    expect(blsync(sandbox, data, "sync", "--no-build").code == 0, "a first sync, clock right")
    night(sandbox)
    wrong = blsync(sandbox, data, "sync", "--no-build", clock="+2y")
    show("sync under +2y", wrong)
    expect(wrong.code == 0, "it lands, dated ahead")
    night(sandbox)
    faults(sandbox, "")
    stopped = blsync(sandbox, data, "sync", "--no-build")
    show("sync, clock right", stopped)
    expect(stopped.code == 2 and "blsync repair" in stopped.said, "it says what to do")
    repaired = blsync(sandbox, data, "repair")
    show("repair", repaired)
    expect(repaired.code == 0 and bool(repaired.report["dated_anew"]), "it dates anew")
    right = blsync(sandbox, data, "sync")
    show("sync, clock right", right)
    expect(right.code == 0 and ties(sandbox, data), "all landed and tied out")


def four_minutes_back(sandbox: Handle, data: Path) -> None:
    """A clock that is set back by four minutes between two nights."""
    expect(blsync(sandbox, data, "sync", "--no-build").code == 0, "a first sync, clock right")
    night(sandbox)
    back = blsync(sandbox, data, "sync", clock="-240s")
    show("sync under -4m", back)
    expect(back.code == 0 and ties(sandbox, data), "the later versions win, all tied out")


def blsync(sandbox: Handle, data: Path, *arguments: str, clock: str = "") -> Done:
    """Run the command by its own system clock, shifted where `clock` says so."""
    # Dagster takes note of each day since the first one, which takes minutes for two years of them.
    shift = timedelta(days=730 if clock.endswith("y") else 0)
    first = (datetime.now(ZoneInfo("Asia/Kuala_Lumpur")) + shift).date()
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("BLSYNC_")},
        "BLSYNC_DATA": str(data),
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_START": str(first),
        "BIGLEDGER_BASE_URL": sandbox.base_url,
        "BIGLEDGER_API_KEY": sandbox.api_key,
        "BIGLEDGER_COMPANY_ID": sandbox.company_id,
        "BLSYNC_QUOTA_PER_HOUR": "100000",
        "BLSYNC_QUOTA_PER_SECOND": "1000",
        # A loop that waits by the monotonic clock would wait for years.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    shifted = ["faketime", "-f", clock] if clock else []
    command = [*shifted, str(BLSYNC), *arguments, "--json"]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=err, start_new_session=True
        )
        code = process.wait(timeout=900)
        # Under a shifted clock Dagster leaves the processes behind that follow its logs.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        seconds = time.monotonic() - began
        out.seek(0)
        err.seek(0)
        told, said = out.read(), err.read()
    report = json.loads(told) if told.strip().startswith("{") else {}
    return Done(code, report, said, seconds)


def show(name: str, done: Done) -> None:
    told = [line for line in done.said.splitlines() if line.startswith("Error:")]
    print(f"  {name:18} exit {done.code}  {done.seconds:5.1f} s  {' '.join(told)[:300]}")
    if done.report and not told:
        counts = {name: len(v) for name, v in done.report.items() if isinstance(v, list) and v}
        rows = {name: e["rows"] for name, e in done.report.get("entities", {}).items() if e["rows"]}
        print(f"  {'':18} {json.dumps(counts or rows)}")


def expect(is_so: bool, what: str) -> None:
    print(f"  {'ok' if is_so else 'NOT SO'}: {what}")
    if not is_so:
        sys.exit(1)


def faults(sandbox: Handle, text: str) -> None:
    httpx.post(f"{sandbox.url}/sandbox/faults", json={"faults": text}).raise_for_status()


def night(sandbox: Handle) -> None:
    httpx.post(f"{sandbox.url}/sandbox/night", json={}).raise_for_status()


def landed(data: Path) -> list[Path]:
    return [*(data / "landing").rglob("2*.parquet")]


def ties(sandbox: Handle, data: Path) -> bool:
    """Tell whether the published marts tie out, and every customer is as the server has it."""
    with duckdb.connect(data / "blsync.duckdb", read_only=True) as db:
        off = db.sql("select count(*) from finance.reconciliation where status = 'fail'").fetchall()
        ours = dict(
            db.sql(
                "select customer_id, updated_at from history.customers where is_latest"
            ).fetchall()
        )
        ahead = db.sql(
            "select count(*) from history.customers where known_from > now()::timestamp "
            "+ interval 1 day"
        ).fetchall()
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "X-Company-Id": sandbox.company_id}
    url = f"{sandbox.base_url}/customers"
    answer = httpx.get(url, params={"limit": "100"}, headers=headers).json()
    theirs = {
        record["id"]: datetime.fromisoformat(record["updatedAt"]).astimezone(UTC)
        for record in answer["data"]
    }
    same = {key: at.replace(tzinfo=UTC) for key, at in ours.items()} == theirs
    return off == [(0,)] and ahead == [(0,)] and same


if __name__ == "__main__":
    main()
