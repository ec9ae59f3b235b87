"""The requests sent on each key: one budget for all processes.

What the server told last is its word: how many requests are left, and until when. Until then it
counts instead of our own count, because the server's hour may be a fixed one and others may use the
key. If it had none left, then once its reset has passed one request finds out what holds now, and
the others wait for its answer.

What a clock that was wrong has written is recognised when it is read, and does not count: nothing
holds for longer than the quota's window, and nothing was sent or told in the future.

An example: a key of 1000 requests an hour, of which a tenth, 100, is left to other programs.

    12:00:00  Requests A and B are sent. B's answer comes first: 398 remain, reset at 12:30.
              A's answer comes next and says 399. The server saw A before B, so 398 stands.
              398 - 100 = 298 may be sent until 12:30.
    12:00:01  Three more are sent. They are not in the server's word yet, so 295 may be sent.
    12:00:02  Their answers come; the last one says 395 remain. 395 - 100 = 295 may be sent.
    12:20:00  100 remain, which are not ours. `take` says: wait until 12:30.
    12:30:00  The word has ended. The first process that asks gets a slot; the others are told to
              wait for POLL seconds, and again, until that one's answer has told a new word.

Had the server told nothing at all, our own count would hold: the requests of the last 60 minutes,
and at most 1000 - 100 of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
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
CLOCKS_APART = 60.0
"""Seconds by which the clocks of two machines on one ledger may differ: what was sent or told
further ahead than that was dated by a clock that was wrong, or that was set back since."""
MINUTE = 60.0
"""Seconds in which batches are counted."""
LARGE_BATCH = 100
"""Records up to which a batch is not a large one."""
_SLACK = 1.0
"""Seconds by which a wait may be longer than the window, for clocks that differ a little."""
_SAME_RESET = 1.5
"""Seconds by which two words of one reset may differ: it is told in whole seconds."""


@dataclass(frozen=True)
class Limits:
    """What a key may do; `reserve` is the share of the hour that is left to other programs."""

    per_hour: int
    per_second: int
    window: float
    reserve: float
    live_share: float | None = None
    """The share of what is left of the hour that these requests may use together, because they are
    sent for events; None: they are not."""

    batches: int = 10
    """Batches that may be sent in a minute."""
    large_batches: int = 5
    """Those of them that have more than `LARGE_BATCH` records."""

    @property
    def for_events(self) -> int:
        """Requests of a window that may be sent for events."""
        return int((self.per_hour - self.held_back(self.per_hour)) * (self.live_share or 0))

    def held_back(self, of: int) -> int:
        """Requests of a window of so many that are left to others: never all of them."""
        return max(0, min(round(of * self.reserve), of - 1))


@dataclass(frozen=True)
class ServerQuota:
    """The server's word: so many requests of `limit` are left until `reset_at` (unix seconds)."""

    limit: int | None
    remaining: int
    reset_at: float


@dataclass(frozen=True)
class Wait:
    """No request may go out before `until` (unix seconds).

    `is_share`: others may, but those that are sent for events have used up their share. `is_batch`:
    others may, but no batch.
    """

    until: float
    is_hour: bool
    is_share: bool = False
    is_batch: bool = False


@dataclass(frozen=True)
class _Key:
    """A key's row as far as it can be believed; without the server's word `told_at` is None."""

    key_id: str
    blocked_until: float
    told_limit: int | None = None
    remaining: int = 0
    reset_at: float = 0
    told_at: float | None = None


def take(
    ledger: Ledger, key_id: str, limits: Limits, now: float, records: int | None = None
) -> int | Wait:
    """Take a slot for one request, or say how long to wait; `now` in unix seconds. `records` is how
    many a batch has: batches have limits of their own beside.
    """
    with ledger.begin() as db:
        key = _locked_key(db, key_id, limits, now)
        if key.blocked_until > now:
            return Wait(key.blocked_until, is_hour=key.blocked_until - now > 2)
        wait = _second_wait(db, key_id, limits, now) or _hour_wait(db, key, limits, now)
        wait = wait or _share_wait(db, key_id, limits, now)
        if records is not None:
            wait = wait or _batch_wait(db, key_id, limits, now, records)
        if wait:
            return wait
        row = {
            "key_id": key_id,
            "sent_at": now,
            "is_live": limits.live_share is not None,
            "records": records,
        }
        taken = db.execute(_TAKE, row).inserted_primary_key
        assert taken is not None  # noqa: S101 (an insert of one row has a key)
        return int(taken[0])


def left_for_events(ledger: Ledger, key_id: str, limits: Limits, now: float) -> int:
    """Return how many requests may still be sent for events in this window."""
    with ledger.begin() as db:
        sent = _count_live(db, key_id, limits, now)
    return max(0, limits.for_events - sent)


def answer(
    ledger: Ledger,
    key_id: str,
    limits: Limits,
    slot: int,
    now: float,
    told: ServerQuota | None = None,
    blocked_until: float = 0,
) -> None:
    """Record that a slot's request was answered (or failed), and what the server told."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id, limits, now)
        if key.told_at is not None and now <= key.told_at < now + 1:
            now = math.nextafter(key.told_at, math.inf)  # answered later, whatever the clock says
        db.execute(_ANSWER, {"of_slot": slot, "at": now})
        if blocked_until > key.blocked_until:
            db.execute(_BLOCK, {"key": key_id, "to": blocked_until})
        if told and told.reset_at > now:
            _hear(db, key, told, now)
        if slot % FORGET_EVERY == 0:
            since = now - max(limits.window, MINUTE) - SEEN_AFTER
            of_now = {"since": since, "latest": now + CLOCKS_APART}
            db.execute(_FORGET, {"key": key_id, **of_now})


def withdraw(ledger: Ledger, slot: int) -> None:
    """Forget a slot: what it was taken for does not count."""
    with ledger.begin() as db:
        db.execute(delete(quota_requests).where(quota_requests.c.slot == slot))


def clear(ledger: Ledger, key_id: str, limits: Limits, now: float) -> bool:
    """Forget a refusal's wait, the server's word, and requests that are dated ahead. Tells whether
    any of it held the key back, or could have.

    What still holds comes back with the next answer.
    """
    with ledger.begin() as db:
        row = db.execute(_KEY, {"key": key_id}).first()
        if row is None:
            return False
        word = _Key(key_id, 0, row.told_limit, row.remaining or 0)
        is_spent = row.told_at is not None and row.reset_at > now and _told_free(word, limits) <= 0
        db.execute(_CLEAR, {"key": key_id})
        ahead = db.execute(_FORGET, {"key": key_id, "since": -1.0, "latest": now + CLOCKS_APART})
    return bool(row.blocked_until > now or is_spent or ahead.rowcount)


def left(ledger: Ledger, key_id: str, limits: Limits, now: float) -> int:
    """Return how many requests the key may still send in this window, the reserve taken off."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id, limits, now)
        told = _told(db, key, limits, now) if _holds(key, now) else None
        own = _own(db, key, limits, now) if _own_counts(key, limits, now) else None
    return max(0, min(count for count in (told, own) if count is not None))


def _hear(db: Connection, key: _Key, told: ServerQuota, now: float) -> None:
    """Take the server's word where it is later than the one that is held: answers come in any
    order.

    Of two words with one reset, the later has fewer requests left. In a sliding window the reset
    moves on, and the later word is the one with the later reset.
    """
    if _holds(key, now) and (key.told_at or 0) <= now + 1:
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


def _holds(key: _Key, now: float) -> bool:
    return key.told_at is not None and key.reset_at > now


def _allows_no_more(key: _Key, limits: Limits) -> bool:
    return (key.told_limit or limits.per_hour) <= limits.per_hour


def _own_counts(key: _Key, limits: Limits, now: float) -> bool:
    """Tell whether our own count counts: without the server's word, or below what it allows."""
    return not (_holds(key, now) and _allows_no_more(key, limits))


def _told(db: Connection, key: _Key, limits: Limits, now: float) -> int | None:
    """What the server said was left, less what it had not seen when it said so, and the reserve."""
    if key.told_at is None:
        return None
    sent = _count(db, key.key_id, key.told_at, key.told_at - SEEN_AFTER, now)
    return _told_free(key, limits) - sent


def _told_free(key: _Key, limits: Limits) -> int:
    return int(key.remaining) - limits.held_back(key.told_limit or limits.per_hour)


def _own(db: Connection, key: _Key, limits: Limits, now: float) -> int:
    since = now - limits.window
    sent = _count(db, key.key_id, since, since, now)
    return limits.per_hour - limits.held_back(limits.per_hour) - sent


def _hour_wait(db: Connection, key: _Key, limits: Limits, now: float) -> Wait | None:
    told = _told(db, key, limits, now)
    if told is not None and told <= 0 and _holds(key, now):
        if _told_free(key, limits) > 0 and _count(db, key.key_id, math.inf, now - SEEN_AFTER, now):
            return Wait(now + POLL, is_hour=False)  # an answer may tell that there are more
        return Wait(key.reset_at, is_hour=True)
    if not _own_counts(key, limits, now):
        return None
    own = _own(db, key, limits, now)
    if own > 0 and (told is None or told > 0):
        return None
    if told is not None and not _holds(key, now):
        of_now = {"reset_at": key.reset_at, "latest": now + CLOCKS_APART}
        probe = db.execute(_PROBE, {"key": key.key_id, **of_now}).one()
        if not probe.answered:
            if (probe.sent_at or 0) > now - SEEN_AFTER:
                return Wait(now + POLL, is_hour=False)
            if own > 0 or _allows_no_more(key, limits):
                return None
    if own > 0:
        return None
    allowed = limits.per_hour - limits.held_back(limits.per_hour)
    place = {"key": key.key_id, "before": allowed - 1, "latest": now + CLOCKS_APART}
    nth = db.scalar(_NTH_LATEST, place)
    return Wait(nth + limits.window, is_hour=True)


def _share_wait(db: Connection, key_id: str, limits: Limits, now: float) -> Wait | None:
    """Wait until what was sent for events, a window ago, has made room for one more."""
    if limits.live_share is None or _count_live(db, key_id, limits, now) < limits.for_events:
        return None
    place = {"key": key_id, "since": now - limits.window, "latest": now + CLOCKS_APART}
    oldest = db.execute(_OLDEST_LIVE, place).scalar()
    return Wait((oldest or now) + limits.window, is_hour=True, is_share=True)


def _count_live(db: Connection, key_id: str, limits: Limits, now: float) -> int:
    place = {"key": key_id, "since": now - limits.window, "latest": now + CLOCKS_APART}
    return db.execute(_LIVE, place).scalar_one()


def _batch_wait(
    db: Connection, key_id: str, limits: Limits, now: float, records: int
) -> Wait | None:
    """Wait until batches of a minute ago have made room for one of so many records."""
    place = {"key": key_id, "since": now - MINUTE, "latest": now + CLOCKS_APART}
    sent = db.execute(_BATCHES, place).all()
    large = [row.at for row in sent if row.records > LARGE_BATCH]
    full = [([row.at for row in sent], limits.batches)]
    if records > LARGE_BATCH:
        full.append((large, limits.large_batches))
    waits = [at[len(at) - most] + MINUTE for at, most in full if len(at) >= most]
    return Wait(max(waits), is_hour=False, is_batch=True) if waits else None


def _second_wait(db: Connection, key_id: str, limits: Limits, now: float) -> Wait | None:
    """Wait until a second after the answer to the request `per_second` requests ago."""
    if _count(db, key_id, now - 1.0, now - SEEN_AFTER, now) < limits.per_second:
        return None
    place = {"key": key_id, "since": now - 1.0, "until": now + 1.0, "sent_since": now - SEEN_AFTER}
    place["latest"] = now + CLOCKS_APART
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


def _count(db: Connection, key_id: str, since: float, sent_since: float, now: float) -> int:
    """Count the requests answered after `since`, and those in flight sent after `sent_since`."""
    place = {"key": key_id, "since": since, "sent_since": sent_since}
    return db.execute(_COUNT, {**place, "latest": now + CLOCKS_APART}).scalar_one()


def _locked_key(db: Connection, key_id: str, limits: Limits, now: float) -> _Key:
    row = db.execute(_KEY, {"key": key_id}).first()
    if row is None:
        db.execute(_NEW_KEY, {"key": key_id})
        row = db.execute(_KEY, {"key": key_id}).one()
    return _believed(row, limits, now)


def _believed(row: Row[Any], limits: Limits, now: float) -> _Key:
    """Return what is known of a key, less what only a wrong clock can have written.

    A time too far ahead is left out. Cut down to the window it would lie a whole window ahead each
    time it is read, and never come.
    """
    latest = now + limits.window + _SLACK
    blocked_until = row.blocked_until if row.blocked_until <= latest else 0.0
    is_told = (
        row.told_at is not None and row.told_at <= now + CLOCKS_APART and row.reset_at <= latest
    )
    if not is_told:
        return _Key(row.key_id, blocked_until)
    return _Key(row.key_id, blocked_until, row.told_limit, row.remaining, row.reset_at, row.told_at)


# The statements are made once: making them costs more than running them.
_sent_at, _answered_at = quota_requests.c.sent_at, quota_requests.c.answered_at
_OF_KEY = quota_requests.c.key_id == bindparam("key")
_LATEST: BindParameter[float] = bindparam("latest")
_ANSWERED = (_answered_at > bindparam("since")) & (_answered_at <= _LATEST)
_IN_FLIGHT = _answered_at.is_(None) & (_sent_at > bindparam("sent_since")) & (_sent_at <= _LATEST)
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
_SINCE_RESET = (_sent_at >= bindparam("reset_at")) & (_sent_at <= _LATEST)
_PROBE = select(
    _counting(_answered_at > bindparam("reset_at"), _SINCE_RESET).label("answered"),
    select(func.max(_sent_at))
    .where(_OF_KEY, _answered_at.is_(None), _SINCE_RESET)
    .scalar_subquery()
    .label("sent_at"),
)
_NTH_LATEST = (
    select(_seen_at)
    .where(_OF_KEY, _seen_at <= _LATEST)
    .order_by(_seen_at.desc())
    .offset(bindparam("before", type_=Integer))
    .limit(1)
)
_IS_LIVE = (
    _OF_KEY & quota_requests.c.is_live & (_sent_at > bindparam("since")) & (_sent_at <= _LATEST)
)
_LIVE = select(func.count()).select_from(quota_requests).where(_IS_LIVE)
_OLDEST_LIVE = select(func.min(_sent_at)).where(_IS_LIVE)
_BATCHES = (
    select(_seen_at.label("at"), quota_requests.c.records)
    .where(_OF_KEY, quota_requests.c.records.is_not(None))
    .where(_seen_at > bindparam("since"), _seen_at <= _LATEST)
    .order_by(_seen_at)
)
_TAKE = insert(quota_requests)
_FORGET = delete(quota_requests).where(
    _OF_KEY, (_seen_at < bindparam("since")) | (_seen_at > _LATEST)
)
_ANSWER = (
    update(quota_requests)
    .where(quota_requests.c.slot == bindparam("of_slot"))
    .values(answered_at=bindparam("at"))
)
_OF_THIS_KEY = quota_keys.c.key_id == bindparam("key")
_UPDATE_KEY = update(quota_keys).where(_OF_THIS_KEY)
_CLEAR = _UPDATE_KEY.values(
    blocked_until=0, told_limit=None, remaining=None, reset_at=None, told_at=None
)
_BLOCK = _UPDATE_KEY.values(blocked_until=bindparam("to"))
_KNOWN = _UPDATE_KEY.values(told_at=bindparam("at"))
_TELL = _UPDATE_KEY.values(
    told_at=bindparam("at"),
    told_limit=bindparam("limit"),
    remaining=bindparam("left"),
    reset_at=bindparam("reset"),
)
