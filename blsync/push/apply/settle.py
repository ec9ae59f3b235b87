"""Settle: what became of the rows whose answer never came; and reading back what was applied.

A look-up decides only after the settle time, because a request may be carried out after our
time-out and lists may lag. What two look-ups some time apart do not find is sent once more where
that can do no harm; a payment or a posting stays held for a person to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from blsync.errors import ApiError, QuotaSpent
from blsync.ledger import plans
from blsync.ledger.plans import Operation, Problem, RowOutcome
from blsync.ledger.states import Action, AttemptOutcome, OnConflict, OperationState
from blsync.push.compare import changes, from_text
from blsync.push.endpoint import Endpoint, Json
from blsync.push.lookup import RecordIndex, look_up
from blsync.push.plan.validate import problem
from blsync.push.work import ApplyContext, is_due

DUPLICATE_FOUND = "DUPLICATE_FOUND"
"""Code of an applied row for which there is more than one record."""
FOR_A_PERSON = "NOT_FOUND_AFTER_SENDING"
"""Code of a held row that no look-up found and that is not sent again by itself."""


def is_for_a_person(row: Operation) -> bool:
    """Tell whether a held row waits for a person to decide."""
    return row.state == OperationState.HELD and (row.error or {}).get("code") == FOR_A_PERSON


async def settle_due(work: ApplyContext) -> set[int]:
    """Look up the held rows whose settle time is over; return those that are to be sent once more.

    Raises ApiError, QuotaSpent.
    """
    now = work.clock()
    # Of one that a clock which ran ahead has dated nobody knows when it was sent: its settle time
    # begins now, so that it is neither looked up too early nor held for years.
    plans.date_back(work.ledger, work.plan.plan_id, now)
    held = plans.held_rows(work.ledger, work.plan.plan_id)
    due = [one for one in held if is_due(work.settings, one, now)]
    if not due:
        return set()
    work.say(f"Looking up {len(due)} rows that were sent and not answered.")
    rows = [h.operation for h in due]
    known = await _records(work, rows)
    settled: list[RowOutcome] = []
    missing: list[int] = []
    undecided: list[tuple[int, Problem | None]] = []
    for row in rows:
        outcome = outcome_from_lookup(work, row, known)
        if outcome is None and row.looked_up_at:
            if work.endpoint.is_safe_to_resend(from_text(row.body)) or row.action == Action.UPDATE:
                outcome = RowOutcome(row.row, OperationState.PENDING, AttemptOutcome.LOST)
            else:
                undecided.append((row.row, _undecided(work)))
        elif outcome and outcome.state == OperationState.REJECTED and work.endpoint.target:
            # Others changed the invoice meanwhile: whether ours was among it, nobody can tell.
            undecided.append((row.row, _undecided(work)))
            outcome = None
        if outcome:
            settled.append(outcome)
        else:
            missing.append(row.row)
    plans.settle(work.ledger, work.plan.plan_id, settled, now, seen=rows)
    plans.looked_up(work.ledger, work.plan.plan_id, missing, now, seen=rows)
    plans.refuse_rows(work.ledger, work.plan.plan_id, undecided)
    return {outcome.row for outcome in settled if outcome.state == OperationState.PENDING}


async def settle_again(work: ApplyContext) -> set[int]:
    """Wait until the second look-up is due, where one is, and do it, as `settle_due` does."""
    waiting = [
        h.operation.looked_up_at
        for h in plans.held_rows(work.ledger, work.plan.plan_id)
        if h.operation.looked_up_at and not is_for_a_person(h.operation)
    ]
    if not waiting or not work.session.waits:
        return set()
    pause = (max(waiting) + work.look_ups_apart - work.clock()).total_seconds()
    if pause > 1:
        work.say(f"{len(waiting)} rows were not found; looking again in {pause:.0f} s.")
    await work.session.sleep(max(0.0, pause))
    return await settle_due(work)


async def unchanged(work: ApplyContext, rows: list[Operation]) -> list[Operation]:
    """Compare rows once more before they are sent, and return those that are as they were planned.

    What is there already as wanted is adopted; what others changed since the plan is rejected, as
    is what they created. A create whose key BigLedger itself keeps unique needs no look.
    """
    doubtful = [r for r in rows if r.action == Action.UPDATE or not work.endpoint.has_unique_key]
    if not doubtful:
        return rows
    known = await _records(work, doubtful)
    settled: list[RowOutcome] = []
    behind: list[tuple[int, Problem | None]] = []
    paid = (
        plans.groups(work.ledger, work.plan.plan_id, OperationState.APPLIED)
        if work.endpoint.target
        else ()
    )
    for row in doubtful:
        outcome = _now_judged(work, row, known)
        found = _found(work, row, known)
        if work.endpoint.target and (
            not found or (row.in_flight in paid and _shows_less(row, found[0]))
        ):
            behind.append((row.row, _not_listed(work)))
        elif outcome:
            settled.append(outcome)
    plans.settle(work.ledger, work.plan.plan_id, settled, work.clock(), seen=doubtful)
    plans.refuse_rows(work.ledger, work.plan.plan_id, behind)
    left_out = {o.row for o in settled} | {row for row, _ in behind}
    return [row for row in rows if row.row not in left_out]


def _shows_less(row: Operation, record: Json) -> bool:
    """Tell whether a record lacks some of what was there before the row, by the plan."""
    return any(
        Decimal(str(record.get(name) or 0)) < before
        for name, (before, _) in from_text(row.changes).items()
    )


def _not_listed(work: ApplyContext) -> Problem:
    """Word that a list does not show the latest payment yet: the row stays to be sent."""
    message = (
        f"BigLedger's list does not show the {work.endpoint.settling.record} as it is after the "
        f"payments before this one; run push apply {work.plan.plan_id} again"
    )
    return problem("NOT_LISTED", None, message)


def _now_judged(work: ApplyContext, row: Operation, known: RecordIndex) -> RowOutcome | None:
    if work.plan.on_conflict == OnConflict.OURS and row.action == Action.UPDATE:
        return None
    outcome = outcome_from_lookup(work, row, known)
    if outcome and outcome.state == OperationState.APPLIED and work.endpoint.target:
        # Nothing was sent yet, so this is somebody else's payment.
        message = "the invoice was paid by others since the plan was made; plan the row again"
        return RowOutcome(
            row.row,
            OperationState.REJECTED,
            AttemptOutcome.REJECTED,
            error=problem("CONFLICT", "amountPaid", message),
        )
    return outcome


async def resolve_taken(
    work: ApplyContext, refused: Sequence[tuple[Operation, RowOutcome]]
) -> None:
    """Settle creates that were refused because the record exists: ours if it is as we wanted it."""
    if not refused:
        return
    known = await _records(work, [row for row, _ in refused])
    settled = []
    for row, outcome in refused:
        found = outcome_from_lookup(work, row, known)
        settled.append(found or outcome)
    plans.settle(work.ledger, work.plan.plan_id, settled, work.clock())


async def verify(work: ApplyContext) -> None:
    """Read the applied rows back and compare; a failure to read changes nothing of them."""
    applied = plans.operations_of(work.ledger, work.plan.plan_id, OperationState.APPLIED)
    rows = [row for row in applied if not row.is_verified and not row.error]
    try:
        known = await _records(work, rows)
    except (ApiError, QuotaSpent) as error:
        work.say(f"The rows were applied but could not be read back: {error}")
        return
    last = {identity(work.endpoint, row): row for row in applied}  # of several payments, the last
    seen = []
    for row in rows:
        one = identity(work.endpoint, row)
        if found := _found(work, row, known):
            seen.append((row.row, _difference(work, last[one], found)))
    plans.verified(work.ledger, work.plan.plan_id, seen)
    if wrong := sum(why is not None for _, why in seen):
        work.say(f"{wrong} applied rows read back otherwise than they were sent: see push show.")


def outcome_from_lookup(
    work: ApplyContext, row: Operation, known: RecordIndex
) -> RowOutcome | None:
    """Return what BigLedger's records tell of a row, None where nothing shows that it was done."""
    found = _found(work, row, known)
    if not found:
        return None
    record = found[0]
    remote_id = None if work.endpoint.target else str(record.get("id") or "") or None
    differing = changes(work.endpoint, record, expected(work.endpoint, row))
    if not differing:
        return RowOutcome(
            row.row,
            OperationState.APPLIED,
            AttemptOutcome.ADOPTED,
            remote_id=remote_id,
            error=_duplicates(work, found),
        )
    is_change = row.action == Action.UPDATE or work.endpoint.target is not None
    if is_change and _is_as_planned(work, row, record):
        return None
    fields = ", ".join(differing)
    message = (
        f"the {work.endpoint.settling.record} at BigLedger has another value in {fields}; plan the "
        "row again to see and change it"
    )
    code = "CONFLICT" if is_change else "DUPLICATE_VALUE"
    field = next(iter(differing)) if is_change else work.endpoint.natural_key
    return RowOutcome(
        row.row,
        OperationState.REJECTED,
        AttemptOutcome.REJECTED,
        remote_id=remote_id,
        error=problem(code, field, message),
    )


def identity(endpoint: Endpoint, row: Operation) -> tuple[str, str, tuple[str, ...]]:
    """Return by what a row's record is found: a create by its natural key and the parts that belong
    to it, an update by id, and a payment by its invoice's.
    """
    body = from_text(row.body)
    if endpoint.target:
        return "id", str(body[endpoint.target.field]), ()
    if row.remote_id and row.action == Action.UPDATE:
        return "id", row.remote_id, ()
    parts = tuple(str(body.get(part)) for part in endpoint.parts)
    return endpoint.natural_key, str(body.get(endpoint.natural_key)), parts


def expected(endpoint: Endpoint, row: Operation) -> Mapping[str, object]:
    """Return the fields that show that a row was done."""
    if endpoint.target:
        return {name: wanted for name, (_, wanted) in from_text(row.changes).items()}
    return endpoint.comparable(from_text(row.body))


def _found(work: ApplyContext, row: Operation, known: RecordIndex) -> list[Json]:
    name, value, parts = identity(work.endpoint, row)
    return [
        record
        for record in known.find(name, value)
        if all(str(record.get(n)) == p for n, p in zip(work.endpoint.parts, parts, strict=False))
    ]


def _is_as_planned(work: ApplyContext, row: Operation, record: Json) -> bool:
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


async def _records(work: ApplyContext, rows: Iterable[Operation]) -> RecordIndex:
    wanted: dict[str, list[str]] = {}
    for row in rows:
        name, value, _ = identity(work.endpoint, row)
        wanted.setdefault(name, []).append(value)
    known = RecordIndex()
    for name, values in wanted.items():
        await look_up(work.client, work.endpoint.settling, name, values, known)
    return known


def _undecided(work: ApplyContext) -> Problem:
    message = (
        f"the {work.endpoint.record} was sent and never answered, and BigLedger does not show that "
        "it was done. It is not sent again, as that could do it twice: look at BigLedger, then run "
        f"push retry {work.plan.plan_id}"
    )
    return problem(FOR_A_PERSON, None, message)


def _duplicates(work: ApplyContext, found: list[Json]) -> Problem | None:
    if len(found) < 2 or work.endpoint.target:
        return None
    ids = ", ".join(str(record.get("id")) for record in found)
    message = f"{len(found)} records at BigLedger stand for this row: {ids}; void all but one"
    return problem(DUPLICATE_FOUND, work.endpoint.natural_key, message)


def _difference(work: ApplyContext, row: Operation, found: list[Json]) -> Problem | None:
    if duplicates := _duplicates(work, found):
        return duplicates
    differing = changes(work.endpoint, found[0], expected(work.endpoint, row))
    if not differing:
        return None
    fields = ", ".join(differing)
    message = f"BigLedger took the row but holds another value in {fields}; compare the two"
    return problem("NOT_AS_SENT", next(iter(differing)), message)
