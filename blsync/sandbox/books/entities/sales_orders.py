"""Sales orders (bigledger-api.md, section 10)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="sales_orders",
    resource="salesOrder",
    paths=("sales-orders",),
    scope="invoices",
    prefix="so",
    number_field="orderNumber",
    number_prefix="SO",
    fields=fields(
        text="id orderNumber customerId customer.id customer.name customer.email status priority "
        "currency reference notes terms fulfillment.status fulfillment.shippingMethod "
        "fulfillment.trackingNumber createdBy",
        number="exchangeRate subtotal totalDiscount totalTax shippingCost total "
        "fulfillment.shippedQuantity fulfillment.remainingQuantity",
        date="orderDate requiredDate promisedDate fulfillment.estimatedDelivery",
        instant="createdAt updatedAt",
        each="items.itemId items.itemCode items.taxCode",
    ),
    columns=("createdAt", "updatedAt", "orderDate", "customerId", "status", "orderNumber"),
    looked_up=("orderNumber",),
    search=("orderNumber", "reference", "customer.name"),
    date_field="orderDate",
    aliases={
        "orderDateFrom": ("orderDate", "gte"),
        "orderDateTo": ("orderDate", "lte"),
        "requiredDateFrom": ("requiredDate", "gte"),
        "requiredDateTo": ("requiredDate", "lte"),
    },
    harmless_field="notes",
    module="pipeline",
)
