"""Dialects: what a company's server was seen to take of what the vendor's pages describe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, insert, select, update

from blsync.clock import has_passed, is_ahead
from blsync.ledger import Ledger
from blsync.ledger.tables import dialects

GOOD_FOR = timedelta(days=30)
"""How long a fact is gone by: a server that was mended, or refused once by mistake, is asked again
in the reference's own spelling after that."""

LIST, UNAVAILABLE = "list", "unavailable"
"""Parameter and spelling of the fact that a company's server, or its key, has no such list."""
ASKED_AGAIN = timedelta(hours=24)
"""How long a list that is not available is left alone."""
EARLY = timedelta(minutes=5)
"""A night comes a little early now and then, and must not wait for the next one."""


@dataclass(frozen=True)
class Fact:
    """What was learnt about one parameter of an entity's list, and by which request; UTC.

    `spelling` is how it is written from then on; `reason` says what was seen, for people.
    """

    parameter: str
    spelling: str
    reason: str
    request_id: str
    learnt_at: datetime


# Made once: every pull of every entity asks it several times.
_FACTS = (
    select(dialects)
    .where(
        dialects.c.company_id == bindparam("company"), dialects.c.entity == bindparam("of_entity")
    )
    .order_by(dialects.c.parameter)
)


def facts_of(ledger: Ledger, company_id: str, entity: str, now: datetime) -> list[Fact]:
    """Return what is known of an entity's list, less what is too old to go by, by parameter."""
    with ledger.begin() as db:
        rows = db.execute(_FACTS, {"company": company_id, "of_entity": entity}).all()
    facts = [Fact(**{name: getattr(row, name) for name in Fact.__annotations__}) for row in rows]
    return [
        fact
        for fact in facts
        if now - fact.learnt_at < GOOD_FOR and not is_ahead(fact.learnt_at, now)
    ]


def unavailable(ledger: Ledger, company_id: str, entity: str, now: datetime) -> Fact | None:
    """Return what was seen when an entity's list was not available; None where it was, at last."""
    facts = facts_of(ledger, company_id, entity, now)
    return next((fact for fact in facts if fact.parameter == LIST), None)


def is_asked_again(fact: Fact, now: datetime) -> bool:
    """Tell whether it is time to see whether a list that was not available is there by now."""
    return has_passed(ASKED_AGAIN - EARLY, fact.learnt_at, now)


def put(ledger: Ledger, company_id: str, entity: str, fact: Fact) -> None:
    """Write a fact in the place of what was known of the parameter before."""
    place = (
        (dialects.c.company_id == company_id)
        & (dialects.c.entity == entity)
        & (dialects.c.parameter == fact.parameter)
    )
    with ledger.begin() as db:
        if not db.execute(update(dialects).where(place).values(**vars(fact))).rowcount:
            values = {"company_id": company_id, "entity": entity, **vars(fact)}
            db.execute(insert(dialects).values(**values))


def forget(ledger: Ledger, company_id: str, entity: str, parameter: str) -> None:
    """Forget what is known of a parameter."""
    with ledger.begin() as db:
        db.execute(
            delete(dialects).where(
                dialects.c.company_id == company_id,
                dialects.c.entity == entity,
                dialects.c.parameter == parameter,
            )
        )
