"""How long Dagster needs to load the code location with a warm manifest.

The floor in the same run is importing Dagster alone, in a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 5
CASES = {
    "floor: dagster": "import dagster",
    "blsync.definitions": "import blsync.definitions",
}


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):  # the first round warms the manifest and the caches
            for name, code in CASES.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
                if number:
                    times[name].append(time.perf_counter() - started)
    for name, values in times.items():
        print(f"{name:30} {statistics.median(values):6.2f} s (median of {ROUNDS})")


if __name__ == "__main__":
    main()
