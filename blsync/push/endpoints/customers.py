"""Customers as they are written (bigledger-api.md, section 5); email is the natural key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    StrictBool,
    StrictInt,
)

from blsync.ledger.plans import Problem
from blsync.ledger.states import SENDS
from blsync.personal_data import PERSONAL_FIELDS
from blsync.push.endpoint import Endpoint, Json, Likeness, Row, Settlement, Terms
from blsync.push.endpoints import listings
from blsync.push.endpoints.fields import (
    Amount,
    Currency,
    Days,
    Email,
    Part,
    Phone,
    PostalCode,
    TaxNumber,
    Text,
    Word,
    each_once,
    no_number,
    split_words,
)


class AddressRow(Row):
    """A postal address."""

    street: Part = None
    street2: Part = None
    city: Part = None
    state: Part = None
    postal_code: PostalCode = None
    country: Part = None


class CustomerRow(Row):
    """A customer's writable fields; money in the customer's currency, terms in days."""

    email: Email = ""
    name: Annotated[
        str,
        BeforeValidator(no_number),
        Field(min_length=1, max_length=200, description="a text of 1 to 200 characters"),
    ] = ""
    type: Annotated[
        Literal["individual", "business"], Field(description="individual or business")
    ] = "business"
    status: Annotated[
        Literal["active", "inactive", "blocked"], Field(description="active, inactive or blocked")
    ] = "active"
    phone: Phone = ""
    website: Text = ""
    tax_number: TaxNumber = ""
    currency: Currency = "MYR"
    payment_terms: Days = 0
    credit_limit: Amount = Decimal(0)
    tags: Annotated[
        list[Word],
        BeforeValidator(split_words),
        AfterValidator(each_once),
        Field(description="words separated by ;"),
    ] = []  # noqa: RUF012 (pydantic copies it)
    address: AddressRow | None = None
    billing_address: AddressRow | None = None
    shipping_address: AddressRow | None = None
    custom_fields: Annotated[
        dict[str, Word | StrictBool | StrictInt | Annotated[Decimal, Strict()] | None],
        Field(description="a text, a number, true or false"),
    ] = {}  # noqa: RUF012


def _warnings(body: Json, _: Json, __: date) -> Iterator[str]:
    if len(str(body.get("name") or "")) > STRICT_NAME:
        yield f"name is longer than {STRICT_NAME} characters; a stricter server refuses that"


def _no_money(_: Json) -> Decimal:
    return Decimal(0)


def _kept(customer: Json) -> Problem | None:
    """Tell that a customer has transactions, as far as the customer shows it."""
    names = ("totalSales", "currentBalance", "lastSaleDate")
    if not any(_is_something(customer.get(name)) for name in names):
        return None
    message = (
        "the customer has transactions, and BigLedger deletes only those that have none; set "
        "status to inactive instead"
    )
    return {"code": "BUSINESS_RULE_VIOLATION", "field": None, "message": message}


def _is_something(value: Any) -> bool:
    return value not in (None, "", 0, "0", "0.00")


STRICT_NAME = 100
"""Characters of a name by the vendor's rules for batches; elsewhere they are 200."""
_ADDRESSES = ("address", "billingAddress", "shippingAddress")

CUSTOMERS = Endpoint(
    name="customers",
    record="customer",
    bulk_path="/bulk/customers",
    limit=100,
    batch=Terms("/batch/customers", 500, SENDS),
    model=CustomerRow,
    listing=listings.CUSTOMERS,
    required=("name", "email"),
    identifiers=("id", "customerNumber", "email"),
    read_only=frozenset(("currentBalance", "totalSales", "lastSaleDate", "createdAt")),
    cleared={
        **dict.fromkeys(("phone", "website", "taxNumber", "customFields", *_ADDRESSES)),
        "tags": [],
    },
    personal=PERSONAL_FIELDS["customers"],
    settlement=Settlement(has_unique_key=True, likeness=Likeness(("name",))),
    amount=_no_money,
    can_delete=True,
    kept=_kept,
    warnings=_warnings,
)
