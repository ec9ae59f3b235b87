"""E-invoices, as the tax authority's portal takes them (bigledger-api.md, section 12)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="einvoices",
    resource="einvoice",
    paths=("einvoice",),
    scope="invoices",
    prefix="einv",
    fields=fields(
        text="id invoiceId customerId format status submissionType uuid submissionId "
        "validationHash government.portal government.taxpayerId government.submissionId "
        "government.longId government.status notes",
        bool="validation.isValid",
        instant="government.submittedAt government.validationTime government.acceptedAt "
        "validation.validatedAt createdAt updatedAt",
    ),
    columns=("createdAt", "updatedAt", "invoiceId", "status", "uuid"),
    looked_up=("invoiceId",),
    joined={"customerId": "(select customerId from invoices i where i.id = einvoices.invoiceId)"},
    search=("uuid", "submissionId"),
    aliases={"portal": ("government.portal", "eq")},
    days_of_instant={"dateFrom": ("createdAt", "gte"), "dateTo": ("createdAt", "lte")},
    harmless_field="notes",
    module="compliance",
)
