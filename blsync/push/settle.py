"""Settle: what became of the rows whose answer never came; and reading back what was applied.

A look-up decides only after the settle time, because a request may be carried out after our
time-out and lists may lag. A row is sent once more when two look-ups some time apart found nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blsync.errors import ApiError, QuotaSpent
from blsync.ledger import plans
from blsync.ledger.plans import Held, Operation, Outcome, Problem
from blsync.push.compare import Json, changes, from_text
from blsync.push.lookup import Known, look_up
from blsync.push.validate import problem
from blsync.push.work import Work


async def settle_due(work: Work) -> None:
    """Look up the held rows whose settle time is over. Raises ApiError, QuotaSpent."""
    now = work.clock()
    due = [h for h in plans.held(work.ledger, work.plan.plan_id) if _is_due(work, h)]
    if not due:
        return
    work.say(f"Looking up {len(due)} rows that were sent and not answered.")
    rows = [h.operation for h in due]
    known = await _records(work, rows)
    settled: list[Outcome] = []
    missing: list[int] = []
    for row in rows:
        outcome = judge(work, row, known)
        if outcome is None and row.looked_up_at:
            outcome = Outcome(row.row, "pending", "lost")
        if outcome:
            settled.append(outcome)
        else:
            missing.append(row.row)
    plans.settle(work.ledger, work.plan.plan_id, settled, now)
    plans.looked_up(work.ledger, work.plan.plan_id, missing, now)


async def settle_again(work: Work) -> bool:
    """Wait until the second look-up is due, where one is, and do it; tell whether it was done."""
    waiting = [
        h.operation.looked_up_at
        for h in plans.held(work.ledger, work.plan.plan_id)
        if h.operation.looked_up_at
    ]
    if not waiting or not work.wait:
        return False
    pause = (max(waiting) + work.look_ups_apart - work.clock()).total_seconds()
    if pause > 1:
        work.say(f"{len(waiting)} rows were not found; looking again in {pause:.0f} s.")
    await work.sleep(max(0.0, pause))
    await settle_due(work)
    return True


async def resolve_taken(work: Work, refused: Sequence[tuple[Operation, Outcome]]) -> None:
    """Settle creates that were refused because the record exists: ours if it is as we wanted it."""
    if not refused:
        return
    known = await _records(work, [row for row, _ in refused])
    settled = []
    for row, outcome in refused:
        found = judge(work, row, known)
        settled.append(found or outcome)
    plans.settle(work.ledger, work.plan.plan_id, settled, work.clock())


async def verify(work: Work) -> None:
    """Read the applied rows back and compare; a failure to read changes nothing of them."""
    rows = [
        row
        for row in plans.operations_of(work.ledger, work.plan.plan_id, "applied")
        if row.remote_id and not row.is_verified and not row.error
    ]
    known = Known()
    try:
        ids = [row.remote_id for row in rows if row.remote_id]
        await look_up(work.client, work.endpoint, "id", ids, known)
    except (ApiError, QuotaSpent) as error:
        work.say(f"The rows were applied but could not be read back: {error}")
        return
    seen = [
        (row.row, _difference(work, row, record))
        for row in rows
        for record in known.find("id", str(row.remote_id))
    ]
    plans.verified(work.ledger, work.plan.plan_id, seen)
    if wrong := sum(why is not None for _, why in seen):
        work.say(f"{wrong} applied rows read back otherwise than they were sent: see push show.")


def judge(work: Work, row: Operation, known: Known) -> Outcome | None:
    """Return what BigLedger's records tell of a row, None where nothing shows that it was done."""
    name, value = _identity(work, row)
    found = known.find(name, value)
    if not found:
        return None
    record, body = found[0], from_text(row.body)
    remote_id = str(record.get("id") or "") or None
    differing = changes(work.endpoint, record, body)
    if not differing:
        return Outcome(row.row, "applied", "adopted", remote_id=remote_id)
    if row.action == "update" and _is_as_planned(work, row, record):
        return None
    fields = ", ".join(differing)
    message = (
        f"the {work.endpoint.record} at BigLedger has another value in {fields}; plan the row "
        "again to see and change it"
    )
    code = "CONFLICT" if row.action == "update" else "DUPLICATE_VALUE"
    field = next(iter(differing)) if row.action == "update" else name
    return Outcome(
        row.row, "rejected", "rejected", remote_id=remote_id, error=problem(code, field, message)
    )


def _is_due(work: Work, held: Held) -> bool:
    last = held.operation.looked_up_at
    if last:
        return work.clock() - last >= work.look_ups_apart
    return work.clock() - held.since >= work.settle_time


def _is_as_planned(work: Work, row: Operation, record: Json) -> bool:
    """Tell whether every field still is what the plan saw, or what it wanted."""
    for name, (before, wanted) in from_text(row.changes).items():
        head, dot, part = name.partition(".")
        for value in (before, wanted):
            expected = {head: {part: value}} if dot else {head: value}
            if not changes(work.endpoint, record, expected):
                break
        else:
            return False
    return True


def _identity(work: Work, row: Operation) -> tuple[str, str]:
    """Return by what a row's record is found: a create by its natural key, an update by id."""
    if row.remote_id and row.action == "update":
        return "id", row.remote_id
    return work.endpoint.natural_key, str(from_text(row.body).get(work.endpoint.natural_key))


async def _records(work: Work, rows: Iterable[Operation]) -> Known:
    wanted: dict[str, list[str]] = {}
    for row in rows:
        name, value = _identity(work, row)
        wanted.setdefault(name, []).append(value)
    known = Known()
    for name, values in wanted.items():
        await look_up(work.client, work.endpoint, name, values, known)
    return known


def _difference(work: Work, row: Operation, record: Json) -> Problem | None:
    differing = changes(work.endpoint, record, from_text(row.body))
    if not differing:
        return None
    fields = ", ".join(differing)
    message = f"BigLedger took the row but holds another value in {fields}; compare the two"
    return problem("NOT_AS_SENT", next(iter(differing)), message)
