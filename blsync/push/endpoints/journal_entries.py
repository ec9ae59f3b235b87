"""Journal entries as they are written: drafts, posted only where the file says so."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from blsync.ledger.plans import Problem
from blsync.ledger.states import Action
from blsync.push.compare import figure
from blsync.push.endpoint import (
    Endpoint,
    Json,
    Likeness,
    Reference,
    Row,
    Settlement,
    Terms,
    in_the_future,
)
from blsync.push.endpoints import listings
from blsync.push.endpoints.drafts import locked
from blsync.push.endpoints.fields import Amount, Code, Day, Id, ReferenceText, Text


class JournalLine(Row):
    """A line: an account with a debit or a credit, in the company's currency."""

    account_id: Id = ""
    account_number: Code = ""
    description: Text = ""
    debit: Amount = Decimal(0)
    credit: Amount = Decimal(0)

    @model_validator(mode="after")
    def _is_one_sided(self) -> Self:
        if not (self.account_id or self.account_number):
            raise PydanticCustomError("line", "needs an accountId or an accountNumber; fill one in")
        if bool(self.debit) == bool(self.credit):
            raise PydanticCustomError("line", "needs a debit or a credit, one of the two, above 0")
        return self


class JournalRow(Row):
    """A journal entry's writable fields."""

    date: Day | None = None
    reference: ReferenceText = ""
    description: Text = ""
    status: Annotated[
        Literal["draft", "posted"], Field(description="draft (the default) or posted")
    ] = "draft"
    lines: Annotated[
        list[JournalLine], Field(min_length=2, description="a list of at least two lines")
    ] = []  # noqa: RUF012 (pydantic copies it)

    @model_validator(mode="after")
    def _is_balanced(self) -> Self:
        debit = sum((line.debit for line in self.lines), Decimal(0))
        credit = sum((line.credit for line in self.lines), Decimal(0))
        if debit != credit:
            raise PydanticCustomError(
                "balance",
                "lines: debits {debit} and credits {credit} must be equal; they differ by {off}",
                {"debit": str(debit), "credit": str(credit), "off": str(abs(debit - credit))},
            )
        return self


def _locked(entry: Json) -> Problem | None:
    return locked(entry, "entry", "void it instead")


def _reversal(entry: Json) -> Json:
    """Return the entry with each line on the other side."""
    names = ("accountId", "description")
    return {
        "description": f"Reversal of {entry.get('journalNumber') or entry.get('reference')}",
        "status": "posted",
        "lines": [
            {name: line[name] for name in names if line.get(name)}
            | ({"credit": line["debit"]} if line.get("debit") else {"debit": line["credit"]})
            for line in entry["lines"]
        ],
    }


def _is_draft(body: Json) -> bool:
    return body.get("status") != "posted"


def _is_posted(body: Json) -> bool:
    return not _is_draft(body)


def _debits(body: Json) -> Decimal:
    return sum((figure(line.get("debit")) for line in body.get("lines") or []), Decimal(0))


def _amount(entry: Json) -> Decimal | None:
    return _debits(entry) if entry.get("lines") else None


JOURNAL_ENTRIES = Endpoint(
    name="journal-entries",
    record="journal entry",
    bulk_path="/bulk/journal-entries",
    limit=100,
    batch=Terms("/batch/journal-entries", 100, (Action.CREATE,)),
    model=JournalRow,
    listing=listings.JOURNAL_ENTRIES,
    required=("date", "lines", "reference"),
    identifiers=("id", "journalNumber", "reference"),
    defaults={"status": "draft"},
    read_only=frozenset(("totalDebit", "totalCredit", "reversesId", "createdAt", "postedAt")),
    cleared=dict.fromkeys(("description",)),
    references=(
        Reference(
            "accountId",
            listings.ACCOUNTS,
            {"accountId": "id", "accountNumber": "accountNumber"},
            in_lines=True,
        ),
    ),
    lines="lines",
    sides=frozenset(("lines.debit", "lines.credit")),
    date_field="date",
    is_tokened=True,
    settlement=Settlement(
        is_safe_to_resend=_is_draft, likeness=Likeness(("date",), amount=_debits)
    ),
    locked=_locked,
    money=_debits,
    amount=_amount,
    can_delete=True,
    is_posted=_is_posted,
    reversal=_reversal,
    warnings=in_the_future("date"),
)
