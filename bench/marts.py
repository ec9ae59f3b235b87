"""What a build costs at 10 k, 100 k and (`1000000`) a million invoices, whole and after a night.

The books are synthetic, and every law holds in them (`landing/`): to each ten invoices a bill with
its purchase order, a sales order and a quote, ten e-invoices and ten transactions at tills, and a
stock transfer to a hundred; with the journal entries of all of them. A night brings 0.5 % more of
each kind and changes as many old ones. A build is `dbt build` as `blsync build` runs it: models,
laws and all; its memory is the dbt process's peak. Beside it the same final SQL of a full build,
run directly in DuckDB without dbt and without the laws, and publishing the result. Medians of three
runs; a million invoices once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import duckdb
from landing import COMPANY, FIRST_PULL, Books

from blsync import marts, settings
from blsync.ledger import loads
from blsync.ledger.loads import Load
from blsync.session.binding import open_ledger

SIZES = (10_000, 100_000)
RUNS = 3
ONCE_ABOVE = 100_000


def built(given: settings.Settings, target: Path) -> tuple[float, float, int]:
    """Run dbt as a build does; returns its seconds, those of the processor, and its peak bytes."""
    command = [marts.dbt_executable(), "--quiet", "build", "--target-path", str(target)]
    for name in ("project-dir", "profiles-dir"):
        command += [f"--{name}", str(marts.PROJECT)]
    command += ["--log-path", str(target)]
    environment = {**os.environ, **marts.dbt_environment(given)}
    with marts.building(given, lambda _: None), (target / "out.txt").open("w") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    if status:
        sys.exit((target / "out.txt").read_text())
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return seconds, usage.ru_utime + usage.ru_stime, memory


def models_of(target: Path) -> tuple[list[dict[str, str]], dict[str, float], float]:
    """The models in the order in which they ran, their seconds, and those of all laws."""
    results = json.loads((target / "run_results.json").read_text())["results"]
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    models = [
        result for result in results if nodes[result["unique_id"]]["resource_type"] == "model"
    ]
    seconds = {nodes[r["unique_id"]]["name"]: r["execution_time"] for r in models}
    laws = sum(r["execution_time"] for r in results) - sum(seconds.values())
    done = [
        {
            "name": f"{nodes[r['unique_id']]['schema']}.{nodes[r['unique_id']]['alias']}",
            "kind": nodes[r["unique_id"]]["config"]["materialized"],
            "sql": r["compiled_code"],
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
            db.execute(f"create schema if not exists {model['name'].partition('.')[0]}")
            kind = "view" if model["kind"] == "view" else "table"
            db.execute(f"create {kind} {model['name']} as {model['sql']}")
        db.execute("checkpoint")
        return time.perf_counter() - started


def slowest(seconds: dict[str, float], count: int = 6) -> str:
    ranked = sorted(seconds.items(), key=lambda pair: -pair[1])[:count]
    return ", ".join(f"{name} {took:.1f}" for name, took in ranked)


def measure(size: int, folder: Path) -> None:
    data, target = folder / "data", folder / "dbt"
    target.mkdir(parents=True)
    os.environ |= {"BLSYNC_DATA": str(data), "BLSYNC_ENV_FILE": os.devnull}
    os.environ["BIGLEDGER_COMPANY_ID"] = COMPANY
    given = settings.load()
    with closing(open_ledger(given)) as ledger:  # one that knows of no load would be taken for lost
        loads.start(ledger, Load("bench", COMPANY, "invoices", None, None, FIRST_PULL))
    books = Books(data, size)
    books.land(0)
    built(given, target)  # parses the project, and warms the file system's cache
    fulls, nights, directs = [], [], []
    for run in range(1 if size > ONCE_ABOVE else RUNS):
        marts.ask_for_full_build(given)
        fulls.append(built(given, target))
        models, full_seconds, full_laws = models_of(target)
        directs.append(run_directly(models, folder / f"direct {run}"))
        books.land(run + 1)
        nights.append(built(given, target))
    _, night_seconds, night_laws = models_of(target)
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
