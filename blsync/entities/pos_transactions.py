"""Sales and returns at tills (bigledger-api.md, section 14)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import Entity, Key, Money, Quantity, Record, UnitAmount


class TillLine(Record):
    """One line, its quantity negative in a return; `line_total` is net of discount before tax."""

    id: str | None = None
    item_id: str | None = None
    item_code: str | None = None
    description: str | None = None
    quantity: Quantity | None = None
    unit_price: UnitAmount | None = None
    discount_amount: Money | None = None
    line_total: Money | None = None
    tax_code: str | None = None
    tax_rate: Quantity | None = None
    tax_amount: Money | None = None


class Payment(Record):
    """What was given in one tender, and the change; `account_id` is its clearing account."""

    id: str | None = None
    method: str | None = None
    amount: Money | None = None
    change: Money | None = None
    reference: str | None = None
    account_id: str | None = None


class PosTransaction(Record):
    """A sale or return: total = subtotal + total_tax + rounding = what was paid less the change.

    A till without a connection delivers late: `created_at` may be days after `occurred_at`.
    """

    id: Key
    transaction_number: str | None = None
    type: str | None = None
    status: str | None = None
    business_date: date | None = None
    occurred_at: datetime | None = None
    session_id: str | None = None
    location_id: str | None = None
    register_id: str | None = None
    cashier_id: str | None = None
    customer_id: str | None = None
    original_transaction_id: str | None = None
    invoice_id: str | None = None
    currency: str | None = None
    items: list[TillLine] | None = None
    subtotal: Money | None = None
    total_discount: Money | None = None
    total_tax: Money | None = None
    rounding: Money | None = None
    total: Money | None = None
    payments: list[Payment] | None = None
    notes: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="pos_transactions",
    model=PosTransaction,
    path="/pos/transactions",
    description="Sales and returns at tills with lines and payments.",
    date_field="businessDate",
    scope="read:invoices",
    unlisted=("notes", "customerId", "originalTransactionId", "invoiceId"),
    is_optional=True,
)
