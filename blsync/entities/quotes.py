"""Quotes with their lines (bigledger-api.md, section 10)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import NOTHING, Entity, FreeForm, Key, Money, Party, Quantity, Record, UnitAmount


class QuoteLine(Record):
    """One line; `line_total` is net of discount and before tax, rates in percent."""

    id: str | None = None
    item_id: str | None = None
    description: str | None = None
    quantity: Quantity | None = None
    unit_price: UnitAmount | None = None
    discount_percent: Quantity | None = None
    discount_amount: Money | None = None
    line_total: Money | None = None
    tax_code: str | None = None
    tax_rate: Quantity | None = None
    tax_amount: Money | None = None


class Quote(Record):
    """An offer to a customer, good until `valid_until`: total = subtotal + total_tax.

    In its own currency, and without a rate to the company's.
    """

    id: Key
    quote_number: str | None = None
    customer_id: str | None = None
    customer: Party | None = None
    quote_date: date | None = None
    valid_until: date | None = None
    status: str | None = None
    currency: str | None = None
    reference: str | None = None
    title: str | None = None
    description: str | None = None
    terms: str | None = None
    items: list[QuoteLine] | None = None
    subtotal: Money | None = None
    total_discount: Money | None = None
    total_tax: Money | None = None
    total: Money | None = None
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    converted_to_order_at: datetime | None = None
    sales_order_id: str | None = None
    attachments: FreeForm = NOTHING
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="quotes",
    model=Quote,
    path="/quotes",
    description="Offers to customers with lines, and the orders they became.",
    date_field="quoteDate",
    scope="read:invoices",
    is_optional=True,
)
