"""Payees: of suppliers, only what it takes to pay them.

The list is one that every BigLedger has, so that the example can be tried; yours is any other.
"""

from __future__ import annotations

from datetime import datetime

from blsync.entity import Entity, Key, Record


class Payee(Record):
    """Someone who is paid, in `currency`."""

    id: Key
    supplier_number: str | None = None
    name: str | None = None
    currency: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="payees",
    model=Payee,
    path="/suppliers",
    description="Whom the company pays, and in which currency.",
    scope="read:accounts",
    pages_by_offset=True,
    withheld=("bankDetails",),
    is_optional=True,
)
