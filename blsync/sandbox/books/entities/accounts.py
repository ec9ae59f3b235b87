"""The chart of accounts (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="accounts",
    resource="account",
    paths=("accounts",),
    scope="accounts",
    prefix="acc",
    number_field="accountNumber",
    fields=fields(
        text="id accountNumber name type category parentId currency description",
        number="level balance.debit balance.credit balance.net",
        bool="isActive isSystemAccount",
        instant="createdAt updatedAt",
    ),
    columns=("createdAt", "updatedAt", "accountNumber"),
    search=("accountNumber", "name", "description"),
    code="ACCOUNT_NOT_FOUND",
    aliases={"active": ("isActive", "eq")},
    harmless_field="description",
    deletable="id not in (select account_id from journal_lines)",
    is_in_memory=True,
)
