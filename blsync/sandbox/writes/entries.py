"""Writes of journal entries (bigledger-api.md, section 5)."""

from __future__ import annotations

from blsync.sandbox.books.company import Books, check_balance
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.values import ZERO, Record
from blsync.sandbox.writes.masters import find_active_account
from blsync.sandbox.writes.request_fields import Form


def _entry_lines(books: Books, form: Form) -> list[Record]:
    """Read journal lines: each an account with a debit or a credit, sums equal."""
    forms = form.lines("lines", least=0)
    lines = []
    for line in forms:
        debit = line.amount("debit", least=0) or ZERO
        credit = line.amount("credit", least=0) or ZERO
        if bool(debit) == bool(credit) and not line.details:
            line.refuse("debit", "REQUIRED_FIELD", "or credit is required, one of the two")
        lines.append(
            {
                "accountId": line.text("accountId", required=True),
                "description": line.text("description"),
                "debit": debit,
                "credit": credit,
            }
        )
    form.gather(forms)
    check_balance(lines)
    for written in lines:
        find_active_account(books, written["accountId"])
    return lines


def create_entry(books: Books, data: object) -> Record:
    """Create a journal entry: a draft, or posted at once where ``status`` says so."""
    form = Form(data)
    day = form.day("date", required=True)
    reference, description = form.text("reference"), form.text("description") or ""
    status = form.text("status", choices=("draft", "posted")) or "draft"
    lines = _entry_lines(books, form)
    return books.write_entry(
        day or "",
        reference,
        description,
        [
            (line["accountId"], line["debit"] - line["credit"], line["description"] or description)
            for line in lines
        ],
        draft=status == "draft",
        created_by="user_api",
    )


def _find_draft_entry(books: Books, entry_id: object) -> Record:
    entry = books.find("journal_entries", entry_id)
    if entry["status"] != "draft":
        raise broken_rule(
            "POSTED_ENTRY_IMMUTABLE",
            "Only a draft can be changed; void the entry instead",
            journalEntryId=entry["id"],
            status=entry["status"],
        )
    return entry


def update_entry(books: Books, entry_id: object, data: object) -> Record:
    """Change a draft entry; ``status`` posted posts it."""
    entry = _find_draft_entry(books, entry_id)
    form = Form(data, partial=True)
    day, status = form.day("date"), form.text("status", choices=("draft", "posted"))
    texts = {name: form.text(name) for name in ("reference", "description") if form.has(name)}
    form.check()
    if form.has("lines"):
        written = [
            books.line(line["accountId"], line["debit"] - line["credit"], line["description"])
            for line in _entry_lines(books, form)
        ]
        entry["lines"] = written
        entry["totalDebit"] = sum((line["debit"] for line in written), ZERO)
        entry["totalCredit"] = sum((line["credit"] for line in written), ZERO)
    entry.update(texts, date=day or entry["date"])
    books.store.put("journal_entries", entry["id"], entry)
    if status == "posted":
        books.post_entry(entry)
    return entry


def delete_entry(books: Books, entry_id: object) -> Record:
    """Delete a draft entry."""
    entry = _find_draft_entry(books, entry_id)
    books.store.delete("journal_entries", entry["id"])
    return {"id": entry["id"], "deleted": True}


def post_entry(books: Books, entry_id: object, data: object) -> Record:
    """Post a draft entry."""
    Form(data).check()
    entry = books.find("journal_entries", entry_id)
    books.post_entry(entry)
    return entry


def void_entry(books: Books, entry_id: object, data: object) -> Record:
    """Void a posted entry: a reversing entry is posted, the entry itself becomes void."""
    form = Form(data)
    day = form.day("voidDate", books.today) or ""
    reason = form.text("reason") or "voided"
    form.check()
    entry = books.find("journal_entries", entry_id)
    if entry["createdBy"] == "system":
        raise broken_rule(
            "ENTRY_OF_DOCUMENT",
            "The entry belongs to a document: cancel or correct that one",
            journalEntryId=entry["id"],
            reference=entry["reference"],
        )
    books.void_entry(entry, day, reason)
    return entry
