"""Stock adjustments (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="stock_adjustments",
    resource="stockAdjustment",
    paths=("stock-adjustments", "inventory/adjustments"),
    scope="inventory",
    prefix="adj",
    number_field="adjustmentNumber",
    number_prefix="ADJ",
    fields=fields(
        text="id adjustmentNumber type reason status locationId reference notes createdBy",
        number="totalValue",
        date="date",
        instant="createdAt postedAt",
        each="items.itemId items.reason",
    ),
    columns=("createdAt", "postedAt", "date", "reference", "status"),
    search=("adjustmentNumber", "reference", "notes"),
    date_field="date",
    aliases={"itemId": ("items.itemId", "eq")},
)
