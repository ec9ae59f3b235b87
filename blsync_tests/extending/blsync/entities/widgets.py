"""Widgets, a list that BigLedger does not have: the worked example of a new kind of record."""

from __future__ import annotations

from datetime import datetime

from blsync.entity import Entity, Key, Record, UnitAmount


class Widget(Record):
    """A widget; `price` of one, in the company's currency."""

    id: Key
    widget_number: str | None = None
    name: str | None = None
    price: UnitAmount | None = None
    status: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="widgets",
    model=Widget,
    path="/widgets",
    description="What the company makes, with prices.",
    scope="read:inventory",
)
