"""Plans as they are shown: what each row would do, or what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from blsync.ledger import Ledger, plans
from blsync.ledger.approvals import approvers, digest_of
from blsync.ledger.plans import Operation, Plan
from blsync.ledger.states import SENDS, Action, OperationState, Verdict
from blsync.push.compare import from_text
from blsync.push.endpoint import Endpoint
from blsync.push.endpoints import endpoint_named
from blsync.push.source.sheet import Reading, Sheet, SheetRow

STATES = (
    OperationState.APPLIED,
    OperationState.REJECTED,
    OperationState.HELD,
    OperationState.PENDING,
)
"""States of rows that are sent, in the order in which they are shown."""


@dataclass(frozen=True)
class PlanReport:
    """A plan with its rows. `exit_code` is what `push apply` ends with (interface.md, section 3).

    A row's state: `not_sent` (its action sends nothing), `pending` (to be sent), `held` (sent, not
    answered), `applied` or `rejected` (by BigLedger). `request_ids` are those of each row's latest
    attempt: what to quote to the vendor.
    """

    plan: Plan
    operations: list[Operation]
    exit_code: int = 0
    request_ids: Mapping[int, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file was left out, read though it is hidden, or read as empty."""
        return self.plan.notes

    @property
    def readings(self) -> list[dict[str, Any]]:
        """How the source was read otherwise than it stands: for each column and rule how often, and
        the first cell (`row`: its number in the sheet; null: of a header).
        """
        return list(from_text(self.plan.readings or "[]"))

    @property
    def counts(self) -> dict[str, int]:
        """Rows by action."""
        found = Counter(operation.action for operation in self.operations)
        return {action.value: found[action] for action in Action}

    @property
    def outcomes(self) -> dict[str, int]:
        """Rows that are sent, by what became of them; `verified` of the applied were read back."""
        found = Counter(operation.state for operation in self.operations)
        verified = sum(operation.is_verified for operation in self.operations)
        return {**{state.value: found[state] for state in STATES}, "verified": verified}

    @property
    def amount(self) -> Decimal | None:
        """The total of the documents that are sent, before tax and in the company's currency, by
        which it is told whether the plan needs approval; None where that of one is not known.
        """
        return amount_of(self.operations)

    @property
    def approvals(self) -> list[dict[str, Any]]:
        """Who approved or rejected the plan, when (UTC) and why; whether an approval counts."""
        return sayings_of(self.plan, self.operations)

    @property
    def money(self) -> Decimal:
        """Money that the rows which are sent move together, in the company's currency."""
        endpoint = endpoint_named(self.plan.endpoint)
        bodies = (from_text(o.body) for o in self.operations if o.action in SENDS)
        return sum(map(endpoint.money, bodies), Decimal(0))

    def spelled_out(self, operation: Operation) -> str:
        """Return what a row changes for people: fields, names beside ids, lines and their total."""
        endpoint = endpoint_named(self.plan.endpoint)
        names: dict[str, str] = from_text(operation.names or "{}")
        told = [
            part
            for name, (now, wanted) in from_text(operation.changes).items()
            for part in _spelled(endpoint, name, (now, wanted), names)
        ]
        changed = from_text(operation.changes)
        # What the row refers to and does not change: the invoice that is paid, who is updated.
        told += [
            f"{name}: {called}"
            for name, called in names.items()
            if name not in changed and not _of_line(endpoint, name)
        ]
        body = from_text(operation.body)
        if endpoint.lines and body.get(endpoint.lines):
            told.append(f"total: {endpoint.money(body):,.2f}")
        return "\n".join(told) if any("\n" in part for part in told) else "; ".join(told)

    def to_json(self) -> dict[str, Any]:
        """Return PLAN of interface.md, section 5. Money is Decimal: encode it as a number."""
        return {
            "plan_id": self.plan.plan_id,
            "endpoint": self.plan.endpoint,
            "state": self.plan.state,
            "counts": self.counts,
            "outcomes": self.outcomes,
            "money": self.money,
            "amount": self.amount,
            "actor": self.plan.actor,
            "undoes": self.plan.undoes,
            "approvals": self.approvals,
            "notes": list(self.notes),
            "readings": self.readings,
            "operations": [
                _row(operation, self.request_ids.get(operation.row))
                for operation in self.operations
            ],
        }


def amount_of(rows: Iterable[Operation]) -> Decimal | None:
    """Return the total of the documents that rows send, before tax and in the company's currency;
    None where that of one is not known.
    """
    sent = [row.amount for row in rows if row.action in SENDS]
    known = [Decimal(one) for one in sent if one is not None]
    return sum(known, Decimal(0)) if len(known) == len(sent) else None


def sayings_of(plan: Plan, operations: list[Operation]) -> list[dict[str, Any]]:
    """Return who approved or rejected a plan of these rows; an approval `is_valid` where it is of
    just what the plan would send now, by nobody who planned it.
    """
    said = [one for one in plan.verdicts if one.verdict != Verdict.PLANNED]
    valid = approvers(plan.verdicts, digest_of(plan, operations)) if said else []
    return [
        {
            "verdict": one.verdict.value,
            "actor": one.actor,
            "at": one.at,
            "reason": one.reason,
            "is_valid": one.verdict == Verdict.REJECTED or one in valid,
        }
        for one in said
    ]


def rows_if_said(ledger: Ledger, plan: Plan) -> list[Operation]:
    """Return a plan's rows where somebody approved it, which is of those rows; else none."""
    is_said = any(one.verdict == Verdict.APPROVED for one in plan.verdicts)
    return plans.operations_of(ledger, plan.plan_id) if is_said else []


def _of_line(endpoint: Endpoint, name: str) -> bool:
    return bool(endpoint.lines) and name.startswith(f"{endpoint.lines}[")


def _spelled(
    endpoint: Endpoint, name: str, values: tuple[Any, Any], names: Mapping[str, str]
) -> Iterator[str]:
    now, wanted = values
    if name == endpoint.lines and isinstance(wanted, list):
        before = f"{len(now)} before" if isinstance(now, list) else ""
        head = ", ".join(filter(None, (f"{len(wanted)} lines", before)))
        yield f"{name}: {head}"
        for index, line in enumerate(wanted):
            called = {
                n.rpartition(".")[2]: c
                for n, c in names.items()
                if n.startswith(f"{name}[{index}]")
            }
            parts = (_beside(n, v, called.get(n)) for n, v in line.items())
            yield f"\n  {index + 1}. {', '.join(parts)}"
        return
    told = _beside(name, wanted, names.get(name))
    yield told if now is None else f"{name}: {now} → {told.partition(': ')[2]}"


def _beside(name: str, value: object, called: str | None) -> str:
    return f"{name}: {value} ({called})" if called else f"{name}: {value}"


def report_of(ledger: Ledger, plan_id: str, exit_code: int = 0) -> PlanReport:
    """Read a plan with its rows from the ledger."""
    tries = plans.attempts_of(ledger, plan_id)
    plan = plans.find(ledger, plan_id)[0]
    return PlanReport(
        plan,
        plans.operations_of(ledger, plan_id),
        exit_code,
        {attempt.row: attempt.request_id for attempt in tries if attempt.request_id},
    )


def sheet_of(plan: Plan, rows: list[Operation]) -> Sheet:
    """Return rows of a plan as the file gave them, to be planned anew or written out."""
    cells = [
        SheetRow(row.row, from_text(row.cells or "{}"), sheet_row=row.sheet_row) for row in rows
    ]
    columns = dict.fromkeys(name for row in cells for name in row.cells)
    readings = tuple(Reading(**each) for each in from_text(plan.readings or "[]"))
    return Sheet(Path(plan.source), list(columns), cells, readings=readings)


def _row(operation: Operation, request_id: str | None) -> dict[str, Any]:
    return {
        "row": operation.row,
        "sheet_row": operation.place,
        "key": operation.natural_key,
        "action": operation.action,
        "state": operation.state,
        "remote_id": operation.remote_id,
        "changes": from_text(operation.changes),
        "error": operation.error,
        "warnings": list(operation.warnings),
        "names": from_text(operation.names or "{}"),
        "request_id": request_id,
    }
