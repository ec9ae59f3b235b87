"""Events that BigLedger sent, each once, and up to which of them an entity was pulled since.

An event is stored before it is acknowledged, as a durable transaction: it survives the process and
the machine. It is a hint and no more, so nothing of what it says is kept but what names the change;
a payment is, until it has landed, because no list has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from blsync.ledger import Ledger
from blsync.ledger.tables import event_marks, events

KEPT_FOR = timedelta(days=30)
"""How long events are remembered: far longer than BigLedger tries to deliver one."""
_LOCK = 0x626C73796E64
"""PostgreSQL's advisory lock for whoever stores events: their numbers rise as they are committed,
so that a mark never stands before one that is still to come."""


@dataclass(frozen=True)
class Event:
    """An event as it is stored; times are UTC.

    `entity` is the kind of record that it is about, None where this installation has none such;
    `payload` is a payment's JSON as it came, None for everything else.
    """

    company_id: str
    event_id: str
    event: str
    entity: str | None
    record_id: str | None
    sent_at: datetime
    source: str
    payload: str | None = None


@dataclass(frozen=True)
class Waiting:
    """Events of a company that no pull has begun after: how many of each name, up to which one, and
    when the first of them was received.
    """

    names: dict[str, int]
    up_to: int
    since: datetime


def store(ledger: Ledger, received: Sequence[Event], received_at: datetime) -> list[Event]:
    """Store the events that are not known yet, and return them; of the others it is counted that
    they came again. They survive the machine's end from then on. Raises StorageError.
    """
    new = []
    with ledger.begin(durable=True) as db:
        if db.dialect.name == "postgresql":
            db.execute(text(f"select pg_advisory_xact_lock({_LOCK})"))
        for event in received:
            place = {"of_company": event.company_id, "of_event": event.event_id}
            if db.execute(_AGAIN, place).rowcount:
                continue
            db.execute(_ADD, {**vars(event), "received_at": received_at})
            new.append(event)
    return new


def latest(ledger: Ledger, company_id: str) -> int:
    """Return the number of the last event that is stored of a company; 0: there is none."""
    with ledger.begin() as db:
        return db.execute(_LATEST, {"of_company": company_id}).scalar() or 0


def marks(ledger: Ledger, company_id: str) -> dict[str, int]:
    """Return up to which event each entity was pulled since."""
    query = select(event_marks.c.entity, event_marks.c.seen_seq)
    with ledger.begin() as db:
        rows = db.execute(query.where(event_marks.c.company_id == company_id)).all()
    return {row.entity: row.seen_seq for row in rows}


def waiting(ledger: Ledger, company_id: str, entity: str, names: Collection[str]) -> Waiting | None:
    """Return the events by these names after which no pull of the entity has begun; None: there are
    none.
    """
    seen = marks(ledger, company_id).get(entity, 0)
    query = (
        select(
            events.c.event,
            func.count().label("times"),
            func.max(events.c.seq).label("last"),
            func.min(events.c.received_at).label("first_at"),
        )
        .where(events.c.company_id == company_id, events.c.seq > seen)
        .where(events.c.event.in_(sorted(names)))
        .group_by(events.c.event)
    )
    with ledger.begin() as db:
        rows = db.execute(query).all()
    if not rows:
        return None
    return Waiting(
        {row.event: row.times for row in rows},
        max(row.last for row in rows),
        min(row.first_at for row in rows),
    )


def names_after(ledger: Ledger, company_id: str, seq: int) -> set[str]:
    """Return by which names events came after that one."""
    query = select(events.c.event).distinct()
    with ledger.begin() as db:
        rows = db.execute(query.where(events.c.company_id == company_id, events.c.seq > seq))
        return {row.event for row in rows}


def announced(ledger: Ledger, company_id: str, entity: str) -> set[str]:
    """Return the ids of the entity's records that events named after which no pull has begun."""
    seen = marks(ledger, company_id).get(entity, 0)
    query = (
        select(events.c.record_id)
        .distinct()
        .where(events.c.company_id == company_id, events.c.seq > seen)
        .where(events.c.entity == entity, events.c.record_id.is_not(None))
    )
    with ledger.begin() as db:
        return {row.record_id for row in db.execute(query)}


def satisfy(
    ledger: Ledger, company_id: str, entity: str, up_to: int, load_id: str, at: datetime
) -> None:
    """Note that a load has read the entity, begun after the event of that number was stored."""
    place = {"of_company": company_id, "of_entity": entity}
    with ledger.begin() as db:
        if not db.execute(_MARK, {**place, "to": up_to}).rowcount:
            row = {"company_id": company_id, "entity": entity, "seen_seq": up_to}
            db.execute(_FIRST_MARK, row)
        db.execute(_SATISFY, {**place, "to": up_to, "by": load_id, "at": at})


def payments(ledger: Ledger, company_id: str) -> list[Any]:
    """Return the payments that have not landed yet: seq, event_id, received_at, payload."""
    query = (
        select(events.c.seq, events.c.event_id, events.c.received_at, events.c.payload)
        .where(events.c.company_id == company_id, events.c.payload.is_not(None))
        .order_by(events.c.seq)
    )
    with ledger.begin() as db:
        return list(db.execute(query).all())


def drop_payloads(ledger: Ledger, seqs: Iterable[int]) -> None:
    """Forget what landed."""
    with ledger.begin() as db:
        for seq in seqs:
            db.execute(_LANDED, {"of_seq": seq})


def forget_old(ledger: Ledger, now: datetime) -> None:
    """Forget events that nobody will send again."""
    with ledger.begin() as db:
        db.execute(delete(events).where(events.c.received_at < now - KEPT_FOR, _IS_DONE))


def log(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every event that is remembered, in the order in which they were stored."""
    columns = [column for column in events.c if column.name != "payload"]
    with ledger.begin() as db:
        return [dict(row) for row in db.execute(select(*columns).order_by(events.c.seq)).mappings()]


@dataclass(frozen=True)
class Tally:
    """A company's events: how many are remembered, how many came again, how many no pull has
    satisfied, how many are about nothing that this installation has, and the times of the last one
    received and the last one satisfied, UTC.
    """

    events: int
    duplicates: int
    waiting: int
    unknown: int
    received_at: datetime | None
    satisfied_at: datetime | None


def tally(ledger: Ledger, company_id: str) -> Tally:
    """Return what came of a company's events."""
    query = select(
        func.count(),
        func.coalesce(func.sum(events.c.duplicates), 0),
        func.count().filter(events.c.entity.is_not(None), events.c.satisfied_by.is_(None)),
        func.count().filter(events.c.entity.is_(None)),
        func.max(events.c.received_at),
        func.max(events.c.satisfied_at),
    ).where(events.c.company_id == company_id)
    with ledger.begin() as db:
        found: Any = db.execute(query).one()
    return Tally(*found)


def drop(db: Connection, company_id: str) -> None:
    """Forget all that was received of a company."""
    for table in (events, event_marks):
        db.execute(delete(table).where(table.c.company_id == company_id))


_OF_COMPANY = events.c.company_id == bindparam("of_company")
_OF_EVENT = _OF_COMPANY & (events.c.event_id == bindparam("of_event"))
_IS_DONE = events.c.payload.is_(None)
_AGAIN = update(events).where(_OF_EVENT).values(duplicates=events.c.duplicates + 1)
_ADD = insert(events)
_LATEST = select(func.max(events.c.seq)).where(_OF_COMPANY)
_MARK = (
    update(event_marks)
    .where(event_marks.c.company_id == bindparam("of_company"))
    .where(event_marks.c.entity == bindparam("of_entity"))
    .values(seen_seq=bindparam("to"))
)
_FIRST_MARK = insert(event_marks)
_SATISFY = (
    update(events)
    .where(_OF_COMPANY, events.c.entity == bindparam("of_entity"))
    .where(events.c.seq <= bindparam("to"), events.c.satisfied_by.is_(None))
    .values(satisfied_by=bindparam("by"), satisfied_at=bindparam("at"))
)
_LANDED = update(events).where(events.c.seq == bindparam("of_seq")).values(payload=None)
