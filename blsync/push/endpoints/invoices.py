"""Invoices as they are written: created as drafts, changed while they are drafts."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from blsync.ledger.plans import Problem
from blsync.push.endpoint import Endpoint, Json, Reference, Row
from blsync.push.endpoints import listings
from blsync.push.endpoints.fields import (
    CENT,
    Amount,
    Code,
    Day,
    Email,
    Id,
    Percent,
    Quantity,
    ReferenceText,
    Text,
    key_text,
)

_WORKED_OUT = (
    *("subtotal", "totalDiscount", "totalTax", "total", "amountPaid", "amountDue"),
    *("paymentStatus", "lastPaymentDate", "overdueBy", "createdAt"),
)


class CustomerName(Row):
    """Another way to name the customer."""

    email: Email = ""


class InvoiceLine(Row):
    """A line: an item or a description, a quantity, a price net of tax; rates in percent."""

    item_id: Id = ""
    item_code: Code = ""
    description: Text = ""
    quantity: Quantity
    unit_price: Amount = Decimal(0)
    discount_percent: Percent = Decimal(0)
    discount_amount: Amount = Decimal(0)
    tax_code: Annotated[
        str,
        BeforeValidator(key_text),
        Field(max_length=20, description="a tax code like SST"),
    ] = ""
    tax_rate: Percent = Decimal(0)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not (self.item_id or self.item_code or self.description):
            raise PydanticCustomError(
                "line", "needs an itemId, an itemCode or a description; fill one in"
            )
        if "unit_price" not in self.model_fields_set and not (self.item_id or self.item_code):
            raise PydanticCustomError("line", "needs a unitPrice, as it names no item; fill it in")
        if self.discount_amount > self.quantity * self.unit_price and self.unit_price:
            raise PydanticCustomError(
                "line", "has a discountAmount above quantity times unitPrice; lower it"
            )
        return self


class InvoiceRow(Row):
    """An invoice's writable fields; money in the invoice's currency."""

    customer_id: Id = ""
    customer: CustomerName | None = None
    invoice_date: Day | None = None
    due_date: Day | None = None
    status: Annotated[
        Literal["draft"],
        Field(description="draft: an invoice is sent to its customer in BigLedger, by a person"),
    ] = "draft"
    reference: ReferenceText = ""
    purchase_order: Text = ""
    notes: Text = ""
    terms: Text = ""
    shipping_cost: Amount = Decimal(0)
    items: Annotated[
        list[InvoiceLine], Field(min_length=1, description="a list of at least one line")
    ] = []  # noqa: RUF012 (pydantic copies it)

    @model_validator(mode="after")
    def _is_due_after(self) -> Self:
        if self.invoice_date and self.due_date and self.due_date < self.invoice_date:
            raise PydanticCustomError(
                "dates",
                "dueDate {due} must be the invoiceDate {day} or a day after it",
                {"due": self.due_date.isoformat(), "day": self.invoice_date.isoformat()},
            )
        return self


def _locked(invoice: Json) -> Problem | None:
    status = str(invoice.get("status") or "")
    if status == "draft":
        return None
    message = f"the invoice is {status or 'no draft'} and only a draft can be changed"
    code = "PAID_INVOICE_IMMUTABLE" if status == "paid" else "BUSINESS_RULE_VIOLATION"
    cure = "take the row out, or correct it in BigLedger by a credit"
    return {"code": code, "field": "status", "message": f"{message}; {cure}"}


def _total(body: Json) -> Decimal:
    """Return an invoice's net total, before tax; a line without price is worked out elsewhere."""
    total = Decimal(str(body.get("shippingCost") or 0))
    for line in body.get("items") or []:
        gross = line["quantity"] * (line.get("unitPrice") or 0)
        percent = line.get("discountPercent") or Decimal(0)
        total += gross - (line.get("discountAmount") or gross * percent / 100)
    return total.quantize(CENT)


INVOICES = Endpoint(
    name="invoices",
    record="invoice",
    bulk_path="/bulk/invoices",
    limit=50,
    model=InvoiceRow,
    listing=listings.INVOICES,
    required=("customerId", "items", "reference"),
    identifiers=("id", "invoiceNumber", "reference"),
    defaults={"status": "draft"},
    read_only=frozenset(_WORKED_OUT),
    cleared=dict.fromkeys(("purchaseOrder", "notes", "terms")),
    personal=frozenset({"customer", "notes"}),
    references=(
        Reference(
            "customerId", listings.CUSTOMERS, {"customerId": "id", "customer.email": "email"}
        ),
        Reference(
            "itemId", listings.ITEMS, {"itemId": "id", "itemCode": "itemCode"}, in_lines=True
        ),
    ),
    lines="items",
    date_field="invoiceDate",
    is_tokened=True,
    locked=_locked,
    money=_total,
)
