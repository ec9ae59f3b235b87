"""The pull: a window of change time, its feeds, their pages, the lake.

A page counts once its bytes are in the spool and its place is in the ledger; a window counts once
its file is in the lake. Killed at any moment, the next run goes on from what counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial

from blsync.client import Client
from blsync.entity import Entity
from blsync.errors import BlsyncError, PartlyFailed, QuotaSpent, TooManyRejected, Unauthorized
from blsync.lake import Lake, alone, storage
from blsync.ledger import Ledger, loads
from blsync.ledger.loads import CHANGE, DRIFT, Load, Outcome
from blsync.pull import drift
from blsync.pull.land import Gone, land, outcome_of
from blsync.pull.walk import feed_of, walk_feed
from blsync.pull.work import UP_TO_NOW, Crew, Progress, Result, Window, Work
from blsync.quota import pace_for
from blsync.settings import Company, Settings, require_credentials

__all__ = ["OVERLAP", "Progress", "Result", "Window", "pull", "raise_failures", "reread"]

Find = Callable[[Work, Load], Awaitable[Gone]]

OVERLAP = timedelta(minutes=5)
"""How far behind the covered time a window begins, for changes that were committed late."""


def pull(
    settings: Settings,
    company: Company,
    entities: Iterable[Entity],
    window: Window = UP_TO_NOW,
    *,
    again: bool = False,
    wait: bool = True,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Result]:
    """Pull the entities side by side; each lands on its own, and its error is in its result.

    Pulls what `window` has that is not covered yet, or all of it where `again`. With `wait` off,
    an hour that is used up ends it (QuotaSpent in the results). Raises ConfigError or Unauthorized
    where nothing can be read at all, StorageError where nothing can be kept.
    """
    require_credentials(company)
    lake = Lake(settings.data)
    ledger = Ledger(settings.ledger_url)
    try:
        return asyncio.run(
            _pull_all(
                settings, company, list(entities), window, again, wait, progress, say, lake, ledger
            )
        )
    finally:
        ledger.close()


async def _pull_all(
    settings: Settings,
    company: Company,
    entities: list[Entity],
    window: Window,
    again: bool,
    wait: bool,
    progress: Progress,
    say: Callable[[str], None],
    lake: Lake,
    ledger: Ledger,
) -> dict[str, Result]:
    crew = Crew()
    _drop_left_spools(lake, ledger)

    async def one(entity: Entity) -> Result:
        pace = pace_for(settings, ledger, company.key_id)
        pace.wait_for_hour, pace.say = wait, say
        async with Client(company, pace) as client:
            work = Work(entity, company, client, pace, ledger, lake, crew, settings, progress, say)
            busy = f"Another sync is pulling {entity.name}; waiting for it."
            try:
                # Two syncs never land the same window.
                async with alone(lake.lock_of(entity, company.company_id), say, busy):
                    await _cover(work, window, again)
            except Unauthorized:
                raise
            except BlsyncError as error:
                work.result.error = error
            work.result.requests = client.requests
            work.result.throttled_ms = round(pace.throttled * 1000)
            return work.result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {entity.name: group.create_task(one(entity)) for entity in entities}
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return {name: task.result() for name, task in tasks.items()}


def reread(
    settings: Settings,
    company: Company,
    entity: Entity,
    first: date,
    last: date,
    *,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Read the records of these business dates again, both included; what differs from ours lands.

    For what no change time shows (contract, section 3): a posted entry that was altered, one that
    was entered late. Raises what `pull` has in its results, and what it raises.
    """
    require_credentials(company)
    lake = Lake(settings.data)
    ledger = Ledger(settings.ledger_url)

    async def read() -> Result:
        pace = pace_for(settings, ledger, company.key_id)
        pace.wait_for_hour, pace.say = wait, say
        async with Client(company, pace) as client:
            work = Work(entity, company, client, pace, ledger, lake, Crew(), settings, _unseen, say)
            busy = f"Another sync is pulling {entity.name}; waiting for it."
            async with alone(lake.lock_of(entity, company.company_id), say, busy):
                now = datetime.now(UTC)
                load_id = loads.new_id(now)
                load = Load(load_id, company.company_id, entity.name, now, now, now, DRIFT)
                loads.start(ledger, load)
                # Killed on the way, it is finished as any look for drift.
                await _finish(work, load, partial(drift.read_dates, first=first, last=last))
            work.result.requests = client.requests
            work.result.throttled_ms = round(pace.throttled * 1000)
            return work.result

    try:
        return asyncio.run(read())
    finally:
        ledger.close()


def _unseen(*_: object) -> None:
    """Show no progress."""


def _drop_left_spools(lake: Lake, ledger: Ledger) -> None:
    """Drop the pages of loads that landed before they were killed."""
    # Listed before the ledger is asked: a load is in it before its first page is spooled.
    spooled = {path.name for path in (lake.data / "spool").glob("*Z-*") if path.is_dir()}
    for load_id in spooled - loads.open_ids(ledger):
        lake.drop_spool(load_id)


async def _cover(work: Work, window: Window, again: bool) -> None:
    entity, company_id = work.entity, work.company.company_id
    # Nobody else writes here now, so these are of processes that were killed.
    for draft in work.lake.data.glob(f"*/{entity.name}/company_id={company_id}/.*.draft"):
        with storage(draft):
            draft.unlink(missing_ok=True)
    work.lake.ensure_schema(entity, company_id)
    if limit := loads.known(work.ledger, company_id, entity.name).page_limit:
        work.client.page_limits[entity.path] = limit
    is_up_to_now = not again and window.end is None
    if not (await _finish_left_open(work) and is_up_to_now):
        await _open_and_finish(work, window, again)
    if is_up_to_now and (to_compare := await drift.compare(work)):
        loads.start(work.ledger, to_compare)
        await _finish(work, to_compare)


async def _open_and_finish(work: Work, window: Window, again: bool) -> None:
    entity, company_id = work.entity, work.company.company_id
    start = window.start
    if not again:
        reached = loads.uncovered_from(work.ledger, company_id, entity.name, start)
        if reached and window.end and reached >= window.end:
            return
        start = reached - OVERLAP if reached else None
    now = datetime.now(UTC)
    end = window.end if window.end and window.end < now - OVERLAP else None
    load = Load(loads.new_id(now), company_id, entity.name, start, end, now, CHANGE)
    loads.start(work.ledger, load)
    await _finish(work, load)


async def _finish_left_open(work: Work) -> bool:
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
    except TooManyRejected as error:  # the second time: what was read then may be mended by now
        work.say(f"{error} Reading them anew.")
        loads.forget(work.ledger, load.load_id)
        work.lake.drop_spool(load.load_id)
        return False
    feeds = {feed.name for feed in work.entity.feeds_for(load.window_start)}
    return load.kind == CHANGE and load.window_end is None and feeds <= work.ended


async def _finish(work: Work, load: Load, find: Find | None = None) -> None:
    """Bring a load to its end: walks that are left, the lake, the ledger.

    `find` brings what a load of the kind drift is about, where that is no comparison of all ids.
    """
    path = work.lake.file_of(work.entity, load.company_id, load.load_id)
    if path.exists():  # killed between the lake and the ledger
        outcome = outcome_of(work.lake.facts_of(path))
    else:
        spooled = loads.pages_of(work.ledger, load.load_id)
        if not all(work.lake.is_spooled(load.load_id, p.feed, p.number) for p in spooled):
            loads.restart(work.ledger, load.load_id)  # somebody emptied the spool
        try:
            if load.kind == CHANGE:
                outcome = await _read_changes(work, load)
            else:
                gone = await (find or drift.find)(work, load)
                outcome = await land(work, load, load.started_at, gone)
        finally:
            with work.ledger.begin() as db:
                loads.add_cost(db, load.load_id, work.uncounted())
    loads.commit(work.ledger, load, outcome, datetime.now(UTC))
    work.lake.drop_spool(load.load_id)
    _add(work.result, outcome)
    if load.kind == CHANGE:
        work.result.window = (load.window_start, outcome.window_end)
    elif find is None:
        drift.settle(work, outcome)


async def _read_changes(work: Work, load: Load) -> Outcome:
    feeds = work.entity.feeds_for(load.window_start)
    # One that fails cancels none of the others: what they have asked for is paid.
    outcomes = await asyncio.gather(
        *(walk_feed(work, load, feed) for feed in feeds), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    names = {feed.name for feed in feeds}
    walks = loads.walks_of(work.ledger, load.load_id)
    as_of = [walk.as_of for walk in walks if feed_of(walk) in names]
    return await land(work, load, min([*as_of, *([load.window_end] if load.window_end else [])]))


def _add(result: Result, outcome: Outcome) -> None:
    for name in ("rows", "deleted", "quarantined"):
        setattr(result, name, getattr(result, name) + getattr(outcome, name))
    for name in ("unknown_fields", "newly_null"):
        merged = {*getattr(result, name), *outcome.findings.get(name, [])}
        setattr(result, name, sorted(merged))


def raise_failures(results: Mapping[str, Result]) -> None:
    """Raise one error that names the entities that failed, if any did.

    It is PartlyFailed (exit 3) where others landed, or where only the quota stands in the way.
    """
    failed = {name: result.error for name, result in results.items() if result.error}
    if not failed:
        return
    is_part = len(failed) < len(results) or all(isinstance(e, QuotaSpent) for e in failed.values())
    message = " ".join(f"{name} failed: {error}" for name, error in failed.items())
    raise (PartlyFailed if is_part else BlsyncError)(message) from next(iter(failed.values()))
