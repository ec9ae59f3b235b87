"""The requests sent on each key, for the pace: one budget for all processes.

What the server told last is its word: so many left, until then. While it holds it counts instead of
our own count, because the server's hour may be a fixed one and others may use the key. Once its
reset has passed, one request finds out what holds now and the others wait for its answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    ScalarSelect,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from blsync.ledger import Ledger
from blsync.ledger.tables import quota_keys, quota_requests

SEEN_AFTER = 5.0
"""Seconds after which a request without an answer has surely been seen by the server: a slow one,
or one of a process that was killed."""
POLL = 0.05
"""Seconds between looks for another request's answer."""
FORGET_EVERY = 256
"""How many slots are given between two clearings of requests that no longer count."""
_SAME_RESET = 1.5
"""Seconds by which two words of one reset may differ: it is told in whole seconds."""


@dataclass(frozen=True)
class Limits:
    """What a key may do; `reserve` is the share of the hour that is left to other programs."""

    per_hour: int
    per_second: int
    window: float
    reserve: float

    def held_back(self, of: int) -> int:
        """Requests of a window of so many that are left to others: never all of them."""
        return max(0, min(round(of * self.reserve), of - 1))


@dataclass(frozen=True)
class Told:
    """The server's word: so many requests of `limit` are left until `reset_at` (unix seconds)."""

    limit: int | None
    remaining: int
    reset_at: float


@dataclass(frozen=True)
class Wait:
    """No request may go out before `until` (unix seconds)."""

    until: float
    is_hour: bool


def take(ledger: Ledger, key_id: str, limits: Limits, now: float) -> int | Wait:
    """Take a slot for one request, or say how long to wait; `now` in unix seconds."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id)
        if key.blocked_until > now:
            return Wait(key.blocked_until, is_hour=key.blocked_until - now > 2)
        wait = _second_wait(db, key_id, limits, now) or _hour_wait(db, key, limits, now)
        if wait:
            return wait
        taken = db.execute(_TAKE, {"key_id": key_id, "sent_at": now}).inserted_primary_key
        assert taken is not None  # noqa: S101 (an insert of one row has a key)
        slot = int(taken[0])
        if slot % FORGET_EVERY == 0:
            db.execute(_FORGET, {"key": key_id, "since": now - limits.window - SEEN_AFTER})
        return slot


def answer(
    ledger: Ledger,
    key_id: str,
    slot: int,
    now: float,
    told: Told | None = None,
    blocked_until: float = 0,
) -> None:
    """Record that a slot's request was answered (or failed), and what the server told."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id)
        if key.told_at is not None and now <= key.told_at < now + 1:
            now = math.nextafter(key.told_at, math.inf)  # answered later, whatever the clock says
        db.execute(_ANSWER, {"of_slot": slot, "at": now})
        if blocked_until > key.blocked_until:
            db.execute(_BLOCK, {"key": key_id, "to": blocked_until})
        if told and told.reset_at > now:
            _hear(db, key, told, now)


def left(ledger: Ledger, key_id: str, limits: Limits, now: float) -> int:
    """Return how many requests the key may still send in this window, the reserve taken off."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id)
        told = _told(db, key, limits) if _holds(key, now) else None
        own = _own(db, key, limits, now) if _own_counts(key, limits, now) else None
    return max(0, min(count for count in (told, own) if count is not None))


def _hear(db: Connection, key: Row[Any], told: Told, now: float) -> None:
    """Take the server's word where it is later than the one that is held: answers come in any
    order. Within one window the server's count only sinks; of a sliding one the reset moves on.
    """
    if _holds(key, now) and key.told_at <= now + 1:
        later = told.reset_at - key.reset_at
        if later < -_SAME_RESET:
            return
        if later <= _SAME_RESET and told.remaining > key.remaining:
            # The server saw this request before those that `remaining` knows of.
            db.execute(_KNOWN, {"key": key.key_id, "at": now})
            return
    remaining = told.remaining if told.limit is None else min(told.remaining, told.limit)
    values = {"limit": told.limit, "left": remaining, "reset": told.reset_at}
    db.execute(_TELL, {"key": key.key_id, "at": now, **values})


def _holds(key: Row[Any], now: float) -> bool:
    return key.told_at is not None and key.reset_at > now


def _allows_no_more(key: Row[Any], limits: Limits) -> bool:
    return (key.told_limit or limits.per_hour) <= limits.per_hour


def _own_counts(key: Row[Any], limits: Limits, now: float) -> bool:
    """Tell whether our own count counts: without the server's word, or below what it allows."""
    return not (_holds(key, now) and _allows_no_more(key, limits))


def _told(db: Connection, key: Row[Any], limits: Limits) -> int | None:
    """What the server said was left, less what it had not seen when it said so, and the reserve."""
    if key.told_at is None:
        return None
    return _told_free(key, limits) - _count(db, key.key_id, key.told_at, key.told_at - SEEN_AFTER)


def _told_free(key: Row[Any], limits: Limits) -> int:
    return int(key.remaining) - limits.held_back(key.told_limit or limits.per_hour)


def _own(db: Connection, key: Row[Any], limits: Limits, now: float) -> int:
    since = now - limits.window
    sent = _count(db, key.key_id, since, since)
    return limits.per_hour - limits.held_back(limits.per_hour) - sent


def _hour_wait(db: Connection, key: Row[Any], limits: Limits, now: float) -> Wait | None:
    told = _told(db, key, limits)
    if told is not None and told <= 0 and _holds(key, now):
        if _told_free(key, limits) > 0 and _count(db, key.key_id, math.inf, now - SEEN_AFTER):
            return Wait(now + POLL, is_hour=False)  # an answer may tell that there are more
        return Wait(key.reset_at, is_hour=True)
    if not _own_counts(key, limits, now):
        return None
    own = _own(db, key, limits, now)
    if own > 0 and (told is None or told > 0):
        return None
    if told is not None and not _holds(key, now):
        probe = db.execute(_PROBE, {"key": key.key_id, "reset_at": key.reset_at}).one()
        if not probe.answered:
            if (probe.sent_at or 0) > now - SEEN_AFTER:
                return Wait(now + POLL, is_hour=False)
            if own > 0 or _allows_no_more(key, limits):
                return None
    if own > 0:
        return None
    allowed = limits.per_hour - limits.held_back(limits.per_hour)
    nth = db.scalar(_NTH_LATEST, {"key": key.key_id, "before": allowed - 1})
    return Wait(nth + limits.window, is_hour=True)


def _second_wait(db: Connection, key_id: str, limits: Limits, now: float) -> Wait | None:
    """Wait until a second after the answer to the request `per_second` requests ago."""
    if _count(db, key_id, now - 1.0, now - SEEN_AFTER) < limits.per_second:
        return None
    place = {"key": key_id, "since": now - 1.0, "until": now + 1.0, "sent_since": now - SEEN_AFTER}
    # A request in flight keeps its slot for a second more at the least.
    busy = sorted(
        min(now + 1.0, row.sent_at + SEEN_AFTER)
        if row.answered_at is None
        else row.answered_at + 1.0
        for row in db.execute(_BUSY, place)
    )
    if len(busy) < limits.per_second:
        return None
    return Wait(busy[len(busy) - limits.per_second], is_hour=False)


def _count(db: Connection, key_id: str, since: float, sent_since: float) -> int:
    """Count the requests answered after `since`, and those in flight sent after `sent_since`."""
    return db.execute(
        _COUNT, {"key": key_id, "since": since, "sent_since": sent_since}
    ).scalar_one()


def _locked_key(db: Connection, key_id: str) -> Row[Any]:
    row = db.execute(_KEY, {"key": key_id}).first()
    if row is None:
        db.execute(_NEW_KEY, {"key": key_id})
        row = db.execute(_KEY, {"key": key_id}).one()
    return row


# The statements are made once: making them costs more than running them.
_sent_at, _answered_at = quota_requests.c.sent_at, quota_requests.c.answered_at
_OF_KEY = quota_requests.c.key_id == bindparam("key")
_ANSWERED = _answered_at > bindparam("since")
_IN_FLIGHT = _answered_at.is_(None) & (_sent_at > bindparam("sent_since"))
# The server counts a request when it sees it: at some time before its answer.
_seen_at = func.coalesce(_answered_at, _sent_at)


def _counting(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(_OF_KEY, *conditions).scalar_subquery()


_KEY = select(quota_keys).where(quota_keys.c.key_id == bindparam("key")).with_for_update()
_NEW_KEY = text(
    "insert into quota_keys (key_id, blocked_until) values (:key, 0) on conflict do nothing"
)
_COUNT = select(_counting(_ANSWERED) + _counting(_IN_FLIGHT))
_BUSY = select(_sent_at, _answered_at).where(
    # One of the future was answered before the clock was set back.
    _OF_KEY,
    (_ANSWERED & (_answered_at < bindparam("until"))) | _IN_FLIGHT,
)
_SINCE_RESET = _sent_at >= bindparam("reset_at")
_PROBE = select(
    _counting(_answered_at > bindparam("reset_at"), _SINCE_RESET).label("answered"),
    select(func.max(_sent_at))
    .where(_OF_KEY, _answered_at.is_(None), _SINCE_RESET)
    .scalar_subquery()
    .label("sent_at"),
)
_NTH_LATEST = (
    select(_seen_at)
    .where(_OF_KEY)
    .order_by(_seen_at.desc())
    .offset(bindparam("before", type_=Integer))
    .limit(1)
)
_TAKE = insert(quota_requests)
_FORGET = delete(quota_requests).where(_OF_KEY, _seen_at < bindparam("since"))
_ANSWER = (
    update(quota_requests)
    .where(quota_requests.c.slot == bindparam("of_slot"))
    .values(answered_at=bindparam("at"))
)
_OF_THIS_KEY = quota_keys.c.key_id == bindparam("key")
_UPDATE_KEY = update(quota_keys).where(_OF_THIS_KEY)
_BLOCK = _UPDATE_KEY.values(blocked_until=bindparam("to"))
_KNOWN = _UPDATE_KEY.values(told_at=bindparam("at"))
_TELL = _UPDATE_KEY.values(
    told_at=bindparam("at"),
    told_limit=bindparam("limit"),
    remaining=bindparam("left"),
    reset_at=bindparam("reset"),
)
