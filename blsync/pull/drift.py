"""Drift: the API's total against the records held, and what a difference is made of.

A hard delete is invisible to every filter (bigledger-api.md, section 3). Where the totals differ,
ranges of creation time are compared count by count until those are found that differ; a list that
differs in many places, or is short, is read whole. What BigLedger no longer has gets a delete row,
what we never saw lands.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from blsync.api.dialect import TOTAL, Query, value_in
from blsync.clock import has_passed
from blsync.entity import Feed
from blsync.errors import ApiError
from blsync.lake.store import NAMELESS
from blsync.lake.typing import KEY_SEPARATOR, key_of
from blsync.ledger import loads
from blsync.ledger.loads import Drift, Load, LoadResult, SpooledPage
from blsync.ledger.states import LoadKind
from blsync.pull import bound
from blsync.pull.land import Deletions
from blsync.pull.walk import FINEST, feed_pages, read_aside, walk_feed
from blsync.pull.work import PullContext
from blsync.settings import Settings

IDS = "ids of"
"""Under names that begin so, whole lists are spooled."""
ASKED_AGAIN = "missing, asked again"
SAMPLE = "missing, a sample"
EPOCH = datetime.fromtimestamp(0, UTC)
LOOK_AGAIN = 5.0
"""Seconds after which a list that says it is empty, and was not, is asked once more."""
SLACK = timedelta(hours=1)
"""A nightly look comes a little early now and then, and must not wait for the next night."""


async def compare(work: PullContext) -> Load | None:
    """Compare the API's total with the records held; return the load to do where ids must be.

    The total is the one that a walk was told, else it is asked for when a look is due.
    """
    company_id, name = work.company.company_id, work.entity.name
    before = loads.drift_of(work.ledger, company_id, name)
    now = work.clock()
    total = _told(work)
    walked_at = before.walked_at if before else None
    if total is None and is_due(work.settings, before.checked_at if before else None, now):
        total = await _ask_total(work)
        work.dialect.note_total(None if total is None else work.told_by)
    if total is None:
        return _look_without_total(work, before) if TOTAL in work.dialect.known else None
    held = work.lake.stored_count(work.entity, company_id)
    # What was believed to be in the list may be what it lacks, and may have changed unseen.
    is_misled = total < held and work.dialect.forget_included()
    if is_misled:
        total = await _ask_total(work) or total
    is_emptied = total == 0 < held and not work.has_looked_again
    has_look = is_misled or is_due(work.settings, walked_at, now)
    if is_emptied:
        work.has_looked_again = True
        await pause(work, held)
    cap = _cap_of(work, before, total, held)
    if cap is not None and total == cap < held:
        work.result.drift = None
        found = Drift(now, total, held, walked_at, work.told_by, cap)
        loads.put_drift(work.ledger, company_id, name, found)
        return None
    if is_emptied or (total != held and has_look):  # records come and go while pages are read
        fresh = await _ask_total(work)
        if is_emptied and fresh:
            work.uncover()
        total = total if fresh is None else fresh
    has_look = has_look or _is_new_loss(work.settings, before, total, held)
    work.result.drift = total - held
    found = Drift(now, total, held, walked_at, work.told_by, cap)
    loads.put_drift(work.ledger, company_id, name, found)
    if total == held and not is_misled:
        return None
    if not has_look:
        work.say(
            f"{name}: BigLedger has {total} records, {held} are held; the next look at which is "
            f"due {work.settings.drift_hours:g} hours after the last one (BLSYNC_DRIFT_HOURS)."
        )
        return None
    return _look(work)


def _look(work: PullContext) -> Load:
    """Return the load of a look at the ids that begins now."""
    at = work.stamp()
    name = work.entity.name
    company_id = work.company.company_id
    return Load(loads.new_id(at), company_id, name, at, at, at, LoadKind.DRIFT)


def _look_without_total(work: PullContext, before: Drift | None) -> Load | None:
    """Return the load to do where a list tells no total and its ids are due to be looked at.

    A list of which all that is held has just come was looked at as well.
    """
    company_id, name, now = work.company.company_id, work.entity.name, work.clock()
    held = work.lake.stored_count(work.entity, company_id)
    if held <= work.result.rows:
        loads.put_drift(work.ledger, company_id, name, Drift(now, held, held, now))
        return None
    is_now = is_due(work.settings, before.walked_at if before else None, now)
    return _look(work) if is_now else None


async def is_emptied(work: PullContext) -> bool:
    """Tell whether the lists said, all of them, that they hold nothing, while records are held."""
    if _told(work) != 0:
        return False
    held = await asyncio.to_thread(work.lake.stored_count, work.entity, work.company.company_id)
    return held > 0


async def pause(work: PullContext, held: int | None = None) -> None:
    """Wait before a list that says it is empty is asked once more."""
    work.say(
        f"{work.entity.name}: BigLedger lists none, and {held or 'some'} are held; asking once "
        f"more in {LOOK_AGAIN:g} seconds."
    )
    await work.session.sleep(LOOK_AGAIN)


def _cap_of(work: PullContext, before: Drift | None, total: int, held: int) -> int | None:
    """Return the total that BigLedger was seen to tell of so many records or more.

    One is known as such where the list itself brought all that is held, and more than its total,
    which stood still meanwhile, and more than records that came meanwhile account for: for each
    of those another may have been deleted after it was read. What was known is forgotten as soon
    as another total is told above.
    """
    known = before.cap if before else None
    if known is not None and total <= known:
        return known
    brought = work.result.rows + work.result.quarantined
    if not 0 < total < held <= brought or work.result.deleted or work.has_moving_total:
        return None
    if held - total <= _created_meanwhile(work):
        return None
    _say_capped(work, total, held)
    return total


def _created_meanwhile(work: PullContext) -> int:
    """Return how many of the records held came to be while the lists were read, at most."""
    since = work.listed_since
    created = work.lake.stored_keys(work.entity, work.company.company_id)["at"].to_pylist()
    return sum(at is None or since is None or at >= since - FINEST for at in created)


def _say_capped(work: PullContext, total: int, held: int) -> None:
    work.say(
        f"{work.entity.name}: BigLedger tells a total of {total:,} and has listed {held:,} "
        f"records: it stops counting at {total:,}, or leaves some out. While it tells that total, "
        "nothing is compared with it, and what is deleted at BigLedger is not seen."
    )


def _is_new_loss(settings: Settings, before: Drift | None, total: int, held: int) -> bool:
    """Tell whether the list alone says that more is gone than lands by itself, for the first time.

    It is looked at at once: the windows of every sync until then would be in doubt.
    """
    was_lost = before and bound.is_above(settings, before.held - before.total, before.held)
    return bound.is_above(settings, held - total, held) and not was_lost


def forget_look(work: PullContext) -> None:
    """Have the next sync look at the ids again, however long ago the last look was."""
    company_id, name = work.company.company_id, work.entity.name
    if before := loads.drift_of(work.ledger, company_id, name):
        loads.put_drift(work.ledger, company_id, name, replace(before, walked_at=None))


def forget_counts(work: PullContext, load: Load) -> None:
    """Have a look that was killed begin anew; where no whole list was read, it asked little."""
    walks = loads.walks_of(work.ledger, load.load_id)
    if not any(walk.feed.startswith(IDS) for walk in walks):
        loads.restart(work.ledger, load.load_id)


async def find(work: PullContext, load: Load) -> Deletions:
    """Bring the records that differ into the load's spool; return what BigLedger no longer has."""
    held = work.lake.stored_keys(work.entity, load.company_id)
    walks = loads.walks_of(work.ledger, load.load_id)
    differing = None
    if not walks and TOTAL not in work.dialect.known:  # else there is nothing to compare
        differing = await _differing_ranges(work, load, held)
    if differing is None:
        await _read_all(work, load)
        differing = held["key"]
    real = pc.invert(pc.starts_with(differing, NAMELESS))
    return await _gone(work, load, differing.filter(real))


async def read_dates(work: PullContext, load: Load, first: date, last: date) -> Deletions:
    """Bring the records of these business dates, both included, into the load's spool.

    Returns what is held of those dates and BigLedger no longer has.
    """
    spellings = [("fromDate", "toDate"), ("dateFrom", "dateTo")]
    if work.entity.date_field not in (None, "date"):
        spellings.append((f"{work.entity.date_field}From", f"{work.entity.date_field}To"))
    dates = Feed(
        f"dates {first} {last}",
        work.entity.created_field,
        tuple({lower: str(first), upper: str(last)} for lower, upper in spellings),
        is_meant=partial(_may_be_dated, str(work.entity.date_field), first, last),
    )
    await walk_feed(work, replace(load, window_start=None, window_end=None), dates)
    if dates.name not in {walk.feed for walk in loads.walks_of(work.ledger, load.load_id)}:
        return []  # the server cannot be asked by date
    held = work.lake.keys_dated(work.entity, load.company_id, first, last)
    return await _gone(work, load, held)


def _may_be_dated(name: str, first: date, last: date, record: Raw) -> bool:
    """Tell whether a record's business date lies in a range, or cannot be read."""
    told = (value_in(record, name) or "")[:10]
    try:
        return first <= date.fromisoformat(told) <= last
    except ValueError:
        return True


async def _gone(work: PullContext, load: Load, keys: pa.Array) -> Deletions:
    """Return which of the keys are not in the load's spool, and not at BigLedger either."""
    missing = _not_in_spool(work, load, keys).to_pylist()
    if not missing:
        return []
    # A list that was read page by page is no proof: records may have moved meanwhile.
    try:
        await _check_sample(work, load, missing)
        await _ask_again(work, load, ASKED_AGAIN, missing)
    except ApiError as error:
        if not error.is_refusal:
            raise
        work.say(f"{work.entity.name}: {len(missing)} seem to be gone; not confirmed: {error}")
        work.is_in_doubt = True
        return []
    pages = loads.pages_of(work.ledger, load.load_id)
    asked_again = [page for page in pages if page.feed == ASKED_AGAIN]
    if any(_has_nameless(work, load, page) for page in asked_again):
        work.is_in_doubt = True
        work.say(
            f"{work.entity.name}: {len(missing)} seem to be gone; not confirmed, as a record came "
            "whose id cannot be read."
        )
        return []
    request_id = pages[-1].request_id
    gone = _not_in_spool(work, load, pa.array(missing, pa.string())).to_pylist()
    return [(key, request_id) for key in gone]


def _has_nameless(work: PullContext, load: Load, page: SpooledPage) -> bool:
    records = work.records(load, page)
    return any(key_of(work.entity, received.payload) is None for received in records)


async def _ask_again(work: PullContext, load: Load, name: str, keys: list[str]) -> None:
    """Ask for these by id; those that are there come into the spool, under that name."""
    first_parts = sorted({key.split(KEY_SEPARATOR)[0] for key in keys})
    await read_aside(work, load, name, work.entity.key[0], first_parts)


async def _check_sample(work: PullContext, load: Load, missing: list[str]) -> None:
    """Raise DeletesHeldBack where so many are missing that it would not land anyhow, and none of
    the first page of them is found by id: to ask for each would cost as much as the whole list.
    """
    sample = missing[: work.entity.page_limit]
    if len(sample) == len(missing):
        return
    held = await asyncio.to_thread(work.lake.stored_count, work.entity, load.company_id)
    if work.is_allowed or not bound.is_above(work.settings, len(missing), held):
        return
    await _ask_again(work, load, SAMPLE, sample)
    left = _not_in_spool(work, load, pa.array(sample, pa.string()))
    if len(left) == len(sample):
        pages = [p for p in loads.pages_of(work.ledger, load.load_id) if p.feed == SAMPLE]
        bound.check(work, load, len(missing), len(sample), pages[-1].request_id)


def settle(work: PullContext, outcome: LoadResult) -> None:
    """Write down what a look at the ids came to, and say it."""
    company_id, name = work.company.company_id, work.entity.name
    before = loads.drift_of(work.ledger, company_id, name)
    now = work.clock()
    held = work.lake.stored_count(work.entity, company_id)
    is_told = TOTAL not in work.dialect.known
    total = before.total if before and is_told else held
    told_by = before.request_id if before and is_told else None
    cap = before.cap if before and total <= (before.cap or 0) else None
    is_unexplained = 0 < total < held and not (outcome.rows or outcome.deleted or work.is_in_doubt)
    found = Drift(now, total, held, now, told_by, total if is_unexplained else cap)
    loads.put_drift(work.ledger, company_id, name, found)
    work.result.drift = found.difference if is_told else None
    if is_unexplained:  # the list was read, and all that is held is on it
        _say_capped(work, total, held)
        return
    listed = f"has {total} records" if is_told else "tells no total, and its list was read whole"
    work.say(
        f"{name}: BigLedger {listed}. {outcome.deleted} that were held are gone there "
        f"and are marked deleted; {outcome.rows} versions were missing here and have landed."
    )


def is_due(settings: Settings, last: datetime | None, now: datetime) -> bool:
    """Tell whether a look is due after the last one; None: there was none."""
    every = timedelta(hours=settings.drift_hours)
    return last is None or has_passed(every - min(SLACK, every / 10), last, now)


def requests_to_narrow(total: int, held: int, page_limit: int) -> float:
    """Return about how many requests find the ranges that differ, count by count."""
    return abs(total - held) * (math.log2(max(total / page_limit, 1)) + 2)


def _told(work: PullContext) -> int | None:
    totals = [work.totals.get(feed.name) for feed in work.feeds_for(None)]
    return None if None in totals else sum(total or 0 for total in totals)


async def _ask_total(work: PullContext) -> int | None:
    total = 0
    if not work.dialect.tells_total:
        return None
    for feed in work.feeds_for(None):
        query = Query(work.entity.path, 1, filters=feed.spellings)
        async with aclosing(feed_pages(work, query)) as pages:
            async for page in pages:
                if page.total is None:
                    return None
                total += page.total
                work.told_by = page.request_id
                break
    return total


async def _read_all(work: PullContext, load: Load) -> None:
    everything = replace(load, window_start=None, window_end=None)
    for feed in work.feeds_for(None):
        ids = Feed(f"{IDS} {feed.name}", work.entity.created_field, feed.spellings)
        await walk_feed(work, everything, ids)


@dataclass(frozen=True)
class _Range:
    """Creation times from `start` on before `end` (UTC), rows `first` to before `last` of those
    held, and how many BigLedger has.
    """

    start: datetime | None
    end: datetime | None
    first: int
    last: int
    count: int


async def _differing_ranges(
    work: PullContext, load: Load, held: pa.Table
) -> pa.ChunkedArray | None:
    """Spool the pages of the ranges that differ; return the keys held in them.

    None where reading the whole list costs no more, or where the server cannot count ranges.
    """
    known = loads.drift_of(work.ledger, load.company_id, load.entity)
    total = known.total if known else 0
    budget = total / work.entity.page_limit
    steps = requests_to_narrow(total, held.num_rows, work.entity.page_limit)
    is_one_list = len(work.feeds_for(None)) == 1
    if not is_one_list or held["at"].null_count or steps >= budget:
        return None
    held = held.sort_by("at")
    times = held["at"].cast(pa.int64()).to_numpy()
    differing = [held["key"].slice(0, 0)]
    left = [_Range(None, None, 0, len(times), total)]
    while left:
        here = left.pop()
        if here.count == here.last - here.first:
            continue
        if budget < 0:
            return None
        middle = (
            int(np.searchsorted(times, times[(here.first + here.last) // 2])) if len(times) else 0
        )
        is_small = here.count <= work.entity.page_limit or not here.first < middle < here.last
        if is_small:
            budget -= await _read_range(work, load, here)
            differing.append(held["key"].slice(here.first, here.last - here.first))
            continue
        cut = EPOCH + timedelta(microseconds=int(times[middle]))
        earlier = replace(here, end=cut, last=middle)
        budget -= 1
        count = await _count(work, earlier)
        if count is None:
            return None
        left.append(replace(here, start=cut, first=middle, count=here.count - count))
        left.append(replace(earlier, count=count))
    return pa.chunked_array([chunk for part in differing for chunk in part.chunks], pa.string())


async def _count(work: PullContext, here: _Range) -> int | None:
    """Return how many records BigLedger has in a range; None where it cannot tell."""
    name = work.entity.created_field
    if not work.dialect.has_window(name):
        return None
    query = Query(work.entity.path, 1, window=(name, here.start, here.end))
    async with aclosing(work.dialect.pages(query)) as pages:
        count = (await anext(pages)).total
    is_heeded = work.dialect.has_window(name) and (count or 0) <= here.count
    return count if is_heeded else None


async def _read_range(work: PullContext, load: Load, here: _Range) -> int:
    """Read a range into the spool; return the requests it took."""
    before = work.client.requests
    name = f"range {here.first}"
    feed = Feed(name, work.entity.created_field, work.feeds_for(None)[0].spellings)
    await walk_feed(work, replace(load, window_start=here.start, window_end=here.end), feed)
    return work.client.requests - before


def _not_in_spool(work: PullContext, load: Load, keys: pa.Array) -> pa.Array:
    parts = [pa.array([], pa.string())]
    for page in loads.pages_of(work.ledger, load.load_id):
        read = [key_of(work.entity, received.payload) for received in work.records(load, page)]
        parts.append(pa.array(read, pa.string()))
    present = pa.chunked_array(parts)
    return keys.filter(pc.invert(pc.is_in(keys, present.combine_chunks())))
