"""Customers (bigledger-api.md, section 5)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import NOTHING, Address, Entity, FreeForm, Key, Money, Record


class Contact(Record):
    """A person at the customer."""

    id: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    title: str | None = None
    is_primary: bool | None = None


class Customer(Record):
    """Someone the company sells to; `payment_terms` in days, `current_balance` what is owed."""

    id: Key
    customer_number: str | None = None
    name: str | None = None
    type: str | None = None
    email: str | None = None
    phone: str | None = None
    website: str | None = None
    tax_number: str | None = None
    address: Address | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    currency: str | None = None
    payment_terms: int | None = None
    credit_limit: Money | None = None
    current_balance: Money | None = None
    total_sales: Money | None = None
    last_sale_date: date | None = None
    status: str | None = None
    tags: list[str] | None = None
    custom_fields: FreeForm = NOTHING
    contacts: list[Contact] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="customers",
    model=Customer,
    path="/customers",
    description="Who the company sells to, with terms, limit and balance.",
    scope="read:customers",
)
