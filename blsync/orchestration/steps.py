"""How a step in Dagster fails: with one message that says what to do, and without a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Engine, event

from blsync.errors import BlsyncError
from blsync.files.unexpected import unexpected
from blsync.ledger import EXACT
from blsync.redaction import redact_all

MOST_RETRIES = 1000
"""Dagster asks for a bound; when a step is not tried again any more is told by `pause`."""
_DAGSTERS_OWN = (dg.Failure, dg.RetryRequested)


@contextmanager
def failing_clearly(
    data: Path,
    tell: Callable[[BlsyncError], str] = str,
    hear: Callable[[BlsyncError], None] = lambda _: None,
    pause: Callable[[BlsyncError], float | None] = lambda _: None,
) -> Iterator[None]:
    """Fail a step with one message: an error of ours as `tell` words it, any other as a line that
    names the file with its details. `hear` is given the error. Where `pause` returns seconds for
    it, the step is tried again after them.
    """
    try:
        yield
    except _DAGSTERS_OWN:
        raise
    except Exception as error:
        ours = error if isinstance(error, BlsyncError) else unexpected(error, data)
        hear(ours)
        if (seconds := pause(ours)) is not None:
            dg.OpExecutionContext.get().log.warning(
                f"{tell(ours)} It is tried again in {seconds:.0f} s."
            )
            raise dg.RetryRequested(MOST_RETRIES, seconds) from None
        raise dg.Failure(
            tell(ours), metadata={"exit_code": ours.exit_code}, allow_retries=False
        ) from None


@contextmanager
def ticking_clearly(data: Path) -> Iterator[None]:
    """Fail a schedule's or sensor's tick with one message, as `failing_clearly` does a step."""
    try:
        yield
    except BlsyncError:
        raise
    except Exception as error:
        raise unexpected(error, data) from None


def guard_databases() -> None:
    """Have everything redacted that Dagster writes to its databases from this process.

    The ledger is left alone: a plan's rows have to stay what they are, and what the server says
    was redacted when it came.
    """
    if not event.contains(Engine, "before_cursor_execute", _redacted):
        event.listen(Engine, "before_cursor_execute", _redacted, retval=True)


def _redacted(
    connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    if connection.engine.get_execution_options().get(EXACT):
        return statement, parameters
    return statement, redact_all(parameters)
