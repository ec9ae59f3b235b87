"""Payees: whom the company pays.

The list is that of the suppliers, which every BigLedger has, so that the example can be tried;
yours is any other.
"""

from __future__ import annotations

from datetime import datetime

from blsync.entity import NOTHING, Address, Entity, FreeForm, Key, Money, Record


class Payee(Record):
    """Someone who is paid, in `currency`; `current_balance` is what is owed."""

    id: Key
    supplier_number: str | None = None
    name: str | None = None
    display_name: str | None = None
    email: str | None = None
    phone: str | None = None
    website: str | None = None
    tax_number: str | None = None
    registration_number: str | None = None
    address: Address | None = None
    contact_person: FreeForm = NOTHING
    payment_terms: FreeForm = NOTHING
    credit_limit: Money | None = None
    current_balance: Money | None = None
    tags: list[str] | None = None
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
    unlisted=("contactPerson",),
    withheld=("bankDetails",),
    is_optional=True,
)
