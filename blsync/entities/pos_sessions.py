"""Sessions of tills, from opening to the count (bigledger-api.md, section 14)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import Entity, Key, Money, Record


class Tender(Record):
    """What a tender was expected to come to, and what was counted."""

    method: str | None = None
    expected: Money | None = None
    counted: Money | None = None


class PosSession(Record):
    """A till from opening to count: expected cash = float + cash taken + cash in - cash out."""

    id: Key
    session_number: str | None = None
    location_id: str | None = None
    register_id: str | None = None
    cashier_id: str | None = None
    business_date: date | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    status: str | None = None
    opening_float: Money | None = None
    cash_in: Money | None = None
    cash_out: Money | None = None
    expected_cash: Money | None = None
    counted_cash: Money | None = None
    variance: Money | None = None
    tenders: list[Tender] | None = None
    notes: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="pos_sessions",
    model=PosSession,
    path="/pos/sessions",
    description="Sessions of tills with what was expected and what was counted.",
    date_field="businessDate",
    scope="read:invoices",
    unlisted=("notes",),
    is_optional=True,
)
