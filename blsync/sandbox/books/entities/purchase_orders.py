"""Purchase orders (bigledger-api.md, section 11)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="purchase_orders",
    resource="purchaseOrder",
    paths=("purchase-orders",),
    scope="accounts",
    prefix="po",
    number_field="poNumber",
    number_prefix="PO",
    fields=fields(
        text="id poNumber supplierId supplier.id supplier.name supplier.email status currency "
        "reference terms notes createdBy approvedBy",
        number="exchangeRate subtotal taxTotal discountTotal total",
        date="orderDate requiredDate",
        instant="approvedAt sentAt createdAt updatedAt",
        each="items.itemId items.itemCode items.taxCode",
    ),
    columns=("createdAt", "updatedAt", "orderDate", "supplierId", "status", "poNumber"),
    search=("poNumber", "supplier.name", "notes"),
    date_field="orderDate",
    aliases={"totalMin": ("total", "gte"), "totalMax": ("total", "lte")},
    harmless_field="notes",
    module="purchasing",
)
