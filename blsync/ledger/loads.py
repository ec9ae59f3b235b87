"""Loads: which windows of change time are covered, and how far an unfinished one has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from blsync.ledger import Ledger
from blsync.ledger.tables import loads, pages, walks

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Stands for a window without a lower bound."""


@dataclass(frozen=True)
class Load:
    """One pull of one entity's window; `window_end` is None while it runs up to now."""

    load_id: str
    company_id: str
    entity: str
    window_start: datetime | None
    window_end: datetime | None
    started_at: datetime


@dataclass(frozen=True)
class Walk:
    """How far one feed of a load has come."""

    feed: str
    is_done: bool
    is_sorted: bool
    lower: datetime | None
    cursor: str | None
    position: datetime | None
    as_of: datetime
    pages: int
    records: int
    total: int | None


@dataclass(frozen=True)
class Cost:
    """Requests sent, and milliseconds that the quota made them wait."""

    requests: int
    throttled_ms: int


@dataclass(frozen=True)
class SpooledPage:
    """A page that lies in the spool."""

    feed: str
    number: int
    request_id: str
    pulled_at: datetime


def unfinished(ledger: Ledger, company_id: str, entity: str) -> Load | None:
    """Return the load that an earlier run left open, if there is one."""
    with ledger.begin() as db:
        row = db.execute(
            select(loads)
            .where(loads.c.company_id == company_id, loads.c.entity == entity)
            .where(loads.c.state == "open")
            .order_by(loads.c.started_at)
        ).first()
    return _load(row) if row else None


def start(ledger: Ledger, load: Load) -> None:
    """Open a load."""
    with ledger.begin() as db:
        db.execute(insert(loads).values(state="open", **vars(load)))


def walk_of(ledger: Ledger, load_id: str, feed: str) -> Walk | None:
    """Return how far a feed has come, or None before its first page."""
    with ledger.begin() as db:
        row = db.execute(
            select(walks).where(walks.c.load_id == load_id, walks.c.feed == feed)
        ).first()
    return Walk(**{name: getattr(row, name) for name in Walk.__annotations__}) if row else None


def record_page(ledger: Ledger, load_id: str, walk: Walk, page: SpooledPage, cost: Cost) -> None:
    """Record that a page is in the spool, where its walk goes on, and what it has cost."""
    with ledger.begin() as db:
        db.execute(insert(pages).values(load_id=load_id, **vars(page)))
        put_walk(db, load_id, walk)
        add_cost(db, load_id, cost)


def put_walk(db: Connection, load_id: str, walk: Walk) -> None:
    """Write how far a feed has come."""
    place = (walks.c.load_id == load_id) & (walks.c.feed == walk.feed)
    if not db.execute(update(walks).where(place).values(**vars(walk))).rowcount:
        db.execute(insert(walks).values(load_id=load_id, **vars(walk)))


def add_cost(db: Connection, load_id: str, cost: Cost) -> None:
    """Add to what a load has cost, whether or not its pages arrived."""
    db.execute(
        update(loads)
        .where(loads.c.load_id == load_id)
        .values(
            requests=loads.c.requests + cost.requests,
            throttled_ms=loads.c.throttled_ms + cost.throttled_ms,
        )
    )


def cost_of(ledger: Ledger, load_id: str) -> Cost:
    """Return what a load has cost so far, over all runs that worked on it."""
    with ledger.begin() as db:
        row = db.execute(
            select(loads.c.requests, loads.c.throttled_ms).where(loads.c.load_id == load_id)
        ).one()
    return Cost(row.requests, row.throttled_ms)


def walks_of(ledger: Ledger, load_id: str) -> list[Walk]:
    """Return all walks of a load."""
    with ledger.begin() as db:
        rows = db.execute(select(walks).where(walks.c.load_id == load_id)).all()
    return [Walk(**{name: getattr(row, name) for name in Walk.__annotations__}) for row in rows]


def pages_of(ledger: Ledger, load_id: str) -> list[SpooledPage]:
    """Return a load's pages, feed by feed in the order in which they came."""
    with ledger.begin() as db:
        rows = db.execute(
            select(pages).where(pages.c.load_id == load_id).order_by(pages.c.feed, pages.c.number)
        ).all()
    return [SpooledPage(r.feed, r.number, r.request_id, r.pulled_at) for r in rows]


def restart(ledger: Ledger, load_id: str) -> None:
    """Forget how far a load has come; its window is walked from the beginning."""
    with ledger.begin() as db:
        db.execute(delete(pages).where(pages.c.load_id == load_id))
        db.execute(delete(walks).where(walks.c.load_id == load_id))


def commit(
    ledger: Ledger,
    load: Load,
    *,
    window_end: datetime,
    rows: int,
    deleted: int,
    quarantined: int,
    committed_at: datetime,
) -> None:
    """Mark the window covered and forget its walks; the file is in the lake already."""
    with ledger.begin() as db:
        db.execute(
            update(loads)
            .where(loads.c.load_id == load.load_id)
            .values(
                state="landed",
                window_end=window_end,
                rows=rows,
                deleted=deleted,
                quarantined=quarantined,
                committed_at=committed_at,
            )
        )
        db.execute(delete(pages).where(pages.c.load_id == load.load_id))
        db.execute(delete(walks).where(walks.c.load_id == load.load_id))


def uncovered_from(
    ledger: Ledger, company_id: str, entity: str, start: datetime | None
) -> datetime | None:
    """Return the first instant from `start` on that no landed load covers; None: no lower bound."""
    with ledger.begin() as db:
        rows = db.execute(
            select(loads.c.window_start, loads.c.window_end)
            .where(loads.c.company_id == company_id, loads.c.entity == entity)
            .where(loads.c.state == "landed")
        ).all()
    reached = start or BEGINNING
    for begin, end in sorted((row.window_start or BEGINNING, row.window_end) for row in rows):
        if begin <= reached:
            reached = max(reached, end)
    return None if reached == BEGINNING else reached


def history(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every landed load, oldest first."""
    columns = [column for column in loads.c if column.name != "state"]
    with ledger.begin() as db:
        rows = db.execute(
            select(*columns).where(loads.c.state == "landed").order_by(loads.c.committed_at)
        ).mappings()
        return [dict(row) for row in rows]


def last_change(ledger: Ledger, company_id: str) -> datetime | None:
    """Return when a load of the company last landed anything."""
    with ledger.begin() as db:
        return db.execute(
            select(func.max(loads.c.committed_at))
            .where(loads.c.company_id == company_id)
            .where(loads.c.rows + loads.c.deleted + loads.c.quarantined > 0)
        ).scalar()


def _load(row: Any) -> Load:
    return Load(**{name: getattr(row, name) for name in Load.__annotations__})
