"""Suppliers' bills (bigledger-api.md, section 11)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="bills",
    resource="bill",
    paths=("bills",),
    scope="accounts",
    prefix="bill",
    number_field="billNumber",
    number_prefix="BILL",
    fields=fields(
        text="id billNumber supplierInvoiceNumber supplierId supplier.id supplier.name "
        "supplier.email purchaseOrderId status currency reference paymentTerms notes",
        number="subtotal taxTotal total paidAmount balanceDue",
        date="billDate dueDate",
        instant="createdAt updatedAt",
        each="items.itemId items.accountCode items.taxCode",
    ),
    columns=(
        *("createdAt", "updatedAt", "billDate", "dueDate", "supplierId", "purchaseOrderId"),
        *("status", "billNumber", "supplierInvoiceNumber"),
    ),
    search=("billNumber", "supplierInvoiceNumber", "supplier.name"),
    date_field="billDate",
    aliases={
        "dueFromDate": ("dueDate", "gte"),
        "dueToDate": ("dueDate", "lte"),
        "totalMin": ("total", "gte"),
        "totalMax": ("total", "lte"),
    },
    harmless_field="notes",
    movements="payable_moves where bill_id = ?1",
    module="purchasing",
)
