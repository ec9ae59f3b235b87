"""The lake that a ledger belongs to, and the companies that both were made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Executable, delete, insert, select, union

from blsync.ledger import Ledger, events
from blsync.ledger.states import LoadState, OperationState
from blsync.ledger.tables import (
    attempts,
    companies,
    conditions,
    drift,
    evidence,
    generations,
    lakes,
    loads,
    operations,
    outcomes,
    pages,
    plans,
    response_times,
    walks,
)
from blsync.ledger.versions import hold


@dataclass(frozen=True)
class Origin:
    """Where a company's records come from: its name in the settings, and the server."""

    name: str
    base_url: str


@dataclass(frozen=True)
class Binding:
    """A lake's id, and the origins of what it holds, by company id."""

    lake_id: str
    companies: Mapping[str, Origin]


@dataclass(frozen=True)
class PlanTally:
    """A plan of a company that is to be dropped; `unanswered` rows were sent, and nobody knows
    what became of them.
    """

    plan_id: str
    rows: int
    unanswered: int


def find(ledger: Ledger) -> Binding | None:
    """Return what the ledger belongs to; None where it was never said."""
    with ledger.begin() as db:
        lake_id = _lake_id(db)
        rows = db.execute(select(companies)).all()
    if lake_id is None:
        return None
    return Binding(lake_id, {row.company_id: Origin(row.name, row.base_url) for row in rows})


def bind(ledger: Ledger, binding: Binding) -> str:
    """Write what the ledger belongs to, unless it belongs to another lake already; return the id
    of the lake that it belongs to now. Of several processes at once the first one decides.
    """
    with ledger.begin(durable=True) as db:
        hold(db)
        held = _lake_id(db)
        if held not in (None, binding.lake_id):
            return str(held)
        _put(db, binding)
    return binding.lake_id


def take_over(ledger: Ledger, binding: Binding) -> None:
    """Have the ledger belong to this lake, whatever it belonged to.

    What it knows of loads of other companies goes, and how totals compared with the other lake.
    """
    with ledger.begin(durable=True) as db:
        hold(db)
        _put(db, binding)
        for company_id in _texts(db, select(loads.c.company_id).distinct()):
            if company_id not in binding.companies:
                _drop_loads(db, company_id)
        db.execute(delete(drift))


def held_companies(ledger: Ledger) -> set[str]:
    """Return the ids of companies of which something is known: a landed load, a page, a plan."""
    paged = select(loads.c.company_id).join(pages, pages.c.load_id == loads.c.load_id)
    landed = select(loads.c.company_id).where(loads.c.state == LoadState.LANDED)
    with ledger.begin() as db:
        return set(_texts(db, union(landed, paged, select(plans.c.company_id))))


def plans_of(ledger: Ledger, company_id: str) -> list[PlanTally]:
    """Return a company's plans, the oldest first."""
    query = select(plans.c.plan_id).where(plans.c.company_id == company_id)
    found = []
    with ledger.begin() as db:
        for plan_id in _texts(db, query.order_by(plans.c.created_at)):
            of_plan = select(operations.c.state).where(operations.c.plan_id == plan_id)
            states = _texts(db, of_plan)
            found.append(PlanTally(plan_id, len(states), states.count(OperationState.HELD)))
    return found


def loads_of(ledger: Ledger, company_id: str) -> list[str]:
    """Return the ids of a company's loads, open ones too."""
    with ledger.begin() as db:
        query = select(loads.c.load_id).where(loads.c.company_id == company_id)
        return _texts(db, query.order_by(loads.c.load_id))


def drop(ledger: Ledger, company_id: str) -> None:
    """Remove all that is known of a company's loads and plans; what it is bound to stays."""
    of_company = select(plans.c.plan_id).where(plans.c.company_id == company_id)
    if ledger.backup is not None:  # first: plans without a backup are no loss
        with ledger.begin() as db:
            plan_ids = _texts(db, of_company)
        ledger.backup.drop(company_id, plan_ids)
    with ledger.begin(durable=True) as db:
        _drop_loads(db, company_id)
        for about in (conditions, drift, evidence, generations, outcomes, response_times):
            db.execute(delete(about).where(about.c.company_id == company_id))
        events.drop(db, company_id)
        for table in (attempts, operations):
            db.execute(delete(table).where(table.c.plan_id.in_(of_company)))
        db.execute(delete(plans).where(plans.c.company_id == company_id))


def _drop_loads(db: Connection, company_id: str) -> None:
    of_company = select(loads.c.load_id).where(loads.c.company_id == company_id)
    for table in (pages, walks):
        db.execute(delete(table).where(table.c.load_id.in_(of_company)))
    db.execute(delete(loads).where(loads.c.company_id == company_id))


def _texts(db: Connection, query: Executable) -> list[str]:
    return [str(row[0]) for row in db.execute(query)]


def _lake_id(db: Connection) -> str | None:
    found: str | None = db.execute(select(lakes.c.lake_id)).scalar()
    return found


def _put(db: Connection, binding: Binding) -> None:
    for table in (lakes, companies):
        db.execute(delete(table))
    db.execute(insert(lakes).values(place=1, lake_id=binding.lake_id))
    for company_id, origin in binding.companies.items():
        db.execute(insert(companies).values(company_id=company_id, **vars(origin)))
