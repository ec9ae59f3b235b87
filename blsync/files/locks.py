"""Lock files: one process at a time, and who waits is told for whom."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

from blsync.files.atomic import storage_errors

LOCK_POLL = 0.2
"""Seconds between looks at a lock that another process holds."""
SAY_AGAIN = 300.0
"""Seconds after which who waits for a lock says so again."""
LONGEST_COMMAND = 200
"""Characters of a command that a lock file tells."""


@asynccontextmanager
async def file_lock(
    path: Path,
    say: Callable[[str], None],
    busy: str,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[None]:
    """Hold the lock file for this process.

    Where another one holds it, says `busy`, which process that is, and every SAY_AGAIN how long it
    has been waited for. The lock ends with the process, however it ends. Raises StorageError.
    """
    with _lock_file(path) as file:
        for pause in pauses(partial(_is_locked, file), partial(_holder_of, file), say, busy):
            await sleep(pause)
        with _named(file):
            yield


@contextmanager
def blocking_file_lock(
    path: Path,
    say: Callable[[str], None],
    busy: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """As `file_lock`, where no event loop runs."""
    with _lock_file(path) as file:
        for pause in pauses(partial(_is_locked, file), partial(_holder_of, file), say, busy):
            sleep(pause)
        with _named(file):
            yield


def _lock_file(path: Path) -> IO[str]:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")  # what it says is its holder's


def pauses(
    is_locked: Callable[[], bool], holder: Callable[[], str], say: Callable[[str], None], busy: str
) -> Iterator[float]:
    """Try a lock until it `is_locked`; yield the seconds to wait before each further try.

    Says `busy` and who its `holder` is, and every SAY_AGAIN how long it has been waited for.
    """
    waited, said_at = 0.0, -SAY_AGAIN
    while not is_locked():
        if waited - said_at >= SAY_AGAIN:
            so_far = f" Waited {round(waited / 60)} minutes so far." if waited else ""
            say(f"{busy}{holder()}{so_far}")
            said_at = waited
        waited += LOCK_POLL
        yield LOCK_POLL


@contextmanager
def _named(file: IO[str]) -> Iterator[None]:
    """Have a lock file say who holds it, for whoever waits."""
    holder = {"pid": os.getpid(), "since": time.time(), "command": own_command()}
    # A courtesy, which a full disk must not turn into a failure.
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), json.dumps(holder).encode())
    try:
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(file.fileno(), 0)


def own_command() -> str:
    """Return how this process was called, for whoever waits for it."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:LONGEST_COMMAND]


def _holder_of(file: IO[str]) -> str:
    """Word who holds a lock file; empty where it does not say (yet)."""
    try:
        file.seek(0)
        holder = json.loads(file.read())
        since = datetime.fromtimestamp(holder["since"], UTC)
        return (
            f" It is process {int(holder['pid'])} ({holder['command']}), at it since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC."
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return ""


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
