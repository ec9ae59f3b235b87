"""Which instants to believe: this machine's clock, the server's, and what either wrote before.

A clock that was wrong for one night leaves instants behind that lie years ahead. Whatever asks "has
enough time gone by since then?" would answer no for years, so it asks here: an instant that lies
further ahead than clocks differ was written by a clock that was wrong, and counts as long ago.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LARGEST_SKEW = timedelta(minutes=5)
"""By how much this clock may differ from the server's. A window begins so much behind the covered
time (`pull.OVERLAP`), so a clock inside this bound makes no change slip between two windows."""
FURTHEST_AHEAD = timedelta(days=1)
"""By how much what was pulled before may be dated ahead of now and still be gone on from: time
zones are mistaken for each other by less."""
YEARS = range(1970, 2200)
"""A server's time outside of these years is none."""


def is_ahead(at: datetime, now: datetime) -> bool:
    """Tell whether an instant lies ahead of now by more than clocks differ."""
    return at - now > LARGEST_SKEW


def has_passed(span: timedelta, since: datetime, now: datetime) -> bool:
    """Tell whether so much time has gone by; since an instant that lies ahead it has."""
    return is_ahead(since, now) or now - since >= span


def read_date(text: str | None) -> datetime | None:
    """Return the instant of an HTTP date, UTC; None where it is none or cannot be one."""
    try:
        return plausible(parsedate_to_datetime(text or ""))
    except (ValueError, TypeError, OverflowError):
        return None


def plausible(at: datetime | None) -> datetime | None:
    """Return a time that a server told in UTC, where it can be its clock's; without a zone it is
    UTC already.
    """
    if at is None or at.year not in YEARS:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def skew_of(told: Iterable[datetime], sent: datetime, answered: datetime) -> timedelta | None:
    """Return by how much this clock is ahead of the server's (behind: negative).

    `told` are the server's times in one answer, `sent` and `answered` ours: it told them somewhere
    in between, in whole seconds perhaps. Of several the one nearest to ours counts, because a
    gateway's may be wrong; None where there is none.
    """
    second = timedelta(seconds=1)
    skews = [
        answered - at if at > answered else max(sent - at - second, timedelta(0)) for at in told
    ]
    return min(skews, key=abs, default=None)
