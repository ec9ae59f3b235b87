"""Invoices as they are written: created as drafts, changed while they are drafts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from blsync.ledger.plans import Problem
from blsync.ledger.states import Action
from blsync.personal_data import PERSONAL_FIELDS
from blsync.push.compare import figure
from blsync.push.endpoint import Endpoint, Json, Likeness, Reference, Row, Settlement, Terms
from blsync.push.endpoints import listings
from blsync.push.endpoints.drafts import check_due, locked
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
    TaxCode,
    Text,
)

_WORKED_OUT = (
    *("subtotal", "totalDiscount", "totalTax", "total", "amountPaid", "amountDue"),
    *("paymentStatus", "lastPaymentDate", "overdueBy", "createdAt"),
)


class CustomerName(Row):
    """Other ways to name the customer."""

    email: Email = ""
    customer_number: Code = ""


class InvoiceLine(Row):
    """A line: an item or a description, a quantity, a price net of tax; rates in percent."""

    item_id: Id = ""
    item_code: Code = ""
    description: Text = ""
    quantity: Quantity
    unit_price: Amount = Decimal(0)
    discount_percent: Percent = Decimal(0)
    discount_amount: Amount = Decimal(0)
    tax_code: TaxCode = ""
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
        check_due(self.invoice_date, self.due_date, "invoiceDate")
        return self


def _locked(invoice: Json) -> Problem | None:
    is_paid = invoice.get("status") == "paid"
    code = "PAID_INVOICE_IMMUTABLE" if is_paid else "BUSINESS_RULE_VIOLATION"
    cure = "take the row out, or correct it in BigLedger by a credit"
    return locked(invoice, "invoice", cure, code)


def _total(body: Json) -> Decimal:
    """Return an invoice's net total, before tax; a line without price is worked out elsewhere."""
    total = figure(body.get("shippingCost"))
    for line in body.get("items") or []:
        gross = figure(line["quantity"]) * figure(line.get("unitPrice"))
        discount = gross * figure(line.get("discountPercent")) / 100
        total += gross - (figure(line.get("discountAmount")) or discount)
    return total.quantize(CENT)


def _amount(invoice: Json) -> Decimal | None:
    """Return an invoice's net total where each line says its price."""
    lines = invoice.get("items") or []
    is_known = lines and all(line.get("unitPrice") is not None for line in lines)
    return _total(invoice) if is_known else None


def _warnings(body: Json, whole: Json, today: date) -> Iterator[str]:
    day = str(whole.get("invoiceDate") or today)
    due = whole.get("dueDate")
    if body.keys() & {"invoiceDate", "dueDate"} and due and str(due) <= day:
        yield f"dueDate {due} is not after the invoiceDate; a stricter server refuses that"
    if "invoiceDate" in body and day > today.isoformat():
        yield f"invoiceDate {day} lies in the future; a stricter server refuses that"


def _of_item(item: Json, found: Mapping[str, Json]) -> Json:
    """Return the description and the price of a line that names an item and says no more.

    No price is taken that is in another currency than the customer's, or no number.
    """
    nested = item.get("pricing")
    pricing: Json = nested if isinstance(nested, dict) else item
    told: Json = {"description": item.get("name") or item.get("description")}
    currencies = {pricing.get("currency"), found.get("customerId", {}).get("currency")}
    if len(currencies - {None, ""}) < 2:
        with suppress(ArithmeticError):
            told["unitPrice"] = Decimal(str(pricing.get("sellingPrice")))
    return {name: value for name, value in told.items() if value not in (None, "")}


INVOICES = Endpoint(
    name="invoices",
    record="invoice",
    bulk_path="/bulk/invoices",
    limit=50,
    batch=Terms("/batch/invoices", 100, (Action.CREATE, Action.UPDATE)),
    model=InvoiceRow,
    listing=listings.INVOICES,
    required=("customerId", "items", "reference"),
    identifiers=("id", "invoiceNumber", "reference"),
    defaults={"status": "draft"},
    read_only=frozenset(_WORKED_OUT),
    cleared=dict.fromkeys(("purchaseOrder", "notes", "terms")),
    personal=PERSONAL_FIELDS["invoices"],
    references=(
        Reference(
            "customerId",
            listings.CUSTOMERS,
            {
                "customerId": "id",
                "customer.email": "email",
                "customer.customerNumber": "customerNumber",
            },
        ),
        Reference(
            "itemId",
            listings.ITEMS,
            {"itemId": "id", "itemCode": "itemCode"},
            in_lines=True,
            needed=("name", "pricing"),
            filled=_of_item,
        ),
    ),
    lines="items",
    date_field="invoiceDate",
    is_tokened=True,
    settlement=Settlement(
        likeness=Likeness(("customerId", "invoiceDate"), party="customerId", amount=_total)
    ),
    locked=_locked,
    money=_total,
    amount=_amount,
    currency_of="customerId",
    can_delete=True,
    warnings=_warnings,
)
