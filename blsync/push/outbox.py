"""Apply: the intent is in the ledger before the request goes out, the outcome after.

BigLedger knows no idempotency key. A row whose answer never came is held, left alone for the
settle time and then looked up (`settle`); nothing is sent again that may be under way.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from blsync.client import Client
from blsync.errors import (
    ApiError,
    BlsyncError,
    SafetyLimit,
    Unanswered,
)
from blsync.ledger import Ledger, plans
from blsync.ledger.plans import SENDS, Operation, Outcome, Plan
from blsync.push import settle
from blsync.push.compare import to_text
from blsync.push.endpoint import Endpoint
from blsync.push.planning import endpoint_named
from blsync.push.report import PlanReport, report_of
from blsync.push.results import held, is_taken, outcomes_of, refusal
from blsync.push.validate import problem
from blsync.push.work import Work, company_of, only_apply, plan_named
from blsync.quota import pace_for
from blsync.settings import Settings

UNANSWERED_IN_A_ROW = 3
"""Requests without an answer, one after the other, before the rest is left for later."""
ANSWERED_BEFORE_LIMIT = 100
"""Rows that BigLedger has answered before the share of rejected ones counts (interface.md)."""
_MAY_BE_ONE_ROW = (400, 409, 413, 422)
"""Statuses with which one bad row may have had its whole request refused, and nothing done."""


def apply(
    settings: Settings,
    plan_id: str,
    *,
    dry_run: bool = False,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> PlanReport:
    """Send what a plan holds, or go on where an earlier run stopped; a finished plan sends nothing.

    First settles what was held long enough, then sends what is pending, then reads back.
    `plan_id` may be the beginning of one. With `wait` off it neither waits for the hour's quota
    nor between two look-ups. The report's `exit_code` is 3 where rows were rejected or are left.

    Raises ConfigError, Unauthorized, Forbidden, StorageError, ApiError, QuotaSpent, and
    SafetyLimit where too many rows are rejected; in each case the ledger knows every row's state.
    """
    ledger = Ledger(settings.ledger_url)
    try:
        plan = plan_named(ledger, plan_id)
        endpoint = endpoint_named(plan.endpoint)
        company = company_of(settings, plan)
        if dry_run:
            return _told(ledger, plan, endpoint, say)
        pace = pace_for(settings, ledger, company.key_id)
        pace.wait_for_hour, pace.say = wait, say
        client = Client(company, pace, sleep=sleep)
        work = Work(settings, plan, endpoint, ledger, client, wait, say, clock, sleep)
        return asyncio.run(_apply(work))
    finally:
        ledger.close()


def _told(ledger: Ledger, plan: Plan, endpoint: Endpoint, say: Callable[[str], None]) -> PlanReport:
    count = plans.tally(ledger, plan.plan_id).get("pending", 0)
    requests = -(-count // endpoint.limit)
    say(f"Would send {count} rows in {requests} requests to {endpoint.bulk_path}; nothing is sent.")
    return report_of(ledger, plan.plan_id)


async def _apply(work: Work) -> PlanReport:
    plan_id = work.plan.plan_id
    async with only_apply(work), work.client:
        if not _left(work):
            plans.finish(work.ledger, plan_id, work.clock())
            return report_of(work.ledger, plan_id)
        await settle.settle_due(work)
        await _send_pending(work)
        if await settle.settle_again(work):
            await _send_pending(work)
        plans.finish(work.ledger, plan_id, work.clock())
        await settle.verify(work)
        if _is_over_limit(work) and plans.tally(work.ledger, plan_id).get("pending"):
            raise _limit_reached(work)
    _say_what_is_left(work)
    report = report_of(work.ledger, plan_id)
    is_done = report.outcomes["applied"] == sum(o.action in SENDS for o in report.operations)
    return replace(report, exit_code=0 if is_done else 3)


def _say_what_is_left(work: Work) -> None:
    waiting = plans.held(work.ledger, work.plan.plan_id)
    if waiting:
        at = max(held.since for held in waiting) + work.settle_time
        work.say(
            f"{len(waiting)} rows were sent and not answered. Run `blsync push apply "
            f"{work.plan.plan_id}` after {at.astimezone(work.settings.zone):%Y-%m-%d %H:%M:%S %Z}: "
            "it looks them up first, and sends nothing twice."
        )


def _left(work: Work) -> bool:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    return bool(tally.get("pending") or tally.get("held"))


async def _send_pending(work: Work) -> None:
    rows, size = _sendable(work), work.endpoint.limit
    queue = deque(rows[at : at + size] for at in range(0, len(rows), size))
    unanswered = 0
    while queue and not _is_over_limit(work):
        chunk = queue.popleft()
        try:
            is_answered = await _send(work, chunk)
        except _Refused:
            half = len(chunk) // 2
            queue.extendleft((chunk[half:], chunk[:half]))
            continue
        unanswered = 0 if is_answered else unanswered + 1
        _say_progress(work)
        if unanswered == UNANSWERED_IN_A_ROW and queue:
            work.say(
                f"{unanswered} requests in a row were not answered; the rest is left for later."
            )
            return


def _sendable(work: Work) -> list[Operation]:
    """Return the pending rows, less those whose record another plan holds unanswered."""
    plan = work.plan
    keys = plans.held_elsewhere(work.ledger, plan.company_id, plan.endpoint, but=plan.plan_id)
    rows, blocked = [], []
    for row in plans.operations_of(work.ledger, plan.plan_id, "pending"):
        if holder := keys.holder(row.natural_key, row.remote_id):
            message = f"plan {holder} sent a change of this record that is not answered yet"
            cure = f"run push apply {holder} until it is settled, then this plan again"
            blocked.append((row.row, problem("HELD_ELSEWHERE", None, f"{message}; {cure}")))
        else:
            rows.append(row)
    plans.refuse_rows(work.ledger, plan.plan_id, blocked)
    return rows


class _Refused(Exception):
    """The whole request was refused, perhaps for one of its rows."""


async def _send(work: Work, chunk: list[Operation]) -> bool:
    """Send a chunk; tell whether an answer came. Raises _Refused where halves should be tried."""
    plan_id = work.plan.plan_id
    rows = plans.claim(work.ledger, plan_id, chunk, uuid.uuid4().hex, work.clock())
    if not rows:
        return True
    try:
        answer = await work.client.post(work.endpoint.bulk_path, _body(rows))
    except Unanswered as error:
        why = held(f"BigLedger did not answer (status {error.status or 'none'})")
        outcomes = [Outcome(row.row, "held", "held", error=why) for row in rows]
        plans.settle(work.ledger, plan_id, outcomes, work.clock(), error.request_id)
        return False
    except BlsyncError as error:
        _take_back(work, rows, error)
        return True
    outcomes, strays = outcomes_of(work.endpoint, rows, answer.data)
    if strays:
        work.say(f"{strays} results belong to no row that was sent (request {answer.request_id}).")
    await _record(work, rows, outcomes, answer.request_id)
    return True


async def _record(
    work: Work, rows: list[Operation], outcomes: list[Outcome], request_id: str
) -> None:
    """Write the outcomes; what is refused as taken stays held until a look-up has told whose."""
    taken = [
        (row, outcome)
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.state == "rejected" and is_taken(row, outcome.error)
    ]
    open_rows = {row.row for row, _ in taken}
    written = [
        Outcome(o.row, "held", "rejected", error=o.error) if o.row in open_rows else o
        for o in outcomes
    ]
    plans.settle(work.ledger, work.plan.plan_id, written, work.clock(), request_id)
    await settle.resolve_taken(work, taken)


def _take_back(work: Work, rows: list[Operation], error: BlsyncError) -> None:
    """Settle rows whose request was refused as a whole, with nothing done.

    Raises `error`, or _Refused where it may concern one row alone.
    """
    plan_id, at = work.plan.plan_id, work.clock()
    request_id = error.request_id if isinstance(error, ApiError) else None
    if isinstance(error, ApiError) and error.status in _MAY_BE_ONE_ROW and len(rows) == 1:
        why = refusal(work.endpoint, rows[0], error)
        outcome = Outcome(rows[0].row, "rejected", "rejected", error=why)
        plans.settle(work.ledger, plan_id, [outcome], at, request_id)
        return
    back = [Outcome(row.row, "pending", "refused") for row in rows]
    plans.settle(work.ledger, plan_id, back, at, request_id)
    if isinstance(error, ApiError) and error.status in _MAY_BE_ONE_ROW:
        raise _Refused
    raise error


def _body(rows: list[Operation]) -> msgspec.Raw:
    operations = [
        {"operation": row.action}
        | ({"id": row.remote_id} if row.action == "update" else {})
        | {"data": msgspec.Raw(row.body.encode())}
        for row in rows
    ]
    return msgspec.Raw(to_text({"operations": operations}).encode())


def _say_progress(work: Work) -> None:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    told = ", ".join(
        f"{tally[s]} {s}" for s in ("applied", "rejected", "held", "pending") if s in tally
    )
    work.say(f"{work.endpoint.name}: {told}.")


def _is_over_limit(work: Work) -> bool:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    rejected = tally.get("rejected", 0)
    answered = tally.get("applied", 0) + rejected
    allowed = work.settings.push_max_reject_rate * answered
    return answered >= ANSWERED_BEFORE_LIMIT and rejected > allowed


def _limit_reached(work: Work) -> SafetyLimit:
    tally = plans.tally(work.ledger, work.plan.plan_id)
    answered = tally.get("applied", 0) + tally["rejected"]
    return SafetyLimit(
        f"BigLedger rejected {tally['rejected']} of the {answered} rows it answered, more than "
        f"BLSYNC_PUSH_MAX_REJECT_RATE allows; {tally['pending']} rows are not sent. "
        f"`blsync push show {work.plan.plan_id}` says why; mend the file and plan it again."
    )
