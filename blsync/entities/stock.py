"""Stock: one record an item and location (bigledger-api.md, section 5)."""

from __future__ import annotations

from datetime import datetime

from blsync.entity import Entity, Key, Money, Quantity, Record, UnitAmount


class Movement(Record):
    """The latest movement; `date` as the server wrote it, a date or an instant."""

    date: str | None = None
    type: str | None = None
    quantity: Quantity | None = None
    reference: str | None = None


class Stock(Record):
    """What lies at one location: `stock_value` = quantity at average cost, as posted."""

    item_id: Key
    location_id: Key
    current_stock: Quantity | None = None
    available_stock: Quantity | None = None
    reserved_stock: Quantity | None = None
    on_order_stock: Quantity | None = None
    average_cost: UnitAmount | None = None
    stock_value: Money | None = None
    last_movement: Movement | None = None
    bin_location: str | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="stock",
    model=Stock,
    path="/stock",
    description="Quantity, average cost and value of each item at each location.",
    scope="read:inventory",
    key=("itemId", "locationId"),
    page_limit=200,
)
