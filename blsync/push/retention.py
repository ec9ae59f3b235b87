"""Which pushed rows are still to be known in full, and for how long."""

from __future__ import annotations

from datetime import timedelta

from blsync.ledger.retention import Emptied, empty_plans
from blsync.push.endpoints import EVERY
from blsync.session import Session

_TELLING_APART = ("reference", "amount", "paymentDate")
"""Fields of what was created by which a plan made later knows it again, where the server does not
keep our reference: without them a payment could be made twice."""


def forget_old_bodies(session: Session) -> Emptied:
    """Empty the plans whose term is over, as BLSYNC_PUSH_RETENTION_DAYS has it. Raises
    StorageError.
    """
    days = session.settings.push_retention_days
    if not days:
        return Emptied()
    now = session.clock()
    kept = {name: {endpoint.natural_key, *_TELLING_APART} for name, endpoint in EVERY.items()}
    return empty_plans(session.ledger, now - timedelta(days=days), now, kept)
