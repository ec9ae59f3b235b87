"""The whole job against a local BigLedger: two syncs with a night between, and a push.

Everything is kept under `demo/` in the data folder, apart from a real company's books.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from blsync import marts, push, settings
from blsync.errors import BlsyncError, ConfigError
from blsync.files.atomic import storage_errors
from blsync.files.places import IS_CHECKOUT, ROOT
from blsync.orchestration import nightly
from blsync.orchestration.nightly import SyncReport
from blsync.session import Progress, binding, open_session
from blsync.settings import Settings
from blsync.ui import is_free, lifeline, open_ui
from blsync.ui.lifeline import Child

BOOKS = ("--invoices", "3000", "--customers", "250", "--items", "120")
START_SECONDS = 60
KEY, COMPANY = "blg_test_sk_sandbox", "company_sandbox"
DEBTORS = (
    f"from finance.ar_aging_today where company_id = '{COMPANY}' "
    "order by total_outstanding desc limit 5"
)

_Table = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]


@dataclass
class DemoReport:
    """What the demo did and how it came out."""

    data: Path
    base_url: str
    is_kept: bool
    syncs: list[SyncReport] = field(default_factory=list)
    tie_outs: list[dict[str, Any]] = field(default_factory=list)
    push: push.PlanReport | None = None

    @property
    def exit_code(self) -> int:
        """0 where every figure ties out after both syncs and every sent row was applied."""
        is_tied = all(off == 0 for tie_out in self.tie_outs for off in tie_out.values())
        is_pushed = self.push is not None and self.push.exit_code == 0
        return 0 if len(self.tie_outs) == 2 and all(self.tie_outs) and is_tied and is_pushed else 1

    def to_json(self) -> dict[str, Any]:
        """Return {syncs, tie_out, push}; `tie_out` is the last one, each sync has its own."""
        return {
            "syncs": [
                sync.to_json() | {"tie_out": tie_out}
                for sync, tie_out in zip(self.syncs, self.tie_outs, strict=True)
            ],
            "tie_out": self.tie_outs[-1],
            "push": self.push.to_json() if self.push else None,
        }

    def tables(self) -> Iterator[_Table]:
        """Yield title, headers and rows of the closing tables."""
        first, second = (sync.to_json()["entities"] for sync in self.syncs)
        yield (
            "Records and requests",
            ("entity", "first sync", "requests", "after a night", "requests"),
            [
                (name, f["rows"], f["requests"], second[name]["rows"], second[name]["requests"])
                for name, f in first.items()
            ],
        )
        before, after = self.tie_outs
        yield (
            "Difference between the marts and BigLedger's own reports",
            ("report", "first sync", "after a night"),
            [(name, _cents(off), _cents(after.get(name))) for name, off in before.items()],
        )
        if self.push:
            told = self.push.to_json()
            counts = [(name, n) for name, n in told["counts"].items() if n]
            outcomes = [(name, n) for name, n in told["outcomes"].items() if n]
            yield "Push: rows planned, and what became of them", ("", "rows"), counts + outcomes

    def next_steps(self) -> str:
        """Return the three things to try next."""
        blsync = ".venv/bin/blsync" if IS_CHECKOUT else "blsync"
        ui = "make ui-demo     " if IS_CHECKOUT else "blsync ui --demo "
        steps = [
            "",
            "Try next:",
            f'  BLSYNC_DATA={_short(self.data)} {blsync} query "{DEBTORS}"',
            f"  {ui}       then click a backfill of raw/invoices",
            f"  {blsync} init books   put your key into books/.env, then as its README says",
        ]
        if self.is_kept:
            steps.append(f"The sandbox stays at {self.base_url}.")
        return "\n".join(steps)


def run(
    current: Settings,
    *,
    keep: bool,
    port: int,
    progress: Progress,
    say: Callable[[str], None],
) -> DemoReport:
    """Run the demo. Raises ConfigError where the port is taken, or what made a step fail."""
    data = current.data / "demo"
    _stop_earlier(data)
    with storage_errors(data):
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700, parents=True)
    say("Starting a local BigLedger …")
    with _sandbox(data, port or _free_port(), keep=keep) as base_url:
        report = DemoReport(data, base_url, keep)
        _enter(data, base_url, current)
        inside = settings.load()
        _sync(inside, report, "First sync", progress, say)
        say("A night of business …")
        _control(base_url, "night", timeout=60)
        _sync(inside, report, "Second sync", progress, say)
        say("Planning and applying a change of customers …")
        changes = _changes(inside, data)
        with open_session(inside, say=say) as session:
            plan = push.plan(session, inside.companies()[0], "customers", changes)
            report.push = push.apply(session, plan.to_json()["plan_id"])
    return report


def ui(
    current: Settings,
    port: int,
    *,
    hosts: Iterable[str],
    say: Callable[[str], None],
    show_address: Callable[[str], None],
) -> None:
    """Open Dagster's UI on the demo's data, with its sandbox running, as `open_ui` does."""
    data = current.data / "demo"
    if not (data / "sandbox.json").exists():
        raise ConfigError("There is no demo yet. Run `make demo` first.")
    _stop_earlier(data)
    wanted = int(json.loads((data / "sandbox.json").read_text())["port"])
    chosen = wanted if is_free(wanted) else _free_port()
    with _sandbox(data, chosen, keep=False) as base_url:
        _enter(data, base_url, current)
        binding.bind_anew(settings.load())  # the same books, perhaps at another port
        say(f"Sandbox at {base_url}. Ctrl-C stops it with the UI.")
        open_ui(settings.load(), port, hosts=hosts, say=say, show_address=show_address)


def _sync(
    inside: Settings, report: DemoReport, title: str, progress: Progress, say: Callable[[str], None]
) -> None:
    say(f"{title}: pull, build, check, publish …")
    done = nightly.sync(inside, progress=progress, say=say)
    if done.error:
        raise done.error
    report.syncs.append(done)
    report.tie_outs.append(marts.tie_out(inside))


def _changes(inside: Settings, data: Path) -> Path:
    """Write a spreadsheet as finance would send it: raises, new customers, mistakes."""
    _, known = marts.fetch_rows(
        inside,
        "select email, credit_limit from finance.customers "
        "where email is not null and not is_deleted and status = 'active' "
        "order by customer_number limit 10",
    )
    path = data / "credit limits.csv"
    with storage_errors(path), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "name", "creditLimit", "paymentTerms"])
        for number, (email, limit) in enumerate(known):
            raised = (limit or 0) + 5000 if number < 8 else limit
            writer.writerow([email, "", "" if raised is None else raised, ""])
        writer.writerow(["accounts@kedai-baharu.example", "Kedai Runcit Baharu", "8000.00", "30"])
        writer.writerow(["finance@harapan-maju.example", "Harapan Maju Sdn Bhd", "12000.00", "45"])
        writer.writerow(["not-an-address", "Mistyped Sdn Bhd", "1000.00", "30"])
        writer.writerow(["terms@too-long.example", "Too Long Sdn Bhd", "1000.00", "400"])
    return path


def _enter(data: Path, base_url: str, current: Settings) -> None:
    """Set the environment to the demo's; a real company's settings stay out of it."""
    for name in list(os.environ):
        if name.startswith(("BIGLEDGER_", "BLSYNC_")):
            del os.environ[name]
    today = datetime.now(current.zone).date()
    os.environ |= {
        "BLSYNC_ENV_FILE": os.devnull,
        "BIGLEDGER_BASE_URL": base_url,
        "BIGLEDGER_API_KEY": KEY,
        "BIGLEDGER_COMPANY_ID": COMPANY,
        "BLSYNC_DATA": str(data),
        "BLSYNC_START": str(today - timedelta(days=6)),
        "DAGSTER_HOME": "",
    }


@contextlib.contextmanager
def _sandbox(data: Path, port: int, *, keep: bool) -> Iterator[str]:
    if not is_free(port):
        raise ConfigError(
            f"Port {port} on 127.0.0.1 is taken. Choose another with --port, or leave --port out."
        )
    command = [sys.executable, "-m", "blsync.cli", "sandbox", "--port", str(port), *BOOKS]
    command += ["--database", str(data / "sandbox.db")]
    with (data / "sandbox.log").open("wb") as log:
        server = lifeline.start(command, output=log, env=settings.environment_for_a_child({}))
    is_done = False
    try:
        base_url = f"http://127.0.0.1:{port}/v1"
        _await(server, base_url, data / "sandbox.log")
        (data / "sandbox.json").write_text(json.dumps({"pid": server.pid, "port": port}))
        yield base_url
        is_done = True
    finally:
        if keep and is_done:
            server.release()
        else:
            server.end()


def _await(server: Child, base_url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.exit_code is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise BlsyncError(f"The sandbox did not start: {lines[-1] if lines else 'no word'}")
        with contextlib.suppress(BlsyncError):
            _control(base_url, "stats")
            return
        time.sleep(0.1)
    raise BlsyncError(f"The sandbox did not answer within {START_SECONDS} s; see {log}.")


def _control(base_url: str, route: str, timeout: float = 5) -> None:
    """Ask the sandbox's own routes, past any proxy. Raises BlsyncError where it does not answer."""
    method = "POST" if route == "night" else "GET"
    url = f"{base_url.removesuffix('/v1')}/sandbox/{route}"
    try:
        httpx.request(method, url, timeout=timeout, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise BlsyncError(f"{method} {url}: the sandbox did not answer ({error}).") from None


def _stop_earlier(data: Path) -> None:
    """Stop a sandbox that an earlier `--keep` left running, if it is still ours and answers."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        left = json.loads((data / "sandbox.json").read_text())
        with contextlib.suppress(BlsyncError):
            _control(f"http://127.0.0.1:{left['port']}/v1", "stats")
            os.kill(left["pid"], signal.SIGTERM)
            for _ in range(50):
                if is_free(left["port"]):
                    break
                time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cents(value: Any) -> Decimal | str:
    return "not compared" if value is None else Decimal(f"{value:.2f}")


def _short(path: Path) -> str:
    is_inside = IS_CHECKOUT and path.is_relative_to(ROOT)
    return str(path.relative_to(ROOT)) if is_inside else str(path)
