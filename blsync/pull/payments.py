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

    Killed between the lake and the ledger, the same payments land under the same name again; with
    others beside them they land twice, and the marts take one. Raises StorageError.
    """
    waiting = events.payments(session.ledger, company.company_id)
    if not waiting:
        return 0
    batch = [
        RawRecord(msgspec.Raw(row.payload.encode()), row.event_id, row.received_at)
        for row in waiting
    ]
    rejects: list[dict[str, Any]] = []
    load_id = _load_id(waiting)
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
