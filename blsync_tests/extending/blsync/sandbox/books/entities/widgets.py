"""Widgets: a dozen of them, one more that no client can type, and a new price every night."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from blsync.sandbox.books.fields import Entity, fields

if TYPE_CHECKING:
    from blsync.sandbox.books.company import Books

COUNT = 12


def make_widgets(books: Books, rng: random.Random) -> None:
    """Write the widgets of a new company."""
    for number in range(COUNT):
        _make_widget(books, f"Widget {number + 1}", Decimal(rng.randint(100, 9999)).scaleb(-2))
    _make_widget(books, "Widget at a price to be agreed", "to be agreed")


def change_a_price(books: Books, rng: random.Random) -> None:
    """Raise the price of one of the widgets that have one."""
    ids = books.store.query("select id from widgets order by id")
    widgets = [books.find("widgets", key) for (key,) in ids]
    widget = rng.choice([widget for widget in widgets if isinstance(widget["price"], Decimal)])
    widget["price"] += Decimal("0.50")
    books.touch("widgets", widget["id"], widget)


def _make_widget(books: Books, name: str, price: Any) -> None:
    widget_id = books.new_id("widget")
    widget = {
        "id": widget_id,
        "widgetNumber": books.new_number("widgets"),
        "name": name,
        "price": price,
        "status": "active",
        "createdAt": books.stamp(widget_id),
    }
    books.touch("widgets", widget_id, widget)


ENTITY = Entity(
    name="widgets",
    resource="widget",
    paths=("widgets",),
    scope="inventory",
    prefix="widget",
    number_field="widgetNumber",
    number_prefix="WID",
    fields=fields(
        text="id widgetNumber name status", number="price", instant="createdAt updatedAt"
    ),
    columns=("createdAt", "updatedAt", "name"),
    search=("name", "widgetNumber"),
    harmless_field="name",
    found=make_widgets,
    pass_night=change_a_price,
)
