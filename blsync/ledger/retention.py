"""What a push held of persons is forgotten after its term; what proves that it was sent stays.

Of a row stay its key, action and state, BigLedger's id and version of the record, the document's
amount, the code of an error, and each attempt with its request, times and actor; of the plan who
planned, approved and rejected it. What was sent, what it replaced, the sheet's cells and names go,
from the plan's backup too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from blsync.errors import BackupDamaged, LedgerDamaged
from blsync.ledger import Ledger
from blsync.ledger.states import OperationState, PlanState
from blsync.ledger.tables import attempts, operations, plans

FORGOTTEN = "forgotten after its term"
"""What stands in the place of an error's words."""


@dataclass
class Emptied:
    """Plans that were emptied, their rows together, and why others could not be, by plan."""

    plans: list[str] = field(default_factory=list)
    rows: int = 0
    left: dict[str, str] = field(default_factory=dict)


def empty_plans(
    ledger: Ledger, before: datetime, now: datetime, kept: Mapping[str, Collection[str]]
) -> Emptied:
    """Empty the plans of which nothing has happened since `before` (UTC), and nothing is open.

    One that is being applied, or has a row without an answer, is left however old it is. `kept` are
    the fields of what was sent by which a record is told from another, by endpoint: they stay, so
    that nothing is ever created twice. A plan whose backup knows better, or is damaged, is left for
    `blsync repair`. Raises StorageError.
    """
    done = Emptied()
    for plan_id, endpoint in _due(ledger, before):
        try:
            with ledger.begin(durable=True) as db:
                rows = _empty(db, plan_id, before, now, kept.get(endpoint, ()))
                if rows is None:
                    continue
                if ledger.backup is not None:
                    ledger.backup.write(db, plan_id)
        except (BackupDamaged, LedgerDamaged) as error:
            done.left[plan_id] = str(error)
            continue
        done.plans.append(plan_id)
        done.rows += rows
    return done


_OPEN = select(operations.c.plan_id).where(operations.c.state == OperationState.HELD)
_ENDED = (PlanState.PLANNED, PlanState.APPLIED, PlanState.REJECTED)


def _is_due(before: datetime) -> tuple[Any, ...]:
    latest = select(func.max(func.coalesce(attempts.c.answered_at, attempts.c.sent_at))).where(
        attempts.c.plan_id == plans.c.plan_id
    )
    return (
        plans.c.emptied_at.is_(None),
        plans.c.state.in_(_ENDED),
        plans.c.created_at < before,
        func.coalesce(plans.c.applied_at, plans.c.created_at) < before,
        func.coalesce(latest.scalar_subquery(), plans.c.created_at) < before,
        plans.c.plan_id.not_in(_OPEN),
    )


def _due(ledger: Ledger, before: datetime) -> list[tuple[str, str]]:
    query = select(plans.c.plan_id, plans.c.endpoint).where(*_is_due(before))
    with ledger.begin() as db:
        found = db.execute(query.order_by(plans.c.created_at)).all()
    return [(row.plan_id, row.endpoint) for row in found]


def _empty(
    db: Connection, plan_id: str, before: datetime, now: datetime, kept: Collection[str]
) -> int | None:
    """Empty a plan and return its number of rows; None where it is not due any more."""
    place = plans.c.plan_id == plan_id
    held = select(plans.c.plan_id).where(place, *_is_due(before)).with_for_update()
    if db.execute(held).first() is None:
        return None
    if db.dialect.name == "sqlite":  # else what was overwritten stays readable in the file
        db.exec_driver_sql("pragma secure_delete = on")
    columns = (operations.c.row, operations.c.body, operations.c.error)
    of_plan = operations.c.plan_id == plan_id
    rows = db.execute(select(*columns).where(of_plan)).all()
    for row in rows:
        db.execute(
            update(operations)
            .where(of_plan, operations.c.row == row.row)
            .values(
                body=_only(row.body or "{}", kept),
                changes="{}",
                error=_without_message(row.error),
                cells=None,
                warnings=None,
                before=None,
                names=None,
            )
        )
    db.execute(update(plans).where(place).values(emptied_at=now, notes=None, readings=None))
    return len(rows)


def _only(text: str, names: Collection[str]) -> str:
    """Return a JSON object with these of its members alone, their text as it was."""
    told = _MEMBERS.decode(text)
    return _encoded({name: told[name] for name in names if name in told})


def _without_message(text: str | None) -> str | None:
    """Return an error without its words, which may be the record's."""
    if text is None:
        return None
    forgotten = msgspec.Raw(msgspec.json.encode(FORGOTTEN))
    return _encoded({**_MEMBERS.decode(text), "message": forgotten})


def _encoded(members: Mapping[str, msgspec.Raw]) -> str:
    return msgspec.json.encode(members).decode()


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
