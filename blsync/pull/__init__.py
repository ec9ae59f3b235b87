"""The pull: a window of change time, its feeds, their pages, the lake.

A page counts once its bytes are in the spool and its place is in the ledger; a window counts once
its file is in the lake. Killed at any moment, the next run goes on from what counts.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial

from blsync import logs
from blsync.clock import LARGEST_SKEW
from blsync.entity import Entity
from blsync.errors import (
    ApiError,
    BlsyncError,
    DeletesHeldBack,
    PartlyFailed,
    QuotaSpent,
    TooManyRejected,
    Unauthorized,
    WrongClock,
)
from blsync.files.atomic import storage_errors
from blsync.files.unexpected import apart
from blsync.lake.typing import KEY_SEPARATOR
from blsync.ledger import events, loads, outcomes
from blsync.ledger.loads import Load, LoadResult
from blsync.ledger.states import LoadKind, Step
from blsync.pull import availability, details, drift, payments, stamps
from blsync.pull.land import Deletions, land, outcome_of
from blsync.pull.walk import feed_of, feeds_of, note_order, walk_feed
from blsync.pull.work import FINDINGS, UP_TO_NOW, OpenWalks, PullContext, Result, Window, window_of
from blsync.session import Session, silent
from blsync.settings import Company, require_credentials

__all__ = [
    "FINDINGS",
    "OVERLAP",
    "Result",
    "Window",
    "pull",
    "raise_failures",
    "reread",
    "window_of",
]

Find = Callable[[PullContext, Load], Awaitable[Deletions]]

OVERLAP = LARGEST_SKEW
"""How far behind the covered time a window begins, for changes that were committed late, and for
clocks that differ."""


def pull(
    session: Session,
    company: Company,
    entities: Iterable[Entity],
    window: Window = UP_TO_NOW,
    *,
    again: bool = False,
) -> dict[str, Result]:
    """Pull the entities side by side; each lands on its own, and its error is in its result.

    Pulls what `window` has that is not covered yet, or all of it where `again`. An optional entity
    that was not available in the last 24 hours is asked for only where `again`. More deletes than
    BLSYNC_DELETE_SHARE land only where the session allows it (DeletesHeldBack in the results).
    Where the session does not wait, an hour that is used up ends it (QuotaSpent in the results).
    Raises ConfigError or Unauthorized where nothing can be read at all, WrongClock where this clock
    differs from the server's or from what it dated before, StorageError where nothing can be kept.
    """
    try:
        require_credentials(company)
        details.check(session.settings)
        with _uncollected():
            pulling = _Pulling(session, company)
            results = asyncio.run(_pull_all(pulling, list(entities), window, again))
    except BlsyncError as error:
        outcomes.failed(session.ledger, company.company_id, Step.PULL, error, session.clock())
        raise
    outcomes.succeeded(session.ledger, company.company_id, Step.PULL, session.clock())
    return results


@dataclass(frozen=True)
class _Pulling:
    """What the entities of a company share while they are pulled."""

    session: Session
    company: Company
    open_walks: OpenWalks = field(default_factory=OpenWalks)

    @asynccontextmanager
    async def work_on(self, entity: Entity, result: Result) -> AsyncIterator[PullContext]:
        """Hold an entity: two syncs never land the same window. What it cost is in `result`."""
        session = self.session
        busy = f"Another sync is pulling {entity.name}; waiting for it."
        hold = session.hold(entity, self.company.company_id, busy)
        client = session.client(self.company)
        async with client, hold:
            work = PullContext(session, entity, self.company, client, self.open_walks, result)
            try:
                await stamps.begin(work)
                yield work
            finally:
                result.requests = client.requests
                result.throttled_ms = round(client.limiter.throttled * 1000)


@dataclass(frozen=True)
class _News:
    """What events had told of an entity when its pull began."""

    up_to: int
    announced: frozenset[str]
    is_heard: bool
    """Whether events tell of the entity at all."""

    @classmethod
    def of(cls, work: PullContext) -> _News:
        ledger, company_id, name = work.ledger, work.company.company_id, work.entity.name
        up_to = events.latest(ledger, company_id)
        if not up_to:
            return cls(0, frozenset(), False)
        announced = frozenset(events.announced(ledger, company_id, name))
        return cls(up_to, announced, bool(announced) or name in events.marks(ledger, company_id))

    def satisfied(self, work: PullContext) -> None:
        """Note that the pull has read what they told of, and count what they had not told of.

        A pull because of events counts nothing: what it finds beside them is on its way perhaps.
        """
        if not self.up_to or not work.covered:
            return
        company_id, name, load_id = work.company.company_id, work.entity.name, work.covered[-1]
        if self.is_heard and not work.session.is_live:
            found = set[str]().union(
                *(work.lake.keys_of_load(work.entity, company_id, one) for one in work.covered)
            )
            # Of stock an event names the item, which is the first part of the key.
            told = {key for key in found if key.partition(KEY_SEPARATOR)[0] in self.announced}
            work.result.unannounced = len(found - told)
        events.satisfy(work.ledger, company_id, name, self.up_to, load_id, work.clock())


@contextmanager
def _uncollected() -> Iterator[None]:
    """Spare the collector from looking through all that was ever imported, for every few pages."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()  # or libraries complain at exit of what they cannot take down


async def _pull_all(
    pulling: _Pulling, entities: list[Entity], window: Window, again: bool
) -> dict[str, Result]:
    session = pulling.session
    session.lake.drop_left_spools(partial(loads.open_ids, session.ledger))
    payments.land(session, pulling.company)

    async def one(entity: Entity) -> Result:
        result = Result()
        company = pulling.company
        known = None if again else availability.left_alone(session, company, entity)
        if known:
            result.unavailable = known.reason
            return result
        with logs.about(company=company.name, entity=entity.name):
            try:
                async with pulling.work_on(entity, result) as work:
                    news = _News.of(work)
                    await _cover(work, window, again)
                    if not again and window.end is None:
                        news.satisfied(work)
                availability.forget(session, company, entity)
            except Unauthorized:
                raise
            except Exception as error:  # the other entities have nothing to do with it
                if isinstance(error, ApiError) and availability.is_unavailable(entity, error):
                    noted = availability.note(session, company, entity, error)
                    result.unavailable = noted.reason
                else:
                    folder = session.settings.data
                    result.error = apart(error, f"The pull of {entity.name}", folder)
            _note(session, company, entity, result)
            _tell(result)
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {entity.name: group.create_task(one(entity)) for entity in entities}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    results = {name: task.result() for name, task in tasks.items()}
    # Not at once: each entity takes back what it has begun, which one that is cancelled does not.
    for result in results.values():
        if isinstance(result.error, WrongClock):
            raise result.error
    return results


def _note(session: Session, company: Company, entity: Entity, result: Result) -> None:
    """Keep how the entity's pull ended. What events wait for because their share is used up is no
    failure.
    """
    place = (session.ledger, company.company_id, entity.name)
    if result.error is None:
        outcomes.succeeded(*place, session.clock())
    elif not (session.is_live and isinstance(result.error, QuotaSpent)):
        outcomes.failed(*place, result.error, session.clock())


def _tell(result: Result) -> None:
    counts = {
        name: getattr(result, name) for name in ("rows", "deleted", "quarantined", "requests")
    }
    if result.unavailable:
        logs.tell("entity unavailable", message=result.unavailable)
    elif result.error is None:
        logs.tell("entity pulled", **counts)
    else:
        request_id = getattr(result.error, "request_id", "") or None
        told = {"message": str(result.error), "request_id": request_id}
        logs.tell("entity failed", level="error", **counts, **told)


def reread(session: Session, company: Company, entity: Entity, first: date, last: date) -> Result:
    """Read the records of these business dates again, both included; what differs from ours lands.

    For what no change time shows (bigledger-api.md, section 3): a posted entry that was altered or
    entered late. Raises what `pull` has in its results, and what it raises.
    """

    async def read(pulling: _Pulling) -> Result:
        result = Result()
        async with pulling.work_on(entity, result) as work:
            # Else what an earlier run has read, and not landed, would land behind what is read now.
            await _finish_left_open(work)
            at = work.stamp()
            load = Load(
                loads.new_id(at), company.company_id, entity.name, at, at, at, LoadKind.DRIFT
            )
            loads.start(work.ledger, load)
            # Killed on the way, it is finished as any look for drift.
            await _finish(work, load, partial(drift.read_dates, first=first, last=last))
        return result

    require_credentials(company)
    unseen = replace(session, progress=silent)
    with _uncollected():
        return asyncio.run(read(_Pulling(unseen, company)))


async def _cover(work: PullContext, window: Window, again: bool) -> None:
    entity, company_id = work.entity, work.company.company_id
    # Nobody else writes here now, so these are of processes that were killed.
    for draft in work.lake.data.glob(f"*/{entity.name}/company_id={company_id}/.*.draft"):
        with storage_errors(draft):
            draft.unlink(missing_ok=True)
    work.lake.ensure_schema(entity, company_id)
    limit = loads.server_traits(work.ledger, company_id, entity.name).page_limit
    if limit is not None:
        work.client.page_limits[entity.path] = limit
    work.is_again = again
    is_up_to_now = not again and window.end is None
    if not (await _finish_left_open(work) and is_up_to_now):
        await _open_and_finish(work, window, again)
    # What events tell of is no look at everything: the night compares.
    if is_up_to_now and not work.session.is_live and (to_compare := await drift.compare(work)):
        loads.start(work.ledger, to_compare)
        await _finish(work, to_compare)


async def _open_and_finish(work: PullContext, window: Window, again: bool) -> None:
    entity, company_id = work.entity, work.company.company_id
    start = window.start
    if not again:
        reached = loads.uncovered_from(work.ledger, company_id, entity.name, start, work.clock())
        if reached and window.end and reached >= window.end:
            return
        start = reached - OVERLAP if reached else None
    end = window.end if window.end and window.end < work.clock() - OVERLAP else None
    at = work.stamp()
    load = Load(loads.new_id(at), company_id, entity.name, start, end, at, LoadKind.CHANGE)
    loads.start(work.ledger, load)
    await _finish(work, load)


async def _finish_left_open(work: PullContext) -> bool:
    """Finish what an earlier run left open; tell whether that brought everything up to now.

    It did where every feed ran up to now and came to its end in this run: a sorted walk meets
    whatever changed behind it at its end. What it covers is counted from its first page all the
    same, so the next window looks once more.
    """
    load = loads.unfinished(work.ledger, work.company.company_id, work.entity.name)
    if load is None:
        return False
    try:
        await _finish(work, load)
    except DeletesHeldBack as error:  # what was killed then is looked at anew
        work.say(f"{work.entity.name}: {error} Looking anew.")
        return False
    except TooManyRejected as error:  # the second time: what was read then may be mended by now
        work.say(f"{error} Reading them anew.")
        loads.forget(work.ledger, load.load_id)
        work.lake.drop_spool(load.load_id)
        return False
    feeds = {feed.name for feed in feeds_of(work, load.window_start)}
    return load.kind == LoadKind.CHANGE and load.window_end is None and feeds <= work.ended


async def _finish(work: PullContext, load: Load, find: Find | None = None) -> None:
    """Bring a load to its end: walks that are left, the lake, the ledger.

    `find` brings what a load of the kind drift is about, where that is no comparison of all ids.
    """
    try:
        outcome = await _outcome(work, load, find)
    except DeletesHeldBack:
        loads.forget(work.ledger, load.load_id)
        work.lake.drop_spool(load.load_id)
        work.uncover()
        drift.forget_look(work)
        raise
    except (WrongClock, ApiError) as error:
        is_no_window = not isinstance(error, ApiError)
        is_no_window |= availability.is_unavailable(work.entity, error)
        if is_no_window and not loads.pages_of(work.ledger, load.load_id):  # nothing of it was read
            loads.forget(work.ledger, load.load_id)
        raise
    loads.commit(work.ledger, load, outcome, work.stamp())
    work.lake.drop_spool(load.load_id)
    _add(work.result, outcome)
    if load.kind == LoadKind.CHANGE:
        work.covered.append(load.load_id)
        work.result.window = (load.window_start, outcome.window_end)
    elif find is None:
        drift.settle(work, outcome)


async def _outcome(work: PullContext, load: Load, find: Find | None) -> LoadResult:
    """Bring a load into the lake, if it is not there yet; return what it came to."""
    path = work.lake.file_of(work.entity, load.company_id, load.load_id)
    if path.exists():  # killed between the lake and the ledger
        facts = work.lake.facts_of(path)
        work.follow(datetime.fromisoformat(facts.get("committed_at", facts["started_at"])))
        return outcome_of(facts)
    spooled = loads.pages_of(work.ledger, load.load_id)
    if not all(work.lake.is_spooled(load.load_id, page) for page in spooled):
        loads.restart(work.ledger, load.load_id)  # somebody emptied the spool
    try:
        if load.kind == LoadKind.CHANGE:
            return await _land_changes(work, load)
        if find is None:
            drift.forget_counts(work, load)
        return await land(work, load, partial(_look, work, load, find or drift.find))
    finally:
        with work.ledger.begin() as db:
            loads.add_cost(db, load.load_id, work.uncounted())


class _Emptied(Exception):
    """The lists say that they hold nothing, while records are held."""


async def _land_changes(work: PullContext, load: Load) -> LoadResult:
    """Land a window; where the lists say that they are empty and were not, at the second look."""
    read = partial(_read_changes, work, load)
    try:
        return await land(work, load, read)
    except _Emptied:
        # First forgotten: killed in the pause, the next run believes nothing of it either.
        loads.restart(work.ledger, load.load_id)
        work.has_looked_again = True
    work.totals.clear()
    await drift.pause(work)
    return await land(work, load, read)


async def _look(work: PullContext, load: Load, find: Find) -> tuple[datetime, Deletions]:
    return load.started_at, await find(work, load)


async def _read_changes(work: PullContext, load: Load) -> tuple[datetime, Deletions]:
    feeds = feeds_of(work, load.window_start)
    # One that fails cancels none of the others: what they have asked for is paid.
    outcomes = await asyncio.gather(
        *(walk_feed(work, load, feed) for feed in feeds), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    if not work.has_looked_again and await drift.is_emptied(work):
        raise _Emptied
    note_order(work, load, feeds)
    names = {feed.name for feed in feeds}
    walks = loads.walks_of(work.ledger, load.load_id)
    as_of = [walk.as_of for walk in walks if feed_of(walk) in names]
    ends = [*as_of, *([load.window_end] if load.window_end else [])]
    return min([*ends, work.clock()]), []


def _add(result: Result, outcome: LoadResult) -> None:
    for name in ("rows", "deleted", "quarantined"):
        setattr(result, name, getattr(result, name) + getattr(outcome, name))
    for name in FINDINGS:
        merged = {*getattr(result, name), *outcome.findings.get(name, [])}
        setattr(result, name, sorted(merged))


def raise_failures(results: Mapping[str, Result]) -> None:
    """Raise one error that names the entities that failed, if any did.

    It is PartlyFailed (exit 3) where others landed, or where only the quota, or the bound on
    deletes, stands in the way.
    """
    failed = {name: result.error for name, result in results.items() if result.error}
    if not failed:
        return
    is_part = len(failed) < len(results) or all(
        isinstance(e, PartlyFailed) for e in failed.values()
    )
    message = " ".join(f"{name} failed: {error}" for name, error in failed.items())
    raise (PartlyFailed if is_part else BlsyncError)(message) from next(iter(failed.values()))
