"""Sales and returns at the tills (bigledger-api.md, section 14)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="pos_transactions",
    resource="posTransaction",
    paths=("pos/transactions",),
    scope="invoices",
    prefix="post",
    number_field="transactionNumber",
    number_prefix="POS",
    fields=fields(
        text="id transactionNumber type status sessionId locationId registerId cashierId "
        "customerId originalTransactionId invoiceId currency notes",
        number="subtotal totalDiscount totalTax rounding total",
        date="businessDate",
        instant="occurredAt createdAt updatedAt",
        each="items.itemId items.itemCode items.taxCode payments.method payments.accountId",
    ),
    columns=("createdAt", "updatedAt", "businessDate", "sessionId"),
    search=("transactionNumber", "cashierId"),
    date_field="businessDate",
    harmless_field="notes",
    module="tills",
)
