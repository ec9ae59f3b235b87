"""Sessions of the tills, from opening to the count (bigledger-api.md, section 14)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="pos_sessions",
    resource="posSession",
    paths=("pos/sessions",),
    scope="invoices",
    prefix="poss",
    number_field="sessionNumber",
    number_prefix="SES",
    fields=fields(
        text="id sessionNumber locationId registerId cashierId status notes",
        number="openingFloat cashIn cashOut expectedCash countedCash variance",
        date="businessDate",
        instant="openedAt closedAt createdAt updatedAt",
        each="tenders.method",
    ),
    columns=("createdAt", "updatedAt", "businessDate", "status", "locationId"),
    search=("sessionNumber", "cashierId"),
    date_field="businessDate",
    harmless_field="notes",
    module="tills",
)
