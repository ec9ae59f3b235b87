"""Sales invoices (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="invoices",
    resource="invoice",
    paths=("invoices",),
    scope="invoices",
    prefix="inv",
    number_field="invoiceNumber",
    number_prefix="INV",
    fields=fields(
        text="id invoiceNumber customerId customer.id customer.name customer.email status "
        "currency reference salesOrderId purchaseOrder notes terms paymentStatus einvoice.status "
        "einvoice.uuid",
        number="exchangeRate subtotal totalDiscount totalTax shippingCost total "
        "amountPaid amountDue overdueBy",
        date="invoiceDate dueDate lastPaymentDate",
        instant="createdAt updatedAt einvoice.submittedAt einvoice.acceptedAt",
        each="items.itemId items.itemCode items.taxCode",
    ),
    columns=(
        "createdAt",
        "updatedAt",
        "invoiceDate",
        "dueDate",
        "customerId",
        "status",
        "reference",
        "salesOrderId",
        "invoiceNumber",
        "total",
    ),
    search=("invoiceNumber", "reference", "customer.name"),
    date_field="invoiceDate",
    aliases={
        "customerName": ("customer.name", "contains"),
        "invoiceDateFrom": ("invoiceDate", "gte"),
        "invoiceDateTo": ("invoiceDate", "lte"),
        "dueDateFrom": ("dueDate", "gte"),
        "dueDateTo": ("dueDate", "lte"),
        "totalMin": ("total", "gte"),
        "totalMax": ("total", "lte"),
    },
    flags={"overdue": "status = 'overdue'"},
    harmless_field="notes",
    movements="receivable_moves where invoice_id = ?1",
)
