"""Items as they are written, in batches: flat, where the object is nested."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from blsync.ledger.plans import Problem
from blsync.ledger.states import SENDS
from blsync.push.compare import figure
from blsync.push.endpoint import Endpoint, Json, Likeness, Row, Settlement, Terms
from blsync.push.endpoints import listings
from blsync.push.endpoints.fields import Amount, Code, Count, Part, TaxCode, Text, no_number


class ItemRow(Row):
    """An item's writable fields; prices in the item's currency."""

    item_code: Code = ""
    name: Annotated[
        str,
        BeforeValidator(no_number),
        Field(min_length=1, max_length=200, description="a text of 1 to 200 characters"),
    ] = ""
    type: Annotated[
        Literal["inventory", "service", "non_inventory"],
        Field(description="inventory, service or non_inventory"),
    ] = "inventory"
    description: Text = ""
    category: Part = None
    unit_of_measure: Annotated[
        str,
        BeforeValidator(no_number),
        Field(min_length=1, max_length=40, description="a unit like pcs, of 40 characters at most"),
    ] = "pcs"
    cost_price: Amount = Decimal(0)
    selling_price: Amount = Decimal(0)
    tax_code: TaxCode = ""
    reorder_level: Count = Decimal(0)
    reorder_quantity: Count = Decimal(0)


def _no_money(_: Json) -> Decimal:
    return Decimal(0)


def _kept(item: Json) -> Problem | None:
    """Tell that there is stock of an item, as far as it shows."""
    stock = item.get("inventory")
    if not isinstance(stock, dict) or not figure(stock.get("currentStock")):
        return None
    message = (
        "there is stock of the item, and BigLedger deletes only those that never moved; make it "
        "inactive in BigLedger instead"
    )
    return {"code": "BUSINESS_RULE_VIOLATION", "field": None, "message": message}


ITEMS = Endpoint(
    name="items",
    record="item",
    batch=Terms("/batch/items", 1000, SENDS),
    model=ItemRow,
    listing=listings.FLAT_ITEMS,
    required=("itemCode", "name", "type"),
    identifiers=("id", "itemCode"),
    read_only=frozenset(("currentStock", "createdAt")),
    settlement=Settlement(likeness=Likeness(("name",))),
    amount=_no_money,
    can_delete=True,
    kept=_kept,
)
