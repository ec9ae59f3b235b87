"""Companies side by side: a thread each, and an end to all of them at an interruption."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from blsync.api.rate_limit import RateLimiter
from blsync.errors import BlsyncError
from blsync.files.unexpected import apart
from blsync.session import Progress

INTERRUPTED = "Interrupted. What was read is kept; run the same command again to go on."
SECONDS_TO_END = 10.0
"""How long an interrupted company may take to come to its end before it is left behind."""

T = TypeVar("T")


class CompanyWorker:
    """What one company's pull tells while it runs in its own thread, and how it is stopped."""

    def __init__(
        self, name: str, progress: Progress, say: Callable[[str], None], lock: threading.Lock
    ) -> None:
        """`lock` lets one of them speak at a time."""
        self.name = name
        self._progress = progress
        self._say = say
        self._lock = lock
        self._is_stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def progress(self, entity: str, done: int, total: int | None, limiter: RateLimiter) -> None:
        """Tell how far an entity has come, under the company's name."""
        self._heard()
        with self._lock:
            self._progress(f"{self.name} {entity}", done, total, limiter)

    def say(self, text: str) -> None:
        """Say a line for people, under the company's name."""
        self._heard()
        with self._lock:
            self._say(f"{self.name}: {text}")

    def stop(self) -> None:
        """End the pull where it waits, or where it speaks next."""
        self._is_stopped = True
        if self._loop:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(_cancel_all)

    def _heard(self) -> None:
        # Whoever speaks is inside the loop that has to be stopped.
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
            if self._is_stopped:
                self._loop.call_soon(_cancel_all)


def run_in_parallel(
    names: Iterable[str],
    work: Callable[[str, CompanyWorker], T],
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
    *,
    data: Path | None = None,
) -> dict[str, T | BlsyncError]:
    """Do each company's work at the same time; return what each came to, or why it failed.

    `data` is the folder that keeps the details of what nobody foresaw.

    Interrupted, it stops them all and raises on. What is no company's own failure, such as the
    memory's end, is raised when the others have come to theirs.
    """
    lock = threading.Lock()
    workers = {name: CompanyWorker(name, progress, say, lock) for name in names}
    outcomes: dict[str, T | BlsyncError] = {}
    crashes: list[BaseException] = []

    def run(name: str) -> None:
        try:
            outcomes[name] = _outcome(lambda: work(name, workers[name]), name, data)
        except asyncio.CancelledError:
            outcomes[name] = BlsyncError(INTERRUPTED)
        except BaseException as error:
            crashes.append(error)

    # Daemons: one that cannot be stopped must not keep the process alive.
    threads = [
        threading.Thread(target=copy_context().run, args=(run, name), daemon=True)
        for name in workers
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        for worker in workers.values():
            worker.stop()
        until = time.monotonic() + SECONDS_TO_END
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        raise
    for crash in crashes:
        raise crash
    return {name: outcomes[name] for name in workers}


def _outcome(work: Callable[[], T], name: str, data: Path | None) -> T | BlsyncError:
    try:
        return work()
    except Exception as error:
        return apart(error, f"The work on {name}", data)


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
