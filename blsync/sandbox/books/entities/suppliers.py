"""Suppliers, the one list that pages by offset (bigledger-api.md, section 11)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="suppliers",
    resource="supplier",
    paths=("suppliers",),
    scope="accounts",
    prefix="supp",
    number_field="supplierNumber",
    number_prefix="SUPP",
    fields=fields(
        text="id supplierNumber name displayName email phone website taxNumber "
        "registrationNumber address.city address.state address.country currency status",
        number="paymentTerms.termsDays paymentTerms.discountDays paymentTerms.discountPercent "
        "creditLimit currentBalance",
        instant="createdAt updatedAt",
        each="tags",
    ),
    columns=("createdAt", "updatedAt", "name", "status"),
    search=("name", "email", "supplierNumber"),
    is_by_offset=True,
    default_limit=20,
    code="SUPPLIER_NOT_FOUND",
    aliases={"country": ("address.country", "eq")},
    deletable="id not in (select supplierId from purchase_orders)"
    " and id not in (select supplierId from bills)",
    harmless_field="website",
    secret_fields=("bankDetails", "contactPerson"),
    module="purchasing",
    is_in_memory=True,
)
