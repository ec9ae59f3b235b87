"""Journal entries with their lines (bigledger-api.md, section 5)."""

from __future__ import annotations

import datetime as dt

from blsync.entity import NOTHING, Entity, Feed, FreeForm, Key, Money, Record


class JournalLine(Record):
    """One line: a debit or a credit on one account."""

    id: str | None = None
    account_id: str | None = None
    account_number: str | None = None
    account_name: str | None = None
    description: str | None = None
    debit: Money | None = None
    credit: Money | None = None


class JournalEntry(Record):
    """A journal entry; `status` is draft, posted or void; `reverses_id` names a voided entry."""

    id: Key
    journal_number: str | None = None
    date: dt.date | None = None
    reference: str | None = None
    description: str | None = None
    status: str | None = None
    total_debit: Money | None = None
    total_credit: Money | None = None
    lines: list[JournalLine] | None = None
    reverses_id: str | None = None
    attachments: FreeForm = NOTHING
    created_by: str | None = None
    created_at: dt.datetime | None = None
    posted_at: dt.datetime | None = None


# No updatedAt: a draft posted later shows up under postedAt alone, a voided entry under neither.
ENTITY = Entity(
    name="journal_entries",
    model=JournalEntry,
    path="/journal-entries",
    description="The general journal, each entry with its lines.",
    date_field="date",
    scope="read:accounts",
    feeds=(
        Feed("createdAt", "createdAt"),
        Feed("postedAt", "postedAt", needs_lower_bound=True),
    ),
    reversal_field="reversesId",
)
