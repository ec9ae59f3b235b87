"""Customers (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="customers",
    resource="customer",
    paths=("customers",),
    scope="customers",
    prefix="cust",
    number_field="customerNumber",
    number_prefix="CUST",
    fields=fields(
        text="id customerNumber name type email phone website taxNumber currency status "
        "address.street address.city address.state address.postalCode address.country "
        "billingAddress.city billingAddress.state shippingAddress.city "
        "customFields.industry customFields.accountManager",
        number="paymentTerms creditLimit currentBalance totalSales",
        date="lastSaleDate",
        instant="createdAt updatedAt",
        each="tags contacts.name contacts.email",
    ),
    columns=("createdAt", "updatedAt", "email", "customerNumber", "status"),
    search=("name", "email", "customerNumber"),
    code="CUSTOMER_NOT_FOUND",
    aliases={
        "creditLimitMin": ("creditLimit", "gte"),
        "creditLimitMax": ("creditLimit", "lte"),
        "balanceMin": ("currentBalance", "gte"),
        "balanceMax": ("currentBalance", "lte"),
        "createdAfter": ("createdAt", "gt"),
        "createdBefore": ("createdAt", "lt"),
        "tags": ("tags", "in"),
    },
    harmless_field="website",
    is_in_memory=True,
)
