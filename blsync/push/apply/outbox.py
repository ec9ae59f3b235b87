"""Apply: the intent is in the ledger before the request goes out, the outcome after.

BigLedger knows no idempotency key. A row whose answer never came is held, left alone for the
settle time and then looked up (`settle`); nothing is sent again that may be under way.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from blsync.clock import is_ahead
from blsync.errors import (
    ApiError,
    BlsyncError,
    NotSent,
    SafetyLimit,
    Unanswered,
)
from blsync.files.unexpected import apart
from blsync.ledger import plans
from blsync.ledger.plans import OpenJob, Operation, Plan, RowOutcome
from blsync.ledger.states import SENDS, AttemptOutcome, OperationState, PlanState
from blsync.push import approval
from blsync.push.apply import evidence, jobs, settle
from blsync.push.apply.evidence import Trial
from blsync.push.apply.results import MAY_BE_ONE_ROW, is_taken, outcomes_of, refusal, unanswered
from blsync.push.apply.settle import DUPLICATE_FOUND
from blsync.push.caps import Caps, over_cap
from blsync.push.dialects import BATCH, MOST_AT_ONCE, check_sendable, encoded, terms_of
from blsync.push.endpoints import EVERY, endpoint_named
from blsync.push.plan.validate import problem
from blsync.push.report import STATES, PlanReport, report_of
from blsync.push.work import ApplyContext, company_of, only_apply, plan_named, refuse_emptied
from blsync.session import Session
from blsync.session.loss import refuse_older

UNANSWERED_IN_A_ROW = 3
"""Requests without an answer, one after the other, before the rest is left for later."""
ANSWERED_BEFORE_LIMIT = 100
"""Rows answered before the share of rejected ones counts (interface.md, section 1)."""
VALID_FOR = timedelta(hours=24)
"""How long after it was made a plan may be begun; after that too much may have changed."""


def apply(session: Session, plan_id: str, *, dry_run: bool = False) -> PlanReport:
    """Send what a plan holds, or go on where an earlier run stopped; a finished plan sends nothing.

    First settles what was held long enough, then sends what is pending, then reads back.
    `plan_id` may be the beginning of one. Where the session does not wait, it waits
    neither for the hour's quota nor between two look-ups. The report's `exit_code` is 3 where rows
    were rejected or are left.

    Raises ConfigError, Unauthorized, Forbidden, StorageError, ApiError, QuotaSpent, and
    SafetyLimit where the plan is too old, was made anew since, is larger than the settings allow,
    was rejected or lacks an approval that it needs, or too many rows are rejected; in each case the
    ledger knows every row's state.
    """
    plan = plan_named(session.ledger, plan_id)
    if plans.tally(session.ledger, plan.plan_id).get(OperationState.PENDING):
        refuse_emptied(plan, "they cannot be sent")
    elif plan.emptied_at:  # what was sent cannot be compared any more with what is there
        return _reported(_context(session, plan))
    if dry_run:
        _refuse_if_stale(session, plan)
        rows = plans.operations_of(session.ledger, plan.plan_id)
        approval.refuse(session.settings, plan, rows)
        check_sendable(session.settings, endpoint_named(plan.endpoint), rows)
        return _told(session, plan)
    return asyncio.run(_apply(_context(session, plan)))


def settle_all(session: Session) -> list[PlanReport]:
    """Look up what became of every held row whose settle time is over, in all plans.

    A row that was lost is sent once more where that can do no harm; nothing else is sent. A plan
    that cannot be settled, because its company is no longer in the settings or for whatever other
    reason, is said and left as it is (exit code 3); the others are settled. Raises StorageError.
    """
    ledger, reports = session.ledger, []
    order = list(EVERY)  # what others refer to comes first
    for plan in sorted(plans.holding(ledger), key=lambda p: order.index(p.endpoint)):
        try:
            reports.append(asyncio.run(_settle(_context(session, plan))))
        except Exception as error:  # one plan's failure keeps no other one from its end
            told = apart(error, f"Settling plan {plan.plan_id}", session.settings.data)
            session.say(f"Plan {plan.plan_id} cannot be settled: {told}")
            reports.append(replace(report_of(ledger, plan.plan_id), exit_code=3))
    return reports


def _context(session: Session, plan: Plan) -> ApplyContext:
    company = company_of(session.settings, plan)
    return ApplyContext(session, plan, endpoint_named(plan.endpoint), session.client(company))


def _told(session: Session, plan: Plan) -> PlanReport:
    endpoint = endpoint_named(plan.endpoint)
    count = plans.tally(session.ledger, plan.plan_id).get(OperationState.PENDING, 0)
    terms = terms_of(session.settings, endpoint)
    requests = -(-count // terms.limit)
    session.say(
        f"Would send {count} rows in {requests} requests or more to {terms.path}; nothing is sent."
    )
    return report_of(session.ledger, plan.plan_id)


async def _apply(work: ApplyContext) -> PlanReport:
    plan_id = work.plan.plan_id
    async with only_apply(work), work.client:
        refuse_older(work.ledger, plan_id)
        _refuse_if_stale(work.session, _now(work))
        approval.refuse(work.settings, _now(work), _rows(work), work.client.company.base_url)
        if _left(work):
            check_sendable(work.settings, work.endpoint, _rows(work))
            await _end_jobs(work)
            await settle.settle_due(work)
            await _send_pending(work)
            if await settle.settle_again(work):
                await _send_pending(work)
        plans.finish(work.ledger, plan_id, work.clock())
        await settle.verify(work)
        if _is_over_limit(work) and plans.tally(work.ledger, plan_id).get(OperationState.PENDING):
            raise _limit_reached(work)
    return _reported(work)


async def _settle(work: ApplyContext) -> PlanReport:
    async with only_apply(work), work.client:
        refuse_older(work.ledger, work.plan.plan_id)
        await _end_jobs(work)
        lost = await settle.settle_due(work)
        lost |= await settle.settle_again(work)
        await _send_pending(work, only=lost)
        plans.finish(work.ledger, work.plan.plan_id, work.clock())
        await settle.verify(work)
    return _reported(work)


def _reported(work: ApplyContext) -> PlanReport:
    _say_what_is_left(work)
    report = report_of(work.ledger, work.plan.plan_id)
    twice = [o for o in report.operations if (o.error or {}).get("code") == DUPLICATE_FOUND]
    if twice:
        work.say(f"{len(twice)} rows stand for more than one record at BigLedger: see push show.")
    sent = sum(o.action in SENDS for o in report.operations)
    applied, verified = report.outcomes[OperationState.APPLIED], report.outcomes["verified"]
    if applied > verified:
        work.say(
            f"{applied - verified} of {applied} applied rows could not be verified: see push show."
        )
    is_done = applied == verified == sent and not twice
    return replace(report, exit_code=0 if is_done else 3)


def _rows(work: ApplyContext) -> list[Operation]:
    return plans.operations_of(work.ledger, work.plan.plan_id)


def _now(work: ApplyContext) -> Plan:
    """Return the plan as it is by now: another apply may have begun or ended it."""
    return plans.find(work.ledger, work.plan.plan_id)[0]


def _refuse_if_stale(session: Session, plan: Plan) -> None:
    """Raise SafetyLimit for a plan that nobody should begin to apply any more.

    One that was begun goes on: each row is compared once more before it is sent.
    """
    if plan.state != PlanState.PLANNED:
        return
    now, ledger = session.clock(), session.ledger
    again = "plan the file again"
    if is_ahead(plan.created_at, now):
        raise SafetyLimit(
            f"Plan {plan.plan_id} is dated {plan.created_at:%Y-%m-%d %H:%M} UTC, ahead of this "
            f"clock, which says {now:%Y-%m-%d %H:%M}: one of the two is wrong, so nobody knows "
            f"how old it is. See to the clock, then {again}. Nothing was sent."
        )
    if now - plan.created_at > VALID_FOR:
        raise SafetyLimit(
            f"Plan {plan.plan_id} was made more than 24 hours ago, and BigLedger has moved on "
            f"since: {again}. Nothing was sent."
        )
    if newer := plans.superseded_by(ledger, plan, now):
        raise SafetyLimit(
            f"Plan {plan.plan_id} is superseded: the newer plan {newer} sends some of the same "
            f"rows. Apply that one, or {again}. Nothing was sent."
        )
    if told := _over_cap(session, plan):
        raise SafetyLimit(
            f"Plan {plan.plan_id} is larger than the settings allow: {told}. Split the file, or "
            "raise the setting. Nothing was sent."
        )


def _over_cap(session: Session, plan: Plan) -> str:
    given = session.settings
    caps = Caps(
        given.push_max_creates,
        given.push_max_updates,
        given.push_max_money,
        given.push_max_deletes,
    )
    report = report_of(session.ledger, plan.plan_id)
    return over_cap(report, caps, lambda what: f"BLSYNC_PUSH_MAX_{what.upper()}")


def _say_what_is_left(work: ApplyContext) -> None:
    waiting = plans.held_rows(work.ledger, work.plan.plan_id)
    for_a_person = [held for held in waiting if settle.is_for_a_person(held.operation)]
    if for_a_person:
        work.say(
            f"{len(for_a_person)} rows were sent, never answered and not found at BigLedger; they "
            "are not sent again, as that could do them twice. Look at BigLedger; `blsync push "
            f"retry {work.plan.plan_id}` plans them anew."
        )
    if in_jobs := sum(held.job_id is not None for held in waiting):
        work.say(
            f"{in_jobs} rows are in jobs that BigLedger has not ended. Run `blsync push apply "
            f"{work.plan.plan_id}` again: it asks for the same jobs, and sends nothing twice."
        )
    if len(waiting) > len(for_a_person) + in_jobs:
        others = [h for h in waiting if h not in for_a_person and h.job_id is None]
        at = max(held.since for held in others) + work.settle_time
        work.say(
            f"{len(others)} rows were sent and not answered. Run `blsync push apply "
            f"{work.plan.plan_id}` after {at.astimezone(work.settings.zone):%Y-%m-%d %H:%M:%S %Z}: "
            "it looks them up first, and sends nothing twice."
        )


def _left(work: ApplyContext) -> bool:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    return bool(tally.get(OperationState.PENDING) or tally.get(OperationState.HELD))


async def _send_pending(work: ApplyContext, only: Collection[int] | None = None) -> None:
    """Send the pending rows in batches, or `only` those of them.

    Stays pending: what may not be under way together with a held row, and, after several requests
    without an answer or too many rejected rows, the rest. Raises SafetyLimit where the plan may not
    be sent by now; with `only`, that is said.
    """
    rows = _rows(work)
    if any(row.state == OperationState.PENDING for row in rows) and only != set():
        check_sendable(work.settings, work.endpoint, rows)
        # Of the very rows that are sent below: what changes after this look is not sent.
        base_url = work.client.company.base_url
        if why := approval.refusal(work.settings, _now(work), rows, base_url):
            if only is None:
                raise SafetyLimit(f"{why} Nothing more was sent.")
            work.say(why)
            return
    waiting = deque(row for row in _sendable(work, rows) if only is None or row.row in only)
    unanswered, trial = 0, Trial()
    while waiting and not _is_over_limit(work):
        batch = _next_batch(work, waiting)
        if not batch:
            return
        rest = await settle.unchanged(work, batch)
        is_answered = True
        while rest and is_answered:
            part = trial.first_part(work, rest)
            is_answered = await _send_halves(work, part)
            rest = rest[len(part) :]
            if rest:
                await evidence.check(work, part, trial)
        waiting.extendleft(reversed(rest))
        unanswered = 0 if is_answered else unanswered + 1
        _say_progress(work)
        if unanswered == UNANSWERED_IN_A_ROW and waiting:
            work.say(
                f"{unanswered} requests in a row were not answered; the rest is left for later."
            )
            return


def _next_batch(work: ApplyContext, waiting: deque[Operation]) -> list[Operation]:
    """Take the next rows off the queue, in the order of the file, of each `in_flight` group one."""
    busy = plans.groups(work.ledger, work.plan.plan_id, OperationState.HELD)
    batch: list[Operation] = []
    kept: list[Operation] = []
    while waiting and len(batch) < work.terms.limit:
        row = waiting.popleft()
        (kept if row.in_flight in busy else batch).append(row)
        if row.in_flight:
            busy.add(row.in_flight)
    waiting.extendleft(reversed(kept))
    return batch


def _sendable(work: ApplyContext, planned: list[Operation]) -> list[Operation]:
    """Return the pending rows, less those whose record another plan holds unanswered."""
    plan = work.plan
    keys = plans.held_elsewhere(work.ledger, plan.company_id, plan.endpoint, but=plan.plan_id)
    rows, blocked = [], []
    for row in planned:
        if row.state != OperationState.PENDING:
            continue
        if holder := keys.holder(row):
            message = f"plan {holder} sent a change of this record that is not answered yet"
            cure = f"run push apply {holder} until it is settled, then this plan again"
            blocked.append((row.row, problem("HELD_ELSEWHERE", None, f"{message}; {cure}")))
        else:
            rows.append(row)
    plans.refuse_rows(work.ledger, plan.plan_id, blocked)
    return rows


class _Refused(Exception):
    """The whole request was refused, perhaps for one of its rows."""


async def _send_halves(work: ApplyContext, batch: list[Operation]) -> bool:
    """Send a batch, in halves where it is refused as a whole; tell whether an answer came."""
    queue = deque([batch] if batch else [])
    is_answered = True
    while queue:
        chunk = queue.popleft()
        try:
            is_answered = await _send(work, chunk) and is_answered
        except _Refused:
            half = len(chunk) // 2
            queue.extendleft((chunk[half:], chunk[:half]))
    return is_answered


async def _send(work: ApplyContext, chunk: list[Operation]) -> bool:
    """Send a chunk; tell whether an answer came. Raises _Refused where halves should be tried."""
    plan_id = work.plan.plan_id
    # The settle time of each row counts from here, so this clock must be right.
    await work.client.check_clock()
    dialect = work.dialect
    if dialect.is_paced and len(chunk) > MOST_AT_ONCE and not await jobs.is_free(work):
        work.say("BigLedger works at as many jobs as it takes; the rest is left for later.")
        return False
    batch_id, actor = uuid.uuid4().hex, work.session.actor
    rows = plans.claim(work.ledger, plan_id, chunk, batch_id, work.clock(), actor)
    if not rows:
        return True
    try:
        body = encoded(dialect.body(rows, batch_id))
        records = len(rows) if dialect.is_paced else None
        answer = await work.client.post(work.terms.path, body, records=records)
    except NotSent as error:
        back = [RowOutcome(row.row, OperationState.PENDING, AttemptOutcome.REFUSED) for row in rows]
        plans.settle(work.ledger, plan_id, back, work.clock(), error.request_id)
        raise
    except Unanswered as error:
        why = f"BigLedger did not answer (status {error.status or 'none'})"
        outcomes = [unanswered(row, why) for row in rows]
        plans.settle(work.ledger, plan_id, outcomes, work.clock(), error.request_id)
        return False
    except BlsyncError as error:
        await _take_back(work, rows, error)
        return True
    if dialect.is_paced and (job_id := jobs.job_of(answer.data)):
        job = plans.note_job(work.ledger, plan_id, rows, batch_id, job_id)
        return job is None or await _end_job(work, job)
    outcomes, strays = outcomes_of(work.endpoint, rows, answer.data, dialect.reader(rows, batch_id))
    if strays:
        work.say(f"{strays} results belong to no row that was sent (request {answer.request_id}).")
    await _record(work, rows, outcomes, answer.request_id)
    return True


async def _end_jobs(work: ApplyContext) -> None:
    """Go on with the jobs that an earlier run has begun."""
    for job in plans.open_jobs(work.ledger, work.plan.plan_id):
        await _end_job(work, job)


async def _end_job(work: ApplyContext, job: OpenJob) -> bool:
    """Wait for a job, and write what became of its rows; tell whether that is known."""
    rows = list(job.operations)
    try:
        data, request_id = await jobs.results_of(work, job)
    except jobs.JobRuns as error:
        work.say(f"{error}; its {len(rows)} rows stay held, and the next run asks for it again.")
        return False
    except jobs.JobLost as error:
        work.say(f"{error}: look-ups will tell what became of its {len(rows)} rows.")
        outcomes = [unanswered(row, str(error)) for row in rows]
        plans.settle(work.ledger, work.plan.plan_id, outcomes, work.clock(), seen=rows)
        return False
    outcomes, _ = outcomes_of(work.endpoint, rows, data, BATCH.reader(rows, job.batch_id))
    await _record(work, rows, outcomes, request_id)
    return True


async def _record(
    work: ApplyContext, rows: list[Operation], outcomes: list[RowOutcome], request_id: str | None
) -> None:
    """Write the outcomes. A create that was refused because its record exists stays held until a
    look-up has told whether that record is ours.
    """
    taken = [
        (row, outcome)
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.state == OperationState.REJECTED and is_taken(row, outcome.error)
    ]
    open_rows = {row.row for row, _ in taken}
    written = [
        RowOutcome(o.row, OperationState.HELD, AttemptOutcome.REJECTED, error=o.error)
        if o.row in open_rows
        else o
        for o in outcomes
    ]
    plans.settle(work.ledger, work.plan.plan_id, written, work.clock(), request_id)
    await settle.resolve_taken(work, taken)


async def _take_back(work: ApplyContext, rows: list[Operation], error: BlsyncError) -> None:
    """Settle rows whose request was refused as a whole, with nothing done.

    Raises `error`, or _Refused where it may concern one row alone.
    """
    plan_id, at = work.plan.plan_id, work.clock()
    request_id = error.request_id if isinstance(error, ApiError) else None
    if isinstance(error, ApiError) and error.status in MAY_BE_ONE_ROW and len(rows) == 1:
        outcome = refusal(work.endpoint, rows[0], error)
        await _record(work, rows, [outcome], request_id)
        return
    back = [RowOutcome(row.row, OperationState.PENDING, AttemptOutcome.REFUSED) for row in rows]
    plans.settle(work.ledger, plan_id, back, at, request_id)
    if isinstance(error, ApiError) and error.status in MAY_BE_ONE_ROW:
        raise _Refused
    raise error


def _say_progress(work: ApplyContext) -> None:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    told = ", ".join(f"{tally[state]} {state}" for state in STATES if state in tally)
    work.say(f"{work.endpoint.name}: {told}.")


def _is_over_limit(work: ApplyContext) -> bool:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    rejected = tally.get(OperationState.REJECTED, 0)
    answered = tally.get(OperationState.APPLIED, 0) + rejected
    allowed = work.settings.push_max_reject_rate * answered
    return answered >= ANSWERED_BEFORE_LIMIT and rejected > allowed


def _limit_reached(work: ApplyContext) -> SafetyLimit:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    rejected, pending = tally[OperationState.REJECTED], tally[OperationState.PENDING]
    answered = tally.get(OperationState.APPLIED, 0) + rejected
    return SafetyLimit(
        f"BigLedger rejected {rejected} of the {answered} rows it answered, more than "
        f"BLSYNC_PUSH_MAX_REJECT_RATE allows; {pending} rows are not sent. "
        f"`blsync push show {work.plan.plan_id}` says why; mend the file and plan it again."
    )
