"""Child processes that never outlive their parent, however it ends.

Between the two stands a keeper, this module run as a program. Its stdin is a pipe that only the
parent holds open: when the parent ends, by SIGKILL too, the system closes the pipe, and the keeper
ends the child with everything that the child started. The child leads a process group of its own,
so a Ctrl-C in the terminal reaches the parent alone, which ends its children in order.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

GRACE_SECONDS = 15
"""How long a child and what it started may take to end when they are asked to."""
_KEEP = b"keep"
_LOOK_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Child:
    """A child of this process, and the keeper that ends it."""

    keeper: subprocess.Popen[bytes]

    @property
    def exit_code(self) -> int | None:
        """What the child ended with; None while it runs."""
        return self.keeper.poll()

    @property
    def pid(self) -> int:
        """The keeper's process id; SIGTERM to it ends the child."""
        return self.keeper.pid

    def release(self) -> None:
        """Let the child go on after this process has ended."""
        self._close_pipe(_KEEP)

    def end(self) -> None:
        """End the child and all that it started; returns once they are gone."""
        self._close_pipe(b"")
        try:
            self.keeper.wait(timeout=GRACE_SECONDS + 10)
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait()

    def _close_pipe(self, word: bytes) -> None:
        pipe = self.keeper.stdin
        if pipe and not pipe.closed:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(word)
                pipe.close()


def start(
    command: Sequence[str],
    *,
    output: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a command that ends with this process; what it says goes to `output`."""
    keeper = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "blsync.ui.lifeline", *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    return Child(keeper)


def keep(command: Sequence[str]) -> int:
    """Run a command until it ends, or until the parent or a signal has it end.

    Returns its exit code, as a shell would.
    """
    signals: list[int] = []
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: signals.append(number))
    child = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, start_new_session=True
    )
    is_tied = True
    while child.poll() is None and not signals:
        if not is_tied:
            time.sleep(_LOOK_SECONDS)
        elif select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
            if os.read(sys.stdin.fileno(), len(_KEEP)) != _KEEP:
                break
            is_tied = False
    _end_group(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ask the child's group to end, and kill what is left of it after the grace."""
    deadline = time.monotonic() + GRACE_SECONDS
    is_left = _signal_group(child.pid, signal.SIGTERM)
    while is_left and time.monotonic() < deadline:
        child.poll()  # reaps it, or it would count as one that is left
        time.sleep(_LOOK_SECONDS)
        is_left = _signal_group(child.pid, 0)
    if is_left:
        _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group (0: none); tells whether anything is left of it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of which only zombies are left
        return False
    return True


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
