"""What a build costs at 10 k, 100 k and (`1000000`) a million invoices, whole and after a night.

The books are synthetic, and every law holds in them (`landing/`): to each ten invoices a bill with
its purchase order, a sales order and a quote, ten e-invoices and ten transactions at tills, and a
stock transfer to a hundred; with the journal entries of all of them. A night brings 0.5 % more of
each kind and changes as many old ones. A build is what `blsync build` does between inputs and
publishing, models, laws and all; its memory is the process's peak. Beside it the same final SQL of
a full build, run directly in DuckDB, one model after the other and without the laws, and publishing
the result. Medians of three runs; a million invoices once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import duckdb
import msgspec
from landing import COMPANY, FIRST_PULL, Books

from blsync import marts, settings
from blsync.lake.store import Lake
from blsync.ledger import loads
from blsync.ledger.loads import Load
from blsync.marts.compiled import Compiled, compiled_project
from blsync.marts.running import Result
from blsync.session.binding import open_ledger

SIZES = (10_000, 100_000)
RUNS = 3
ONCE_ABOVE = 100_000


BUILD = """
import resource, sys, time
import msgspec
from blsync import marts, settings

given = settings.load()
used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
started, before = time.perf_counter(), used()
results, failure = marts.run_build(given, lambda _: None)
seconds, cpu = time.perf_counter() - started, used() - before
if failure:
    sys.exit(str(failure))
print(msgspec.json.encode([seconds, cpu, results]).decode())
"""


def built() -> tuple[tuple[float, float, int], list[Result]]:
    """Build in a process of its own: its seconds, those of the processor, its peak bytes, and how
    each node went.
    """
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([sys.executable, "-c", BUILD], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        if status:
            sys.exit("the build failed")
        seconds, cpu, results = msgspec.json.decode(
            out.read(), type=tuple[float, float, list[Result]]
        )
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return (seconds, cpu, memory), results


def models_of(
    compiled: Compiled, results: list[Result]
) -> tuple[list[dict[str, str]], dict[str, float], float]:
    """The models in the order in which they ran, their seconds, and those of all laws."""
    nodes = compiled.nodes
    models = [result for result in results if not nodes[result.unique_id].is_law]
    seconds = {nodes[r.unique_id].name: r.execution_time for r in models}
    laws = sum(r.execution_time for r in results) - sum(seconds.values())
    done = [
        {
            "name": nodes[r.unique_id].relation,
            "schema": nodes[r.unique_id].schema,
            "kind": nodes[r.unique_id].materialized,
            "sql": r.compiled_code,
        }
        for r in models
    ]
    return done, seconds, laws


def run_directly(models: list[dict[str, str]], folder: Path) -> float:
    """Run the same SQL of a full build in DuckDB alone; returns its seconds."""
    folder.mkdir()
    with duckdb.connect() as db:
        # Under the name that the compiled SQL says.
        db.execute(f"attach '{folder / 'build.duckdb'}' (storage_version 'v1.0.0')")
        db.execute(
            "use build; set TimeZone = 'UTC'; set preserve_insertion_order = false;"
            f"set memory_limit = '{marts.MOST_MEMORY // 2**20}MiB'"
        )
        started = time.perf_counter()
        for model in models:
            db.execute(f"create schema if not exists {model['schema']}")
            kind = "view" if model["kind"] == "view" else "table"
            db.execute(f"create {kind} {model['name']} as {model['sql']}")
        db.execute("checkpoint")
        return time.perf_counter() - started


def slowest(seconds: dict[str, float], count: int = 6) -> str:
    ranked = sorted(seconds.items(), key=lambda pair: -pair[1])[:count]
    return ", ".join(f"{name} {took:.1f}" for name, took in ranked)


def measure(size: int, folder: Path) -> None:
    data = folder / "data"
    data.mkdir(parents=True)
    os.environ |= {"BLSYNC_DATA": str(data), "BLSYNC_ENV_FILE": os.devnull}
    os.environ["BIGLEDGER_COMPANY_ID"] = COMPANY
    given = settings.load()
    with closing(open_ledger(given)) as ledger:  # one that knows of no load would be taken for lost
        loads.start(ledger, Load("bench", COMPANY, "invoices", None, None, FIRST_PULL))
    books = Books(data, size)
    books.land(0)
    built()  # compiles the project, and warms the file system's cache
    compiled = compiled_project(data)
    fulls, nights, directs = [], [], []
    for run in range(1 if size > ONCE_ABOVE else RUNS):
        marts.ask_for_full_build(given)
        full, results = built()
        fulls.append(full)
        models, full_seconds, full_laws = models_of(compiled, results)
        marts.write_files_of_build(given, Lake(data).build_files)  # the same SQL reads the list
        directs.append(run_directly(models, folder / f"direct {run}"))
        books.land(run + 1)
        night, results = built()
        nights.append(night)
    _, night_seconds, night_laws = models_of(compiled, results)
    started = time.perf_counter()
    marts.publish(given)
    publishing = time.perf_counter() - started
    full, night = sorted(fulls)[len(fulls) // 2], sorted(nights)[len(nights) // 2]
    file_size = (data / "blsync.duckdb").stat().st_size / 2**20
    print(
        f"| {size:,} | {full[0]:.0f} s | {night[0]:.0f} s | {night[0] / full[0]:.2f} "
        f"| {full[1]:.0f} s, {night[1]:.0f} s "
        f"| {full[2] / 2**30:.1f} GB, {night[2] / 2**30:.1f} GB "
        f"| {sorted(directs)[len(directs) // 2]:.0f} s | {publishing:.1f} s, {file_size:,.0f} MB |",
        flush=True,
    )
    for name, seconds, laws in (
        ("full", full_seconds, full_laws),
        ("night", night_seconds, night_laws),
    ):
        print(f"    {name}: laws {laws:.1f} s, {slowest(seconds)}", file=sys.stderr)


HEADER = """\
| invoices | full build | night of 1 % | night / full | CPU | peak memory | SQL alone | publish |
|---:|---:|---:|---:|---:|---:|---:|---:|"""


def main(sizes: list[int]) -> None:
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes or SIZES:
            measure(size, Path(folder) / str(size))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
