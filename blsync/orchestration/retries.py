"""When a night tries again what failed: what may pass by itself, until a set hour.

One rule for both who run nights: Dagster, which tries a step again, and `blsync sync --retry`,
which tries again as a whole and asks only for what is missing.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from blsync.errors import BlsyncError
from blsync.orchestration.parallel import INTERRUPTED
from blsync.personal_data import without_addresses, without_quoted
from blsync.settings import Settings

LONGEST_PAUSE = 3600.0
"""Seconds."""
MOST_RETRIES = 50


class _Report(Protocol):
    """What a try comes to; `error` is what it failed with, None where it did not."""

    @property
    def error(self) -> BlsyncError | None: ...


T = TypeVar("T", bound=_Report)


def pause_before_retry(
    settings: Settings, error: BlsyncError, retries: int, now: datetime
) -> float | None:
    """Return the seconds after which it is tried again what has been tried again `retries` times;
    None: it is not.

    What a person has to change first (a key, a setting, a broken law) is not tried again. The
    night's last try begins before BLSYNC_RETRY_UNTIL of the day that it is (`now`, UTC), in
    BLSYNC_TIMEZONE.
    """
    if not error.may_pass or retries >= MOST_RETRIES:
        return None
    pause = min(settings.retry_seconds * 2**retries, LONGEST_PAUSE)
    local = now.astimezone(settings.zone)
    until = datetime.combine(local.date(), settings.retry_until, settings.zone)
    return pause if now + timedelta(seconds=pause) < until else None


def until_well(
    settings: Settings,
    attempt: Callable[[], T],
    say: Callable[[str], None],
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what the first try that ended well came to, or the last that is worth one.

    `clock` tells now, UTC; `sleep` waits so many seconds. Nothing is held meanwhile. Raises
    BlsyncError where the pause is interrupted, and whatever a try raises.
    """
    retries = 0
    while (error := (report := attempt()).error) is not None:
        now = clock()
        if (pause := pause_before_retry(settings, error, retries, now)) is None:
            break
        at = (now + timedelta(seconds=pause)).astimezone(settings.zone)
        why = without_addresses(without_quoted(str(error)))
        with _ending_clearly():
            say(f"{why} It is tried again at {at:%H:%M:%S} ({settings.timezone}).")
            sleep(pause)
        retries += 1
    return report


@contextmanager
def _ending_clearly() -> Iterator[None]:
    """Have SIGTERM end a pause as Ctrl-C does, with one message."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        yield
    except KeyboardInterrupt:
        raise BlsyncError(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
