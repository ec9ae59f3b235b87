"""What documents that begin as drafts have in common."""

from __future__ import annotations

from datetime import date

from pydantic_core import PydanticCustomError

from blsync.ledger.plans import Problem
from blsync.push.endpoint import Json


def locked(
    record: Json, what: str, cure: str, code: str = "BUSINESS_RULE_VIOLATION"
) -> Problem | None:
    """Return why a document may not be changed, and the `cure`; None where it is a draft."""
    status = str(record.get("status") or "")
    if status == "draft":
        return None
    message = f"the {what} is {status or 'no draft'} and only a draft can be changed; {cure}"
    return {"code": code, "field": "status", "message": message}


def check_due(day: date | None, due: date | None, name: str) -> None:
    """Raise PydanticCustomError where a document is due before its own day, the field `name`."""
    if day and due and due < day:
        raise PydanticCustomError(
            "dates",
            f"dueDate {{due}} must be the {name} {{day}} or a day after it",
            {"due": due.isoformat(), "day": day.isoformat()},
        )
