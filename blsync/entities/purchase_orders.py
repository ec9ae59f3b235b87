"""Purchase orders with their lines (bigledger-api.md, section 11)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import Address, Entity, Key, Money, Party, Quantity, Rate, Record, UnitAmount


class DeliveryAddress(Address):
    """Where the goods are to go, and who takes them in."""

    contact_name: str | None = None
    phone: str | None = None


class OrderLine(Record):
    """One line; `received_quantity` so far, `line_total` before tax, rates in percent."""

    id: str | None = None
    item_id: str | None = None
    item_code: str | None = None
    description: str | None = None
    quantity: Quantity | None = None
    unit_price: UnitAmount | None = None
    line_total: Money | None = None
    tax_code: str | None = None
    tax_rate: Quantity | None = None
    tax_amount: Money | None = None
    received_quantity: Quantity | None = None
    expected_date: date | None = None
    notes: str | None = None


class PurchaseOrder(Record):
    """An order to a supplier: what was approved shows in `approved_at`, not in `status`."""

    id: Key
    po_number: str | None = None
    supplier_id: str | None = None
    supplier: Party | None = None
    order_date: date | None = None
    required_date: date | None = None
    status: str | None = None
    currency: str | None = None
    exchange_rate: Rate | None = None
    reference: str | None = None
    subtotal: Money | None = None
    tax_total: Money | None = None
    discount_total: Money | None = None
    total: Money | None = None
    items: list[OrderLine] | None = None
    delivery_address: DeliveryAddress | None = None
    terms: str | None = None
    notes: str | None = None
    requires_approval: bool | None = None
    created_by: str | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    sent_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="purchase_orders",
    model=PurchaseOrder,
    path="/purchase-orders",
    description="Orders to suppliers with lines and what was received of each.",
    date_field="orderDate",
    scope="read:accounts",
    unlisted=("reference", "requiresApproval"),
    is_optional=True,
)
