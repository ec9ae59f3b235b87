"""Stock transfers between locations (bigledger-api.md, section 13)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="stock_transfers",
    resource="stockTransfer",
    paths=("inventory/transfers", "stock-transfers"),
    scope="inventory",
    prefix="xfer",
    number_field="transferNumber",
    number_prefix="TRF",
    fields=fields(
        text="id transferNumber status fromLocationId fromLocation.name toLocationId "
        "toLocation.name reference notes shipping.method shipping.trackingNumber createdBy",
        number="totalValue",
        date="date shipping.estimatedDelivery",
        instant="shipping.shippedAt createdAt updatedAt",
        each="items.itemId items.itemCode",
    ),
    columns=("createdAt", "updatedAt", "date", "status", "fromLocationId", "toLocationId"),
    search=("transferNumber", "reference", "notes"),
    date_field="date",
    harmless_field="notes",
    module="transfers",
)
