"""Payments as they land: the one object of an event that is data, because no list has it.

They land as records do, append-only, in a folder of their own; a record's request is the event.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from blsync.entity import Entity, Key, Money, Record
from blsync.files.atomic import storage_errors
from blsync.lake.landed import PAYMENTS, landed_files
from blsync.lake.store import Lake


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
