"""Bills of suppliers with their lines (bigledger-api.md, section 11)."""

from __future__ import annotations

from datetime import date, datetime

from blsync.entity import NOTHING, Entity, FreeForm, Key, Money, Party, Quantity, Record, UnitAmount


class BillLine(Record):
    """One line; `line_total` before tax, `account_code` the number of the account it posts to."""

    id: str | None = None
    item_id: str | None = None
    description: str | None = None
    quantity: Quantity | None = None
    unit_price: UnitAmount | None = None
    line_total: Money | None = None
    tax_code: str | None = None
    tax_rate: Quantity | None = None
    tax_amount: Money | None = None
    account_code: str | None = None


class Bill(Record):
    """A supplier's invoice: total = subtotal + tax_total, balance_due = total - paid_amount.

    In its own currency, and without a rate to the company's.
    """

    id: Key
    bill_number: str | None = None
    supplier_invoice_number: str | None = None
    supplier_id: str | None = None
    supplier: Party | None = None
    purchase_order_id: str | None = None
    bill_date: date | None = None
    due_date: date | None = None
    status: str | None = None
    currency: str | None = None
    reference: str | None = None
    subtotal: Money | None = None
    tax_total: Money | None = None
    total: Money | None = None
    paid_amount: Money | None = None
    balance_due: Money | None = None
    items: list[BillLine] | None = None
    attachments: FreeForm = NOTHING
    payment_terms: str | None = None
    notes: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="bills",
    model=Bill,
    path="/bills",
    description="What suppliers have billed, with lines and what is still to pay.",
    date_field="billDate",
    scope="read:accounts",
    unlisted=("reference",),
    is_optional=True,
)
