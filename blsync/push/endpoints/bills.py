"""Suppliers' bills as they are written, in batches: created as drafts, changed while they are.

One is known by the supplier's own number of it, which is unique a supplier.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from blsync.ledger.plans import Problem
from blsync.ledger.states import Action
from blsync.personal_data import PERSONAL_FIELDS
from blsync.push.compare import figure
from blsync.push.endpoint import (
    TODAY,
    Endpoint,
    Json,
    Likeness,
    Reference,
    Row,
    Settlement,
    Terms,
    in_the_future,
)
from blsync.push.endpoints import listings
from blsync.push.endpoints.drafts import check_due, locked
from blsync.push.endpoints.fields import (
    CENT,
    Amount,
    Code,
    Day,
    Email,
    Id,
    Quantity,
    ReferenceText,
    TaxCode,
    Text,
)


class SupplierName(Row):
    """Other ways to name the supplier."""

    email: Email = ""
    supplier_number: Code = ""


class BillLine(Row):
    """A line: an item or a description, a quantity, a price net of tax, and the number of the
    account that it goes to.
    """

    item_id: Id = ""
    item_code: Code = ""
    description: Text = ""
    quantity: Quantity
    unit_price: Amount
    tax_code: TaxCode = ""
    account_code: Code = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not (self.item_id or self.item_code or self.description):
            raise PydanticCustomError(
                "line", "needs an itemId, an itemCode or a description; fill one in"
            )
        if not (self.item_id or self.item_code or self.account_code):
            raise PydanticCustomError(
                "line", "needs an accountCode, as it names no item; fill it in"
            )
        return self


class BillRow(Row):
    """A bill's writable fields; money in the bill's currency."""

    supplier_invoice_number: ReferenceText = ""
    supplier_id: Id = ""
    supplier: SupplierName | None = None
    purchase_order_id: Id = ""
    bill_date: Day | None = None
    due_date: Day | None = None
    status: Annotated[
        Literal["draft"], Field(description="draft: a bill is approved in BigLedger, by a person")
    ] = "draft"
    reference: Text = ""
    notes: Text = ""
    items: Annotated[
        list[BillLine], Field(min_length=1, description="a list of at least one line")
    ] = []  # noqa: RUF012 (pydantic copies it)

    @model_validator(mode="after")
    def _is_due_after(self) -> Self:
        check_due(self.bill_date, self.due_date, "billDate")
        return self


def _locked(bill: Json) -> Problem | None:
    return locked(bill, "bill", "take the row out, or correct it in BigLedger")


def _total(body: Json) -> Decimal:
    """Return a bill's net total, before tax."""
    lines = body.get("items") or []
    total = sum((figure(o["quantity"]) * figure(o.get("unitPrice")) for o in lines), Decimal(0))
    return total.quantize(CENT)


def _amount(bill: Json) -> Decimal | None:
    return _total(bill) if bill.get("items") else None


BILLS = Endpoint(
    name="bills",
    record="bill",
    batch=Terms("/batch/bills", 100, (Action.CREATE, Action.UPDATE)),
    model=BillRow,
    listing=listings.BILLS,
    required=("supplierId", "items", "supplierInvoiceNumber"),
    identifiers=("id", "billNumber", "supplierInvoiceNumber"),
    parts=("supplierId",),
    defaults={"status": "draft", "billDate": TODAY},
    read_only=frozenset(
        ("subtotal", "taxTotal", "total", "paidAmount", "balanceDue", "paymentTerms", "createdAt")
    ),
    cleared=dict.fromkeys(("reference", "notes")),
    personal=PERSONAL_FIELDS["bills"],
    references=(
        Reference(
            "supplierId",
            listings.SUPPLIERS,
            {
                "supplierId": "id",
                "supplier.email": "email",
                "supplier.supplierNumber": "supplierNumber",
            },
        ),
        Reference(
            "itemId", listings.ITEMS, {"itemId": "id", "itemCode": "itemCode"}, in_lines=True
        ),
    ),
    lines="items",
    date_field="billDate",
    settlement=Settlement(
        likeness=Likeness(("supplierId", "billDate"), party="supplierId", amount=_total)
    ),
    locked=_locked,
    money=_total,
    amount=_amount,
    currency_of="supplierId",
    warnings=in_the_future("billDate"),
)
