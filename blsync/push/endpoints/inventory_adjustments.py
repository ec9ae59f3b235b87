"""Stock adjustments as they are written: posted at once, one item at one location each."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from blsync.ledger.states import Action
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
from blsync.push.endpoints.fields import CENT, Code, Day, Id, Quantity, ReferenceText, UnitCost


class AdjustmentRow(Row):
    """A change of one item's stock at one location; the unit cost in the company's currency."""

    item_id: Id = ""
    item_code: Code = ""
    location_id: Id = ""
    adjustment_type: Annotated[
        Literal["increase", "decrease"], Field(description="increase or decrease")
    ] = "increase"
    quantity: Quantity | None = None
    unit_cost: UnitCost | None = None
    reason: Annotated[
        Literal["stock_count", "damaged", "found", "lost", "expired"],
        Field(description="stock_count, damaged, found, lost or expired"),
    ] = "stock_count"
    reference: ReferenceText = ""
    date: Day | None = None


def _never(_: Json) -> bool:
    return False


def _comparable(body: Json) -> Json:
    """A decrease leaves at the average cost, whatever the file said."""
    left_out = "unitCost" if body.get("adjustmentType") == "decrease" else ""
    return {name: value for name, value in body.items() if name != left_out}


def _quantity(body: Json) -> Decimal:
    return figure(body.get("quantity"))


def _value(body: Json) -> Decimal:
    return (figure(body["quantity"]) * figure(body.get("unitCost"))).quantize(CENT)


def _amount(body: Json) -> Decimal | None:
    """Return the value of an adjustment; what leaves at the average cost has none that is known."""
    return _value(body) if body.get("unitCost") is not None else None


def _always(_: Json) -> bool:
    return True


def _reversal(adjustment: Json) -> Json:
    """Return the adjustment the other way; what left comes back at the cost at which it went."""
    is_increase = adjustment.get("adjustmentType") == "increase"
    names = ("itemId", "locationId", "quantity", "reason", *(() if is_increase else ("unitCost",)))
    return {
        **{name: adjustment[name] for name in names if adjustment.get(name) is not None},
        "adjustmentType": "decrease" if is_increase else "increase",
    }


INVENTORY_ADJUSTMENTS = Endpoint(
    name="inventory-adjustments",
    record="stock adjustment",
    bulk_path="/bulk/inventory-adjustments",
    limit=200,
    batch=Terms("/batch/stock-adjustments", 500, (Action.CREATE,)),
    model=AdjustmentRow,
    listing=listings.ADJUSTMENTS,
    required=("itemId", "locationId", "adjustmentType", "quantity", "reference"),
    identifiers=("reference",),
    parts=("itemId", "locationId"),
    defaults={"date": TODAY},
    references=(
        Reference("itemId", listings.ITEMS, {"itemId": "id", "itemCode": "itemCode"}),
        Reference("locationId", listings.LOCATIONS, {"locationId": "locationId"}),
    ),
    date_field="date",
    in_flight=("itemId", "locationId"),
    is_tokened=True,
    can_update=False,
    settlement=Settlement(
        is_safe_to_resend=_never,
        likeness=Likeness(
            ("itemId", "locationId", "date", "adjustmentType"),
            party="locationId",
            amount=_quantity,
        ),
    ),
    comparable=_comparable,
    money=_value,
    amount=_amount,
    is_posted=_always,
    reversal=_reversal,
    warnings=in_the_future("date"),
)
