"""`blsync ui` as a process of its own, and what belongs to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ADDRESS = re.compile(r"Dagster's UI: (http://127\.0\.0\.1:(\d+))/\?token=(\S+)")
START_SECONDS = 180


@dataclass
class Ui:
    """A running UI; `url` is its origin, `address` the one that it prints."""

    process: subprocess.Popen[bytes]
    url: str
    port: int
    token: str
    data: Path
    log: Path

    @property
    def address(self) -> str:
        return f"{self.url}/?token={self.token}"


@contextmanager
def serving_ui(folder: Path, environment: dict[str, str] | None = None) -> Iterator[Ui]:
    """Run `blsync ui` on a free port until it answers; it and all that it started is gone then."""
    data, log = folder / "data", folder / "ui.log"
    own = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    own |= {"BLSYNC_ENV_FILE": os.devnull, "DAGSTER_HOME": ""}
    own |= {"BLSYNC_DATA": str(data), **(environment or {})}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "blsync.cli", "ui", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=own, stdout=output, stderr=output, start_new_session=True
        )
    try:
        found = _await_address(process, log)
        yield Ui(process, found[1], int(found[2]), found[3], data, log)
    finally:
        left = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)
        for pid in (process.pid, *left):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _await_address(process: subprocess.Popen[bytes], log: Path) -> re.Match[str]:
    deadline = time.monotonic() + START_SECONDS
    while not (found := ADDRESS.search(log.read_text())):
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, f"waited {START_SECONDS} s: {log.read_text()[-2000:]}"
        time.sleep(0.1)
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that these did."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, left = [], [pid]
    while left:
        children = [child for child, parent in parents.items() if parent in left]
        found += children
        left = children
    return found
