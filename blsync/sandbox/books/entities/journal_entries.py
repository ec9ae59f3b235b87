"""Journal entries (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

ENTITY = Entity(
    name="journal_entries",
    resource="journalEntry",
    paths=("journal-entries",),
    scope="accounts",
    prefix="je",
    number_field="journalNumber",
    number_prefix="JE",
    fields=fields(
        text="id journalNumber reference description status reversesId createdBy",
        number="totalDebit totalCredit",
        date="date",
        instant="createdAt postedAt",
        each="lines.accountId lines.accountNumber",
    ),
    columns=(
        "createdAt",
        "postedAt",
        "date",
        "reference",
        "journalNumber",
        "status",
        "reversesId",
    ),
    search=("journalNumber", "reference", "description"),
    date_field="date",
    aliases={"accountId": ("lines.accountId", "eq")},
    movements="journal_lines where entry_id = ?1",
)
