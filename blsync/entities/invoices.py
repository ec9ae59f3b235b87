"""Sales invoices with their lines (bigledger-api.md, section 5)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import (
    NOTHING,
    Address,
    Entity,
    FreeForm,
    Key,
    Money,
    Party,
    Quantity,
    Rate,
    Record,
    UnitAmount,
)


class Line(Record):
    """One line; `line_total` is net of discount and before tax, rates in percent."""

    id: str | None = None
    item_id: str | None = None
    item_code: str | None = None
    description: str | None = None
    quantity: Quantity | None = None
    unit_price: UnitAmount | None = None
    discount_percent: Quantity | None = None
    discount_amount: Money | None = None
    line_total: Money | None = None
    tax_code: str | None = None
    tax_rate: Quantity | None = None
    tax_amount: Money | None = None


class Einvoice(Record):
    """Where the invoice stands with the tax authority."""

    status: str | None = None
    submitted_at: datetime | None = None
    accepted_at: datetime | None = None
    uuid: str | None = None
    validation_hash: str | None = None


class Invoice(Record):
    """A sales invoice: total = subtotal + total_tax + shipping_cost, amount_due = total - paid."""

    id: Key
    invoice_number: str | None = None
    customer_id: str | None = None
    customer: Party | None = None
    invoice_date: date | None = None
    due_date: date | None = None
    status: str | None = None
    currency: str | None = None
    exchange_rate: Rate | None = None
    reference: str | None = None
    purchase_order: str | None = None
    sales_order_id: str | None = None
    notes: str | None = None
    terms: str | None = None
    items: list[Line] | None = None
    subtotal: Money | None = None
    total_discount: Money | None = None
    total_tax: Money | None = None
    shipping_cost: Money | None = None
    total: Money | None = None
    amount_paid: Money | None = None
    amount_due: Money | None = None
    payment_status: str | None = None
    last_payment_date: date | None = None
    overdue_by: int | None = None
    billing_address: Address | None = None
    attachments: FreeForm = NOTHING
    einvoice: Einvoice | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="invoices",
    model=Invoice,
    path="/invoices",
    description="Sales invoices with lines, payment state and e-invoice state.",
    date_field="invoiceDate",
    scope="read:invoices",
    unlisted=("salesOrderId",),
)
