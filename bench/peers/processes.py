"""What the benchmarks of the pull share: servers and pulls in processes of their own, tables.

The standard library only: a child's peak is never below what its parent held when it was started.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEY, COMPANY = "blg_test_sk_sandbox", "company_sandbox"


class Server:
    """A server on loopback and what it counted; `control` asks its routes under /sandbox."""

    def __init__(self, port: int) -> None:
        self.port = port

    def control(self, route: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._ask(f"sandbox/{route}", None if body is None else json.dumps(body).encode())

    def total(self, path: str) -> int:
        """Return how many records a list has, by the API itself."""
        return int(self._ask(f"v1/{path}")["pagination"]["total"])

    def _ask(self, path: str, data: bytes | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {KEY}", "X-Company-Id": COMPANY}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            counted: dict[str, Any] = json.load(answer)
            return counted


@contextmanager
def serving(script: str, *arguments: object) -> Iterator[Server]:
    """Run a server of `bench/peers` while the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = Server(free.getsockname()[1])
    command = [sys.executable, str(HERE / script), str(server.port), *map(str, arguments)]
    process = subprocess.Popen(command)
    try:
        while True:
            try:
                server.control("stats")
                break
            except urllib.error.URLError:
                if process.poll() is not None:
                    sys.exit(f"{script} did not start")
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait()


@contextmanager
def sandbox(**options: Any) -> Iterator[Server]:
    """Run the sandbox in a process of its own."""
    with serving("sandbox_server.py", json.dumps(options)) as server:
        yield server


@dataclass(frozen=True)
class Run:
    """One process that ended well: seconds, those of a processor, MB (10^6), what the server
    counted, what it printed.
    """

    wall: float
    cpu: float
    peak_mb: float
    requests: int
    refused: int
    printed: dict[str, Any]


class Pull:
    """A process that pulls from a server; its data and the ledger are in `folder`."""

    def __init__(self, server: Server, folder: Path, command: Sequence[str], **more: str) -> None:
        folder.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
        self.server, self.command = server, " ".join(command)
        self.log = folder / "printed.txt"
        environment = {
            "BIGLEDGER_BASE_URL": f"http://127.0.0.1:{server.port}/v1",
            "BIGLEDGER_API_KEY": KEY,
            "BIGLEDGER_COMPANY_ID": COMPANY,
            "BLSYNC_DATA": str(folder),
            "BLSYNC_ENV_FILE": os.devnull,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "DATA_WRITER__DISABLE_COMPRESSION": "true",
        }
        self.started = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=kept | environment | more, cwd=folder
            )

    def end(self) -> Run:
        """Wait for its end. Exits with what it printed where it failed."""
        _, status, usage = os.wait4(self.process.pid, 0)
        wall = time.perf_counter() - self.started
        self.process.returncode = os.waitstatus_to_exitcode(status)
        text = self.log.read_text()
        if self.process.returncode:
            sys.exit(f"{self.command} failed:\n{text}")
        counted = self.server.control("stats")
        # Linux counts ru_maxrss in KiB, macOS in bytes.
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
        printed = json.loads(text.splitlines()[-1])
        cpu = usage.ru_utime + usage.ru_stime
        return Run(wall, cpu, peak, counted["requests"], counted["refused"], printed)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a title, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        print("  " + "  ".join(cells), flush=True)


def verdict(what: str, value: float, target: float, form: str, *, most: bool = False) -> None:
    """Say whether a figure reached its target."""
    reached = value <= target if most else value >= target
    sign = "≤" if most else "≥"
    end = "reached" if reached else "MISSED"
    print(f"  {what} {value:{form}} (target {sign} {target:{form}}: {end})", flush=True)
