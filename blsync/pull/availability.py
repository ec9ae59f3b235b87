"""Whether a company has an optional module at all: what its server, or its key, said last.

A list that is answered 404 or 403 is left alone for a day, in all processes, and stops nothing.
When it is there again, its window begins where the last one ended, so nothing of the time between
is missing.
"""

from __future__ import annotations

from blsync.entity import Entity
from blsync.errors import ApiError
from blsync.ledger import dialects
from blsync.ledger.dialects import LIST, UNAVAILABLE, Fact
from blsync.session import Session
from blsync.settings import Company

STATUSES = (403, 404)
"""What a list is answered that the server does not have, or that the key may not see."""


def is_unavailable(entity: Entity, error: BaseException) -> bool:
    """Tell whether an error only says that an optional module is not there."""
    return entity.is_optional and isinstance(error, ApiError) and error.status in STATUSES


def left_alone(session: Session, company: Company, entity: Entity) -> Fact | None:
    """Return what was seen of a list that is not to be asked for yet; None: ask."""
    if not entity.is_optional:
        return None
    now = session.clock()
    fact = dialects.unavailable(session.ledger, company.company_id, entity.name, now)
    return None if fact is None or dialects.is_asked_again(fact, now) else fact


def note(session: Session, company: Company, entity: Entity, error: ApiError) -> Fact:
    """Write down that a list is not available, and say it where that is news."""
    now = session.clock()
    before = dialects.unavailable(session.ledger, company.company_id, entity.name, now)
    fact = Fact(LIST, UNAVAILABLE, str(error), error.request_id, now)
    dialects.put(session.ledger, company.company_id, entity.name, fact)
    if before is None:
        session.say(
            f"{entity.name}: not available here, so it is left out; it is asked for again in a "
            f"day. {error}"
        )
    return fact


def forget(session: Session, company: Company, entity: Entity) -> None:
    """Write down that a list is available, where it was not."""
    if not entity.is_optional:
        return
    company_id = company.company_id
    if dialects.unavailable(session.ledger, company_id, entity.name, session.clock()):
        dialects.forget(session.ledger, company_id, entity.name, LIST)
        session.say(f"{entity.name}: available again.")
