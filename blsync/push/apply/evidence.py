"""Evidence: whether that a look-up finds nothing tells that nothing was done.

A look-up knows a record by its natural key: an email, or a reference with our token. That it finds
none tells something only where it would find one, and a server may drop the reference, or not
filter by it. So the first write that is answered is read back, and until that has been found by its
key, a row goes out alone first, and a row that was not answered is never sent again.

An example: a server that drops references, and a plan of 40 invoices.

    10:00  The first invoice goes out alone, and no answer comes. It is held.
    10:00  The second goes out alone, and is answered with its id. No look-up finds its reference,
           and the record of that id has none: what was seen is kept in the ledger (`forgotten`).
    10:00  The other 38 go out together.
    10:15  The first one is looked up. By its reference there is nothing, which tells nothing. So
           invoices of its customer are read that were created since 10:00. One has its date, its
           amount and all else, and no row of ours stands for it: the row is applied. Were there
           none, or two of them, the row would stay held for a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from blsync.clock import LARGEST_SKEW, plausible
from blsync.errors import ApiError, QuotaSpent
from blsync.ledger import Ledger, evidence, plans
from blsync.ledger.evidence import Evidence
from blsync.ledger.plans import Operation
from blsync.ledger.states import Action, EvidenceState, OperationState
from blsync.push.compare import changes, from_text
from blsync.push.endpoint import Endpoint, Json, Likeness
from blsync.push.lookup import RecordIndex, created_since, look_up, look_up_id, read_in_full
from blsync.push.work import ApplyContext
from blsync.settings import Company
from blsync.text.natural_keys import normal_form

MOST_TRIALS = 3
"""Rows that go out alone, one after the other, while none of them can be read back."""
_CUT_OFF = timedelta(minutes=1)
"""By how much a time of creation may have been cut off."""


@dataclass
class Trial:
    """How many rows may still go out alone before the others follow."""

    left: int = MOST_TRIALS

    def first_part(self, work: ApplyContext, rows: list[Operation]) -> list[Operation]:
        """Return the rows to send now: one alone, where a look-up was never seen to find one."""
        at = next((n for n, row in enumerate(rows) if row.action == Action.CREATE), None)
        if at is None or len(rows) == 1 or not self.left or is_proven(work):
            return rows
        return rows[: max(at, 1)]


@dataclass(frozen=True)
class LookAlikes:
    """What was found of a row by its party, date, amount and time of creation.

    `own` is the record that is the row's beyond doubt, None where there is none. `ids` are those of
    all that may be.
    """

    own: Json | None = None
    ids: tuple[str, ...] = ()


@dataclass
class _Group:
    """Rows that the same records may stand for."""

    rows: list[Operation] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)


def is_proven(work: ApplyContext) -> bool:
    """Tell whether look-ups were seen to find what this endpoint writes at this server."""
    return _state(work) == EvidenceState.KEPT


async def check(work: ApplyContext, rows: Sequence[Operation], trial: Trial) -> None:
    """Read back what went out alone, where it was done, and keep what was seen."""
    numbers = {row.row for row in rows if row.action == Action.CREATE}
    if not numbers:
        return
    trial.left -= 1
    done = plans.operations_of(work.ledger, work.plan.plan_id, OperationState.APPLIED)
    answered = [row for row in done if row.row in numbers]
    if not answered:
        return
    trial.left = 0
    try:
        await _examine(work, answered[0])
    except (ApiError, QuotaSpent) as error:
        work.say(f"What was written first could not be read back: {error}")


async def _examine(work: ApplyContext, row: Operation) -> None:
    """See whether look-ups find a row that is applied."""
    endpoint, known = work.endpoint, RecordIndex()
    key = endpoint.natural_key
    value = str(from_text(row.body).get(key))
    await look_up(work.client, endpoint.listing, key, [value], known)
    if known.find(key, value):
        learn(work, EvidenceState.KEPT)
    elif not endpoint.settlement.is_own_record:
        learn(work, EvidenceState.FORGOTTEN)
    elif row.remote_id:
        await look_up_id(work.client, endpoint.listing, row.remote_id, known)
        learn_from(work, [row], known)


def learn_from(work: ApplyContext, rows: Iterable[Operation], known: RecordIndex) -> None:
    """Keep what records that were read by their ids show of the natural key."""
    key = work.endpoint.natural_key
    for row in rows:
        if known.find("id", row.remote_id or ""):
            has_key = bool(known.find(key, str(from_text(row.body).get(key))))
            if not has_key:
                learn(work, EvidenceState.FORGOTTEN)
            elif not is_proven(work):
                learn(work, EvidenceState.UNLISTED)
            return


def learn(work: ApplyContext, state: EvidenceState) -> None:
    """Keep what was seen, where it is news, and say what it means."""
    if _state(work) == state:
        return
    endpoint = work.endpoint
    found = Evidence(endpoint.name, work.client.company.base_url, state, work.clock())
    evidence.learn(work.ledger, work.plan.company_id, found)
    if state != EvidenceState.KEPT:
        work.say(f"{endpoint.name}: {told(endpoint, state)}")


def of_server(ledger: Ledger, company: Company) -> dict[str, Evidence]:
    """Return what was seen at a company's server, by endpoint."""
    seen = evidence.seen(ledger, company.company_id)
    return {one.endpoint: one for one in seen if one.base_url == company.base_url}


def told(endpoint: Endpoint, state: EvidenceState) -> str:
    """Word what was seen, and what it means for pushes."""
    article = "an" if endpoint.record[0] in "aeiou" else "a"
    record = f"{article} {endpoint.record}"
    seen = _SEEN[state].format(record=record, key=endpoint.natural_key)
    if state == EvidenceState.KEPT:
        return seen
    if not endpoint.settlement.is_own_record:
        return f"{seen}; whether one was made before is told by the ledger of blsync alone"
    return (
        f"{seen}; what is not answered is looked for by party, date and amount instead, and never "
        "sent again by itself"
    )


_SEEN = {
    EvidenceState.KEPT: "a look-up by {key} finds {record} that was written",
    EvidenceState.UNLISTED: "a look-up by {key} does not find {record} that has it",
    EvidenceState.FORGOTTEN: "BigLedger does not show the {key} of {record} that was written",
}


def _state(work: ApplyContext) -> EvidenceState | None:
    base_url = work.client.company.base_url
    return evidence.state_of(work.ledger, work.plan.company_id, work.plan.endpoint, base_url)


def witness(work: ApplyContext) -> Operation | None:
    """Return the latest row of the endpoint that is known to be done, to be looked up beside those
    of which nothing is known.
    """
    done = evidence.applied_creates(work.ledger, work.plan.company_id, work.plan.endpoint)
    return done[-1] if done else None


async def look_alikes(work: ApplyContext, rows: Sequence[Operation]) -> dict[int, LookAlikes]:
    """Look for the records of rows by what else than the natural key they are known by.

    A record is a row's own where it has all that was sent, was created since the row was sent,
    stands for no other row, and there are as many such records as rows. Raises ApiError,
    QuotaSpent.
    """
    likeness = work.endpoint.settlement.likeness
    if likeness is None or not rows:
        return {}
    sent_at = plans.first_sent(work.ledger, work.plan.plan_id)
    since = {row.row: _server_time(work, sent_at[row.row]) for row in rows}
    bodies = {row.row: from_text(row.body) for row in rows}
    parties = (str(body.get(likeness.party)) for body in bodies.values())
    found = await created_since(
        work.client, work.endpoint.listing, min(since.values()), likeness.party, parties
    )
    compared = {name for body in bodies.values() for name in work.endpoint.comparable(body)}
    compared.discard(work.endpoint.natural_key)
    await read_in_full(work.client, work.endpoint.listing, found, compared)
    taken = _taken_ids(work)
    free = [record for record in found.all() if str(record["id"]) not in taken]
    return _told_apart(work, likeness, rows, bodies, since, free)


def _told_apart(
    work: ApplyContext,
    likeness: Likeness,
    rows: Sequence[Operation],
    bodies: Mapping[int, Json],
    since: Mapping[int, datetime],
    free: Sequence[Json],
) -> dict[int, LookAlikes]:
    alike = {
        row.row: [r for r in free if _is_alike(work, likeness, bodies[row.row], r)] for row in rows
    }
    groups: dict[tuple[str, ...], _Group] = defaultdict(_Group)
    for row in rows:
        same = [
            record
            for record in alike[row.row]
            if _is_since(record, since[row.row]) and _is_same(work, bodies[row.row], record)
        ]
        group = groups[tuple(sorted(str(record["id"]) for record in same))]
        group.rows.append(row)
        group.records = sorted(same, key=lambda record: str(record.get("createdAt")))
    own = {
        row.row: record
        for group in groups.values()
        if len(group.records) == len(group.rows)
        for row, record in zip(group.rows, group.records, strict=True)
    }
    return {
        number: LookAlikes(own.get(number), tuple(str(record["id"]) for record in records))
        for number, records in alike.items()
    }


def _is_alike(work: ApplyContext, likeness: Likeness, body: Json, record: Json) -> bool:
    """Tell whether a record without our key has a row's party, date and amount."""
    shown = str(record.get(work.endpoint.natural_key) or "").strip()
    if shown and normal_form(shown) not in normal_form(str(body.get(work.endpoint.natural_key))):
        return False
    wanted = {name: body[name] for name in likeness.fields if name in body}
    try:
        is_amount = likeness.amount(record) == likeness.amount(body)
    except (ArithmeticError, KeyError, TypeError, AttributeError):
        return False  # a record that is not made as documented
    return is_amount and not changes(work.endpoint, record, wanted)


def _is_same(work: ApplyContext, body: Json, record: Json) -> bool:
    wanted: dict[str, Any] = dict(work.endpoint.comparable(body))
    wanted.pop(work.endpoint.natural_key, None)
    return not changes(work.endpoint, record, wanted)


def _is_since(record: Json, since: datetime) -> bool:
    try:
        at = plausible(datetime.fromisoformat(str(record.get("createdAt"))))
    except ValueError:
        return False
    return at is not None and at >= since


def _server_time(work: ApplyContext, sent_at: datetime) -> datetime:
    """Return the earliest that the server's clock can have shown when a row was sent."""
    return sent_at - LARGEST_SKEW - _CUT_OFF


def _taken_ids(work: ApplyContext) -> set[str]:
    """Return the ids of records that stand for rows already."""
    done = evidence.applied_creates(work.ledger, work.plan.company_id, work.plan.endpoint)
    return {row.remote_id for row in done if row.remote_id}
