"""When a night tries again what failed: what may pass by itself, until a set hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from blsync.errors import BlsyncError
from blsync.settings import Settings

LONGEST_PAUSE = 3600.0
"""Seconds."""
MOST_RETRIES = 50
SCHEDULED = "dagster/schedule_name"
"""The tag of runs that nobody waits for."""


def pause_before_retry(
    settings: Settings,
    error: BlsyncError,
    tags: Mapping[str, str],
    retries: int,
    now: datetime,
) -> float | None:
    """Return the seconds after which a step is tried again that has been tried again `retries`
    times; None: it is not.

    What a person has to change first (a key, a setting, a broken law) is not tried again, nor is
    what a person has started, who sees that it failed. The night's last try begins before
    BLSYNC_RETRY_UNTIL of the day that it is (`now`, UTC), in BLSYNC_TIMEZONE.
    """
    if not error.may_pass or SCHEDULED not in tags or retries >= MOST_RETRIES:
        return None
    pause = min(settings.retry_seconds * 2**retries, LONGEST_PAUSE)
    local = now.astimezone(settings.zone)
    until = datetime.combine(local.date(), settings.retry_until, settings.zone)
    return pause if now + timedelta(seconds=pause) < until else None
