"""The landing of payments that events brought (`blsync.lake.payments`)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from blsync.lake.payments import PAYMENT
from blsync.lake.typing import RawRecord, type_records
from blsync.ledger import events
from blsync.session import Session
from blsync.settings import Company


def land(session: Session, company: Company) -> int:
    """Land the company's payments that are not landed yet; return how many there were.

    Killed between the lake and the ledger, the same payments have landed under the same name; with
    others beside them they land twice, and the marts take one. Raises StorageError.
    """
    path = session.lake.lock_of(PAYMENT, company.company_id)
    busy = "Another process is landing payments; waiting for it."
    with session.ledger.blocking_lock(path, session.say, busy):
        waiting = events.payments(session.ledger, company.company_id)
        return _land(session, company, waiting) if waiting else 0


def _land(session: Session, company: Company, waiting: list[Any]) -> int:
    batch = [
        RawRecord(msgspec.Raw(row.payload.encode()), row.event_id, row.received_at)
        for row in waiting
    ]
    rejects: list[dict[str, Any]] = []
    load_id = _load_id(waiting)
    if session.lake.mirror:
        session.lake.mirror.bring(PAYMENT.name, company.company_id, may_exchange=False)
    if session.lake.file_of(PAYMENT, company.company_id, load_id).exists():
        events.drop_payloads(session.ledger, [row.seq for row in waiting])
        return 0
    zone = session.settings.zone
    table = type_records(PAYMENT, company.company_id, load_id, batch, rejects, None, zone)
    with session.lake.landing(PAYMENT, company.company_id, load_id) as landing:
        landing.add(table, rejects)
        landing.facts = {
            "load_id": load_id,
            "company_id": company.company_id,
            "base_url": company.base_url,
            "lake_id": session.ledger.lake_id,
            "entity": PAYMENT.name,
            "started_at": waiting[0].received_at.isoformat(),
            "rows": landing.rows,
        }
    if rejects:
        session.say(
            f"{len(rejects)} of {len(waiting)} payments that events brought cannot be typed and "
            f"are in quarantine. The first: {rejects[0]['_reason']} (event "
            f"{rejects[0]['_request_id']})."
        )
    events.drop_payloads(session.ledger, [row.seq for row in waiting])
    return len(waiting)


def _load_id(waiting: list[Any]) -> str:
    """Return the same name for the same payments, of the time at which the first was received."""
    names = " ".join(row.event_id for row in waiting)
    digest = hashlib.sha256(names.encode()).hexdigest()[:8]
    return f"{waiting[0].received_at:%Y%m%dT%H%M%S%f}Z-{digest}"
