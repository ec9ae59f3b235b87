"""A plan as whoever looks at a run may see it: nothing personal, no free text.

Values are named in tables only where the endpoint's records are no persons, and only numbers.
`blsync push show` has everything.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from blsync.errors import BlsyncError
from blsync.ledger.plans import Operation
from blsync.ledger.states import KEPT_BACK, SENDS, OperationState, PlanState
from blsync.personal_data import QUOTED_COLUMN, without_addresses, without_quoted
from blsync.push.apply import settle
from blsync.push.compare import from_text
from blsync.push.endpoint import Endpoint
from blsync.push.endpoints import EVERY, endpoint_named
from blsync.push.report import PlanReport

MOST_ROWS = 50
"""Rows of a table; how many more there are stands below it."""

_FIGURE = re.compile(r"[-+0-9.,:]+")


def told(error: BlsyncError) -> str:
    """Word an error. A file without a header has a row's data where the names of columns belong:
    of these only the known ones stay.
    """
    fields = {
        name
        for endpoint in EVERY.values()
        for name in (*endpoint.rules, *endpoint.identifiers, *endpoint.read_only)
    }
    known = fields | {name.partition(".")[0] for name in fields}
    return without_addresses(without_quoted(str(error), known.__contains__, QUOTED_COLUMN))


def noted(text: str) -> str:
    """Word what is noted of a file while it is read: names of its worksheets are its content."""
    return without_addresses(without_quoted(text))


def changes(report: PlanReport) -> str:
    """Return the rows that would be sent, or were, in Markdown."""
    endpoint = endpoint_named(report.plan.endpoint)
    is_personal = _is_personal(endpoint)
    header = ["row", "action", "state", "fields", *([] if is_personal else ["key", "money"])]
    rows = [
        [
            *(str(o.row), o.action, o.state, _fields(endpoint, o)),
            *([] if is_personal else [without_addresses(o.natural_key), _money(endpoint, o)]),
        ]
        for o in report.operations
        if o.action in SENDS
    ]
    return _table(report, header, rows)


def troubles(report: PlanReport) -> str:
    """Return the rows that something is wrong with, and what, in Markdown: kept back by the plan,
    rejected by BigLedger, held, or found otherwise than they were sent.
    """
    is_personal = _is_personal(endpoint_named(report.plan.endpoint))
    rows = []

    def is_kept(value: str) -> bool:
        return not is_personal and bool(_FIGURE.fullmatch(value))

    for o in report.operations:
        if o.error:
            message = without_addresses(without_quoted(o.error["message"] or "", is_kept))
            rows.append([str(o.row), o.action, o.state, o.error["code"] or "", message])
    return _table(report, ["row", "action", "state", "code", "reason"], rows)


def is_accepted(report: PlanReport) -> bool:
    """Tell whether the plan keeps no row back."""
    return not any(report.counts[action] for action in KEPT_BACK)


def is_applied(report: PlanReport) -> bool:
    """Tell whether no row that was begun to be sent is rejected, held or left."""
    states = [OperationState.REJECTED, OperationState.HELD]
    if report.plan.state == PlanState.APPLYING:
        states.append(OperationState.PENDING)
    return report.exit_code == 0 and not any(report.outcomes[state] for state in states)


def next_step(report: PlanReport) -> str:
    """Say what to do now."""
    plan_id, open_rows = report.plan.plan_id, report.outcomes
    steps = []
    if any(settle.is_for_a_person(o) for o in report.operations):
        steps.append(
            "Some held rows need a person: look whether they are at BigLedger, then run `blsync "
            f"push retry {plan_id}`."
        )
    elif open_rows[OperationState.HELD]:
        steps.append(
            "Some rows are held until it is known what became of them: the sensor push_settle "
            "looks, or apply the plan again after the settle time."
        )
    if pending := open_rows[OperationState.PENDING]:
        name = f"push/{report.plan.endpoint.replace('-', '_')}/apply"
        steps.append(
            f"{pending} rows are to be sent: run `blsync push apply {plan_id}`, or, "
            f"where BLSYNC_PUSH_FROM_UI allows it, materialise {name} with plan: {plan_id}, "
            f"dry_run: false and the confirmation that `blsync push show {plan_id}` prints."
        )
    if open_rows[OperationState.REJECTED] or not is_accepted(report):
        steps.append(
            f"Rows were kept back: `blsync push show {plan_id}` has them in full; mend the source "
            "and plan it again."
        )
    return " ".join(steps) or "Nothing is left to do."


def _is_personal(endpoint: Endpoint) -> bool:
    """Tell whether a record is a person: then even its key stays out."""
    return endpoint.natural_key in endpoint.personal


def _fields(endpoint: Endpoint, operation: Operation) -> str:
    return ", ".join(
        _change(endpoint, name, now, wanted)
        for name, (now, wanted) in from_text(operation.changes).items()
    )


def _change(endpoint: Endpoint, name: str, now: Any, wanted: Any) -> str:
    head = name.partition(".")[0]
    if head in endpoint.open_ended:
        return head
    is_told = not _is_personal(endpoint) and head not in endpoint.personal and _is_number(wanted)
    return f"{name} {now if _is_number(now) else '–'} → {wanted}" if is_told else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _money(endpoint: Endpoint, operation: Operation) -> str:
    return f"{endpoint.money(from_text(operation.body)):,.2f}"


def _table(report: PlanReport, header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "none"
    lines = [header, ["---"] * len(header), *rows[:MOST_ROWS]]
    table = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
    more = len(rows) - MOST_ROWS
    left_out = f"\n\n… and {more} more: `blsync push show {report.plan.plan_id}`"
    return table + (left_out if more > 0 else "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
