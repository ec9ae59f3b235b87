"""What was seen of each server: whether look-ups find pushed records by what marks them as ours.

A server that drops the reference of an invoice answers every look-up by it with nothing, as one
does that never got the invoice. Only where a look-up has found a record that we know to be there
does finding none tell anything. What was seen is kept for each company, endpoint and server.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from blsync.ledger import Ledger
from blsync.ledger.plans import Operation, operation_of
from blsync.ledger.states import Action, EvidenceState, OperationState
from blsync.ledger.tables import evidence, operations, plans
from blsync.ledger.versions import hold


@dataclass(frozen=True)
class Evidence:
    """What was seen of an endpoint at a server, and when last (UTC)."""

    endpoint: str
    base_url: str
    state: EvidenceState
    seen_at: datetime


def seen(ledger: Ledger, company_id: str) -> list[Evidence]:
    """Return what was seen of a company's endpoints, in the order of their names."""
    query = (
        select(evidence).where(evidence.c.company_id == company_id).order_by(evidence.c.endpoint)
    )
    with ledger.begin() as db:
        return [
            Evidence(row.endpoint, row.base_url, row.state, row.seen_at)
            for row in db.execute(query)
        ]


def state_of(ledger: Ledger, company_id: str, endpoint: str, base_url: str) -> EvidenceState | None:
    """Return what was seen of an endpoint at that server; None: nothing yet."""
    found = (one for one in seen(ledger, company_id) if one.endpoint == endpoint)
    return next((one.state for one in found if one.base_url == base_url), None)


def learn(ledger: Ledger, company_id: str, found: Evidence) -> None:
    """Write what was seen, in the place of what was seen before."""
    place = (evidence.c.company_id == company_id) & (evidence.c.endpoint == found.endpoint)
    with ledger.begin() as db:
        hold(db)
        if not db.execute(update(evidence).where(place).values(**vars(found))).rowcount:
            db.execute(insert(evidence).values(company_id=company_id, **vars(found)))


def applied_creates(ledger: Ledger, company_id: str, endpoint: str) -> list[Operation]:
    """Return what a company's plans have created, the latest last."""
    query = (
        select(operations)
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .where(plans.c.company_id == company_id, plans.c.endpoint == endpoint)
        .where(operations.c.action == Action.CREATE)
        .where(operations.c.state == OperationState.APPLIED)
        .order_by(plans.c.created_at, operations.c.row)
    )
    with ledger.begin() as db:
        return [operation_of(row) for row in db.execute(query).mappings()]
