"""Who planned, approved or rejected a plan, and what exactly an approval is of.

An approval is of a digest: a hash of all that would be sent, of the company and of the server. A
plan of which any byte is changed afterwards has another digest, so the approval is of it no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from blsync.ledger.states import Action, Verdict
from blsync.text.natural_keys import normal_form

if TYPE_CHECKING:
    from blsync.ledger.plans import Operation, Plan


@dataclass(frozen=True)
class Saying:
    """What one person said of a plan, when (UTC) and why; `digest` is what it was said of."""

    verdict: Verdict
    actor: str
    at: datetime
    reason: str | None = None
    digest: str | None = None


def digest_of(plan: Plan, rows: Iterable[Operation]) -> str:
    """Return the hash of what a plan sends, to which company and server.

    What becomes of a row does not count: its state, its error, the id that a create was given.
    """
    content: list[Any] = [plan.company_id, plan.base_url, plan.endpoint, plan.mode]
    content += [plan.on_conflict, plan.undoes]
    content += [
        [
            *(row.row, row.natural_key, row.action, row.body, row.changes, row.before, row.amount),
            *(row.in_flight, row.cells, row.warnings),
            None if row.action == Action.CREATE else row.remote_id,
        ]
        for row in rows
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def person(name: str) -> str:
    """Return the form in which two names are the same person's: without regard to case, blanks and
    characters that nobody sees.
    """
    return " ".join(normal_form(name).split())


def planners(said: Iterable[Saying]) -> set[str]:
    """Return who planned, in the form in which names are compared."""
    return {person(one.actor) for one in said if one.verdict == Verdict.PLANNED}


def approvers(said: Sequence[Saying], digest: str) -> list[Saying]:
    """Return the approvals that count: of this very content, by nobody who planned it."""
    own = planners(said)
    return [
        one
        for one in said
        if one.verdict == Verdict.APPROVED and one.digest == digest and person(one.actor) not in own
    ]


def to_text(said: Sequence[Saying]) -> str | None:
    """Write what was said as the ledger keeps it."""
    told = [{**vars(one), "at": one.at.isoformat()} for one in said]
    return json.dumps(told, ensure_ascii=False) if told else None


def from_text(text: str | None) -> tuple[Saying, ...]:
    """Read what the ledger keeps. Raises ValueError, KeyError or TypeError for anything else."""
    return tuple(
        Saying(
            Verdict(one["verdict"]),
            one["actor"],
            datetime.fromisoformat(one["at"]),
            one["reason"],
            one["digest"],
        )
        for one in json.loads(text or "[]")
    )
