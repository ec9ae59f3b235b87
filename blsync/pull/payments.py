"""Payments that events brought: the one object of an event that is data, because no list has it.

They land as records do, append-only, in a folder of their own; a record's request is the event.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Any

import msgspec

from blsync.entity import Entity, Key, Money, Record
from blsync.files.atomic import storage_errors
from blsync.lake.landed import PAYMENTS, landed_files
from blsync.lake.store import Lake
from blsync.lake.typing import RawRecord, type_records
from blsync.ledger import events
from blsync.session import Session
from blsync.settings import Company


class BankAccount(Record):
    """Where the money went; BigLedger masks the number."""

    name: str | None = None
    account_number: str | None = None


class Payment(Record):
    """A payment on an invoice, `amount` in `currency`."""

    id: Key
    amount: Money | None = None
    currency: str | None = None
    payment_date: date | None = None
    payment_method: str | None = None
    reference: str | None = None
    customer_id: str | None = None
    invoice_id: str | None = None
    status: str | None = None
    bank_account: BankAccount | None = None
    created_at: datetime | None = None


PAYMENT = Entity(
    name=PAYMENTS,
    model=Payment,
    path="",
    description="Payments as events told of them.",
    scope="read:invoices",
)
COLUMNS = (
    *("id", "amount", "currency", "paymentDate", "paymentMethod", "reference", "customerId"),
    *("invoiceId", "status", "createdAt", "_company_id", "_pulled_at", "_request_id"),
)
"""What the marts read of them."""


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


def landed(lake: Lake, company_ids: list[str]) -> list[dict[str, Any]]:
    """Return every payment that landed of these companies, by the columns of COLUMNS."""
    import pyarrow.dataset as ds  # here, because a build alone needs it and all would wait for it

    files: list[str] = []
    for company_id in company_ids:
        folder = lake.folder("landing", PAYMENT, company_id)
        with storage_errors(folder):
            files += map(str, landed_files(folder))
    if not files:
        return []
    rows: list[dict[str, Any]] = (
        ds.dataset(files, format="parquet", schema=PAYMENT.schema)
        .to_table(columns=list(COLUMNS))
        .to_pylist()
    )
    return rows


def _load_id(waiting: list[Any]) -> str:
    """Return the same name for the same payments, of the time at which the first was received."""
    names = " ".join(row.event_id for row in waiting)
    digest = hashlib.sha256(names.encode()).hexdigest()[:8]
    return f"{waiting[0].received_at:%Y%m%dT%H%M%S%f}Z-{digest}"
