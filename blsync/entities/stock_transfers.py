"""Stock transfers with their lines (bigledger-api.md, section 13)."""

from __future__ import annotations

import datetime as dt

from blsync.entity import NOTHING, Entity, FreeForm, Key, Money, Quantity, Record, UnitAmount


class Location(Record):
    """A place where stock lies."""

    id: str | None = None
    name: str | None = None


class TransferLine(Record):
    """One item on its way; `total_cost` is that of the quantity shipped."""

    id: str | None = None
    item_id: str | None = None
    item_code: str | None = None
    item_name: str | None = None
    quantity_requested: Quantity | None = None
    quantity_shipped: Quantity | None = None
    quantity_received: Quantity | None = None
    unit_cost: UnitAmount | None = None
    total_cost: Money | None = None
    notes: str | None = None


class Shipping(Record):
    """How the goods go; deliveries as the server wrote them, a day or a time."""

    method: str | None = None
    tracking_number: str | None = None
    shipped_at: dt.datetime | None = None
    estimated_delivery: str | None = None
    actual_delivery: str | None = None


class StockTransfer(Record):
    """Stock that moves from one location to another; `total_value` is at the shipped cost."""

    id: Key
    transfer_number: str | None = None
    date: dt.date | None = None
    status: str | None = None
    from_location_id: str | None = None
    from_location: Location | None = None
    to_location_id: str | None = None
    to_location: Location | None = None
    reference: str | None = None
    notes: str | None = None
    items: list[TransferLine] | None = None
    shipping: Shipping | None = None
    total_value: Money | None = None
    approvals: FreeForm = NOTHING
    created_by: str | None = None
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None


ENTITY = Entity(
    name="stock_transfers",
    model=StockTransfer,
    path="/inventory/transfers",
    description="Stock on its way between locations, with what was shipped and received.",
    date_field="date",
    scope="read:inventory",
    is_optional=True,
)
