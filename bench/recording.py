"""What recording in Dagster's history takes: as Dagster does it, and with kept connections.

Each is a process of its own and records the same number of asset events in a new history. A first
`blsync sync` records one for each entity and day; a build about two hundred.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

EVENTS = 500
WAYS = ("as Dagster does it", "kept connections")


def main() -> None:
    print(f"{EVENTS} events\n{'':<20}{'wall, s':>9}{'CPU, s':>9}{'ms an event':>13}")
    for way in WAYS:
        done = subprocess.run(
            [sys.executable, __file__, way], capture_output=True, text=True, check=True
        )
        wall, cpu = map(float, done.stdout.split())
        print(f"{way:<20}{wall:>9.1f}{cpu:>9.1f}{wall / EVENTS * 1000:>13.1f}")


def record(way: str) -> None:
    """Record the events and print what they took."""
    import dagster as dg

    from blsync.orchestration import history

    if way == WAYS[1]:
        history.keep_connections()
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home) as instance:
        event = dg.AssetMaterialization("raw", metadata={"rows": 1})
        instance.report_runless_asset_event(event)  # the databases are made
        began, began_cpu = time.perf_counter(), time.process_time()
        for _ in range(EVENTS):
            instance.report_runless_asset_event(event)
        print(time.perf_counter() - began, time.process_time() - began_cpu)


if __name__ == "__main__":
    record(sys.argv[1]) if sys.argv[1:] else main()
