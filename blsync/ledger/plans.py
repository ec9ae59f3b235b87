"""Plans, their operations, and every attempt to carry one out: the push's outbox.

An operation is `held` from the moment at which the intent to send it is committed until an answer
or a look-up tells what became of it: a process that dies in between leaves the truth behind.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, bindparam, func, insert, select, update

from blsync.clock import LARGEST_SKEW
from blsync.errors import LedgerDamaged
from blsync.ledger import Ledger, approvals
from blsync.ledger.approvals import Saying, person
from blsync.ledger.states import (
    SENDS,
    Action,
    AttemptOutcome,
    Mode,
    OnConflict,
    OperationState,
    PlanState,
    Verdict,
)
from blsync.ledger.tables import attempts, operations, plans
from blsync.redaction import redact_all
from blsync.text.natural_keys import normal_form

Problem = dict[str, str | None]
"""What is wrong with a row: {code, field, message}."""


@dataclass(frozen=True)
class Plan:
    """A stored plan; `base_url` is the BigLedger that it was compared with.

    `confirmation_code` is what a person who looked at the plan sends it from Dagster's UI with. It
    is no part of how a plan is written in a log or a traceback. `notes` tell what of the file was
    left out, read though it is hidden, or read as empty; `readings` is JSON: what of it was read
    otherwise than it stands. `undoes` is the plan that this one takes back; `verdicts` is who
    planned, approved or rejected it, the latest last.
    """

    plan_id: str
    company: str
    company_id: str
    base_url: str
    endpoint: str
    state: PlanState
    source: str
    mode: Mode
    created_at: datetime
    applied_at: datetime | None = None
    on_conflict: OnConflict = OnConflict.ABORT
    confirmation_code: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    readings: str | None = field(default=None, repr=False)
    undoes: str | None = None
    verdicts: tuple[Saying, ...] = ()
    emptied_at: datetime | None = None

    @property
    def actor(self) -> str | None:
        """Who planned it, the latest where several did; None: a version that did not know."""
        made = [one.actor for one in self.verdicts if one.verdict == Verdict.PLANNED]
        return made[-1] if made else None


@dataclass(frozen=True)
class Operation:
    """One row of a plan; `body` and `changes` are JSON, so that money stays text until it is sent.

    `row` 1 is the first one below the file's header, `sheet_row` the same row's number as a
    spreadsheet shows it; `names` is JSON, field → the name of the record whose id it has. Of
    operations that share `in_flight` only one at a time is sent and not answered. `cells` is what
    the file said, `warnings` what a server of the stricter rules may refuse. `before` is what is
    changed or deleted as it was in full, as JSON. `amount` is the document's total in the company's
    currency, None where it is not known. `version` is the `updatedAt` of the record as it was read
    back.
    """

    row: int
    natural_key: str
    action: Action
    state: OperationState
    remote_id: str | None = None
    body: str = "{}"
    changes: str = "{}"
    error: Problem | None = None
    looked_up_at: datetime | None = None
    is_verified: bool = False
    in_flight: str | None = None
    cells: str | None = None
    warnings: tuple[str, ...] = ()
    before: str | None = None
    amount: str | None = None
    version: str | None = None
    sheet_row: int | None = None
    names: str | None = None

    @property
    def place(self) -> int:
        """The number by which people find the row in its sheet."""
        return self.row if self.sheet_row is None else self.sheet_row


@dataclass(frozen=True)
class RowOutcome:
    """What became of one row; `attempt` is what its latest attempt turned out to be.

    None for `remote_id` leaves the id that is known already. `refused` is the code with which an
    attempt was refused although the row is done: somebody else had done the same.
    """

    row: int
    state: OperationState
    attempt: AttemptOutcome
    remote_id: str | None = None
    error: Problem | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One time at which a row was sent; `request_id` is what to quote to the vendor, `actor` who
    had it sent.
    """

    row: int
    batch_id: str
    request_id: str | None
    outcome: AttemptOutcome
    error_code: str | None
    sent_at: datetime
    answered_at: datetime | None
    actor: str | None = None
    job_id: str | None = None


@dataclass(frozen=True)
class HeldRow:
    """An operation whose answer never came, and since when it has been left alone.

    `job_id` is BigLedger's job that has it in hand, as far as is known; None: none has.
    """

    operation: Operation
    since: datetime
    job_id: str | None = None


@dataclass(frozen=True)
class OpenJob:
    """A job of BigLedger's of which it is not known yet what became of its rows.

    `batch_id` is that of the attempts it carries out, `operations` their rows, in order.
    """

    job_id: str
    batch_id: str
    sent_at: datetime
    operations: tuple[Operation, ...]


@dataclass
class Keys:
    """Natural keys (in normal form), remote ids and `in_flight` groups that are held, each with the
    plan that holds it.
    """

    by_key: dict[str, str] = field(default_factory=dict)
    by_id: dict[str, str] = field(default_factory=dict)
    by_group: dict[str, str] = field(default_factory=dict)

    def holder(self, operation: Operation) -> str | None:
        """Return the plan that holds this operation's record, if one does."""
        return (
            self.by_id.get(operation.remote_id or "")
            or self.by_group.get(operation.in_flight or "")
            or self.by_key.get(normal_form(operation.natural_key))
        )


@contextmanager
def _changing(ledger: Ledger, plan_id: str, rows: Collection[int]) -> Iterator[Connection]:
    """Yield a durable transaction that changes these rows of a plan: what they become is in the
    plan's backup before it is committed, change after change.
    """
    with ledger.begin(durable=True) as db:
        if ledger.backup is None:
            yield db
            return
        db.execute(select(plans.c.plan_id).where(plans.c.plan_id == plan_id).with_for_update())
        yield db
        ledger.backup.note(db, plan_id, rows)


def put(ledger: Ledger, plan: Plan, rows: Sequence[Operation]) -> None:
    """Store a plan, or take note that one that was never applied has been made anew.

    A plan keeps the confirmation code that it has.
    """
    _put(ledger, plan, rows)
    if ledger.backup is not None:  # killed before this, it is written when the ledger is opened
        with ledger.begin() as db:
            ledger.backup.write(db, plan.plan_id)


def _put(ledger: Ledger, plan: Plan, rows: Sequence[Operation]) -> None:
    with ledger.begin(durable=True) as db:
        found = db.execute(select(plans).where(plans.c.plan_id == plan.plan_id).with_for_update())
        row = found.mappings().first()
        known = row["state"] if row else None
        if row is None:
            db.execute(insert(plans).values(**_values(plan)))
            values = [{"plan_id": plan.plan_id, **_columns(row)} for row in rows]
            if values:
                db.execute(insert(operations), values)
        elif known == PlanState.PLANNED:
            said = _said_of(row)
            # Whoever makes a plan anew has planned it, too, and cannot approve it any more.
            known_planners = approvals.planners(said)
            said += tuple(v for v in plan.verdicts if person(v.actor) not in known_planners)
            db.execute(
                update(plans)
                .where(plans.c.plan_id == plan.plan_id)
                .values(
                    created_at=plan.created_at,
                    source=plan.source,
                    on_conflict=plan.on_conflict,
                    readings=plan.readings,
                    notes=_texts(plan.notes),
                    verdicts=approvals.to_text(said),
                    confirmation_code=func.coalesce(
                        plans.c.confirmation_code, plan.confirmation_code
                    ),
                )
            )


def find(ledger: Ledger, beginning: str) -> list[Plan]:
    """Return the plans whose id begins so, the newest first."""
    with ledger.begin() as db:
        rows = db.execute(
            select(plans)
            .where(plans.c.plan_id.startswith(beginning, autoescape=True))
            .order_by(plans.c.created_at.desc())
        ).mappings()
        return [_plan_of(row) for row in rows]


def operations_of(
    ledger: Ledger, plan_id: str, state: OperationState | None = None
) -> list[Operation]:
    """Return a plan's operations in the order of the file, or those in one state."""
    query = select(operations).where(operations.c.plan_id == plan_id).order_by(operations.c.row)
    if state:
        query = query.where(operations.c.state == state)
    with ledger.begin() as db:
        return [operation_of(row) for row in db.execute(query).mappings()]


def tally(ledger: Ledger, plan_id: str) -> dict[OperationState, int]:
    """Return how many of a plan's operations are in each state."""
    query = (
        select(operations.c.state, func.count().label("rows"))
        .where(operations.c.plan_id == plan_id)
        .group_by(operations.c.state)
    )
    with ledger.begin() as db:
        return {row.state: row.rows for row in db.execute(query)}


def say(ledger: Ledger, plan_id: str, saying: Saying) -> Plan | None:
    """Write what a person said of a plan; a rejection ends it. Return the plan as it is then, None
    where it is rejected already.
    """
    place = plans.c.plan_id == plan_id
    with _changing(ledger, plan_id, ()) as db:
        row = db.execute(select(plans).where(place).with_for_update()).mappings().one()
        if row["state"] == PlanState.REJECTED:
            return None
        values: dict[str, Any] = {"verdicts": approvals.to_text((*_said_of(row), saying))}
        if saying.verdict == Verdict.REJECTED:
            values["state"] = PlanState.REJECTED
        db.execute(update(plans).where(place).values(**values))
        return _plan_of(db.execute(select(plans).where(place)).mappings().one())


def claim(
    ledger: Ledger,
    plan_id: str,
    rows: Sequence[Operation],
    batch_id: str,
    at: datetime,
    actor: str | None = None,
) -> list[Operation]:
    """Commit the intent to send these rows now, and return those that are ours to send.

    A row that another process has claimed meanwhile is left out: none is ever sent by two. Of a
    plan that was rejected or emptied none is.
    """
    numbers = [row.row for row in rows]
    with _changing(ledger, plan_id, numbers) as db:
        place = plans.c.plan_id == plan_id
        # Held from here on, so that nobody rejects the plan between this look and the intent.
        found = select(plans.c.state, plans.c.emptied_at).where(place).with_for_update()
        held = db.execute(found).first()
        if held and (held.state == PlanState.REJECTED or held.emptied_at):
            return []
        db.execute(
            update(plans)
            .where(plans.c.plan_id == plan_id, plans.c.state != PlanState.APPLYING)
            .values(state=PlanState.APPLYING, applied_at=None)
        )
        place = (operations.c.plan_id == plan_id) & operations.c.row.in_(numbers)
        free = select(operations.c.row).where(place, operations.c.state == OperationState.PENDING)
        ours: set[int] = set(db.execute(free.with_for_update()).scalars())
        db.execute(
            update(operations)
            .where(operations.c.plan_id == plan_id, operations.c.row.in_(ours))
            .values(state=OperationState.HELD, looked_up_at=None, error=None)
        )
        intents = [
            {
                "plan_id": plan_id,
                "row": number,
                "batch_id": batch_id,
                "outcome": AttemptOutcome.SENT,
                "sent_at": at,
                "actor": actor,
            }
            for number in sorted(ours)
        ]
        if intents:
            db.execute(insert(attempts), intents)
    return [row for row in rows if row.row in ours]


def settle(
    ledger: Ledger,
    plan_id: str,
    outcomes: Iterable[RowOutcome],
    at: datetime,
    request_id: str | None = None,
    seen: Sequence[Operation] = (),
) -> None:
    """Write what became of rows that were sent, and of the latest attempt at each.

    `request_id` is that of the request that sent them; None: a look-up told, at `at`. `seen` are
    the rows as a look-up judged them: one that another apply has taken on meanwhile is its to
    settle.
    """
    told = list(outcomes)
    rows = [
        {
            "at_row": outcome.row,
            "to_state": outcome.state,
            "id_given": outcome.remote_id,
            "why": _json(outcome.error),
            "turned_out": outcome.attempt,
            "code": outcome.refused or (outcome.error or {}).get("code"),
        }
        for outcome in told
    ]
    if not rows:
        return
    place = (operations.c.plan_id == plan_id) & (operations.c.row == bindparam("at_row"))
    row_change = update(operations).where(place)
    latest = select(func.max(attempts.c.attempt_id)).where(
        attempts.c.plan_id == plan_id, attempts.c.row == bindparam("at_row")
    )
    attempt_change = update(attempts).where(attempts.c.attempt_id == latest.scalar_subquery())
    with _changing(ledger, plan_id, [outcome.row for outcome in told]) as db:
        if seen:
            still = _still(db, plan_id, seen)
            rows = [row for row in rows if row["at_row"] in still]
        if not rows:
            return
        db.execute(
            row_change.values(
                state=bindparam("to_state"),
                error=bindparam("why"),
                remote_id=func.coalesce(bindparam("id_given"), operations.c.remote_id),
                looked_up_at=None,
            ),
            rows,
        )
        db.execute(
            attempt_change.values(
                outcome=bindparam("turned_out"),
                error_code=bindparam("code"),
                request_id=func.coalesce(request_id, attempts.c.request_id),
                answered_at=at,
            ),
            rows,
        )


def refuse_rows(ledger: Ledger, plan_id: str, rows: Iterable[tuple[int, Problem | None]]) -> None:
    """Write why rows stay where they are, without any attempt."""
    refused = list(rows)
    if not refused:
        return
    with _changing(ledger, plan_id, [row for row, _ in refused]) as db:
        for row, problem in refused:
            place = (operations.c.plan_id == plan_id) & (operations.c.row == row)
            db.execute(update(operations).where(place).values(error=_json(problem)))


def give_up(ledger: Ledger, plan_id: str, rows: Collection[int], why: Problem) -> None:
    """Take held rows for rejected: a person has decided that they are planned anew."""
    place = (operations.c.plan_id == plan_id) & operations.c.row.in_(list(rows))
    with _changing(ledger, plan_id, rows) as db:
        db.execute(
            update(operations)
            .where(place, operations.c.state == OperationState.HELD)
            .values(state=OperationState.REJECTED, error=_json(why))
        )


def held_rows(ledger: Ledger, plan_id: str) -> list[HeldRow]:
    """Return a plan's held rows, each since its latest attempt was answered with nothing usable,
    or was sent where the process died before any answer.
    """
    since = func.max(func.coalesce(attempts.c.answered_at, attempts.c.sent_at))
    query = (
        select(operations, since.label("since"))
        .join(
            attempts,
            (attempts.c.plan_id == operations.c.plan_id) & (attempts.c.row == operations.c.row),
        )
        .where(operations.c.plan_id == plan_id, operations.c.state == OperationState.HELD)
        .group_by(*operations.c)
        .order_by(operations.c.row)
    )
    jobs = {row.row: job.job_id for job in open_jobs(ledger, plan_id) for row in job.operations}
    with ledger.begin() as db:
        return [
            HeldRow(operation_of(row), row["since"], jobs.get(row["row"]))
            for row in db.execute(query).mappings()
        ]


def note_job(
    ledger: Ledger, plan_id: str, rows: Sequence[Operation], batch_id: str, job_id: str
) -> OpenJob | None:
    """Write which job carries a batch out, before anybody asks how far it is, and return it; None
    where its rows are settled already.
    """
    place = (attempts.c.plan_id == plan_id) & (attempts.c.batch_id == batch_id)
    with _changing(ledger, plan_id, [row.row for row in rows]) as db:
        db.execute(update(attempts).where(place).values(job_id=job_id))
    return next((job for job in open_jobs(ledger, plan_id) if job.batch_id == batch_id), None)


def open_jobs(ledger: Ledger, plan_id: str) -> list[OpenJob]:
    """Return a plan's jobs that were not seen to end, the oldest first."""
    query = (
        select(operations, *_JOB)
        .join(attempts, _ATTEMPT_AT)
        .where(operations.c.plan_id == plan_id, *_IS_OPEN)
        .order_by(attempts.c.attempt_id)
    )
    found: dict[str, OpenJob] = {}
    with ledger.begin() as db:
        for row in db.execute(query).mappings():
            job = OpenJob(row["job_id"], row["batch_id"], row["sent_at"], ())
            known = found.get(job.batch_id, job)
            found[job.batch_id] = replace(known, operations=(*known.operations, operation_of(row)))
    return list(found.values())


def count_open_jobs(ledger: Ledger, company_id: str) -> int:
    """Return how many jobs of a company's plans were not seen to end."""
    query = (
        select(func.count(func.distinct(attempts.c.job_id)))
        .join(operations, _ATTEMPT_AT)
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .where(plans.c.company_id == company_id, *_IS_OPEN)
    )
    with ledger.begin() as db:
        return int(db.execute(query).scalar_one())


_ATTEMPT_AT = (attempts.c.plan_id == operations.c.plan_id) & (attempts.c.row == operations.c.row)
_JOB = (attempts.c.job_id, attempts.c.batch_id, attempts.c.sent_at)
_IS_OPEN = (
    attempts.c.job_id.is_not(None),
    attempts.c.outcome == AttemptOutcome.SENT,
    operations.c.state == OperationState.HELD,
)


def date_back(ledger: Ledger, plan_id: str, now: datetime) -> None:
    """Write now for the times of held rows that lie further ahead than clocks differ."""
    latest = now + LARGEST_SKEW
    place = (operations.c.plan_id == plan_id) & (operations.c.state == OperationState.HELD)
    rows = select(operations.c.row).where(place)
    sent = (attempts.c.plan_id == plan_id) & attempts.c.row.in_(rows)
    held_rows = [row.row for row in operations_of(ledger, plan_id, OperationState.HELD)]
    if not held_rows:
        return
    with _changing(ledger, plan_id, held_rows) as db:
        for column in (attempts.c.sent_at, attempts.c.answered_at):
            db.execute(update(attempts).where(sent, column > latest).values({column: now}))
        looked_up_at = operations.c.looked_up_at
        db.execute(update(operations).where(place, looked_up_at > latest).values(looked_up_at=now))


def first_sent(ledger: Ledger, plan_id: str) -> dict[int, datetime]:
    """Return when each row of a plan was sent for the first time."""
    query = (
        select(attempts.c.row, func.min(attempts.c.sent_at).label("at"))
        .where(attempts.c.plan_id == plan_id)
        .group_by(attempts.c.row)
    )
    with ledger.begin() as db:
        return {row.row: row.at for row in db.execute(query)}


def attempts_of(ledger: Ledger, plan_id: str) -> list[Attempt]:
    """Return every attempt at a plan's rows, the oldest first."""
    query = select(attempts).where(attempts.c.plan_id == plan_id).order_by(attempts.c.attempt_id)
    with ledger.begin() as db:
        return [
            Attempt(**{name: row[name] for name in Attempt.__annotations__})
            for row in db.execute(query).mappings()
        ]


def history(ledger: Ledger) -> list[dict[str, Any]]:
    """Return each attempt at each operation of every plan, in order; `attempt_no` counts from 1.

    An operation that was never sent is one row with 0. The ledger keeps an operation's last error
    alone, so `error` stands with its latest attempt. `actor` is who had it sent, or else who
    planned it; `approved_by` who had approved the plan by then. `changes` are as the ledger has
    them: field → [before, after] in JSON.
    """
    place = (attempts.c.plan_id == operations.c.plan_id) & (attempts.c.row == operations.c.row)
    one = (operations.c.plan_id, operations.c.row)
    number = func.row_number().over(partition_by=one, order_by=attempts.c.attempt_id)
    query = (
        select(
            plans.c.company_id,
            plans.c.endpoint.label("entity"),
            plans.c.created_at.label("planned_at"),
            plans.c.verdicts,
            *(operations.c[name] for name in ("plan_id", "row", "natural_key", "action", "state")),
            *(operations.c[name] for name in ("remote_id", "error", "is_verified", "changes")),
            *(attempts.c[name] for name in ("batch_id", "request_id", "outcome", "error_code")),
            *(attempts.c[name] for name in ("sent_at", "answered_at", "actor")),
            func.count(attempts.c.attempt_id).over(partition_by=one).label("attempts"),
            number.label("number"),
        )
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .outerjoin(attempts, place)
        .order_by(plans.c.created_at, operations.c.plan_id, operations.c.row, "number")
    )
    with ledger.begin() as db:
        return [_logged(dict(row)) for row in db.execute(query).mappings()]


def _logged(row: dict[str, Any]) -> dict[str, Any]:
    sent, number = row.pop("attempts"), row.pop("number")
    error = _error_of(row) if number >= sent else None
    row["attempt_no"] = number if sent else 0
    said = approvals.from_text(row.pop("verdicts"))
    made = [one.actor for one in said if one.verdict == Verdict.PLANNED]
    given = [
        one.actor
        for one in said
        if one.verdict == Verdict.APPROVED and (row["sent_at"] is None or one.at <= row["sent_at"])
    ]
    row["planned_by"] = made[-1] if made else None
    row["actor"] = row["actor"] or (None if sent else row["planned_by"])
    row["approved_by"] = ", ".join(dict.fromkeys(given)) or None
    row["error"] = None
    if error:
        row["error"] = ": ".join(filter(None, (error.get("field"), error.get("message")))) or None
        row["error_code"] = row["error_code"] or error.get("code")
    return row


def looked_up(
    ledger: Ledger,
    plan_id: str,
    rows: Collection[int],
    at: datetime,
    seen: Sequence[Operation] = (),
) -> None:
    """Write that a look-up found nothing of these held rows; `seen` is as in `settle`."""
    with _changing(ledger, plan_id, rows) as db:
        still = _still(db, plan_id, seen).intersection(rows) if seen else rows
        db.execute(
            update(operations)
            .where(operations.c.plan_id == plan_id, operations.c.row.in_(list(still)))
            .values(looked_up_at=at)
        )


def _still(db: Connection, plan_id: str, seen: Iterable[Operation]) -> set[int]:
    """Return the rows that are as they were seen; they stay so until the transaction ends."""
    before = {row.row: (row.state, row.looked_up_at) for row in seen}
    query = (
        select(operations.c.row, operations.c.state, operations.c.looked_up_at)
        .where(operations.c.plan_id == plan_id, operations.c.row.in_(list(before)))
        .with_for_update()
    )
    return {r.row for r in db.execute(query) if before[r.row] == (r.state, r.looked_up_at)}


def held_elsewhere(ledger: Ledger, company_id: str, endpoint: str, but: str = "") -> Keys:
    """Return what is held by a company's plans for an endpoint, leaving out the plan `but`."""
    query = (
        select(
            operations.c.plan_id,
            operations.c.natural_key,
            operations.c.remote_id,
            operations.c.in_flight,
        )
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .where(operations.c.state == OperationState.HELD, operations.c.plan_id != but)
        .where(plans.c.company_id == company_id, plans.c.endpoint == endpoint)
    )
    keys = Keys()
    with ledger.begin() as db:
        for row in db.execute(query):
            keys.by_key[normal_form(row.natural_key)] = row.plan_id
            if row.remote_id:
                keys.by_id[row.remote_id] = row.plan_id
            if row.in_flight:
                keys.by_group[row.in_flight] = row.plan_id
    return keys


def groups(ledger: Ledger, plan_id: str, state: OperationState) -> set[str]:
    """Return the `in_flight` groups of a plan's rows that are in one state."""
    query = select(operations.c.in_flight).where(
        operations.c.plan_id == plan_id, operations.c.state == state
    )
    with ledger.begin() as db:
        found: list[str | None] = list(db.execute(query).scalars())
    return {group for group in found if group}


def not_created(ledger: Ledger, company_id: str, endpoint: str) -> dict[str, tuple[str, bool]]:
    """Return the natural keys (in normal form) that a company's plans were to create and have not →
    the latest such plan, and whether the row was rejected there.
    """
    query = (
        select(operations.c.natural_key, operations.c.plan_id, operations.c.state)
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .where(plans.c.company_id == company_id, plans.c.endpoint == endpoint)
        .where(operations.c.action.in_((Action.CREATE, Action.REJECT)))
        .where(operations.c.state != OperationState.APPLIED)
        .order_by(plans.c.created_at)
    )
    rejected = (OperationState.REJECTED, OperationState.NOT_SENT)
    with ledger.begin() as db:
        return {
            normal_form(row.natural_key): (row.plan_id, row.state in rejected)
            for row in db.execute(query)
        }


def references_sent(
    ledger: Ledger, company_id: str, endpoint: str, keys: Collection[str]
) -> dict[str, set[str]]:
    """Return natural keys, in normal form, of `keys` → the references with which a company's plans
    created their records or were to: tokens and all, also those that were never answered.
    """
    query = (
        select(operations.c.natural_key, operations.c.body)
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .where(plans.c.company_id == company_id, plans.c.endpoint == endpoint)
        .where(operations.c.action == Action.CREATE)
    )
    found: dict[str, set[str]] = {}
    with ledger.begin() as db:
        for row in db.execute(query):
            key = normal_form(row.natural_key)
            reference = json.loads(row.body).get("reference") if key in keys and row.body else None
            if reference:
                found.setdefault(key, set()).add(str(reference))
    return found


def superseded_by(ledger: Ledger, plan: Plan, now: datetime) -> str | None:
    """Return a newer plan of the same company and endpoint that sends one of the same rows.

    One that is dated ahead of now is not newer: a clock that was wrong has dated it.
    """
    of_plan = select(operations.c.natural_key).where(
        operations.c.plan_id == plan.plan_id, operations.c.action.in_(SENDS)
    )
    query = (
        select(plans.c.plan_id, operations.c.natural_key)
        .join(operations, operations.c.plan_id == plans.c.plan_id)
        .where(
            plans.c.company_id == plan.company_id,
            plans.c.endpoint == plan.endpoint,
            plans.c.created_at > plan.created_at,
            plans.c.created_at <= now + LARGEST_SKEW,
            plans.c.state != PlanState.REJECTED,
            operations.c.action.in_(SENDS),
        )
        .order_by(plans.c.created_at.desc())
    )
    with ledger.begin() as db:
        newer = db.execute(query).all()
        if not newer:
            return None
        own = {normal_form(row.natural_key) for row in db.execute(of_plan)}
    return next((row.plan_id for row in newer if normal_form(row.natural_key) in own), None)


def holding(ledger: Ledger) -> list[Plan]:
    """Return the plans that have held rows, the oldest first."""
    held_rows = select(operations.c.plan_id).where(operations.c.state == OperationState.HELD)
    query = select(plans).where(plans.c.plan_id.in_(held_rows)).order_by(plans.c.created_at)
    with ledger.begin() as db:
        return [_plan_of(row) for row in db.execute(query).mappings()]


def verified(
    ledger: Ledger,
    plan_id: str,
    seen: Iterable[tuple[int, Problem | None]],
    versions: Mapping[int, str] | None = None,
) -> None:
    """Write which applied rows were read back as they were wanted, and how the others differ;
    `versions` are the `updatedAt` of their records, by row.
    """
    place = (operations.c.plan_id == plan_id) & (operations.c.row == bindparam("at_row"))
    told = list(seen)
    values = [
        {
            "at_row": row,
            "is_right": problem is None,
            "why": _json(problem),
            "as_of": (versions or {}).get(row),
        }
        for row, problem in told
    ]
    if not values:
        return
    change = update(operations).where(place)
    with _changing(ledger, plan_id, [row for row, _ in told]) as db:
        db.execute(
            change.values(
                is_verified=bindparam("is_right"),
                error=bindparam("why"),
                version=bindparam("as_of"),
            ),
            values,
        )


def finish(ledger: Ledger, plan_id: str, at: datetime) -> None:
    """Mark a plan applied where none of its rows is pending or held; a rejected one stays so."""
    left = select(operations.c.row).where(
        operations.c.plan_id == plan_id,
        operations.c.state.in_((OperationState.PENDING, OperationState.HELD)),
    )
    with _changing(ledger, plan_id, ()) as db:
        db.execute(
            update(plans)
            .where(plans.c.plan_id == plan_id, ~left.exists())
            .where(plans.c.state != PlanState.REJECTED)
            .values(state=PlanState.APPLIED, applied_at=at)
        )


def _plan_of(row: Any) -> Plan:
    return Plan(**{**row, "notes": _texts_of(row["notes"]), "verdicts": _said_of(row)})


def _said_of(row: Any) -> tuple[Saying, ...]:
    try:
        return approvals.from_text(row["verdicts"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LedgerDamaged(
            f"The ledger is damaged: who planned and approved plan {row['plan_id']} cannot be "
            "read. Nothing is pushed with it. Restore the ledger from a backup, or run `blsync "
            "repair`."
        ) from None


def _values(plan: Plan) -> dict[str, Any]:
    verdicts = approvals.to_text(plan.verdicts)
    return {**vars(plan), "notes": _texts(plan.notes), "verdicts": verdicts}


def deleted_by(ledger: Ledger, company_id: str, endpoint: str) -> dict[str, str]:
    """Return the natural keys, in normal form, of what a company's plans have deleted, each with
    the latest plan that did.
    """
    query = (
        select(operations.c.natural_key, operations.c.plan_id)
        .join(plans, plans.c.plan_id == operations.c.plan_id)
        .where(plans.c.company_id == company_id, plans.c.endpoint == endpoint)
        .where(operations.c.action == Action.DELETE)
        .where(operations.c.state == OperationState.APPLIED)
        .order_by(plans.c.created_at)
    )
    with ledger.begin() as db:
        return {normal_form(row.natural_key): row.plan_id for row in db.execute(query)}


def _json(problem: Problem | None) -> str | None:
    return json.dumps(problem, ensure_ascii=False) if problem else None


def _columns(operation: Operation) -> dict[str, Any]:
    warnings = _texts(operation.warnings)
    return {**vars(operation), "error": _json(operation.error), "warnings": warnings}


def _texts(told: Sequence[str]) -> str | None:
    return json.dumps(told, ensure_ascii=False) if told else None


def _texts_of(stored: str | None) -> tuple[str, ...]:
    return tuple(json.loads(stored or "[]"))


def operation_of(row: Any) -> Operation:
    """Return an operation as its row of the ledger tells it."""
    values = {name: row[name] for name in Operation.__annotations__}
    warnings = _texts_of(row["warnings"])
    return Operation(**{**values, "error": _error_of(row), "warnings": warnings})


def _error_of(row: Any) -> Problem | None:
    """Return an operation's error; one that an earlier version kept may hold secrets."""
    return cast("Problem", redact_all(json.loads(row["error"]))) if row["error"] else None
