"""What each row does, given what BigLedger has now: create, update, nothing, or why not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from blsync.ledger.plans import SENDS, Keys, Operation, Problem
from blsync.push.compare import Changes, Json, changes, create_body, to_text, update_body
from blsync.push.endpoint import Endpoint
from blsync.push.lookup import Known
from blsync.push.validate import Wanted, problem, twin_problems


@dataclass(frozen=True)
class Decision:
    """Decides what a row does, given what is known of BigLedger and what is still held."""

    endpoint: Endpoint
    mode: str
    on_conflict: str
    known: Known
    held: Keys

    def operations(self, rows: list[Wanted]) -> list[Operation]:
        """Return what each row does."""
        return _no_twins(self.endpoint, [self._operation(row) for row in rows])

    def _operation(self, row: Wanted) -> Operation:
        if row.problems:
            return _rejected(row, row.problems)
        now, trouble = self._target(row)
        if trouble:
            return _rejected(row, (trouble,))
        if holder := self.held.holder(row.key, _id(now)):
            message = (
                f"an earlier change of this {self.endpoint.record} was sent and not answered; "
                f"run push apply {holder} until it is settled, then plan again"
            )
            why = problem("HELD_ELSEWHERE", None, message)
            return _operation(row, "blocked", remote_id=_id(now), error=why)
        return self._create(row) if now is None else self._update(row, now)

    def _target(self, row: Wanted) -> tuple[Json | None, Problem | None]:
        """Return the record that the row names, None where there is none yet."""
        target: Json | None = None
        for name in self.endpoint.identifiers:
            found = self.known.find(name, row.named[name]) if name in row.named else []
            if name in row.named and not found and name != self.endpoint.natural_key:
                message = (
                    f"no {self.endpoint.record} at BigLedger has this {name}; mend it, or leave "
                    "the cell empty for a new one, BigLedger gives it out"
                )
                return None, problem("NOT_FOUND", name, message)
            if len(found) > 1:
                message = f"{len(found)} {self.endpoint.record}s at BigLedger have this {name}"
                return None, problem("CONFLICT", name, f"{message}; name one by its id")
            if found and target and _id(found[0]) != _id(target):
                message = f"another {self.endpoint.record} at BigLedger has this {name}"
                return None, problem("DUPLICATE_VALUE", name, message)
            target = target or (found[0] if found else None)
        return target, None

    def _create(self, row: Wanted) -> Operation:
        record, key = self.endpoint.record, self.endpoint.natural_key
        if self.mode == "update":
            message = f"no {record} at BigLedger has this {key}, and --mode update creates none"
            return _rejected(row, (problem("NOT_FOUND", key, message),))
        missing = [
            problem("REQUIRED_FIELD", name, f"{name} is needed to create a {record}; fill it in")
            for name in self.endpoint.required
            if not row.data.get(name)
        ]
        if missing:
            return _rejected(row, tuple(missing))
        body = create_body(row.data)
        return _operation(row, "create", body=body, changed=changes(self.endpoint, {}, body))

    def _update(self, row: Wanted, now: Json) -> Operation:
        record, remote_id = self.endpoint.record, _id(now)
        if self.mode == "create":
            name = list(row.named)[-1]
            message = f"a {record} with this {name} exists, and --mode create changes none"
            why = (problem("DUPLICATE_VALUE", name, message),)
            return replace(_rejected(row, why), remote_id=remote_id)
        changed = changes(self.endpoint, now, row.data)
        if not changed:
            return _operation(row, "noop", remote_id=remote_id)
        if self.on_conflict != "ours" and _has_moved(now, row.based_on):
            if self.on_conflict == "theirs":
                return _operation(row, "noop", remote_id=remote_id)
            message = (
                f"the {record} changed at BigLedger after {row.based_on}; compare, then plan with "
                "--on-conflict ours or theirs"
            )
            why_not = problem("CONFLICT", "updatedAt", message)
            return _operation(row, "conflict", remote_id=remote_id, changed=changed, error=why_not)
        body = update_body(now, row.data, changed)
        return _operation(row, "update", remote_id=remote_id, body=body, changed=changed)


def _operation(
    row: Wanted,
    action: str,
    *,
    remote_id: str | None = None,
    body: Json | None = None,
    changed: Changes | None = None,
    error: Problem | None = None,
) -> Operation:
    return Operation(
        row=row.row,
        natural_key=row.key,
        action=action,
        state="pending" if action in SENDS else "not_sent",
        remote_id=remote_id,
        body=to_text(body or {}),
        changes=to_text(changed or {}),
        error=error,
    )


def _rejected(row: Wanted, problems: tuple[Problem, ...]) -> Operation:
    """Word all that is wrong at once, under the first one's code and field."""
    told = "; ".join(str(p["message"]) for p in problems)
    return _operation(row, "reject", error={**problems[0], "message": told})


def _id(record: Json | None) -> str | None:
    return str(record["id"]) if record and record.get("id") else None


def _has_moved(now: Json, based_on: datetime | None) -> bool:
    if based_on is None:
        return False
    try:
        at = datetime.fromisoformat(str(now.get("updatedAt")))
    except ValueError:
        return True  # nobody can tell, so it is not overwritten
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    # A basis without a fraction was cut to the second by whatever wrote the file.
    return (at if based_on.microsecond else at.replace(microsecond=0)) > based_on


def _no_twins(endpoint: Endpoint, operations: list[Operation]) -> list[Operation]:
    """Reject rows that name one record in different ways, one by id and another by email."""
    by_record: dict[str, list[int]] = defaultdict(list)
    for operation in operations:
        if operation.remote_id and operation.action != "reject":
            by_record[operation.remote_id].append(operation.row)
    told = {
        number: why
        for rows in by_record.values()
        for number, why in twin_problems(endpoint.record, rows)
    }
    return [
        replace(o, action="reject", state="not_sent", body="{}", changes="{}", error=told[o.row])
        if o.row in told
        else o
        for o in operations
    ]
