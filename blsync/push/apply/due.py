"""Whether there is anything to look up by now. A sensor asks often, so only the ledger is read."""

from __future__ import annotations

import hashlib

from blsync.ledger import plans
from blsync.push.apply.settle import is_for_a_person
from blsync.push.compare import to_text
from blsync.push.work import is_due
from blsync.session import Session


def due(session: Session) -> str | None:
    """Return a name for what `push settle` would look up, or ask a job for, now; None for nothing.

    Rows that wait for a person do not count. The name is the same until a row's state changes, or
    the hour does: what could not be settled is worth another try an hour later, not every minute.
    """
    ledger, now = session.ledger, session.clock()
    rows = [
        [plan.plan_id, held.operation.row, held.since, held.operation.looked_up_at]
        for plan in plans.holding(ledger)
        for held in plans.held_rows(ledger, plan.plan_id)
        if held.job_id
        or (not is_for_a_person(held.operation) and is_due(session.settings, held, now))
    ]
    if not rows:
        return None
    return f"{now:%Y-%m-%dT%HZ} {hashlib.sha256(to_text(rows).encode()).hexdigest()[:12]}"
