"""Loads: which windows of change time are covered, and how far an unfinished one has come."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from blsync.clock import FURTHEST_AHEAD, is_ahead
from blsync.ledger import Ledger
from blsync.ledger.states import LoadKind, LoadState
from blsync.ledger.tables import drift, loads, pages, walks

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Stands for a window without a lower bound."""


@dataclass(frozen=True)
class Load:
    """One pull of one entity's window; `window_end` is None while it runs up to now.

    A load of the kind `drift` covers nothing: its window is empty.
    """

    load_id: str
    company_id: str
    entity: str
    window_start: datetime | None
    window_end: datetime | None
    started_at: datetime
    kind: LoadKind = LoadKind.CHANGE


@dataclass(frozen=True)
class Walk:
    """How far one walk of a load has come: a feed (`updatedAt`), or a slice (`updatedAt/2`).

    `lower` and `upper` are the bounds that `cursor` belongs to; the walk ends earlier where
    another slice reads on from `stop_at`.
    """

    feed: str
    is_done: bool
    is_sorted: bool
    lower: datetime | None
    upper: datetime | None
    stop_at: datetime | None
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
class LoadResult:
    """What a load came to."""

    window_end: datetime
    rows: int
    deleted: int
    quarantined: int
    is_sorted: bool | None = None
    page_limit: int | None = None
    findings: dict[str, list[str]] = field(default_factory=dict)
    """`unknown_fields`, `null_fields` (null in some record) and `newly_null`: null here and never
    before; `noisy_numbers` that were rounded, as `FIELD: COUNT`, and `finer_amounts`, which the
    marts round, as `FIELD: COUNT, together DIFFERENCE`."""


@dataclass(frozen=True)
class Drift:
    """What the API said it has (`total`, by which request) beside the live records held; when.

    `cap` is the total that the API tells of so many records or more, where it was seen to do so.
    """

    checked_at: datetime
    total: int
    held: int
    walked_at: datetime | None
    request_id: str | None = None
    cap: int | None = None

    @property
    def is_capped(self) -> bool:
        """Whether the total says no more than that there are so many, or more."""
        return self.total == self.cap and self.held > self.total

    @property
    def difference(self) -> int | None:
        """The total less the records held; None where it is not told."""
        return None if self.is_capped else self.total - self.held


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
        row = db.execute(_OPEN, _entity(company_id, entity)).first()
    return _load(row) if row else None


def new_id(at: datetime) -> str:
    """Return an id for a load that starts at that time; later ones sort behind it."""
    return f"{at:%Y%m%dT%H%M%S%f}Z-{uuid.uuid4().hex[:8]}"


def start(ledger: Ledger, load: Load) -> None:
    """Open a load."""
    with ledger.begin() as db:
        db.execute(_START, {"state": LoadState.OPEN, **vars(load)})


# Made once: building a statement takes longer than running it, and these run for every page or for
# every entity of every pull.
_OF_ENTITY = (loads.c.company_id == bindparam("company")) & (
    loads.c.entity == bindparam("of_entity")
)
_IS_OPEN, _HAS_LANDED = loads.c.state == LoadState.OPEN, loads.c.state == LoadState.LANDED
_START = insert(loads)
_OPEN = select(loads).where(_OF_ENTITY, _IS_OPEN).order_by(loads.c.started_at)
_OPEN_AND_READ = (
    select(loads.c.load_id, loads.c.started_at, func.max(walks.c.as_of).label("as_of"))
    .outerjoin(walks, walks.c.load_id == loads.c.load_id)
    .where(_OF_ENTITY, _IS_OPEN)
    .group_by(loads.c.load_id, loads.c.started_at)
)
_COVERED = select(loads.c.window_start, loads.c.window_end).where(_OF_ENTITY, _HAS_LANDED)
_SHOWN = (
    select(
        loads.c.is_sorted,
        loads.c.started_at,
        loads.c.page_limit,
        loads.c.findings,
        loads.c.rows,
    )
    .where(_OF_ENTITY, _HAS_LANDED)
    .order_by(loads.c.committed_at)
)
_LAST_LOADED = select(func.max(loads.c.started_at), func.max(loads.c.committed_at)).where(
    _OF_ENTITY
)
_FIRST_STARTED = select(func.min(loads.c.started_at)).where(_OF_ENTITY, _HAS_LANDED)
_LAST_PULLED = (
    select(func.max(pages.c.pulled_at))
    .join(loads, loads.c.load_id == pages.c.load_id)
    .where(_OF_ENTITY)
)
_COST = select(loads.c.requests, loads.c.throttled_ms).where(
    loads.c.load_id == bindparam("of_load")
)
_WALKS = select(walks).where(walks.c.load_id == bindparam("of_load"))
_PAGES = (
    select(pages)
    .where(pages.c.load_id == bindparam("of_load"))
    .order_by(pages.c.feed, pages.c.number)
)
_COMMIT = (
    update(loads)
    .where(loads.c.load_id == bindparam("of_load"))
    .values(
        {name: bindparam(name) for name in ("state", "committed_at", *LoadResult.__annotations__)}
    )
)
_FORGET_PAGES = delete(pages).where(pages.c.load_id == bindparam("of_load"))
_FORGET_WALKS = delete(walks).where(walks.c.load_id == bindparam("of_load"))
_DRIFT_OF_ENTITY = (drift.c.company_id == bindparam("company")) & (
    drift.c.entity == bindparam("of_entity")
)
_DRIFT = select(drift).where(_DRIFT_OF_ENTITY)
_PUT_DRIFT = (
    update(drift)
    .where(_DRIFT_OF_ENTITY)
    .values({name: bindparam(name) for name in Drift.__annotations__})
)
_ADD_DRIFT = insert(drift)
_PUT_WALK = (
    update(walks)
    .where(walks.c.load_id == bindparam("of_load"), walks.c.feed == bindparam("of_feed"))
    .values({name: bindparam(name) for name in Walk.__annotations__})
)
_ADD_COST = (
    update(loads)
    .where(loads.c.load_id == bindparam("of_load"))
    .values(
        requests=loads.c.requests + bindparam("sent"),
        throttled_ms=loads.c.throttled_ms + bindparam("waited_ms"),
    )
)
_ADD_PAGE, _ADD_WALK = insert(pages), insert(walks)


def _entity(company_id: str, entity: str) -> dict[str, str]:
    return {"company": company_id, "of_entity": entity}


def record_page(ledger: Ledger, load_id: str, walk: Walk, page: SpooledPage, cost: Cost) -> None:
    """Record that a page is in the spool, where its walk goes on, and what it has cost."""
    with ledger.begin() as db:
        db.execute(_ADD_PAGE, {"load_id": load_id, **vars(page)})
        put_walks(db, load_id, [walk])
        add_cost(db, load_id, cost)


def put_walks(db: Connection, load_id: str, changed: Iterable[Walk]) -> None:
    """Write how far walks have come."""
    for walk in changed:
        place = {"of_load": load_id, "of_feed": walk.feed}
        if not db.execute(_PUT_WALK, {**place, **vars(walk)}).rowcount:
            db.execute(_ADD_WALK, {"load_id": load_id, **vars(walk)})


def add_cost(db: Connection, load_id: str, cost: Cost) -> None:
    """Add to what a load has cost, whether or not its pages arrived."""
    spent = {"sent": cost.requests, "waited_ms": cost.throttled_ms}
    db.execute(_ADD_COST, {"of_load": load_id, **spent})


def cost_of(ledger: Ledger, load_id: str) -> Cost:
    """Return what a load has cost so far, over all runs that worked on it."""
    with ledger.begin() as db:
        row = db.execute(_COST, {"of_load": load_id}).one()
    return Cost(row.requests, row.throttled_ms)


def walks_of(ledger: Ledger, load_id: str) -> list[Walk]:
    """Return all walks of a load."""
    with ledger.begin() as db:
        rows = db.execute(_WALKS, {"of_load": load_id}).all()
    return [Walk(**{name: getattr(row, name) for name in Walk.__annotations__}) for row in rows]


def own_totals(walks: Iterable[Walk]) -> dict[str, int]:
    """Return how many records each walk is to read, of those that were told: what slices took over
    from it counts for them alone.
    """
    own = {walk.feed: walk.total for walk in walks if walk.total is not None}
    for name, total in [*own.items()]:
        if (whole := sliced_from(name)) in own:
            own[whole] -= total
    return own


def sliced_from(name: str) -> str:
    """Return the name of the walk that a slice took over a part of; empty for a whole feed."""
    return name.rpartition("/")[0]


def pages_of(ledger: Ledger, load_id: str) -> list[SpooledPage]:
    """Return a load's pages, feed by feed in the order in which they came."""
    with ledger.begin() as db:
        rows = db.execute(_PAGES, {"of_load": load_id}).all()
    return [SpooledPage(r.feed, r.number, r.request_id, r.pulled_at) for r in rows]


def restart(ledger: Ledger, load_id: str) -> None:
    """Forget how far a load has come; its window is walked from the beginning."""
    with ledger.begin() as db:
        _forget_walks(db, load_id)


def _forget_walks(db: Connection, load_id: str) -> None:
    db.execute(_FORGET_PAGES, {"of_load": load_id})
    db.execute(_FORGET_WALKS, {"of_load": load_id})


def uncover(ledger: Ledger, load_ids: Iterable[str]) -> None:
    """Have landed windows count as not covered; what landed stays. One without a beginning keeps
    what it covers: before it nothing was held that could have been hidden.
    """
    with ledger.begin() as db:
        db.execute(
            update(loads)
            .where(loads.c.load_id.in_(load_ids), loads.c.window_start.is_not(None))
            .values(window_end=loads.c.window_start)
        )


def forget(ledger: Ledger, load_id: str) -> None:
    """Forget a load whose data is not in the lake: its window is not covered."""
    restart(ledger, load_id)
    with ledger.begin() as db:
        db.execute(delete(loads).where(loads.c.load_id == load_id))


def adopt(ledger: Ledger, facts: dict[str, Any]) -> bool:
    """Enter a landed load as its file's footer tells of it; False where the ledger has it already.

    Where an earlier version did not write when it was committed, the time at which it started
    stands for it.
    """
    values = {name: facts[name] for name in loads.c.keys() if name in facts}  # noqa: SIM118
    values |= {
        "state": LoadState.LANDED,
        "committed_at": facts.get("committed_at", facts["started_at"]),
    }
    for name in ("window_start", "window_end", "started_at", "committed_at"):
        if isinstance(values.get(name), str):
            values[name] = datetime.fromisoformat(values[name])
    if isinstance(values.get("findings"), dict):
        values["findings"] = json.dumps(values["findings"])
    with ledger.begin() as db:
        is_known = select(loads.c.load_id).where(loads.c.load_id == facts["load_id"])
        if db.execute(is_known).first():
            return False
        db.execute(insert(loads).values(**values))
    return True


def open_ids(ledger: Ledger) -> set[str]:
    """Return the ids of all loads that are under way or were left open."""
    with ledger.begin() as db:
        return set(db.execute(select(loads.c.load_id).where(_IS_OPEN)).scalars())


def commit(ledger: Ledger, load: Load, outcome: LoadResult, committed_at: datetime) -> None:
    """Mark the window covered and forget its walks; the file is in the lake already."""
    values = {**vars(outcome), "findings": json.dumps(outcome.findings)}
    state = {"state": LoadState.LANDED, "committed_at": committed_at}
    with ledger.begin() as db:
        db.execute(_COMMIT, {"of_load": load.load_id, **state, **values})
        _forget_walks(db, load.load_id)


@dataclass(frozen=True)
class ServerTraits:
    """What earlier loads of an entity showed of the server."""

    is_sorted: bool
    page_limit: int | None
    """The largest page of its list, where that is smaller than documented; 0: it takes no limit."""
    null_fields: frozenset[str] | None
    """Fields that were null in some record; None where no load has landed records."""


def server_traits(
    ledger: Ledger, company_id: str, entity: str, *, sorted_since: datetime | None = None
) -> ServerTraits:
    """Return what the landed loads of an entity showed of the server; of its order those alone that
    began after `sorted_since`, when it was asked for in another way than before.
    """
    with ledger.begin() as db:
        rows = db.execute(_SHOWN, _entity(company_id, entity)).all()
    said = [
        row.is_sorted
        for row in rows
        if row.is_sorted is not None and (sorted_since is None or row.started_at > sorted_since)
    ]
    limits = [row.page_limit for row in rows if row.page_limit is not None]
    findings = [json.loads(row.findings or "{}") for row in rows if row.rows]
    nulls = [found["null_fields"] for found in findings if "null_fields" in found]
    return ServerTraits(
        bool(said) and all(said),
        limits[-1] if limits else None,
        frozenset().union(*nulls) if nulls else None,
    )


def drift_of(ledger: Ledger, company_id: str, entity: str) -> Drift | None:
    """Return how an entity compared with the API's total when it was last looked at."""
    with ledger.begin() as db:
        row = db.execute(_DRIFT, _entity(company_id, entity)).first()
    return Drift(*(getattr(row, name) for name in Drift.__annotations__)) if row else None


def put_drift(ledger: Ledger, company_id: str, entity: str, found: Drift) -> None:
    """Write how an entity compares with the API's total."""
    with ledger.begin() as db:
        if not db.execute(_PUT_DRIFT, _entity(company_id, entity) | vars(found)).rowcount:
            db.execute(_ADD_DRIFT, {"company_id": company_id, "entity": entity, **vars(found)})


def uncovered_from(
    ledger: Ledger, company_id: str, entity: str, start: datetime | None, now: datetime
) -> datetime | None:
    """Return the first instant from `start` on that no landed load covers; None: no lower bound.

    A window that ends in the future was read by a clock that was wrong: nobody knows what it
    covers, so it covers nothing.
    """
    with ledger.begin() as db:
        rows = db.execute(_COVERED, _entity(company_id, entity)).all()
    reached = start or BEGINNING
    for begin, end in sorted((row.window_start or BEGINNING, row.window_end) for row in rows):
        if begin <= reached and not is_ahead(end, now):
            reached = max(reached, end)
    return None if reached == BEGINNING else reached


def last_stamp(ledger: Ledger, company_id: str, entity: str) -> datetime | None:
    """Return the latest time that anything of an entity was dated with; None: nothing was yet."""
    with ledger.begin() as db:
        started_at, committed_at = db.execute(_LAST_LOADED, _entity(company_id, entity)).one()
        pulled_at = db.execute(_LAST_PULLED, _entity(company_id, entity)).scalar()
    return max(filter(None, (started_at, committed_at, pulled_at)), default=None)


def open_ahead(ledger: Ledger, company_id: str, entity: str, now: datetime) -> list[str]:
    """Return the loads of an entity that were left open by a clock that was wrong: when they began
    to read is not known, so nothing can go on from what they have.
    """
    with ledger.begin() as db:
        rows = db.execute(_OPEN_AND_READ, _entity(company_id, entity)).all()
    return [
        row.load_id
        for row in rows
        if row.started_at - now > FURTHEST_AHEAD or (row.as_of and is_ahead(row.as_of, now))
    ]


def open_loads(ledger: Ledger, company_id: str, entity: str) -> list[dict[str, Any]]:
    """Return the loads of an entity that are under way or were left open."""
    with ledger.begin() as db:
        return [dict(row) for row in db.execute(_OPEN, _entity(company_id, entity)).mappings()]


def put_times(ledger: Ledger, load_id: str, times: dict[str, datetime | None]) -> None:
    """Write a load's times anew: `window_start`, `window_end`, `started_at`, `committed_at`."""
    with ledger.begin() as db:
        db.execute(update(loads).where(loads.c.load_id == load_id).values(**times))


def drop_drift_ahead(ledger: Ledger, company_id: str, entity: str, now: datetime) -> bool:
    """Forget a comparison with the API's total that is dated ahead of now; tell whether it was."""
    found = drift_of(ledger, company_id, entity)
    times = (found.checked_at, found.walked_at) if found else ()
    if not any(at and is_ahead(at, now) for at in times):
        return False
    with ledger.begin() as db:
        db.execute(delete(drift).where(_DRIFT_OF_ENTITY), _entity(company_id, entity))
    return True


def history(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every landed load, oldest first."""
    unwanted = ("state", "is_sorted", "page_limit")
    columns = [column for column in loads.c if column.name not in unwanted]
    with ledger.begin() as db:
        rows = db.execute(
            select(*columns).where(_HAS_LANDED).order_by(loads.c.committed_at)
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


def first_start(ledger: Ledger, company_id: str, entity: str) -> datetime | None:
    """Return when the first load of an entity that landed had started."""
    with ledger.begin() as db:
        return db.execute(_FIRST_STARTED, _entity(company_id, entity)).scalar()


def _load(row: Any) -> Load:
    return Load(**{name: getattr(row, name) for name in Load.__annotations__})
