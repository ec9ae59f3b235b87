"""What each row does, given what BigLedger has now: create, update, nothing, or why not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from blsync.ledger.plans import Keys, Operation, Problem
from blsync.ledger.states import SENDS, Action, Mode, OnConflict, OperationState
from blsync.push.compare import (
    Changes,
    changes,
    create_body,
    figure,
    from_text,
    to_text,
    update_body,
)
from blsync.push.endpoint import TODAY, Endpoint, Json
from blsync.push.lookup import RecordIndex
from blsync.push.plan.validate import ParsedRow, problem, twin_problems
from blsync.push.token import is_marked, marked, unmarked
from blsync.text.natural_keys import cleaned, normal_form


@dataclass
class Remembered:
    """What earlier plans have created: natural key (in normal form) → the row, and the record of
    its id, with the natural key where it shows none.
    """

    rows: dict[str, Operation] = field(default_factory=dict)
    records: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Decides what a row does, given what is known of BigLedger and what is still held.

    `today` is the business day, `closed` the months (first days) that are closed, each with when.
    """

    endpoint: Endpoint
    company_id: str
    mode: Mode
    on_conflict: OnConflict
    known: RecordIndex
    held: Keys
    today: date
    closed: Mapping[date, str]
    has_token: bool = True
    remembered: Remembered = field(default_factory=Remembered)
    """What plans have created before, where the server was not seen to show its natural key."""
    sent: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Natural keys, in normal form, and the references with which the ledger knows them sent."""
    deleted: Collection[str] = ()
    """Natural keys, in normal form, of what plans have deleted."""
    home: str | None = None
    """The company's currency, where it was asked for."""
    _paid: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """What earlier rows of the plan pay of an invoice."""

    def operations(self, rows: list[ParsedRow]) -> list[Operation]:
        """Return what each row does."""
        return _no_twins(self.endpoint, [self._operation(row) for row in rows])

    def anew(self) -> Decision:
        """Return the same decision before it has decided on any row."""
        return replace(self, _paid=defaultdict(Decimal))

    def spellings(self, row: ParsedRow, name: str) -> list[str]:
        """Return the values by which a row's record may be found, the surest first."""
        value = row.named[name]
        if name != "reference":
            return [value]
        as_given = cleaned(str(row.cells.get(name, value)))
        sent = sorted(self.sent.get(normal_form(row.key), ()))
        return list(dict.fromkeys([self._marked(row, value), *sent, value, as_given]))

    def without_token(self, row: ParsedRow) -> ParsedRow:
        """Return a row under the reference that its file gave at first, where it names a record of
        ours by what was sent: somebody took that out of the marts.
        """
        reference = row.named.get("reference", "")
        key = key_without_token(row)
        if not self.endpoint.is_tokened or not is_marked(
            reference, self.company_id, self.endpoint.name, key, self.sent
        ):
            return row
        own = unmarked(reference)
        data = {**row.data, "reference": own} if "reference" in row.data else row.data
        return replace(row, key=key, named={**row.named, "reference": own}, data=data)

    def _marked(self, row: ParsedRow, reference: str) -> str:
        if not (self.endpoint.is_tokened and self.has_token):
            return reference
        return marked(reference, self.company_id, self.endpoint.name, row.key)

    def _is_own_reference(self, row: ParsedRow, now: Json) -> bool:
        """Tell whether a record has the row's reference, as that was or would be sent."""
        if not self.endpoint.is_tokened or "reference" not in row.data or not now.get("reference"):
            return False
        reference = str(row.data["reference"])
        own = {reference, marked(reference, self.company_id, self.endpoint.name, row.key)}
        own.update(self.sent.get(normal_form(row.key), ()))
        return normal_form(str(now["reference"])) in map(normal_form, own)

    def _operation(self, row: ParsedRow) -> Operation:
        is_delete = self.mode == Mode.DELETE
        problems = row.problems if is_delete else (*row.problems, *self._period_problem(row))
        if problems:
            return _rejected(row, (*problems, *self._lacking(row)))
        if is_delete:
            return self._unless_held(row, self._delete(row))
        if row.blocked:
            return _operation(self.endpoint, row, Action.BLOCKED, error=row.blocked)
        if self.endpoint.target:
            return self._unless_held(row, self._pay(row))
        now, trouble = self._target(row)
        if trouble:
            return _rejected(row, (trouble,))
        if now and (name := self.endpoint.listing.title(now)):
            row = replace(row, names={**row.names, "id": name})
        return self._unless_held(row, self._create(row) if now is None else self._update(row, now))

    def _delete(self, row: ParsedRow) -> Operation:
        """Delete the record that a row names, unless a plan of ours has done so before."""
        now, trouble = self._target(row)
        record, key = self.endpoint.record, self.endpoint.natural_key
        if now is None and normal_form(row.key) in self.deleted:
            return _operation(self.endpoint, row, Action.NOOP)
        if trouble:
            return _rejected(row, (trouble,))
        if now is None:
            name = next(iter(row.named), key)
            message = f"no {record} at BigLedger has this {name}; nothing is deleted for it"
            return _rejected(row, (problem("NOT_FOUND", name, message),))
        if why := undeletable(self.endpoint, now):
            return replace(_rejected(row, (why,)), remote_id=_id(now))
        if self.on_conflict != OnConflict.OURS and _has_moved(now, row.based_on):
            return self._moved(row, now, {})
        operation = _operation(
            self.endpoint,
            row,
            Action.DELETE,
            remote_id=_id(now),
            changed=shown_of(self.endpoint, now),
            before=now,
        )
        return self._with_amount(row, operation, now)

    def _moved(self, row: ParsedRow, now: Json, changed: Changes) -> Operation:
        """Decide on a row whose record has changed since the version that the row was based on."""
        if self.on_conflict == OnConflict.THEIRS:
            return _operation(self.endpoint, row, Action.NOOP, remote_id=_id(now))
        message = (
            f"the {self.endpoint.record} changed at BigLedger after {row.based_on}; compare, then "
            "plan with --on-conflict ours or theirs"
        )
        return _operation(
            self.endpoint,
            row,
            Action.CONFLICT,
            remote_id=_id(now),
            changed=changed,
            error=problem("CONFLICT", "updatedAt", message),
        )

    def _with_amount(self, row: ParsedRow, operation: Operation, whole: Json) -> Operation:
        """Say the document's total, where it is known in the company's currency."""
        name = self.endpoint.currency_of
        told = whole.get("currency") or (row.found.get(name, {}).get("currency") if name else None)
        return with_amount(self.endpoint, operation, whole, told, self.home)

    def _unless_held(self, row: ParsedRow, operation: Operation) -> Operation:
        """Block a row while an earlier change of its record is held: sent, and not answered."""
        holder = self.held.holder(operation)
        if not holder or operation.action not in SENDS:
            return operation
        message = (
            f"an earlier change of this {self.endpoint.record} was sent and not answered; "
            f"run push apply {holder} until it is settled, then plan again"
        )
        why = problem("HELD_ELSEWHERE", None, message)
        return _operation(
            self.endpoint, row, Action.BLOCKED, remote_id=operation.remote_id, error=why
        )

    def _period_problem(self, row: ParsedRow) -> tuple[Problem, ...]:
        name = self.endpoint.date_field
        day = row.data.get(name) if name else None
        closed_at = self.closed.get(day.replace(day=1)) if isinstance(day, date) else None
        if closed_at is None:
            return ()
        message = f"{name} {day} must lie in an open period: that month was closed on {closed_at}"
        return (problem("PERIOD_CLOSED", name, message),)

    def _target(self, row: ParsedRow) -> tuple[Json | None, Problem | None]:
        """Return the record that the row names, None where there is none yet."""
        target: Json | None = None
        for name in self.endpoint.identifiers:
            found = self._found(row, name) if name in row.named else []
            if name in row.named and not found and name != self.endpoint.natural_key:
                message = (
                    f"no {self.endpoint.record} at BigLedger has this {name}; mend it, or leave "
                    "the cell empty for a new one, BigLedger gives it out"
                )
                return None, problem("NOT_FOUND", name, message)
            if len(found) > 1:
                message = f"{len(found)} records at BigLedger have this {name}"
                return None, problem("CONFLICT", name, f"{message}; name one by its id")
            if found and target and _id(found[0]) != _id(target):
                message = f"another {self.endpoint.record} at BigLedger has this {name}"
                return None, problem("DUPLICATE_VALUE", name, message)
            target = target or (found[0] if found else None)
        return target, None

    def _found(self, row: ParsedRow, name: str) -> list[Json]:
        parts = self.endpoint.parts if name == self.endpoint.natural_key else ()
        for value in self.spellings(row, name):
            found = [
                record
                for record in self.known.find(name, value)
                if all(str(record.get(part)) == row.values(part) for part in parts)
            ]
            if found:
                return found
        before = self.remembered.records.get(normal_form(row.key))
        return [before] if before and name == self.endpoint.natural_key else []

    def _create(self, row: ParsedRow) -> Operation:
        record, key = self.endpoint.record, self.endpoint.natural_key
        if self.mode == Mode.UPDATE:
            message = f"no {record} at BigLedger has this {key}, and --mode update creates none"
            return _rejected(row, (problem("NOT_FOUND", key, message),))
        if missing := self._missing(row):
            return _rejected(row, missing)
        body = self._body(row)
        created = _operation(
            self.endpoint, row, Action.CREATE, body=body, changed=changes(self.endpoint, {}, body)
        )
        return self._with_amount(row, self._with_warnings(created, body, body), body)

    def _body(self, row: ParsedRow) -> Json:
        given = {n: self.today if v == TODAY else v for n, v in self.endpoint.defaults.items()}
        body = create_body({**given, **self._with_filled(row, {})})
        if self.endpoint.is_tokened:
            body["reference"] = self._marked(row, str(body["reference"]))
        return body

    def _with_filled(self, row: ParsedRow, now: Json) -> Json:
        """Return a row's fields, in its lines also what the file leaves to the server: as the
        record has it now where the line stays the same item's, else as the item does.
        """
        name = self.endpoint.lines
        lines = row.data.get(name) if name else None
        if not name or not isinstance(lines, list) or not any(row.filled):
            return row.data
        there = now.get(name)
        held = there if isinstance(there, list) else []
        written = []
        for index, (line, given) in enumerate(zip(lines, row.filled, strict=True)):
            old = held[index] if index < len(held) and isinstance(held[index], dict) else {}
            is_same = bool(given) and old.get("itemId") == line.get("itemId")
            kept = {part: old.get(part, given[part]) for part in given} if is_same else given
            written.append({**kept, **line})
        return {**row.data, name: written}

    def _missing(self, row: ParsedRow) -> tuple[Problem, ...]:
        """Return which fields are missing of those without which nothing is created."""
        return tuple(
            self._needed(name) for name in self.endpoint.required if not row.data.get(name)
        )

    def _needed(self, name: str) -> Problem:
        message = f"{name} is needed to create {self.endpoint.a_record}; fill it in"
        return problem("REQUIRED_FIELD", name, message)

    def _lacking(self, row: ParsedRow) -> Iterator[Problem]:
        """Yield which needed fields a row leaves out that has other mistakes, where it can only
        create something: to be mended with them.
        """
        if self.endpoint.can_update and self.mode != Mode.CREATE:
            return
        told = {problem["field"] for problem in row.problems}
        there = {name.partition(".")[0] for name in row.cells}
        for name in self.endpoint.required:
            ways = [r.columns for r in self.endpoint.references if r.field == name]
            columns = {c.partition(".")[0] for each in ways for c in each} | {name}
            if not columns & there and not columns & told:
                yield self._needed(name)

    def _update(self, row: ParsedRow, now: Json) -> Operation:
        remote_id = _id(now)
        wanted = self.endpoint.comparable(row.data)
        if self.endpoint.defaults.get("status") == wanted.get("status"):
            # The file asks for a draft when the record is created. One that a person has posted
            # since stays posted.
            wanted = {name: value for name, value in wanted.items() if name != "status"}
        if self._is_own_reference(row, now):
            # The record has the file's reference, with our token behind it or in other letters.
            wanted = {**wanted, "reference": now["reference"]}
        changed = changes(self.endpoint, now, wanted)
        if self.mode == Mode.CREATE or not self.endpoint.can_update:
            return self._adopt(row, now, changed)
        if not changed:
            return _operation(self.endpoint, row, Action.NOOP, remote_id=remote_id)
        if why := self.endpoint.locked(now):
            return replace(_rejected(row, (why,)), remote_id=remote_id)
        if self.on_conflict != OnConflict.OURS and _has_moved(now, row.based_on):
            return self._moved(row, now, changed)
        body = update_body(now, self._with_filled(row, now), changed)
        updated = _operation(
            self.endpoint,
            row,
            Action.UPDATE,
            remote_id=remote_id,
            body=body,
            changed=changed,
            before={name: now.get(name) for name in body},
        )
        whole = {**now, **body}
        return self._with_amount(row, self._with_warnings(updated, body, whole), whole)

    def _with_warnings(self, operation: Operation, body: Json, whole: Json) -> Operation:
        told = self.endpoint.warnings(from_text(to_text(body)), whole, self.today)
        return replace(operation, warnings=tuple(told))

    def _adopt(self, row: ParsedRow, now: Json, changed: Collection[str]) -> Operation:
        """Adopt the record that is there already, where it has the row's values; else reject."""
        if not changed:
            return _operation(self.endpoint, row, Action.ADOPT, remote_id=_id(now))
        name = list(row.named)[-1]
        told = "--mode create changes none" if self.endpoint.can_update else "none can be changed"
        fields = ", ".join(changed)
        message = (
            f"{self.endpoint.a_record} with this {name} exists with other {fields}, and {told}"
        )
        return replace(
            _rejected(row, (problem("DUPLICATE_VALUE", name, message),)), remote_id=_id(now)
        )

    def _pay(self, row: ParsedRow) -> Operation:
        if missing := self._missing(row):
            return _rejected(row, missing)
        assert self.endpoint.target is not None  # noqa: S101 (payments have one)
        invoice, amount = row.found[self.endpoint.target.field], row.data["amount"]
        paid, due = (figure(invoice.get(name)) for name in ("amountPaid", "amountDue"))
        if self._is_paid(row, paid):
            return _operation(self.endpoint, row, Action.ADOPT)
        earlier = self._paid[invoice["id"]]
        why = _unpayable(row, invoice, due - earlier)
        if why:
            return _rejected(row, (why,))
        self._paid[invoice["id"]] += amount
        before = paid + earlier
        changed = {"amountPaid": [before, before + amount]}
        body = self._body(row)
        paying = _operation(self.endpoint, row, Action.CREATE, body=body, changed=changed)
        paying = self._with_warnings(paying, body, {**invoice, **body})
        return self._with_amount(row, paying, body)

    def _is_paid(self, row: ParsedRow, paid: Decimal) -> bool:
        """Tell whether this very payment is in the journal already."""
        wanted = {n: row.data[n] for n in ("amount", "paymentDate") if n in row.data}
        entries = self.known.find("reference", row.named["reference"])
        if before := self.remembered.rows.get(normal_form(row.key)):
            entries = [*entries, from_text(before.body)]
        is_there = any(not changes(self.endpoint, entry, wanted) for entry in entries)
        return is_there and paid >= row.data["amount"]


def undeletable(endpoint: Endpoint, record: Json) -> Problem | None:
    """Tell why a record cannot be deleted."""
    locked = endpoint.locked(record)
    if locked:
        status = record.get("status") or "no draft"
        message = (
            f"the {endpoint.record} is {status} and only a draft can be deleted; correct it in "
            "BigLedger"
        )
        return {**locked, "message": message}
    return endpoint.kept(record)


def shown_of(endpoint: Endpoint, record: Json) -> Changes:
    """Return what a plan shows of a record that it deletes: what made it, and its state."""
    names = dict.fromkeys((endpoint.natural_key, *endpoint.required, "status"))
    return {name: [record[name], None] for name in names if record.get(name) not in (None, "", [])}


def with_amount(
    endpoint: Endpoint, operation: Operation, whole: Json, currency: Any, home: str | None
) -> Operation:
    """Return an operation with the total of its document, `whole`, where that is known: in the
    company's currency `home`, of a document that is in `currency`.
    """
    is_known = endpoint.currency_of is None or (home is not None and currency == home)
    try:
        amount = endpoint.amount(whole) if is_known else None
    except (ArithmeticError, KeyError, TypeError, AttributeError):
        amount = None  # a record that is not made as documented
    return replace(operation, amount=None if amount is None else str(amount))


def key_without_token(row: ParsedRow) -> str:
    """Return the natural key that a row has where its reference ends with a token of ours."""
    reference = row.named.get("reference", "")
    if not reference or not row.key.startswith(reference):
        return row.key
    return unmarked(reference) + row.key.removeprefix(reference)


def _unpayable(row: ParsedRow, invoice: Json, due: Decimal) -> Problem | None:
    status, amount = str(invoice.get("status")), row.data["amount"]
    day = row.data.get("paymentDate")
    if status in ("draft", "cancelled"):
        message = f"the invoice is {status}; only one that was sent to its customer can be paid"
        return problem("BUSINESS_RULE_VIOLATION", "invoiceId", message)
    if amount > due:
        message = f"amount '{amount}' must be at most {due}, which is due on the invoice"
        return problem("MAX_VALUE", "amount", message)
    if day and str(day) < str(invoice.get("invoiceDate") or ""):
        message = f"paymentDate '{day}' must be the invoiceDate {invoice['invoiceDate']} or later"
        return problem("DATE_CONSTRAINT", "paymentDate", message)
    return None


def _operation(
    endpoint: Endpoint,
    row: ParsedRow,
    action: Action,
    *,
    remote_id: str | None = None,
    body: Json | None = None,
    changed: Changes | None = None,
    error: Problem | None = None,
    before: Json | None = None,
) -> Operation:
    group = "/".join(str((body or {}).get(name)) for name in endpoint.in_flight)
    return Operation(
        row=row.row,
        natural_key=row.key,
        action=action,
        state=OperationState.PENDING if action in SENDS else OperationState.NOT_SENT,
        remote_id=remote_id,
        body=to_text(body or {}),
        changes=to_text(changed or {}),
        error=error,
        in_flight=group if body and group else None,
        cells=to_text(_storable(row.cells)),
        before=None if before is None else to_text(before),
        sheet_row=row.place,
        names=to_text(dict(row.names)) if row.names else None,
    )


def _storable(cells: Mapping[str, Any]) -> Json:
    return {name: value for name, value in cells.items() if not name.startswith("_")}


def _rejected(row: ParsedRow, problems: tuple[Problem, ...]) -> Operation:
    """Word all that is wrong at once, under the first one's code and field."""
    told = "; ".join(str(p["message"]) for p in problems)
    return Operation(
        row=row.row,
        natural_key=row.key,
        action=Action.REJECT,
        state=OperationState.NOT_SENT,
        error={**problems[0], "message": told},
        cells=to_text(_storable(row.cells)),
        sheet_row=row.place,
        names=to_text(dict(row.names)) if row.names else None,
    )


def _id(record: Json | None) -> str | None:
    return str(record["id"]) if record and record.get("id") else None


def _has_moved(now: Json, based_on: datetime | None) -> bool:
    if based_on is None:
        return False
    try:
        at = datetime.fromisoformat(str(now.get("updatedAt")))
    except ValueError:
        return True  # whether it changed nobody can tell, so it is not overwritten
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    # Excel and others cut the time to the second: then only a later second counts as a change.
    return (at if based_on.microsecond else at.replace(microsecond=0)) > based_on


def _no_twins(endpoint: Endpoint, operations: list[Operation]) -> list[Operation]:
    """Reject rows that name one record in different ways, one by id and another by email."""
    by_record: dict[str, dict[int, int]] = defaultdict(dict)
    for operation in operations:
        if operation.remote_id and operation.action not in (Action.REJECT, Action.ADOPT):
            by_record[operation.remote_id][operation.row] = operation.place
    told = {
        number: why
        for rows in by_record.values()
        for number, why in twin_problems(endpoint.record, rows)
    }
    return [
        replace(
            o,
            action=Action.REJECT,
            state=OperationState.NOT_SENT,
            body="{}",
            changes="{}",
            error=told[o.row],
        )
        if o.row in told
        else o
        for o in operations
    ]
