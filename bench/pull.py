"""The pull against its floor and a peer: throughput, pace, quiet nights, kills, memory.

    bench/pull.py [throughput|pace|night|killed|memory …] [--invoices N] [--rounds N] [--million]

Every server and every pull is a process of its own. Seconds run from a process's start to its exit,
imports included; peak memory is the kernel's count for it; requests are counted by the server.
Figures are medians of rounds in which all that is compared takes turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from peers.processes import Pull, Run, sandbox, serving, table, verdict

from blsync.ledger import Ledger, loads

PEERS = Path(__file__).parent / "peers"
NO_QUOTA = {"BLSYNC_QUOTA_PER_HOUR": "100000000", "BLSYNC_QUOTA_PER_SECOND": "1000000"}
MAKE_DLT = """\
(no dlt: it needs an environment of its own, made with
  python3 -m venv dlt-env && dlt-env/bin/pip install 'dlt[parquet,filesystem]'
and named with BLSYNC_BENCH_DLT=dlt-env/bin/python)"""
OVERLAP = timedelta(minutes=5)
"""How far behind the covered time a window of blsync begins: `blsync.pull.OVERLAP`."""
FLAT = "dlt, lines as JSON text"


def seeded(folder: Path, invoices: int, customers: int = 400) -> Path:
    """Write books into a database once, for all rounds."""
    path = folder / f"books-{invoices}-{customers}.db"
    if not path.exists():
        print(f"(writing books of {invoices:,} invoices, about a second a thousand)", flush=True)
        with sandbox(invoices=invoices, customers=customers, database=str(path)):
            pass
    return path


def blsync(*entities: str) -> list[str]:
    return [sys.executable, str(PEERS / "pull_blsync.py"), *entities]


def floor(folder: Path) -> list[str]:
    return [sys.executable, str(PEERS / "pull_floor.py"), str(folder / "floor.parquet")]


def median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    return statistics.median(figure(run) for run in runs)


def throughput(folder: Path, invoices: int, rounds: int) -> None:
    """All invoices without limits into Parquet: bare script, blsync, dlt."""
    books, own = seeded(folder, invoices), folder / "throughput"
    commands = {"floor": floor(own), "blsync": blsync("invoices")}
    if python := os.environ.get("BLSYNC_BENCH_DLT"):
        commands["dlt"] = [str(Path(python).absolute()), str(PEERS / "pull_dlt.py"), str(own)]
        commands[FLAT] = [*commands["dlt"], "flat"]
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    with sandbox(database=str(books), limits=False) as server:
        for _ in range(rounds):
            for name, command in commands.items():
                server.control("reset-stats", {})
                run = Pull(server, own, command, **NO_QUOTA).end()
                assert run.printed["rows"] == invoices, run
                runs[name].append(run)
                shutil.rmtree(own)
    speed = {name: invoices / median(ended, lambda run: run.wall) for name, ended in runs.items()}
    table(
        f"throughput: {invoices:,} invoices, no limits, whole process, medians of {rounds}",
        ("", "seconds", "CPU s", "rows/s", "of floor", "peak MB", "requests"),
        [
            (
                name,
                f"{median(ended, lambda run: run.wall):.2f}",
                f"{median(ended, lambda run: run.cpu):.2f}",
                f"{speed[name]:,.0f}",
                f"{speed[name] / speed['floor']:.2f}",
                f"{median(ended, lambda run: run.peak_mb):.0f}",
                f"{median(ended, lambda run: run.requests):.0f}",
            )
            for name, ended in runs.items()
        ],
    )
    verdict("blsync/floor", speed["blsync"] / speed["floor"], 0.6, ".2f")
    if python:
        verdict("blsync/dlt", speed["blsync"] / speed["dlt"], 3, ".2f")
    else:
        print(MAKE_DLT)


def pace(folder: Path, invoices: int, rounds: int) -> None:
    """All invoices at 10 a second and 1000 an hour, 50 ms an answer; then two processes."""
    pages, half, own = -(-invoices // 100), invoices // 2, folder / "pace"
    whole, halves = seeded(folder, invoices), seeded(folder, half, customers=half)
    bare = "floor: bare script, same rule"
    cases = {
        bare: (whole, [floor(own / "0")]),
        "blsync": (whole, [blsync("invoices")]),
        "blsync, two processes on the key": (halves, [blsync("invoices"), blsync("customers")]),
    }
    runs: dict[str, list[list[Run]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (books, commands) in cases.items():
            shared = {"PACE": "10", "BLSYNC_LEDGER_URL": f"sqlite:///{own / 'ledger.db'}"}
            own.mkdir()
            # A sandbox of its own for each: the hour's quota begins anew.
            with sandbox(database=str(books), faults="latency=50ms") as server:
                pulls = [
                    Pull(server, own / str(number), command, **shared)
                    for number, command in enumerate(commands)
                ]
                runs[name].append([pull.end() for pull in pulls])
            shutil.rmtree(own)
    rows, slowest = [], 0.0
    for name, together in runs.items():
        walk, landed = (
            statistics.median(
                max(run.printed.get(end, run.printed["ended"]) for run in pair)
                - min(run.printed["began"] for run in pair)
                for pair in together
            )
            for end in ("read", "ended")
        )
        wall = statistics.median(max(run.wall for run in pair) for pair in together)
        requests = statistics.median(max(run.requests for run in pair) for pair in together)
        refused = max(run.refused for pair in together for run in pair)
        rows.append(
            (name, *(f"{s:.2f}" for s in (walk, landed, wall)), f"{requests:.0f}", f"{refused}")
        )
        slowest = slowest if name == bare else max(slowest, landed)
    table(
        f"pace: {pages} pages, 10/s, 50 ms an answer, ideal {pages / 10:g} s, medians of {rounds}",
        ("", "walk s", "landed s", "process s", "requests", "refused (most)"),
        rows,
    )
    verdict("slower landing of blsync, s", slowest, pages / 10 + 1.5, ".1f", most=True)


def night(folder: Path, invoices: int, _: int) -> None:
    """What a sync after a sync costs: nothing changed, then 1 % of the invoices."""
    books = shutil.copy(seeded(folder, invoices), folder / "night.db")
    with sandbox(database=str(books), limits=False) as server:

        def sync() -> Run:
            server.control("reset-stats", {})
            return Pull(server, folder / "night", blsync(), **NO_QUOTA).end()

        first, nothing = sync(), sync()
        touched = server.control("touch", {"entity": "invoices", "share": 0.01})["ids"]
        window = datetime.fromtimestamp(nothing.printed["began"], UTC) - OVERLAP
        in_window = server.total(f"invoices?limit=1&updatedAt[gte]={window:%Y-%m-%dT%H:%M:%SZ}")
        changed = sync()
    rows = []
    for name, one in first.printed["entities"].items():
        two, three = (run.printed["entities"][name] for run in (nothing, changed))
        figures = (one["feeds"], one["requests"], two["requests"], three["requests"], three["rows"])
        rows.append((name, *map(str, figures)))
    table(
        f"night: requests of a sync after a sync; {len(touched)} of {invoices:,} invoices changed, "
        f"{in_window} in the window with its overlap",
        ("", "feeds", "first", "nothing changed", "1 % changed", "rows changed"),
        rows,
    )
    feeds = sum(one["feeds"] for one in first.printed["entities"].values())
    verdict("nothing changed, requests", nothing.requests, feeds, "d", most=True)
    asked = changed.printed["entities"]["invoices"]["requests"]
    pages = -(-in_window // 100)
    verdict("1 % changed, requests for invoices", asked, pages + 1, "d", most=True)


def killed(folder: Path, invoices: int, rounds: int) -> None:
    """SIGKILL at half the pages, then the same command again.

    A slice that is made after the kill may cost a request more, as any slice may.
    """
    books, pages = seeded(folder, invoices), -(-invoices // 100)
    rows = []
    with sandbox(database=str(books), limits=False, faults="latency=20ms") as server:
        for number in range(rounds):
            own = folder / f"killed-{number}"
            server.control("reset-stats", {})
            pull = Pull(server, own, blsync("invoices"), **NO_QUOTA)
            while server.control("stats")["requests"] < pages // 2:
                if pull.process.poll() is not None:
                    sys.exit(f"it ended before it could be killed:\n{pull.log.read_text()}")
                time.sleep(0.005)
            pull.process.kill()
            pull.process.wait()
            time.sleep(0.2)  # what was under way arrives
            before = server.control("stats")["requests"]
            left, walks = unread(own / "ledger.db")
            server.control("reset-stats", {})
            again = Pull(server, own, blsync("invoices"), **NO_QUOTA).end()
            assert again.printed["rows"] == invoices, again
            rows.append((before, left, walks, again.requests))
    table(
        f"killed: SIGKILL half-way through {pages} pages, then once more "
        f"(one that starts over asks {pages} then)",
        ("round", "before the kill", "pages left", "open walks", "after it"),
        [(str(number), *map(str, row)) for number, row in enumerate(rows, 1)],
    )
    more = max(after - left - walks for _, left, walks, after in rows)
    verdict("more than what was left and one an open walk, requests", more, 0, "d", most=True)


def unread(path: Path) -> tuple[int, int]:
    """Return how many pages the walks that a ledger tells of have left, and how many are open.

    What a slice that has no page yet is to read is still counted by the one it was split from.
    """
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        walks = [w for load_id in loads.open_ids(ledger) for w in loads.walks_of(ledger, load_id)]
    totals = loads.own_totals(walks)
    left = [totals.get(w.feed, w.records) - w.records for w in walks if not w.is_done]
    return sum(-(-records // 100) for records in left), len(left)


def memory(folder: Path, sizes: Sequence[int]) -> None:
    """Peak memory by the number of invoices, from a server that makes them up."""
    rows, peak = [], 0.0
    for size in sizes:
        with serving("invoice_server.py", size) as server:
            run = Pull(server, folder / f"memory-{size}", blsync("invoices"), **NO_QUOTA).end()
            own = folder / f"floor-{size}"
            bare = Pull(server, own, floor(own), **NO_QUOTA).end()
        assert run.printed["rows"] == size, run
        shutil.rmtree(folder / f"memory-{size}")
        peak = max(peak, run.peak_mb)
        figures = (f"{run.peak_mb:.0f}", f"{bare.peak_mb:.0f}", f"{run.wall:.1f}")
        rows.append((f"{size:,}", *figures, str(run.requests)))
    header = ("invoices", "peak MB", "floor's", "seconds", "requests")
    table("memory: one pull, each size once", header, rows)
    verdict("peak MB", peak, 300, ".0f", most=True)


def main() -> None:
    every = {"throughput": throughput, "pace": pace, "night": night, "killed": killed}
    parser = argparse.ArgumentParser(description="The pull against its floor and a peer.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all unless named")
    parser.add_argument("--invoices", type=int, default=50_000, help="at most 20,000 are paced")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="memory at 1,000,000 too: minutes")
    chosen = parser.parse_args()
    scenarios = chosen.scenarios or [*every, "memory"]
    if unknown := set(scenarios) - {*every, "memory"}:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(every)}, memory")
    with tempfile.TemporaryDirectory(prefix="bench-pull-") as name:
        for scenario in scenarios:
            if scenario == "memory":
                memory(Path(name), [10_000, 100_000] + [1_000_000] * chosen.million)
            else:
                size = chosen.invoices if scenario == "throughput" else min(chosen.invoices, 20_000)
                every[scenario](Path(name), size, chosen.rounds)


if __name__ == "__main__":
    main()
