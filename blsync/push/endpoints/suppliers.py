"""Suppliers as they are written, in batches. Their bank details are nobody's business here: they
are never read into a plan, kept or shown.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from blsync.ledger.plans import Problem
from blsync.ledger.states import SENDS
from blsync.personal_data import PERSONAL_FIELDS
from blsync.push.compare import figure
from blsync.push.endpoint import Endpoint, Json, Likeness, Row, Settlement, Terms
from blsync.push.endpoints import listings
from blsync.push.endpoints.fields import (
    Amount,
    Currency,
    Days,
    Email,
    Part,
    Percent,
    Phone,
    PostalCode,
    TaxNumber,
    Text,
    Word,
    each_once,
    no_number,
    split_words,
)


class SupplierAddress(Row):
    """A supplier's postal address."""

    street: Part = None
    city: Part = None
    state: Part = None
    postal_code: PostalCode = None
    country: Part = None


class SupplierTerms(Row):
    """Days to pay in, and the discount in percent for paying within fewer."""

    terms_days: Days = 0
    discount_days: Days = 0
    discount_percent: Percent = Decimal(0)


class SupplierRow(Row):
    """A supplier's writable fields; money in the supplier's currency."""

    email: Email = ""
    name: Annotated[
        str,
        BeforeValidator(no_number),
        Field(min_length=1, max_length=100, description="a text of 1 to 100 characters"),
    ] = ""
    display_name: Annotated[
        str,
        BeforeValidator(no_number),
        Field(max_length=100, description="a text of at most 100 characters"),
    ] = ""
    status: Annotated[
        Literal["active", "inactive", "suspended"],
        Field(description="active, inactive or suspended"),
    ] = "active"
    phone: Phone = ""
    website: Text = ""
    tax_number: TaxNumber = ""
    registration_number: TaxNumber = ""
    currency: Currency = "MYR"
    payment_terms: SupplierTerms | None = None
    credit_limit: Amount = Decimal(0)
    tags: Annotated[
        list[Word],
        BeforeValidator(split_words),
        AfterValidator(each_once),
        Field(description="words separated by ;"),
    ] = []  # noqa: RUF012 (pydantic copies it)
    address: SupplierAddress | None = None


def _no_money(_: Json) -> Decimal:
    return Decimal(0)


def _kept(supplier: Json) -> Problem | None:
    """Tell that a supplier has transactions, as far as it shows, or what could not be restored."""
    message = ""
    if figure(supplier.get("currentBalance")):
        message = "the supplier is owed something, and BigLedger deletes only those without bills"
    elif supplier.get(listings.HAS_BANK_DETAILS):
        message = "the supplier has bank details, which are not kept here and could not be restored"
    if not message:
        return None
    cure = "set status to inactive instead, or delete it in BigLedger"
    return {"code": "BUSINESS_RULE_VIOLATION", "field": None, "message": f"{message}; {cure}"}


SUPPLIERS = Endpoint(
    name="suppliers",
    record="supplier",
    batch=Terms("/batch/suppliers", 500, SENDS),
    model=SupplierRow,
    listing=listings.SUPPLIERS,
    required=("name", "email"),
    identifiers=("id", "supplierNumber", "email"),
    read_only=frozenset(("currentBalance", "createdAt")),
    withheld={
        "bankDetails": "bank details are neither planned nor kept; enter them in BigLedger itself"
    },
    cleared={
        **dict.fromkeys(("phone", "website", "taxNumber", "registrationNumber", "address")),
        "tags": [],
    },
    personal=PERSONAL_FIELDS["suppliers"],
    settlement=Settlement(likeness=Likeness(("name",))),
    amount=_no_money,
    can_delete=True,
    kept=_kept,
)
