"""Stock: one record an item and location (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="stock",
    resource="stock",
    paths=("stock", "inventory/stock"),
    scope="inventory",
    fields=fields(
        text="itemId locationId binLocation lastMovement.type lastMovement.reference",
        number="currentStock availableStock reservedStock onOrderStock averageCost "
        "stockValue lastMovement.quantity",
        instant="updatedAt lastMovement.date",
    ),
    columns=("updatedAt", "itemId", "locationId"),
    search=("itemId", "locationId", "binLocation"),
    max_limit=200,
    aliases={"valueMin": ("stockValue", "gte"), "valueMax": ("stockValue", "lte")},
    flags={
        "outOfStock": "json_extract(doc, '$.currentStock') = 0",
        "negative": "json_extract(doc, '$.currentStock') < 0",
    },
    harmless_field="binLocation",
    movements="stock_moves where item_id || '|' || location_id = ?1",
    is_in_memory=True,
)
