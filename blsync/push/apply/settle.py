"""Settle: what became of the rows whose answer never came; and reading back what was applied.

A look-up decides only after the settle time, because a request may be carried out after our
time-out and lists may lag. What two look-ups some time apart do not find is sent once more where
that can do no harm; a payment or a posting stays held for a person to decide.

An example, with the usual settle time of 15 minutes. Row 7 creates the draft invoice `PO-17`:

    10:00  The request goes out and no answer comes. The row is held.
    10:15  First look-up, by the reference with its token, `PO-17~k3v7q2ma`. Nothing is found.
    10:16  Second look-up, a fifteenth of the settle time later. It decides:
           - an invoice has the reference and all values that were sent: the row is applied, and the
             attempt `adopted`;
           - an invoice has the reference and another total: the row is rejected (DUPLICATE_VALUE);
           - nothing is found: the row is pending again, the attempt `lost`, and it is sent anew.

The first look-up decides the same where it finds something. Were row 7 a payment of 40.00, the
invoice would be looked up instead, which was planned to go from 100.00 paid to 140.00:

    140.00  The payment was done: the row is applied.
    100.00  Twice, it was not. A payment that is sent twice is paid twice, so it stays held for a
            person (NOT_FOUND_AFTER_SENDING).
    120.00  Somebody else has paid 20.00. Whether ours is still on its way nobody can tell: it stays
            held for a person as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from blsync.errors import ApiError, QuotaSpent
from blsync.ledger import plans
from blsync.ledger.plans import Operation, Problem, RowOutcome
from blsync.ledger.states import (
    Action,
    AttemptOutcome,
    EvidenceState,
    OnConflict,
    OperationState,
)
from blsync.push.apply import evidence
from blsync.push.apply.evidence import LookAlikes
from blsync.push.compare import changes, figure, from_text, version_of
from blsync.push.endpoint import Endpoint, Json, Sought
from blsync.push.lookup import RecordIndex, look_up, look_up_id, read_in_full
from blsync.push.plan.validate import problem
from blsync.push.work import ApplyContext, is_due

DUPLICATE_FOUND = "DUPLICATE_FOUND"
"""Code of an applied row for which there is more than one record."""
FOR_A_PERSON = "NOT_FOUND_AFTER_SENDING"
"""Code of a held row that no look-up found and that is not sent again by itself."""
NOT_AS_SENT = "NOT_AS_SENT"
"""Code of an applied row whose record has another value than was sent."""
NOT_VERIFIED = "NOT_VERIFIED"
"""Code of an applied row whose record could not be found to be compared."""
MOST_BY_ID = 20
"""Records that are read one by one, each by its own address."""


def is_for_a_person(row: Operation) -> bool:
    """Tell whether a held row waits for a person to decide."""
    return row.state == OperationState.HELD and (row.error or {}).get("code") == FOR_A_PERSON


async def settle_due(work: ApplyContext) -> set[int]:
    """Look up the held rows whose settle time is over; return those that are to be sent once more.

    Raises ApiError, QuotaSpent.
    """
    now = work.clock()
    # A row whose time lies ahead was sent by a machine with a wrong clock, and nobody knows when.
    # Its settle time begins now, so that it is neither looked up too early nor held for years.
    plans.date_back(work.ledger, work.plan.plan_id, now)
    held = plans.held_rows(work.ledger, work.plan.plan_id)
    rows = [one.operation for one in held if is_due(work.settings, one, now)]
    if not rows:
        return set()
    work.say(f"Looking up {len(rows)} rows that were sent and not answered.")
    known, alikes = await _looked_up(work, rows)
    settlement = work.endpoint.settlement
    settled: list[RowOutcome] = []
    missing: list[int] = []
    undecided: list[tuple[int, Problem | None]] = []
    for row in rows:
        alike = alikes.get(row.row)
        outcome = outcome_from_lookup(work, row, known) or _own(alike, row)
        if outcome is None and row.looked_up_at:
            if alike is not None:
                undecided.append((row.row, _unproven(work, alike)))
            elif settlement.may_resend(row, from_text(row.body)):
                outcome = RowOutcome(row.row, OperationState.PENDING, AttemptOutcome.LOST)
            else:
                undecided.append((row.row, _undecided(work)))
        elif outcome and outcome.state == OperationState.REJECTED and not settlement.is_own_record:
            # Others changed the record meanwhile: whether ours is among it, nobody can tell.
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


async def _looked_up(
    work: ApplyContext, rows: Sequence[Operation]
) -> tuple[RecordIndex, dict[int, LookAlikes]]:
    """Look rows up by what they are known by; and where a look-up was never seen to find such a
    row, those creates that it did not find by whatever else tells of them.
    """
    doubtful = [row for row in rows if work.endpoint.settlement.needs_proof(row)]
    witness = evidence.witness(work) if doubtful and not evidence.is_proven(work) else None
    sought = [*rows, witness] if witness else rows
    known = await _records(work, sought)
    if any(_found(work, row, known) for row in (*doubtful, *([witness] if witness else []))):
        evidence.learn(work, EvidenceState.KEPT)
    if evidence.is_proven(work):
        return known, {}
    unseen = [row for row in doubtful if not _found(work, row, known)]
    found = await evidence.look_alikes(work, unseen)
    return known, {row.row: found.get(row.row, LookAlikes()) for row in unseen}


def _own(alike: LookAlikes | None, row: Operation) -> RowOutcome | None:
    """Take a record that is the row's beyond doubt for what the row was to create."""
    if alike is None or alike.own is None:
        return None
    return RowOutcome(
        row.row, OperationState.APPLIED, AttemptOutcome.ADOPTED, remote_id=str(alike.own["id"])
    )


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

    A row is adopted where BigLedger has all that it wants already, and a delete where the record is
    gone. It is rejected where others changed its record since the plan was made, or created one
    with its key. A create needs no
    comparison where BigLedger itself refuses a second record of the same key.
    """
    settlement = work.endpoint.settlement
    doubtful = [r for r in rows if r.action != Action.CREATE or not settlement.has_unique_key]
    if not doubtful:
        return rows
    known = await _records(work, doubtful)
    settled: list[RowOutcome] = []
    behind: list[tuple[int, Problem | None]] = []
    done = _done_before(work)
    for row in doubtful:
        if done is not None and _is_behind(row, _found(work, row, known), done):
            behind.append((row.row, _not_listed(work)))
        elif outcome := _outcome_before_sending(work, row, known):
            settled.append(outcome)
    plans.settle(work.ledger, work.plan.plan_id, settled, work.clock(), seen=doubtful)
    plans.refuse_rows(work.ledger, work.plan.plan_id, behind)
    left_out = {o.row for o in settled} | {row for row, _ in behind}
    return [row for row in rows if row.row not in left_out]


def _done_before(work: ApplyContext) -> set[str] | None:
    """Return the `in_flight` groups of the applied rows; None where no two rows share a record."""
    if work.endpoint.settlement.is_own_record:
        return None
    return plans.groups(work.ledger, work.plan.plan_id, OperationState.APPLIED)


def _is_behind(row: Operation, found: Sequence[Json], done: Collection[str]) -> bool:
    """Tell whether the list does not show yet what earlier rows of the plan did to the record that
    this row is to change: it is not there at all, or has less than the plan expects before the row.
    """
    if not found:
        return True
    return row.in_flight in done and any(
        figure(found[0].get(name)) < before for name, (before, _) in from_text(row.changes).items()
    )


def _not_listed(work: ApplyContext) -> Problem:
    """Word that a list does not show the latest payment yet: the row stays to be sent."""
    message = (
        f"BigLedger's list does not show the {work.endpoint.settling.record} as it is after the "
        f"payments before this one; run push apply {work.plan.plan_id} again"
    )
    return problem("NOT_LISTED", None, message)


def _outcome_before_sending(
    work: ApplyContext, row: Operation, known: RecordIndex
) -> RowOutcome | None:
    """Return what became of a row that was not sent yet, None where it is to be sent as planned."""
    if work.plan.on_conflict == OnConflict.OURS and row.action == Action.UPDATE:
        return None
    outcome = outcome_from_lookup(work, row, known)
    overtaken = work.endpoint.settlement.overtaken
    if outcome and outcome.state == OperationState.APPLIED and overtaken:
        return RowOutcome(
            row.row, OperationState.REJECTED, AttemptOutcome.REJECTED, error=overtaken
        )
    return outcome


async def resolve_taken(
    work: ApplyContext, refused: Sequence[tuple[Operation, RowOutcome]]
) -> None:
    """Settle creates that were refused because the record exists: one that is as we wanted it is
    taken for ours, and adopted.
    """
    if not refused:
        return
    known = await _records(work, [row for row, _ in refused])
    # The record may be in the way by another field than the natural key: its number, its phone.
    named = {
        row.row: outcome.remote_id
        for row, outcome in refused
        if outcome.remote_id and not _found(work, row, known)
    }
    await look_up(work.client, work.endpoint.listing, "id", filter(None, named.values()), known)
    settled = []
    for row, outcome in refused:
        records = known.find("id", named.get(row.row) or "")
        found = outcome_from_lookup(work, row, known) or _of_record(work, row, records)
        # Somebody else has created it: what takes the plan back leaves it alone.
        code = (outcome.error or {}).get("code")
        settled.append(replace(found, refused=code) if found else outcome)
    plans.settle(work.ledger, work.plan.plan_id, settled, work.clock())


async def verify(work: ApplyContext) -> None:
    """Read the applied rows back and compare; a failure to read changes nothing of them."""
    applied = plans.operations_of(work.ledger, work.plan.plan_id, OperationState.APPLIED)
    rows = [row for row in applied if not row.is_verified and _is_worth_reading(row)]
    if not rows:
        return
    try:
        known = await _read_back(work, rows)
    except (ApiError, QuotaSpent) as error:
        work.say(f"The rows were applied but could not be read back: {error}")
        return
    # Several payments may be seen in one invoice: it shows what the plan expects after the last.
    last = {_sought(work, row): row for row in applied}
    seen: list[tuple[int, Problem | None]] = []
    versions: dict[int, str] = {}
    for row in rows:
        found = _found(work, row, known) or known.find("id", row.remote_id or "")
        if row.action == Action.DELETE:
            seen.append((row.row, _still_there(work, row) if found else None))
            continue
        why = _difference(work, last[_sought(work, row)], found) if found else _not_seen(work, row)
        seen.append((row.row, why))
        if found and (version := version_of(found[0])):
            versions[row.row] = version
    plans.verified(work.ledger, work.plan.plan_id, seen, versions)
    if wrong := sum(why is not None for _, why in seen):
        work.say(f"{wrong} applied rows read back otherwise than they were sent: see push show.")


def _is_worth_reading(row: Operation) -> bool:
    return (row.error or {}).get("code") in (None, NOT_AS_SENT, NOT_VERIFIED)


async def _read_back(work: ApplyContext, rows: Sequence[Operation]) -> RecordIndex:
    """Read what applied rows are known by, and what that does not find by its id.

    What is seen of creates tells whether look-ups can be relied on.
    """
    known = await _records(work, rows)
    settlement = work.endpoint.settlement
    created = [row for row in rows if settlement.needs_proof(row)]
    unseen = [r for r in rows if r.action != Action.DELETE and not _found(work, r, known)]
    if any(row not in unseen for row in created):
        evidence.learn(work, EvidenceState.KEPT)
    ids = {row.row: _id_to_read(work, row) for row in unseen}
    listing = work.endpoint.settling
    if len(unseen) > MOST_BY_ID:
        await look_up(work.client, listing, "id", filter(None, ids.values()), known)
    left = [one for one in ids.values() if one and not known.find("id", one)]
    for one in left[:MOST_BY_ID]:
        await look_up_id(work.client, listing, one, known)
    evidence.learn_from(work, [row for row in unseen if row in created], known)
    return known


def _id_to_read(work: ApplyContext, row: Operation) -> str | None:
    """Return the id of the record that shows what became of a row."""
    sought = _sought(work, row)
    return sought.value if sought.name == "id" else row.remote_id


def _not_seen(work: ApplyContext, row: Operation) -> Problem:
    named = f" as {row.remote_id}" if row.remote_id else ""
    message = (
        f"BigLedger answered that it took the {work.endpoint.record}{named}, and shows none; look "
        f"at BigLedger, then run push apply {work.plan.plan_id} again: it reads and sends nothing"
    )
    return problem(NOT_VERIFIED, None, message)


def outcome_from_lookup(
    work: ApplyContext, row: Operation, known: RecordIndex
) -> RowOutcome | None:
    """Return what BigLedger's records tell of a row, None where nothing shows that it was done."""
    found = _found(work, row, known)
    if row.action == Action.DELETE:
        return _of_deletion(work, row, found)
    return _of_record(work, row, found)


def _of_deletion(work: ApplyContext, row: Operation, found: list[Json]) -> RowOutcome | None:
    if not found:
        return RowOutcome(row.row, OperationState.APPLIED, AttemptOutcome.ADOPTED)
    if not has_changed(work.endpoint, from_text(row.before or "{}"), found[0]):
        return None
    message = (
        f"the {work.endpoint.record} changed at BigLedger since the plan was made, so it was not "
        "deleted; plan the row again to see it"
    )
    why = problem("CONFLICT", "updatedAt", message)
    return RowOutcome(row.row, OperationState.REJECTED, AttemptOutcome.REJECTED, error=why)


def has_changed(endpoint: Endpoint, before: Json, now: Json) -> bool:
    """Tell whether a record is another than it was: what can be written of it, or its version."""
    if version_of(before) != version_of(now):
        return True
    heads = {name.partition(".")[0] for name in endpoint.rules}
    written = {name: value for name, value in before.items() if name in heads}
    return bool(changes(endpoint, now, written))


def _still_there(work: ApplyContext, row: Operation) -> Problem:
    message = (
        f"BigLedger answered that it deleted the {work.endpoint.record} {row.remote_id}, and still "
        "shows it; look at BigLedger"
    )
    return problem(NOT_AS_SENT, None, message)


def _of_record(work: ApplyContext, row: Operation, found: list[Json]) -> RowOutcome | None:
    if not found:
        return None
    record, settlement = found[0], work.endpoint.settlement
    remote_id = settlement.remote_id(record)
    differing = changes(work.endpoint, record, _evidence(work, row))
    if not differing:
        return RowOutcome(
            row.row,
            OperationState.APPLIED,
            AttemptOutcome.ADOPTED,
            remote_id=remote_id,
            error=_duplicates(work, found),
        )
    is_change = settlement.is_change(row)
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


def _sought(work: ApplyContext, row: Operation) -> Sought:
    """Return by what the row's record is found."""
    return work.endpoint.settlement.sought(work.endpoint, row, from_text(row.body))


def _evidence(work: ApplyContext, row: Operation) -> Mapping[str, Any]:
    """Return the fields that show that a row was done."""
    body, changed = from_text(row.body), from_text(row.changes)
    return work.endpoint.settlement.evidence(work.endpoint, body, changed)


def _found(work: ApplyContext, row: Operation, known: RecordIndex) -> list[Json]:
    sought = _sought(work, row)
    return [
        record
        for record in known.find(sought.name, sought.value)
        if all(str(record.get(name)) == value for name, value in sought.parts)
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
    told = list(rows)
    for row in told:
        sought = _sought(work, row)
        wanted.setdefault(sought.name, []).append(sought.value)
    known = RecordIndex()
    for name, values in wanted.items():
        await look_up(work.client, work.endpoint.settling, name, values, known)
    # That a record is gone is told by its own address, too: a list may leave records out.
    unseen = [r for r in told if r.action == Action.DELETE and not _found(work, r, known)]
    for row in unseen[:MOST_BY_ID]:
        await look_up_id(work.client, work.endpoint.settling, str(row.remote_id), known)
    await read_in_full(work.client, work.endpoint.settling, known, _compared(work, told))
    return known


def _compared(work: ApplyContext, rows: Iterable[Operation]) -> set[str]:
    """Return the fields by which it is told what became of rows."""
    found: set[str] = set()
    for row in rows:
        is_delete = row.action == Action.DELETE
        found |= from_text(row.before or "{}").keys() if is_delete else _evidence(work, row).keys()
    return found


def _undecided(work: ApplyContext) -> Problem:
    message = (
        f"the {work.endpoint.record} was sent and never answered, and BigLedger does not show that "
        "it was done. It is not sent again, as that could do it twice: look at BigLedger, then run "
        f"push retry {work.plan.plan_id}"
    )
    return problem(FOR_A_PERSON, None, message)


def _unproven(work: ApplyContext, alike: LookAlikes) -> Problem:
    """Word that nobody can tell what became of a row, with what may be its record."""
    endpoint = work.endpoint
    found = "no other sign of it was found either"
    if alike.ids:
        found = f"it may be one of these: {', '.join(alike.ids[:5])}"
    message = (
        f"the {endpoint.record} was sent and never answered, and look-ups by {endpoint.natural_key}"
        f" were not seen to work at this server, so finding none tells nothing; {found}. It is not "
        f"sent again: look at BigLedger, then run push retry {work.plan.plan_id}"
    )
    return problem(FOR_A_PERSON, None, message)


def _duplicates(work: ApplyContext, found: list[Json]) -> Problem | None:
    if not work.endpoint.settlement.are_duplicates(found):
        return None
    ids = ", ".join(str(record.get("id")) for record in found)
    message = f"{len(found)} records at BigLedger stand for this row: {ids}; void all but one"
    return problem(DUPLICATE_FOUND, work.endpoint.natural_key, message)


def _difference(work: ApplyContext, row: Operation, found: list[Json]) -> Problem | None:
    if duplicates := _duplicates(work, found):
        return duplicates
    differing = changes(work.endpoint, found[0], _evidence(work, row))
    if not differing:
        return None
    fields = ", ".join(differing)
    message = f"BigLedger took the row but holds another value in {fields}; compare the two"
    return problem(NOT_AS_SENT, next(iter(differing)), message)
