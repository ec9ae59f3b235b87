"""Stock adjustments (bigledger-api.md, section 5)."""

from __future__ import annotations

import datetime as dt

from blsync.entity import Entity, Feed, Key, Money, Quantity, Record, UnitAmount


class Location(Record):
    """Where the stock lies."""

    id: str | None = None
    name: str | None = None


class AdjustmentLine(Record):
    """One item adjusted; a negative quantity takes stock away, from `current_stock` on."""

    id: str | None = None
    item_id: str | None = None
    item_code: str | None = None
    item_name: str | None = None
    current_stock: Quantity | None = None
    adjusted_stock: Quantity | None = None
    adjustment_quantity: Quantity | None = None
    unit_cost: UnitAmount | None = None
    total_cost: Money | None = None
    reason: str | None = None
    notes: str | None = None


class StockAdjustment(Record):
    """A correction of stock after a count, damage, a find, a loss or expiry."""

    id: Key
    adjustment_number: str | None = None
    date: dt.date | None = None
    type: str | None = None
    reason: str | None = None
    status: str | None = None
    location_id: str | None = None
    location: Location | None = None
    reference: str | None = None
    notes: str | None = None
    items: list[AdjustmentLine] | None = None
    total_value: Money | None = None
    created_by: str | None = None
    created_at: dt.datetime | None = None
    posted_at: dt.datetime | None = None


ENTITY = Entity(
    name="stock_adjustments",
    model=StockAdjustment,
    path="/inventory/adjustments",
    description="Corrections of stock with their items and values.",
    date_field="date",
    scope="read:inventory",
    feeds=(
        Feed("createdAt", "createdAt"),
        Feed("postedAt", "postedAt", needs_lower_bound=True),
    ),
)
