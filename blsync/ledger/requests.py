"""The requests sent on each key, for the pace: one budget for all processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from blsync.ledger import Ledger
from blsync.ledger.tables import quota_keys, quota_requests

SEEN_AFTER = 5.0
"""Seconds after which a request without an answer has surely been seen by the server: a slow one,
or one of a process that was killed."""
POLL = 0.02
"""Seconds between looks while every slot waits for an answer, perhaps another process's."""


@dataclass(frozen=True)
class Limits:
    """What a key may do; `reserve` is the share of the hour that is left to other programs."""

    per_hour: int
    per_second: int
    window: float
    reserve: float

    @property
    def held_back(self) -> int:
        """Requests of a window that are left to others."""
        return min(round(self.per_hour * self.reserve), self.per_hour - 1)


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
        _forget(db, key_id, now - limits.window - SEEN_AFTER)
        wait = _hour_wait(db, key, limits, now) or _second_wait(db, key_id, limits, now)
        if wait:
            return wait
        slot = db.execute(
            insert(quota_requests).values(key_id=key_id, sent_at=now)
        ).inserted_primary_key
        assert slot is not None  # noqa: S101 (an insert of one row has a key)
        return int(slot[0])


def answer(
    ledger: Ledger,
    key_id: str,
    slot: int,
    now: float,
    *,
    limit: int | None = None,
    remaining: int | None = None,
    reset_at: float | None = None,
    blocked_until: float = 0,
) -> None:
    """Record that a slot's request was answered (or failed), and what the server told."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id)
        db.execute(
            update(quota_requests).where(quota_requests.c.slot == slot).values(answered_at=now)
        )
        told: dict[str, float | None] = {}
        if blocked_until > key.blocked_until:
            told["blocked_until"] = blocked_until
        # What was told before is stale once its window is over; slots may count from 1 again then.
        is_latest = slot >= (key.told_by_slot or 0) or key.reset_at <= now
        if remaining is not None and reset_at is not None and is_latest:
            told |= {
                "told_limit": limit,
                "remaining": remaining,
                "reset_at": reset_at,
                "told_by_slot": slot,
            }
        if told:
            db.execute(update(quota_keys).where(quota_keys.c.key_id == key_id).values(**told))


def left(ledger: Ledger, key_id: str, limits: Limits, now: float) -> int:
    """Return how many requests the key may still send in this window, the reserve taken off."""
    with ledger.begin() as db:
        key = _locked_key(db, key_id)
        own = limits.per_hour - limits.held_back - _sent_since(db, key_id, now - limits.window)
        told = _told(db, key, limits, now)
    return max(0, own if told is None else min(own, told))


def _locked_key(db: Connection, key_id: str) -> Row[Any]:
    query = select(quota_keys).where(quota_keys.c.key_id == key_id).with_for_update()
    row = db.execute(query).first()
    if row is None:
        db.execute(insert(quota_keys).values(key_id=key_id))
        row = db.execute(query).one()
    return row


def _forget(db: Connection, key_id: str, before: float) -> None:
    db.execute(delete(quota_requests).where(quota_requests.c.key_id == key_id, _seen_at < before))


# The server counts a request when it sees it: at some time before its answer.
_seen_at = func.coalesce(quota_requests.c.answered_at, quota_requests.c.sent_at)


def _sent_since(db: Connection, key_id: str, since: float) -> int:
    query = select(func.count()).where(quota_requests.c.key_id == key_id, _seen_at > since)
    return db.execute(query).scalar_one()


def _told(db: Connection, key: Row[Any], limits: Limits, now: float) -> int | None:
    """What the server says is left, less what went out after it said so and the reserve."""
    if key.remaining is None or key.reset_at <= now:
        return None
    query = select(func.count()).where(
        quota_requests.c.key_id == key.key_id, quota_requests.c.slot > key.told_by_slot
    )
    held_back = round((key.told_limit or limits.per_hour) * limits.reserve)
    return int(key.remaining) - held_back - db.execute(query).scalar_one()


def _hour_wait(db: Connection, key: Row[Any], limits: Limits, now: float) -> Wait | None:
    allowed = limits.per_hour - limits.held_back
    if _sent_since(db, key.key_id, now - limits.window) >= allowed:
        nth = (
            select(_seen_at)
            .where(quota_requests.c.key_id == key.key_id)
            .order_by(_seen_at.desc())
            .offset(allowed - 1)
            .limit(1)
        )
        return Wait(db.execute(nth).scalar_one() + limits.window, is_hour=True)
    told = _told(db, key, limits, now)
    if told is not None and told <= 0:
        return Wait(key.reset_at, is_hour=True)
    return None


def _second_wait(db: Connection, key_id: str, limits: Limits, now: float) -> Wait | None:
    """Wait until a second after the answer to the request `per_second` requests ago."""
    answered_at, sent_at = quota_requests.c.answered_at, quota_requests.c.sent_at
    is_in_flight = answered_at.is_(None) & (sent_at > now - SEEN_AFTER)
    rows = db.execute(
        select(answered_at)
        .where(quota_requests.c.key_id == key_id)
        .where(is_in_flight | (answered_at > now - 1.0))
    ).all()
    busy = sorted(POLL + now if row.answered_at is None else row.answered_at + 1.0 for row in rows)
    if len(busy) < limits.per_second:
        return None
    return Wait(busy[len(busy) - limits.per_second], is_hour=False)
