"""The process behind `rig.warm`: it imports what programs of ours need, and forks for each.

Started as `warm_server.py LISTENER LIFELINE`: the descriptors of a listening Unix socket, and of a
pipe whose end is the end of the tests. A client (`warm_client.py`) sends what a process has of its
own: arguments, environment, folder, umask, and the descriptors 0 to 2. Nothing is imported before
the first client comes, so that tests that start no program pay nothing.

What a fork cannot show is how a program starts. Tests of that start one by `sys.executable`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

IMPORTS = (
    "dagster", "duckdb",
    "matplotlib.figure", "openpyxl", "pyarrow.dataset", "pyarrow.parquet", "rich.console",
    "rich.table", "typer", "blsync.maintenance", "blsync.orchestration.history",
    "blsync.orchestration.parallel", "blsync.orchestration.steps", "blsync.pull", "blsync.push",
    "blsync.reconcile", "blsync.report", "blsync.sandbox",
)  # fmt: skip
"""None of them reads the environment when it is imported, as `blsync.cli` does for its console."""


class Server:
    """Forks a process for each client, and tells the client how it ended."""

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        self.listener, self.lifeline = listener, lifeline
        self.clients: dict[int, socket.socket] = {}
        """Process id → who waits for its end."""
        self.is_warm = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)
        self.selector.register(lifeline, selectors.EVENT_READ)
        wake, self.wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector.register(wake, selectors.EVENT_READ)
        self.wake = wake
        signal.set_wakeup_fd(self.wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end us

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == self.lifeline:
                    self.end_all()
                    return
                if key.fileobj is self.listener:
                    self.start(self.listener.accept()[0])
                elif key.fileobj == self.wake:
                    os.read(self.wake, 4096)
                    self.reap()
                elif key.data in self.clients:  # the client is gone, and its process with it
                    os.kill(key.data, signal.SIGKILL)
                    self.selector.unregister(key.fileobj)

    def start(self, client: socket.socket) -> None:
        if not self.is_warm:
            warm_up()
            self.is_warm = True
        told, descriptors = _received(client)
        if not told:
            client.close()
            return
        if pid := os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            self.clients[pid] = client
            self.selector.register(client, selectors.EVENT_READ, pid)
            client.sendall(f"{pid}\n".encode())
        else:
            self.become(json.loads(told), descriptors)

    def become(self, told: dict[str, Any], descriptors: list[int]) -> NoReturn:
        """Be the process that a client asked for."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.selector.close()
        for held in (*self.clients.values(), self.listener):
            held.close()
        for descriptor in (self.lifeline, self.wake, self.wakes):
            os.close(descriptor)
        run(told, descriptors)

    def reap(self) -> None:
        while self.clients:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            client = self.clients.pop(pid)
            if client in {key.fileobj for key in self.selector.get_map().values()}:
                self.selector.unregister(client)
            with contextlib.suppress(OSError):  # the client may be gone
                client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            client.close()

    def end_all(self) -> None:
        for pid in self.clients:
            os.kill(pid, signal.SIGKILL)


def _received(client: socket.socket) -> tuple[bytes, list[int]]:
    """Return what a client sent, to the end of its half of the connection."""
    parts: list[bytes] = []
    held: list[int] = []
    while True:
        part, descriptors, *_ = socket.recv_fds(client, 1 << 16, 3)
        held += descriptors
        parts.append(part)
        if not part or part.endswith(b"\n"):
            return b"".join(parts), held


def warm_up() -> None:
    """Import what takes long."""
    for name in IMPORTS:
        importlib.import_module(name)
    # Arrow's allocator has a thread too, and looks after itself when a process forks.
    assert threading.active_count() == 1, "a fork would lose what another thread holds"
    gc.collect()
    gc.freeze()  # so that the processes share the memory for as long as they can


def run(told: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Run a program in this process as Python does: streams, arguments, and how it ends."""
    os.chdir(told["folder"])
    os.umask(told["umask"])
    os.environ.clear()
    os.environ.update(told["environment"])
    time.tzset()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = sys.__stdout__ = _writer(1, "strict")
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")
    code = _code_of(told["arguments"])
    for end in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        end()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    os._exit(code)


def _writer(number: int, errors: str) -> io.TextIOWrapper:
    is_by_line = number == 2 or os.isatty(number)
    binary = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
    return io.TextIOWrapper(binary, errors=errors, line_buffering=is_by_line)


def _code_of(arguments: list[str]) -> int:
    program, *rest = arguments
    sys.orig_argv = [sys.executable, *rest]
    try:
        if program == "blsync":
            rest = ["-m", "blsync.cli", *rest]
        if rest[0] == "-m":
            sys.argv, sys.path[0] = rest[1:], str(Path.cwd())
            runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
        else:
            assert rest[0] == "-c", f"only -m and -c are known: {rest}"
            sys.argv, sys.path[0] = ["-c", *rest[2:]], ""
            exec(
                compile(rest[1], "<string>", "exec", dont_inherit=True),
                sys.modules["__main__"].__dict__,
            )
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    Server(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).serve()
