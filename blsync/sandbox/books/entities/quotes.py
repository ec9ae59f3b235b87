"""Quotes (bigledger-api.md, section 10)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="quotes",
    resource="quote",
    paths=("quotes",),
    scope="invoices",
    prefix="quote",
    number_field="quoteNumber",
    number_prefix="QUO",
    fields=fields(
        text="id quoteNumber customerId customer.id customer.name customer.email status currency "
        "reference title description terms acceptedBy salesOrderId",
        number="subtotal totalDiscount totalTax total",
        date="quoteDate validUntil",
        instant="acceptedAt convertedToOrderAt createdAt updatedAt",
        each="items.itemId items.taxCode",
    ),
    columns=("createdAt", "updatedAt", "quoteDate", "customerId", "status", "quoteNumber"),
    search=("quoteNumber", "title", "customer.name"),
    date_field="quoteDate",
    harmless_field="description",
    module="pipeline",
)
