"""How each entity and each step of a night ended: when it last failed, with what, and whether it
has succeeded since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, insert, null, select, update

from blsync.errors import BlsyncError
from blsync.ledger import Ledger
from blsync.ledger.tables import outcomes
from blsync.ledger.versions import hold
from blsync.personal_data import without_addresses

ALL = ""
"""Stands for the company of what is done for all companies together."""


@dataclass(frozen=True)
class Outcome:
    """How an entity or a step ended; times are UTC. `failing_since` is None where it has succeeded
    since it failed.
    """

    company_id: str
    subject: str
    succeeded_at: datetime | None
    failed_at: datetime | None
    failing_since: datetime | None
    error: str | None
    error_kind: str | None
    request_id: str | None


def succeeded(ledger: Ledger, company_id: str, subject: str, at: datetime) -> None:
    """Note that it succeeded; what it failed with before stays known."""
    _put(ledger, company_id, subject, {"succeeded_at": at, "failing_since": null()})


def failed(ledger: Ledger, company_id: str, subject: str, error: BlsyncError, at: datetime) -> None:
    """Note that it failed, and with what, less mail addresses. Raises StorageError."""
    told = {
        "failed_at": at,
        "error": without_addresses(str(error)),
        "error_kind": _kind_of(error),
        "request_id": getattr(error, "request_id", "") or None,
    }
    _put(ledger, company_id, subject, told)
    with ledger.begin() as db:
        db.execute(_FIRST_FAILURE, {"of_company": company_id, "of_subject": subject, "at": at})


def _kind_of(error: BlsyncError) -> str:
    """Return the name of the error in the tree of `blsync.errors`: rooms have narrower ones."""
    kinds = type(error).__mro__
    return next(kind.__name__ for kind in kinds if kind.__module__ == BlsyncError.__module__)


def of_all(ledger: Ledger) -> list[Outcome]:
    """Return how each entity and step ended."""
    query = select(outcomes).order_by(outcomes.c.company_id, outcomes.c.subject)
    with ledger.begin() as db:
        return [Outcome(**row) for row in db.execute(query).mappings()]


def _put(ledger: Ledger, company_id: str, subject: str, values: dict[str, object]) -> None:
    place = (outcomes.c.company_id == company_id) & (outcomes.c.subject == subject)
    with ledger.begin() as db:
        hold(db)
        if not db.execute(update(outcomes).where(place).values(**values)).rowcount:
            db.execute(insert(outcomes).values(company_id=company_id, subject=subject, **values))


_FIRST_FAILURE = (
    update(outcomes)
    .where(outcomes.c.company_id == bindparam("of_company"))
    .where(outcomes.c.subject == bindparam("of_subject"))
    .where(outcomes.c.failing_since.is_(None))
    .values(failing_since=bindparam("at"))
)
