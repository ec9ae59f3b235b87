"""Sales orders with their lines (bigledger-api.md, section 10)."""

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


class OrderLine(Record):
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
    notes: str | None = None


class Fulfillment(Record):
    """How much was shipped, over all lines; a delivery as the server wrote it, a day or a time."""

    status: str | None = None
    shipped_quantity: Quantity | None = None
    remaining_quantity: Quantity | None = None
    shipping_method: str | None = None
    tracking_number: str | None = None
    estimated_delivery: str | None = None


class SalesOrder(Record):
    """A customer's order: total = subtotal + total_tax + shipping_cost.

    `reference` is the customer's own number of it.
    """

    id: Key
    order_number: str | None = None
    customer_id: str | None = None
    customer: Party | None = None
    order_date: date | None = None
    required_date: date | None = None
    promised_date: date | None = None
    status: str | None = None
    priority: str | None = None
    currency: str | None = None
    exchange_rate: Rate | None = None
    reference: str | None = None
    notes: str | None = None
    terms: str | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    items: list[OrderLine] | None = None
    subtotal: Money | None = None
    total_discount: Money | None = None
    total_tax: Money | None = None
    shipping_cost: Money | None = None
    total: Money | None = None
    fulfillment: Fulfillment | None = None
    attachments: FreeForm = NOTHING
    created_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="sales_orders",
    model=SalesOrder,
    path="/sales-orders",
    description="Customers' orders with lines, promised dates and what was shipped.",
    date_field="orderDate",
    scope="read:invoices",
    is_optional=True,
)
