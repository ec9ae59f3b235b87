"""Walks: a feed's window read page by page, in slices side by side where that fills the burst.

A list that pages by offset is read in the order of creation, which no change moves, and never in
slices; its pages overlap by a record, and where fewer records came than its total says it is read
once more.

A window up to now that begins somewhere is first asked from its newest record backwards: where
little changed, one request tells all of it, and how many records the server has in all.

An example: the feed `updatedAt` is read from Monday 00:00 up to now, Tuesday 02:00.

1. The newest page reaches back to Monday 20:00 only, so the window is walked from its beginning.
2. The first page of 100 records ends at Monday 02:00, and the server says that 2000 are in the
   window. 1900 are left, more than SLICE_PAGES pages, so the time that is left is cut in the
   middle: `updatedAt` goes on and stops at Monday 14:00, and beside it `updatedAt/1` begins there.
   Either may be split again, while the burst has room.
3. Each page goes to the spool and its walk's place to the ledger. After a kill both walks go on
   from their own cursors. Where the server no longer takes a cursor, the walk asks anew from the
   latest change time that it has, as long as its pages came sorted: what a page repeats of those
   before it tells nothing of the order. Where they did not come sorted, the walk's time is cut in
   two and both parts are asked for from their beginnings, and cut again, until each part is at its
   end before its cursors expire.
4. Both have ended with 1997 different records, though 2000 were promised. The server is asked how
   many there are that have not changed since the first page came. If it has no more of them than
   came, the others changed meanwhile and belong to the next window. If it has more, records moved
   between pages while they were read, and the window is read once more, as `updatedAt again`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import compress
from typing import Any

import msgspec

from blsync.api.dialect import NotTaken, Query, sort_part
from blsync.api.pages import Page, body_of
from blsync.entity import Feed
from blsync.errors import CursorRefused, ServerFault, Unauthorized
from blsync.lake.typing import UNTYPED, Fingerprints, Payload, key_of, raw_fields
from blsync.ledger import loads
from blsync.ledger.loads import Load, Walk
from blsync.ledger.states import LoadKind
from blsync.pull.work import PullContext

INSTANT = timedelta(microseconds=1)
"""The shortest time that a filter tells apart."""
FINEST = timedelta(seconds=1)
"""A server that keeps times in whole seconds may list what changed so much before a bound."""
SLICE_PAGES = 8
"""Pages that a walk has left at least before it is worth splitting: a slice may cost one more."""


@dataclass
class _Met:
    """What a walk has met since it was last asked for from its beginning."""

    versions: Fingerprints = field(default_factory=Fingerprints)
    times: set[datetime] = field(default_factory=set)

    def fresh(
        self, records: Sequence[Payload], times: Sequence[datetime | None]
    ) -> list[datetime | None]:
        """Return the change times of those records that were not met before, and remember them."""
        self.times.update(at for at in times if at)
        return list(compress(times, self.versions.add(records))) if records else []


@dataclass
class _Slices:
    """The walks of one feed of one load, by name, and the tasks that read them."""

    work: PullContext
    load: Load
    feed: Feed
    walks: dict[str, Walk] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    is_absent: bool = False
    """The server cannot be asked for this feed."""
    promised: int | None = None
    """What the first page said that there is, as of `as_of`."""
    as_of: datetime | None = None
    seen: Fingerprints = field(default_factory=Fingerprints)
    distinct: int = 0
    seen_later: Fingerprints = field(default_factory=Fingerprints)
    distinct_later: int = 0
    """Those among the distinct ones that were met with a change of `as_of` or later."""
    met: dict[str, _Met] = field(default_factory=dict)
    """What each walk has met, by its name."""

    def expect(self, walk: Walk) -> None:
        """Take the total of the feed's first walk for that of its whole window."""
        self.promised, self.as_of = walk.total, walk.as_of

    def count(self, records: Sequence[Payload], times: Sequence[datetime | None]) -> None:
        """Count those among the records that were not met before; one without an id is itself."""
        keys = [key_of(self.work.entity, record) for record in records]
        marks = [key.encode() if key else record for key, record in zip(keys, records, strict=True)]
        later = [bool(at and self.as_of and at >= self.as_of) for at in times]
        self.distinct += sum(self.seen.add(marks))
        self.distinct_later += sum(self.seen_later.add(list(compress(marks, later))))


async def walk_feed(work: PullContext, load: Load, feed: Feed) -> None:
    """Read a feed's window to its end, from where an earlier run left it."""
    slices = _left_open(work, load, feed, feed.name)
    if not slices.walks and await _read_newest(work, load, feed):
        return
    is_counted = _is_counted(work, load)
    if is_counted and slices.walks:
        slices.expect(slices.walks[feed.name])
        await asyncio.to_thread(_count_spooled, slices)
    await _read(slices, sorted(slices.walks) or [feed.name])
    if not is_counted or slices.promised is None:
        return
    # A server that counts its pages off by number skips records when others move meanwhile.
    if slices.distinct < slices.promised and await _has_passed_over(slices):
        work.say(
            f"{work.entity.name}: the server promised {slices.promised} changes and gave "
            f"{slices.distinct}; reading them once more."
        )
        name = f"{feed.name} again"
        again = _left_open(work, load, feed, name)
        await _read(again, sorted(again.walks) or [name])


def _is_counted(work: PullContext, load: Load) -> bool:
    """Tell whether what comes is compared with the total that the first page tells."""
    is_up_to_now = load.kind == LoadKind.CHANGE and load.window_end is None
    return is_up_to_now and (load.window_start is not None or work.pages_by_offset)


def _left_open(work: PullContext, load: Load, feed: Feed, name: str) -> _Slices:
    """Return what an earlier run left of the walk of that name and its slices."""
    known = [walk for walk in loads.walks_of(work.ledger, load.load_id) if feed_of(walk) == name]
    return _Slices(work, load, feed, {walk.feed: walk for walk in known})


async def _has_passed_over(slices: _Slices) -> bool:
    """Tell whether the server has more records that did not change since the first page than came.

    What changed since then is in the next window, what was deleted is in none: neither is worth
    the pages of the whole window.
    """
    work, load = slices.work, slices.load
    query = replace(query_of(work, slices.feed, load.window_start, slices.as_of), limit=1)
    async with aclosing(feed_pages(work, query)) as pages:
        page = await anext(pages, None)
    came = slices.distinct
    if work.dialect.has_window(slices.feed.change_field):  # else it is of all that there are
        came -= slices.distinct_later
    return page is None or page.total is None or page.total > came


def _count_spooled(slices: _Slices) -> None:
    for page in loads.pages_of(slices.work.ledger, slices.load.load_id):
        if page.feed in slices.walks:
            records = [r.payload for r in slices.work.records(slices.load, page)]
            slices.count(records, change_times(slices.feed.change_field, records))


def feed_of(walk: Walk) -> str:
    """Return the name of the feed that a walk belongs to."""
    return walk.feed.partition("/")[0]


async def _read(slices: _Slices, names: list[str]) -> None:
    """Read these slices, and those that they are split into, to their ends.

    One that fails cancels none of the others: what they have asked for is paid. A refused key
    stops them all.
    """
    slices.tasks += [asyncio.create_task(_read_slice(slices, name)) for name in names]
    try:
        while running := [task for task in slices.tasks if not task.done()]:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            if any(isinstance(task.exception(), Unauthorized) for task in done):
                break
        for task in slices.tasks:
            if task.done() and (error := task.exception()):
                raise error
    finally:
        for task in slices.tasks:
            task.cancel()
        await asyncio.gather(*slices.tasks, return_exceptions=True)


async def _read_slice(slices: _Slices, name: str) -> None:
    slices.work.open_walks.count += 1
    try:
        await _walk(slices, name)
    finally:
        slices.work.open_walks.count -= 1


async def _walk(slices: _Slices, name: str) -> None:
    work, load, feed = slices.work, slices.load, slices.feed
    slices.met[name] = await asyncio.to_thread(_met_last, slices, name)
    refusals = 0
    slices.is_absent |= not work.dialect.has_filters(feed.spellings)
    while not slices.is_absent and not _is_done(slices.walks.get(name)):
        walk = slices.walks.get(name)
        lower, upper = (walk.lower, walk.upper) if walk else (load.window_start, load.window_end)
        query = query_of(work, feed, lower, upper)
        try:
            async with aclosing(work.dialect.pages(query, walk.cursor if walk else None)) as pages:
                async for page in pages:
                    if not _is_heeded(slices, name, page):
                        break
                    _take(slices, name, page)
                    if slices.walks[name].is_done:
                        break
        except CursorRefused as error:
            walk = slices.walks[name]
            if work.pages_by_offset and not refusals:
                refusals += 1
                _put(slices, replace(walk, cursor=None))
                continue
            if not walk.is_sorted:
                _halve(slices, walk, error)
                continue
            # Without progress a second refusal would be followed by a third, and so on.
            refusals += walk.position == lower
            if refusals > 1:
                raise ServerFault(
                    f"{error} Its cursors are refused before the list is read to its end.",
                    request_id=error.request_id,
                ) from None
            upper = walk.stop_at or walk.upper
            _put(slices, replace(walk, lower=walk.position, upper=upper, cursor=None))
        except NotTaken as error:
            work.say(f"{work.entity.name}: '{feed.name}' cannot be asked here: {error}")
            slices.is_absent = True


def _is_done(walk: Walk | None) -> bool:
    return walk is not None and walk.is_done


def _take(slices: _Slices, name: str, page: Page) -> None:
    """Keep a page of a slice, and split the slice where there is room for another walk."""
    work, load = slices.work, slices.load
    _note_included(work, slices.feed, page)
    times = change_times(slices.feed.change_field, page.records)
    order = work.order_of(slices.feed)
    is_by_change = order == slices.feed.change_field
    ordered = times if is_by_change else change_times(order, page.records)
    fresh = slices.met[name].fresh(page.records, ordered)
    walk = _advanced(slices.walks.get(name) or _begun(name, load, page), page, fresh)
    is_whole = not work.dialect.has_window(slices.feed.change_field)
    if is_whole or (walk.lower is None and walk.upper is None):
        before = work.totals.setdefault(slices.feed.name, page.total)
        work.has_moving_total |= before != page.total
        work.totals[slices.feed.name] = page.total
        work.told_by = page.request_id
        work.listed_since = min(work.listed_since or walk.as_of, walk.as_of)
    if walk.total is None:
        walk = replace(walk, total=page.total)
    if _is_counted(work, load):
        if slices.promised is None:
            slices.expect(walk)
        slices.count(page.records, times)
    slices.walks[name] = walk
    work.keep(load, walk, page)
    if walk.is_done:
        work.ended.add(name)
    if _is_worth_splitting(slices, walk, len(page.records)):
        _split(slices, walk)


def _note_included(work: PullContext, feed: Feed, page: Page) -> None:
    """Learn from the list without filters that it has what another feed is to bring."""
    if any(feed.spellings):
        return
    for other in work.feeds_for(None):
        if any(other.spellings) and any(map(other.is_surely_meant, page.records)):
            work.dialect.note_included(other, page.request_id)


def _is_heeded(slices: _Slices, name: str, page: Page) -> bool:
    """Tell whether a page answers what was asked, and learn from one that does not.

    A page of the whole list instead of a window is an answer all the same, but to a slice: what
    that was to read comes with the walk that it was split from.
    """
    feed, dialect, walk = slices.feed, slices.work.dialect, slices.walks.get(name)
    if feed.is_meant and not all(map(feed.is_meant, page.records)):
        seen = "others came"
        dialect.filters_passed_over(feed.spellings, seen, page.request_id)
        return False
    lower = walk.lower if walk else slices.load.window_start
    times = change_times(feed.change_field, page.records) if lower else []
    early = [at for at in times if lower and at and at < lower - FINEST]
    if early and dialect.has_window(feed.change_field):
        seen = f"a record of {min(early):%Y-%m-%d %H:%M:%S} UTC came"
        dialect.window_passed_over(feed.change_field, seen, page.request_id)
    if dialect.has_window(feed.change_field) or not loads.sliced_from(name):
        return True
    _rejoin(slices, name)
    return False


def _rejoin(slices: _Slices, name: str) -> None:
    """Have the walk that slices were split from read what they were to read."""
    whole = slices.walks[name.partition("/")[0]]
    parts = [walk for part, walk in slices.walks.items() if loads.sliced_from(part)]
    was_done = whole.is_done and whole.cursor is not None
    whole = replace(whole, stop_at=None, is_done=whole.is_done and not was_done)
    _put(slices, whole, *(replace(part, is_done=True) for part in parts))
    if was_done:
        slices.work.ended.discard(whole.feed)
        slices.tasks.append(asyncio.create_task(_read_slice(slices, whole.feed)))


def _begun(name: str, load: Load, page: Page) -> Walk:
    lower, upper = load.window_start, load.window_end
    return Walk(name, False, True, lower, upper, None, None, None, page.at, 0, 0, page.total)


def _advanced(walk: Walk, page: Page, times: Sequence[datetime | None]) -> Walk:
    ordered = [at for at in (walk.position, *times) if at]
    position = max(ordered, default=None)
    is_sorted = walk.is_sorted and ordered == sorted(ordered)
    has_met = bool(walk.stop_at and position and position >= walk.stop_at and is_sorted)
    return replace(
        walk,
        is_done=page.next_cursor is None or has_met,
        is_sorted=is_sorted,
        cursor=page.next_cursor,
        position=position,
        pages=walk.pages + 1,
        records=walk.records + len(page.records),
    )


def _is_worth_splitting(slices: _Slices, walk: Walk, page_records: int) -> bool:
    if walk.is_done or not walk.is_sorted or walk.position is None or walk.total is None:
        return False
    if not slices.work.dialect.has_window(slices.feed.change_field) or slices.work.pages_by_offset:
        return False
    parts = [w for w in slices.walks.values() if loads.sliced_from(w.feed) == walk.feed]
    is_waiting = any(not part.pages for part in parts)  # how much it takes over is not told yet
    left = loads.own_totals([walk, *parts])[walk.feed] - walk.records
    return slices.work.has_room and not is_waiting and left >= SLICE_PAGES * page_records > 0


def _split(slices: _Slices, walk: Walk) -> None:
    """Let another walk read the later half of the time that is left to this one.

    This one keeps its cursor and stops at the first page that reaches the other's beginning, so at
    most a part of one page is read twice.
    """
    assert walk.position is not None  # noqa: S101 (see _is_worth_splitting)
    end = walk.stop_at or walk.upper or walk.as_of
    middle = walk.position + (end - walk.position) / 2
    if middle <= walk.position:
        return
    parts = sum(loads.sliced_from(other) == walk.feed for other in slices.walks)
    name = f"{walk.feed}/{1 + parts}"
    upper = walk.stop_at or walk.upper
    other = Walk(name, False, True, middle, upper, None, None, None, walk.as_of, 0, 0, None)
    _put(slices, replace(walk, stop_at=middle), other)
    slices.tasks.append(asyncio.create_task(_read_slice(slices, name)))


def _halve(slices: _Slices, walk: Walk, error: CursorRefused) -> None:
    """Ask for a walk from its beginning again, for one part of its time, and let another walk read
    the other part: the server neither sorts nor keeps its cursors for as long as the whole takes.

    Raises ServerFault where no smaller part could fit: more records of one instant than a cursor
    lives for, or a server that does not keep to the bounds.
    """
    upper = walk.stop_at or walk.upper
    middle = _middle(slices.met[walk.feed].times, walk.lower, upper)
    if middle is None or not slices.work.dialect.has_window(slices.feed.change_field):
        raise ServerFault(
            f"{error} Its cursors are refused before the list is read to its end, it does not come "
            "sorted, and it is not shorter where less of it is asked for.",
            request_id=error.request_id,
        ) from None
    parts = sum(loads.sliced_from(other) == walk.feed for other in slices.walks)
    name = f"{walk.feed}/{1 + parts}"
    other = Walk(name, False, True, middle, upper, None, None, None, walk.as_of, 0, 0, None)
    _put(slices, replace(walk, upper=middle, stop_at=None, cursor=None), other)
    slices.met[walk.feed] = _Met()
    slices.tasks.append(asyncio.create_task(_read_slice(slices, name)))


def _middle(
    times: set[datetime], lower: datetime | None, upper: datetime | None
) -> datetime | None:
    """Return where to cut a part of a window by the times that were met in it, so that both parts
    are smaller; None where it cannot be cut, or where some lie outside it.
    """
    if any((lower and at < lower) or (upper and at >= upper) for at in times):
        return None
    known = sorted(times)
    if not known:  # killed meanwhile
        return lower + (upper - lower) / 2 if lower and upper and upper - lower > INSTANT else None
    middle = known[len(known) // 2]
    if middle == lower:  # all of one instant, or half of them: that one, and what is later
        middle += INSTANT
    is_inside = (lower is None or middle > lower) and (upper is None or middle < upper)
    return middle if is_inside else None


def _met_last(slices: _Slices, name: str) -> _Met:
    """Return what the last page of a walk brought that was left open, if there is one."""
    met = _Met()
    walk = slices.walks.get(name)
    if walk is None or not walk.pages:
        return met
    pages = [p for p in loads.pages_of(slices.work.ledger, slices.load.load_id) if p.feed == name]
    records = [r.payload for r in slices.work.records(slices.load, pages[-1])] if pages else []
    met.fresh(records, change_times(slices.feed.change_field, records))
    return met


def _put(slices: _Slices, *walks: Walk) -> None:
    slices.walks |= {walk.feed: walk for walk in walks}
    with slices.work.ledger.begin() as db:
        loads.put_walks(db, slices.load.load_id, walks)


async def _read_newest(work: PullContext, load: Load, feed: Feed) -> bool:
    """Read the window from its newest record on, if one page reaches back beyond its beginning.

    Only where the server has always sorted as it was asked to: a page that merely looks sorted
    proves nothing about what is not on it.
    """
    if load.window_start is None or load.window_end is not None or load.kind != LoadKind.CHANGE:
        return False
    if feed.needs_lower_bound and work.dialect.has_window(feed.change_field):
        return False
    if not is_read_newest_first(work, feed):
        return False
    query = replace(query_of(work, feed, None, None), order=(feed.change_field, True))
    async with aclosing(feed_pages(work, query)) as pages:
        page = await anext(pages, None)
    if page is None:
        return False
    _note_included(work, feed, page)
    work.totals[feed.name] = page.total
    work.told_by = page.request_id
    times = change_times(feed.change_field, page.records)
    is_proof = not work.pages_by_offset and _reaches_back(times, load.window_start)
    if page.next_cursor is not None and not is_proof:
        return False
    _keep_newest(work, load, feed, page, times)
    return True


def is_read_newest_first(work: PullContext, feed: Feed) -> bool:
    """Tell whether the server has always sorted as it is asked to now, or lists all on one page."""
    if work.pages_by_offset:
        known = loads.drift_of(work.ledger, work.company.company_id, work.entity.name)
        size = work.client.page_limits.get(work.entity.path, work.entity.page_limit)
        return known is not None and known.total <= size
    since = work.dialect.learnt_at(sort_part(feed.change_field))
    company_id, name = work.company.company_id, work.entity.name
    traits = loads.server_traits(work.ledger, company_id, name, sorted_since=since)
    return traits.is_sorted and work.dialect.has_order(feed.change_field)


def feeds_of(work: PullContext, start: datetime | None) -> list[Feed]:
    """Return the feeds that a window is asked by: one whole list tells all that another does."""
    feeds = work.feeds_for(start)
    is_whole = not work.dialect.has_window(feeds[0].change_field)
    if start is None or not is_whole or is_read_newest_first(work, feeds[0]):
        return feeds
    return [
        feed
        for feed in feeds
        if not feed.needs_lower_bound or work.dialect.has_window(feed.change_field)
    ]


def note_order(work: PullContext, load: Load, feeds: Sequence[Feed]) -> None:
    """Learn from walks that came in another order that the order asked for is not heeded."""
    fields = {feed.name: work.order_of(feed) for feed in feeds}
    for walk in loads.walks_of(work.ledger, load.load_id):
        name = fields.get(feed_of(walk))
        if name and not walk.is_sorted:
            work.dialect.order_passed_over(name, "the records came in another one", "")


def _reaches_back(times: list[datetime | None], start: datetime) -> bool:
    known = [at for at in times if at]
    if not known or len(known) < len(times):
        return False
    is_newest_first = known == sorted(known, reverse=True) and known[0] != known[-1]
    return is_newest_first and known[-1] < start


def _keep_newest(
    work: PullContext, load: Load, feed: Feed, page: Page, times: list[datetime | None]
) -> None:
    start = load.window_start
    fresh = [
        record
        for record, at in zip(page.records, times, strict=True)
        if at is None or start is None or at >= start
    ]
    body = body_of(fresh)
    walk = _begun(feed.name, load, page)
    walk = replace(walk, is_done=True, pages=1, records=len(fresh), total=len(fresh))
    work.keep(load, walk, page, body)


async def feed_pages(work: PullContext, query: Query) -> AsyncGenerator[Page]:
    """Yield the pages of a query; none at all where the server takes none of its filters."""
    try:
        async with aclosing(work.dialect.pages(query)) as pages:
            async for page in pages:
                yield page
    except NotTaken:
        return


async def read_aside(
    work: PullContext, load: Load, name: str, key_field: str, values: Sequence[str]
) -> None:
    """Read the records that have one of these values into the load's spool, under that name."""
    walk = next((w for w in loads.walks_of(work.ledger, load.load_id) if w.feed == name), None)
    step = work.entity.page_limit
    for at in range(0, len(values), step):
        for feed in work.entity.feeds_for(None):  # what is not found is taken for gone
            if not work.dialect.has_filters(feed.spellings):
                continue
            asked = work.dialect.among(
                key_field,
                values[at : at + step],
                limit=step,
                filters=feed.spellings,
                is_key=work.entity.key == (key_field,),
                known_id=work.seen_id,
            )
            async with aclosing(asked) as pages:
                async for page in pages:
                    walk = _advanced(walk or _begun(name, load, page), page, [])
                    work.keep(load, walk, page)


def query_of(
    work: PullContext, feed: Feed, lower: datetime | None, upper: datetime | None
) -> Query:
    """Return what is asked for a feed's window, oldest first."""
    name, entity = feed.change_field, work.entity
    order = (work.order_of(feed), False)
    return Query(entity.path, entity.page_limit, order, (name, lower, upper), feed.spellings)


@cache
def _change_decoder(name: str) -> msgspec.json.Decoder[Any]:
    probe = msgspec.defstruct("Change", [("at", datetime | None, None)], rename={"at": name})
    return msgspec.json.Decoder(probe)


def change_times(name: str, records: Sequence[Payload]) -> list[datetime | None]:
    """Return each record's time under that name, UTC; None where it has none that can be read."""
    decoder = _change_decoder(name)
    times: list[datetime | None] = []
    for record in records:
        try:
            try:
                at = decoder.decode(record).at
            except msgspec.ValidationError:
                raise
            except msgspec.DecodeError:  # another of its fields may be what is damaged
                at = decoder.decode(b'{"%b":%b}' % (name.encode(), raw_fields(record)[name])).at
            times.append(at and (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)))
        except (KeyError, *UNTYPED):
            times.append(None)
    return times
