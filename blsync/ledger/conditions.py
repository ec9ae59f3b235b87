"""What holds that somebody is to be told of, and who was told: each of it once, and its end once.

A condition is known by company, kind and subject. Who was told is a list of names: what a name
stands for is for whoever tells (`blsync.alerts`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from blsync.ledger import Ledger
from blsync.ledger.states import ConditionKind, OperationState
from blsync.ledger.tables import attempts, conditions, operations, plans
from blsync.ledger.versions import hold

IN_FLIGHT = timedelta(minutes=10)
"""How long a request of a push may be under way; without an answer after that it is held."""


@dataclass(frozen=True)
class Condition:
    """What holds; `count` is of how many things. `company_id` is empty where it is of all
    companies.
    """

    kind: ConditionKind
    company_id: str
    subject: str = ""
    count: int = 1

    @property
    def key(self) -> tuple[str, ConditionKind, str]:
        """By what it is known."""
        return self.company_id, self.kind, self.subject


@dataclass(frozen=True)
class Kept:
    """A condition as it is kept: since when it holds, when it ended (UTC), and who was told."""

    condition: Condition
    since: datetime
    ended_at: datetime | None
    told: frozenset[str]


def kept(ledger: Ledger) -> list[Kept]:
    """Return what holds, and what has ended and not everybody who knew of it was told."""
    with ledger.begin() as db:
        return _kept(db)


def observe(ledger: Ledger, found: Iterable[Condition], now: datetime) -> list[Kept]:
    """Keep what holds now: what is new begins, what is not among it has ended. Return all that is
    kept. Addresses that take no message are left as they are (`observe_collector`).
    """
    now_held = {condition.key: condition for condition in found}
    with ledger.begin() as db:
        hold(db)
        known = {one.condition.key: one for one in _kept(db)}
        for key, condition in now_held.items():
            _begin(db, known.get(key), condition, now)
        for key, one in known.items():
            if key not in now_held and one.condition.kind != ConditionKind.COLLECTOR:
                _end(db, one, now)
        return _kept(db)


def observe_collector(ledger: Ledger, name: str, now: datetime, *, is_down: bool) -> None:
    """Keep whether the address of that name takes messages."""
    condition = Condition(ConditionKind.COLLECTOR, "", name)
    with ledger.begin() as db:
        hold(db)
        known = next((one for one in _kept(db) if one.condition.key == condition.key), None)
        if is_down:
            _begin(db, known, condition, now)
        elif known:
            _end(db, known, now)


def mark_told(ledger: Ledger, told_of: Iterable[Condition], name: str) -> None:
    """Note that the address of that name was told that these hold."""
    _mark(ledger, told_of, lambda told: told | {name})


def mark_told_end(ledger: Ledger, told_of: Iterable[Condition], name: str) -> None:
    """Note that the address of that name was told that these have ended, or need not be; what
    nobody is to be told of any more is forgotten.
    """
    _mark(ledger, told_of, lambda told: told - {name})


def forget_others(ledger: Ledger, names: Collection[str]) -> None:
    """Forget addresses that are none any more, and what they were told."""
    with ledger.begin() as db:
        hold(db)
        for one in _kept(db):
            is_gone = one.condition.kind == ConditionKind.COLLECTOR
            if is_gone and one.condition.subject not in names:
                db.execute(delete(conditions).where(_place(one.condition)))
            elif one.told - set(names):
                _put_told(db, one, one.told & set(names))


def held_pushes(ledger: Ledger, now: datetime) -> dict[tuple[str, str], int]:
    """Return how many rows each plan has that were sent, and whose answer will not come any more:
    by company id and plan id.
    """
    sent = (
        select(
            attempts.c.plan_id,
            attempts.c.row,
            func.max(attempts.c.sent_at).label("sent_at"),
            func.max(attempts.c.attempt_id).label("attempt_id"),
        )
        .group_by(attempts.c.plan_id, attempts.c.row)
        .subquery()
    )
    last = attempts.alias()
    query = (
        select(plans.c.company_id, plans.c.plan_id, func.count())
        .join(operations, operations.c.plan_id == plans.c.plan_id)
        .join(sent, (sent.c.plan_id == operations.c.plan_id) & (sent.c.row == operations.c.row))
        .join(last, last.c.attempt_id == sent.c.attempt_id)
        .where(operations.c.state == OperationState.HELD)
        .where(last.c.answered_at.is_not(None) | (sent.c.sent_at < now - IN_FLIGHT))
        .group_by(plans.c.company_id, plans.c.plan_id)
    )
    with ledger.begin() as db:
        return {(row[0], row[1]): row[2] for row in db.execute(query)}


def _kept(db: Connection) -> list[Kept]:
    rows = db.execute(
        select(conditions).order_by(
            conditions.c.company_id, conditions.c.kind, conditions.c.subject
        )
    )
    return [
        Kept(
            Condition(row.kind, row.company_id, row.subject, row.size),
            row.since,
            row.ended_at,
            frozenset(json.loads(row.told)),
        )
        for row in rows
    ]


def _begin(db: Connection, known: Kept | None, condition: Condition, now: datetime) -> None:
    """Have a condition hold. One whose end nobody was told of yet has never ended."""
    if known is None:
        values = {"since": now, "told": "[]", "size": condition.count}
        named = {"company_id": condition.company_id, "kind": condition.kind}
        db.execute(insert(conditions).values(**named, subject=condition.subject, **values))
    else:
        values = {"ended_at": None, "size": condition.count}
        db.execute(update(conditions).where(_place(condition)).values(**values))


def _end(db: Connection, known: Kept, now: datetime) -> None:
    """Have a condition end; one that nobody was told of is forgotten."""
    place = _place(known.condition)
    if not known.told:
        db.execute(delete(conditions).where(place))
    elif known.ended_at is None:
        db.execute(update(conditions).where(place).values(ended_at=now))


def _mark(ledger: Ledger, told_of: Iterable[Condition], change: Any) -> None:
    keys = {condition.key for condition in told_of}
    with ledger.begin() as db:
        hold(db)
        for one in _kept(db):
            if one.condition.key in keys:
                _put_told(db, one, change(one.told))


def _put_told(db: Connection, one: Kept, told: frozenset[str]) -> None:
    place = _place(one.condition)
    if one.ended_at and not told:
        db.execute(delete(conditions).where(place))
    else:
        db.execute(update(conditions).where(place).values(told=json.dumps(sorted(told))))


def _place(condition: Condition) -> Any:
    return (
        (conditions.c.company_id == condition.company_id)
        & (conditions.c.kind == condition.kind)
        & (conditions.c.subject == condition.subject)
    )
