"""Suppliers (bigledger-api.md, section 11)."""

from __future__ import annotations

from datetime import datetime

from blsync.entity import Address, Entity, Key, Money, Quantity, Record


class Terms(Record):
    """Days to pay in, and the discount in percent for paying within fewer."""

    terms_days: int | None = None
    discount_days: int | None = None
    discount_percent: Quantity | None = None


class ContactPerson(Record):
    """Whom to ask at the supplier."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    position: str | None = None


class Supplier(Record):
    """Someone the company buys from; `current_balance` is what the company owes."""

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
    contact_person: ContactPerson | None = None
    payment_terms: Terms | None = None
    credit_limit: Money | None = None
    current_balance: Money | None = None
    currency: str | None = None
    status: str | None = None
    tags: list[str] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="suppliers",
    model=Supplier,
    path="/suppliers",
    description="Who the company buys from, with terms, limit and balance.",
    scope="read:accounts",
    unlisted=("contactPerson",),
    pages_by_offset=True,
    withheld=("bankDetails",),
    is_optional=True,
)
