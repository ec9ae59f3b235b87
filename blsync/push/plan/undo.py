"""The plan that takes a plan back: what was applied of it, and nothing else. Sends nothing.

It is a plan like any other: looked at, approved where that is needed, applied, killed and applied
again. What each row becomes follows from what was done:

    an update             the fields that the plan changed get back the values that they had, each
                          where nobody has changed it since
    a created draft, or   is deleted, where nobody has changed it since
    customer
    a posting             is reversed by another one: an entry with its lines on the other side, an
                          adjustment the other way
    a payment             waits for a person: the API takes none back
    a delete              is created anew, from the record as it was

A reversal has the reference of what it reverses with `-UNDO` behind it, by which it is known: taken
back twice, nothing is reversed twice. It is dated as what it reverses where that month is open, and
else on the business day on which the undo is planned. An undo is not undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from blsync.api.client import Client
from blsync.errors import ConfigError
from blsync.ledger import plans
from blsync.ledger.plans import Attempt, Keys, Operation, Plan, Problem
from blsync.ledger.states import SENDS, Action, AttemptOutcome, Mode, OperationState
from blsync.push.compare import changes, create_body, from_text, to_text, update_body, version_of
from blsync.push.dialects import reachable
from blsync.push.endpoint import Endpoint, Json
from blsync.push.endpoints import endpoint_named
from blsync.push.lookup import RecordIndex, look_up, look_up_id, read_in_full
from blsync.push.plan.decide import shown_of, undeletable, with_amount
from blsync.push.plan.planning import draft_of, home_currency, store
from blsync.push.plan.validate import problem
from blsync.push.report import PlanReport, report_of
from blsync.push.token import marked, unmarked
from blsync.push.work import company_of, plan_named, refuse_emptied
from blsync.session import Session
from blsync.settings import Company, require_credentials
from blsync.user_tables import closed_months

UNDO = "-UNDO"
"""What the reference of a reversal ends with, before its token."""
LONGEST_REFERENCE = 80
"""Characters of a reference without its token."""


def undo(session: Session, plan_id: str) -> PlanReport:
    """Plan what takes back all that was applied of a plan; `plan_id` may be the beginning of one.

    Rows that are held are blocked: nobody knows what became of them. Raises ConfigError where
    nothing was applied, or where the plan is itself an undo, and what `plan` raises.
    """
    old = plan_named(session.ledger, plan_id)
    refuse_emptied(old, "it cannot be taken back by itself")
    if old.undoes:
        raise ConfigError(
            f"Plan {old.plan_id} is itself the undo of plan {old.undoes}, and an undo is not "
            "undone. Plan what the first plan was made of again; a posting needs another reference."
        )
    rows = plans.operations_of(session.ledger, old.plan_id)
    done = [r for r in rows if r.state in (OperationState.APPLIED, OperationState.HELD)]
    if not done:
        raise ConfigError(
            f"Nothing of plan {old.plan_id} was applied, so there is nothing to take back. "
            f"`blsync push reject {old.plan_id}` sees to it that it is never sent."
        )
    company, endpoint = company_of(session.settings, old), endpoint_named(old.endpoint)
    require_credentials(company)
    operations = asyncio.run(_undone(session, company, endpoint, old, done))
    operations = reachable(session.settings, endpoint, operations)
    left = sum(row.state == OperationState.PENDING for row in rows)
    notes = (
        (
            f"{left} rows of plan {old.plan_id} are still to be sent, and not part of its undo: "
            f"blsync push reject {old.plan_id} keeps them back",
        )
        if left
        else ()
    )
    draft = draft_of(session, company, endpoint, f"undo of {old.plan_id}", notes)
    stored = store(session.ledger, replace(draft, mode=Mode.UNDO, undoes=old.plan_id), operations)
    return report_of(session.ledger, stored)


async def _undone(
    session: Session, company: Company, endpoint: Endpoint, old: Plan, rows: list[Operation]
) -> list[Operation]:
    client, now = session.client(company), session.clock()
    async with client:
        undoing = Undoing(
            endpoint,
            company.company_id,
            now.astimezone(session.settings.zone).date(),
            closed_months(session.settings.seeds, company.company_id, now),
            plans.held_elsewhere(session.ledger, company.company_id, endpoint.name, old.plan_id),
            session.settings.push_reference_token,
            _not_ours(rows, plans.attempts_of(session.ledger, old.plan_id)),
            await home_currency(session, client, endpoint),
        )
        await _look_up_all(client, undoing, rows)
    return [undoing.operation(row) for row in rows]


async def _look_up_all(client: Client, undoing: Undoing, rows: Iterable[Operation]) -> None:
    """Read the records that the rows have written, and those that undo them already."""
    endpoint, known = undoing.endpoint, undoing.known
    done = [row for row in rows if row.state == OperationState.APPLIED]
    if endpoint.undone_by_hand:
        return
    ids = [row.remote_id for row in done if row.remote_id and row.action != Action.DELETE]
    await look_up(client, endpoint.listing, "id", ids, known)
    key = endpoint.natural_key
    sought = [value for row in done for value in undoing.keys_of(row)]
    await look_up(client, endpoint.listing, key, sought, known)
    names = {name.partition(".")[0] for name in (*endpoint.required, *endpoint.rules)}
    await read_in_full(client, endpoint.listing, known, names)
    # A list may leave out what is there: that a record is gone is told by its own address.
    for one in [one for one in ids if not known.find("id", one)][:_MOST_BY_ID]:
        await look_up_id(client, endpoint.listing, one, known)


_MOST_BY_ID = 20


def _not_ours(rows: Iterable[Operation], tries: Iterable[Attempt]) -> set[int]:
    """Return the rows whose record was there before anything of ours was sent: never sent at all,
    or refused at the first try because it was there.
    """
    sent: dict[int, list[Attempt]] = {row.row: [] for row in rows}
    for one in tries:
        if one.row in sent and one.outcome != AttemptOutcome.REFUSED:
            sent[one.row].append(one)
    return {
        number
        for number, own in sent.items()
        if not own
        or (len(own) == 1 and own[0].outcome == AttemptOutcome.ADOPTED and own[0].error_code)
    }


@dataclass(frozen=True)
class Undoing:
    """Decides what takes a row back, given what BigLedger has now and what is still held."""

    endpoint: Endpoint
    company_id: str
    today: date
    closed: Mapping[date, str]
    held: Keys
    has_token: bool
    not_ours: Collection[int]
    home: str | None
    known: RecordIndex = field(default_factory=RecordIndex)

    def operation(self, row: Operation) -> Operation:
        """Return what takes a row back, or why nothing does."""
        if row.state == OperationState.HELD:
            message = "it was sent and not answered; run push settle until it is, then undo again"
            return self._kept(row, Action.BLOCKED, problem("HELD_ELSEWHERE", None, message))
        if row.row in self.not_ours:
            message = f"the {self.endpoint.record} was as wanted before anything was sent for it"
            return self._kept(row, Action.NOOP, problem("NOT_OURS", None, message))
        if self.endpoint.undone_by_hand:
            why = problem("NEEDS_A_PERSON", None, self.endpoint.undone_by_hand)
            return self._kept(row, Action.BLOCKED, why)
        operation = self._operation(row)
        holder = self.held.holder(operation) if operation.action in SENDS else None
        if holder:
            message = (
                f"another change of this {self.endpoint.record} was sent and not answered; run "
                f"push apply {holder} until it is settled, then undo again"
            )
            return self._kept(row, Action.BLOCKED, problem("HELD_ELSEWHERE", None, message))
        return operation

    def keys_of(self, row: Operation) -> list[str]:
        """Return the natural keys by which it is seen that a row was taken back before."""
        if row.action == Action.DELETE:
            key = from_text(row.before or "{}").get(self.endpoint.natural_key)
            return [str(key)] if key else []
        if self._is_posting(row):
            return [self._reversal_reference(row)]
        return []

    def _operation(self, row: Operation) -> Operation:
        if row.action == Action.DELETE:
            return self._created_anew(row)
        now = self._record(row)
        if now is None:
            message = f"the {self.endpoint.record} is not at BigLedger any more"
            is_done = row.action == Action.CREATE
            return self._kept(
                row, Action.NOOP if is_done else Action.BLOCKED, problem("NOT_FOUND", None, message)
            )
        if self._is_posting(row):
            return self._reversed(row, now)
        return self._deleted(row, now) if row.action == Action.CREATE else self._restored(row, now)

    def _is_posting(self, row: Operation) -> bool:
        return self.endpoint.reversal is not None and self.endpoint.is_posted(from_text(row.body))

    def _record(self, row: Operation) -> Json | None:
        body = from_text(row.body)
        found = self.known.find("id", row.remote_id or "")
        parts = [
            record
            for record in found
            # What an update leaves alone is not in its body, and its id is the record's own.
            if all(str(record.get(p)) == str(body[p]) for p in self.endpoint.parts if p in body)
        ]
        return parts[0] if parts else None

    def _deleted(self, row: Operation, now: Json) -> Operation:
        """Delete what was created, where nobody has changed it since."""
        if not self.endpoint.can_delete:
            message = f"{self.endpoint.a_record} cannot be deleted over the API; do it in BigLedger"
            return self._kept(row, Action.BLOCKED, problem("NEEDS_A_PERSON", None, message))
        body = self.endpoint.comparable(from_text(row.body))
        if why := undeletable(self.endpoint, now):
            is_theirs = self.endpoint.locked(now) is not None  # it was a draft when we made it
            return self._kept(row, Action.CONFLICT if is_theirs else Action.BLOCKED, why)
        differing = list(changes(self.endpoint, now, body))
        if row.version and row.version != version_of(now):
            differing = differing or ["updatedAt"]
        elif row.version:  # what it has else than was sent, the server never took
            differing = []
        if differing:
            message = (
                f"the {self.endpoint.record} has changed since the plan created it "
                f"({', '.join(differing)}), so it is not deleted; look at BigLedger"
            )
            return self._kept(row, Action.CONFLICT, problem("CONFLICT", differing[0], message))
        operation = self._made(
            row,
            Action.DELETE,
            remote_id=row.remote_id,
            changes=to_text(shown_of(self.endpoint, now)),
            before=to_text(now),
        )
        return self._with_amount(operation, now)

    def _restored(self, row: Operation, now: Json) -> Operation:
        """Give the fields that a row changed the values that they had, but for those that somebody
        has changed since.
        """
        before = from_text(row.before) if row.before else None
        wanted: Json = {}
        lost: dict[str, str] = {}
        for name, (old, new) in from_text(row.changes).items():
            head, _, part = name.partition(".")
            value = _value(before, head, part, old)
            value = value if part else self._written(name, value)
            if not changes(self.endpoint, now, _nested(name, value)):
                continue
            if changes(self.endpoint, now, _nested(name, new)):
                lost[name] = "has changed since the plan wrote it"
            elif why := self._not_restorable(name, value, before):
                lost[name] = why
            elif part:
                wanted.setdefault(head, {})[part] = value
            else:
                wanted[name] = value
        told = [f"{name} {why}; it stays as it is" for name, why in lost.items()]
        if not wanted:
            if not lost:
                return self._kept(row, Action.NOOP)
            name = next(iter(lost))
            return self._kept(row, Action.CONFLICT, problem("CONFLICT", name, "; ".join(told)))
        if why_not := self.endpoint.locked(now) or self._closed(now, wanted):
            return self._kept(row, Action.BLOCKED, why_not)
        changed = changes(self.endpoint, now, wanted)
        body = update_body(now, wanted, changed)
        operation = self._made(
            row,
            Action.UPDATE,
            remote_id=row.remote_id,
            body=to_text(body),
            changes=to_text(changed),
            before=to_text({name: now.get(name) for name in body}),
            warnings=tuple(told),
        )
        return self._with_amount(operation, {**now, **body})

    def _not_restorable(self, name: str, value: Any, before: Json | None) -> str:
        head, _, part = name.partition(".")
        if name == self.endpoint.lines and before is None:
            return "was changed by an earlier version, which did not keep the lines in full"
        is_empty = value in (None, "", [])
        if is_empty and not part and head not in self.endpoint.cleared:
            return "was empty before, and cannot be emptied again"
        return ""

    def _written(self, name: str, value: Any) -> Any:
        """Return a value as it is sent: a document's lines with what can be written of them."""
        if value in (None, "", []):
            return self.endpoint.cleared.get(name)
        if name != self.endpoint.lines:
            return value
        prefix = f"{name}."
        names = {n.removeprefix(prefix) for n in self.endpoint.rules if n.startswith(prefix)}
        return [
            self._by_ids({n: v for n, v in line.items() if n in names and v is not None}, True)
            for line in value
            if isinstance(line, dict)
        ]

    def _by_ids(self, written: Json, in_lines: bool) -> Json:
        """Leave out other names of the records that are named by their ids."""
        others = {
            column.partition(".")[0]
            for reference in self.endpoint.references
            if reference.in_lines == in_lines and written.get(reference.field)
            for column in reference.columns
            if column != reference.field
        }
        return {name: value for name, value in written.items() if name not in others}

    def _closed(self, now: Json, wanted: Json) -> Problem | None:
        """Tell that a document lies in a closed month, or would again."""
        name = self.endpoint.date_field
        for day in (wanted.get(name or ""), now.get(name or "")):
            month = _month(day)
            if month and month in self.closed:
                message = (
                    f"{name} {day} must lie in an open period: that month was closed on "
                    f"{self.closed[month]}"
                )
                return problem("PERIOD_CLOSED", name, message)
        return None

    def _reversed(self, row: Operation, now: Json) -> Operation:
        """Reverse a posting by another one."""
        if str(now.get("status") or "posted") == "void":
            return self._kept(row, Action.NOOP)
        reference = self._reversal_reference(row)
        body = from_text(row.body)
        there = [
            record
            for record in self.known.find(self.endpoint.natural_key, reference)
            if all(str(record.get(part)) == str(body.get(part)) for part in self.endpoint.parts)
        ]
        key = self._reversal_key(row)
        if there:
            found = self._made(row, Action.ADOPT, remote_id=str(there[0]["id"]))
            return replace(found, natural_key=key)
        if len(unmarked(reference)) > LONGEST_REFERENCE:
            message = (
                f"its reference is too long to have {UNDO} behind it; reverse it in BigLedger by "
                "hand"
            )
            return self._kept(row, Action.BLOCKED, problem("MAX_VALUE", "reference", message))
        day = _day(now.get(self.endpoint.date_field or ""))
        if day is None or _month(day) in self.closed:
            day = self.today
        if why := self._closed({}, {self.endpoint.date_field or "": day}):
            return self._kept(row, Action.BLOCKED, why)
        assert self.endpoint.reversal is not None  # noqa: S101 (it is a posting)
        try:
            made = self.endpoint.reversal(now)
        except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
            message = "BigLedger shows it in a form that cannot be reversed; do it there by hand"
            return self._kept(row, Action.BLOCKED, problem("INVALID_FORMAT", None, message))
        made = {**made, self.endpoint.date_field or "date": day, "reference": reference}
        group = "/".join(str(made.get(name)) for name in self.endpoint.in_flight)
        operation = self._made(
            row,
            Action.CREATE,
            body=to_text(made),
            changes=to_text(changes(self.endpoint, {}, made)),
            in_flight=group or None,
            warnings=_of_cost(made),
        )
        return self._with_amount(replace(operation, natural_key=key), {**now, **made})

    def _created_anew(self, row: Operation) -> Operation:
        """Create what was deleted, as it was."""
        before = from_text(row.before or "{}")
        heads = {name.partition(".")[0] for name in self.endpoint.rules}
        writable = {n: self._written(n, v) for n, v in before.items() if n in heads and v}
        body = create_body(self._by_ids(writable, False))
        key = str(before.get(self.endpoint.natural_key) or "")
        there = self.known.find(self.endpoint.natural_key, key) if key else []
        if there:
            is_same = not changes(self.endpoint, there[0], self.endpoint.comparable(body))
            if is_same:
                return self._made(row, Action.ADOPT, remote_id=str(there[0]["id"]))
            message = (
                f"another {self.endpoint.record} at BigLedger has its {self.endpoint.natural_key} "
                "by now"
            )
            why = problem("CONFLICT", self.endpoint.natural_key, message)
            return self._kept(row, Action.CONFLICT, why)
        missing = [name for name in self.endpoint.required if not body.get(name)]
        if missing:
            message = f"its {', '.join(missing)} is not known any more; create it anew by hand"
            return self._kept(row, Action.BLOCKED, problem("REQUIRED_FIELD", missing[0], message))
        if why_closed := self._closed(body, {}):
            return self._kept(row, Action.BLOCKED, why_closed)
        operation = self._made(
            row,
            Action.CREATE,
            body=to_text(body),
            changes=to_text(changes(self.endpoint, {}, body)),
        )
        named = replace(operation, natural_key=unmarked(key) or row.natural_key)
        return self._with_amount(named, before)

    def _parts(self, row: Operation) -> str:
        """Return what stands behind the reference in the natural key of a row."""
        body = from_text(row.body)
        return "".join(f" {body.get(part)}" for part in self.endpoint.parts)

    def _reversal_key(self, row: Operation) -> str:
        parts = self._parts(row)
        return f"{row.natural_key.removesuffix(parts)}{UNDO}{parts}"

    def _reversal_reference(self, row: Operation) -> str:
        own = row.natural_key.removesuffix(self._parts(row))
        if row.action != Action.CREATE:  # it may have been named by its id
            own = unmarked(str((self._record(row) or {}).get("reference") or own))
        if not (self.endpoint.is_tokened and self.has_token):
            return f"{own}{UNDO}"
        if len(own) + len(UNDO) > LONGEST_REFERENCE:  # the token tells it from others all the same
            own = own[: LONGEST_REFERENCE - len(UNDO)]
        return marked(f"{own}{UNDO}", self.company_id, self.endpoint.name, self._reversal_key(row))

    def _with_amount(self, operation: Operation, whole: Json) -> Operation:
        return with_amount(self.endpoint, operation, whole, whole.get("currency"), self.home)

    def _made(self, row: Operation, action: Action, **values: Any) -> Operation:
        state = OperationState.PENDING if action in SENDS else OperationState.NOT_SENT
        return Operation(row.row, row.natural_key, action, state, **values)

    def _kept(self, row: Operation, action: Action, why: Problem | None = None) -> Operation:
        return self._made(row, action, remote_id=row.remote_id, error=why)


def _of_cost(made: Json) -> tuple[str, ...]:
    if made.get("adjustmentType") != "decrease":
        return ()
    return ("the stock leaves at its average cost, which may differ from the cost it came at",)


def _value(before: Json | None, head: str, part: str, told: Any) -> Any:
    """Return what a field was before it was changed: in full where that was kept."""
    if before is None or head not in before:
        return told
    whole = before[head]
    return (whole.get(part) if isinstance(whole, dict) else None) if part else whole


def _nested(name: str, value: Any) -> Json:
    head, dot, part = name.partition(".")
    return {head: {part: value}} if dot else {head: value}


def _day(value: Any) -> date | None:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _month(value: Any) -> date | None:
    day = _day(value)
    return day.replace(day=1) if day else None
