"""Landing: what a load has in the spool, typed and written, each version once.

Pages are typed while others are waited for; what is typed is of no worth until it has landed. After
a kill the pages in the spool are typed again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import compress
from typing import Any

import msgspec

from blsync.errors import TooManyRejected
from blsync.lake.landing import Landing
from blsync.lake.splitting import legible
from blsync.lake.typing import (
    UNTYPED,
    Fingerprints,
    Payload,
    RawRecord,
    finer_amounts,
    tombstones,
    type_records,
)
from blsync.ledger import loads
from blsync.ledger.loads import Load, LoadResult, SpooledPage
from blsync.ledger.states import LoadKind
from blsync.pull import bound, details
from blsync.pull.walk import change_times, read_aside
from blsync.pull.work import PullContext

REVERSED = "reversed originals"
"""Under its name records are spooled that a reversing record made us fetch again."""
PAGES_AT_ONCE = 10
"""Pages typed together: the first of them costs as much as the others."""
ENOUGH = 20
"""Records that a load has at least before a share of them means anything."""

Deletions = list[tuple[str, str]]
"""Keys that BigLedger no longer has, each with the id of the request that showed it."""


async def land(
    work: PullContext, load: Load, read: Callable[[], Awaitable[tuple[datetime, Deletions]]]
) -> LoadResult:
    """Land what the load has in the spool and is not held yet, and what `read` brings there.

    `read` returns up to when the load covers, and what gets a delete row. Raises TooManyRejected
    where too large a share cannot be typed, DeletesHeldBack where too large a share of what is held
    seems gone, and what `read` raises.
    """
    work.kept = asyncio.Queue()
    for page in loads.pages_of(work.ledger, load.load_id):
        work.kept.put_nowait(page)

    async def reading() -> tuple[datetime, Deletions]:
        try:
            return await read()
        finally:
            work.kept.put_nowait(None)

    task = asyncio.create_task(reading())
    try:
        return await _land(work, load, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _land(
    work: PullContext, load: Load, reading: asyncio.Task[tuple[datetime, Deletions]]
) -> LoadResult:
    entity, company_id = work.entity, load.company_id
    since = load.window_start if load.kind == LoadKind.CHANGE else None
    names = details.left_out(work.settings, work.dialect, entity)
    seen_as = partial(details.held_as_listed, names=names, needs_details=work.is_again)
    held_since = partial(
        work.lake.stored,
        entity,
        company_id,
        load_id=load.load_id,
        seen_as=seen_as if names else None,
    )
    held = await asyncio.to_thread(held_since, since)
    # However the block ends, the thread has ended before the file is closed.
    with (
        work.lake.landing(entity, company_id, load.load_id) as landing,
        ThreadPoolExecutor(1) as thread,
    ):
        typing = _Typing(work, load, held, landing, since, held_since, names)
        loop = asyncio.get_running_loop()
        async for pages in _arriving(work.kept):
            await loop.run_in_executor(thread, typing.land, pages)
        window_end, gone = await reading
        if gone:
            bound.check(work, load, len(gone), len(gone), gone[-1][1])
        await _fetch_details(work, load, typing, loop, thread)
        fetched = await _fetch_reversed(work, load, typing) if entity.reversal_field else []
        if fetched:  # what was reversed may be of any age
            held.include(await asyncio.to_thread(held_since, None))
        for page in fetched:
            await loop.run_in_executor(thread, typing.land, [page])
        await _fetch_details(work, load, typing, loop, thread)
        if load.kind == LoadKind.CHANGE and not names:
            await details.note_absence(work, typing.absence)
        _check_share(work, landing)
        outcome = typing.outcome(window_end, len(gone))
        if gone:
            landing.add(tombstones(entity, company_id, load.load_id, gone, work.stamp()))
        landing.facts = _facts(work, load, outcome)
    if first := landing.first_reject:
        are = "is" if landing.rejected == 1 else "are"
        work.say(
            f"{work.entity.name}: {landing.rejected} of {landing.rows + landing.rejected} new "
            f"records cannot be typed and {are} in quarantine. The first: {first['_reason']} "
            f"(request {first['_request_id']})."
        )
    return outcome


async def _fetch_details(
    work: PullContext,
    load: Load,
    typing: _Typing,
    loop: asyncio.AbstractEventLoop,
    thread: ThreadPoolExecutor,
) -> None:
    """Fetch what the list leaves out of the records that wait for it, and land them."""
    waiting, typing.waiting = typing.waiting, []
    if not waiting:
        return
    pages = await details.fetch(work, load, waiting, typing.names)
    fresh = [page for page in pages if page.number not in typing.detailed]
    typing.detailed |= {page.number for page in fresh}
    for at in range(0, len(fresh), PAGES_AT_ONCE):
        part = fresh[at : at + PAGES_AT_ONCE]
        await loop.run_in_executor(thread, typing.land_details, part)


async def _arriving(
    kept: asyncio.Queue[SpooledPage | None],
) -> AsyncIterator[list[SpooledPage]]:
    """Yield a load's pages as they come, so many at once; fewer only at their end.

    Those that reversing records made us fetch are left out: they come last.
    """
    is_over = False
    while not is_over:
        came: list[SpooledPage] = []
        while len(came) < PAGES_AT_ONCE and not is_over:
            page = await kept.get()
            is_over = page is None
            if page and page.feed not in (REVERSED, details.DETAILS):
                came.append(page)
        if came:
            yield came


@dataclass
class _Typing:
    """What the typing of a load's pages works with, and what it finds on the way."""

    work: PullContext
    load: Load
    held: Fingerprints
    landing: Landing
    since: datetime | None
    """`held` has what changed from then on; None: all."""
    held_since: Callable[[datetime | None], Fingerprints]
    names: Sequence[str]
    """Fields that the list leaves out and that are to be fetched."""
    waiting: list[RawRecord] = field(default_factory=list)
    """Records that are to be fetched by their ids before they land."""
    detailed: set[int] = field(default_factory=set)
    """Numbers of the pages of details that were landed."""
    unknown: set[str] = field(default_factory=set)
    nulls: set[str] = field(default_factory=set)
    noisy: Counter[str] = field(default_factory=Counter)
    finer: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    reversed_ids: set[str] = field(default_factory=set)
    void_ids: set[str] = field(default_factory=set)

    def land(self, pages: list[SpooledPage]) -> None:
        """Land the records of pages, each version once and none that is held already."""
        entity, load = self.work.entity, self.load
        batch = [received for page in pages for received in self.work.records(load, page)]
        if self.since and self.has_strays([received.payload for received in batch]):
            self.since = None  # what came may be of any age, and is held perhaps
            self.held.include(self.held_since(None))
        seen: list[Payload] = [received.payload for received in batch]
        if self.names:
            seen = [details.as_listed(payload, self.names) for payload in seen]
        new = list(compress(batch, self.held.add(seen)))
        if entity.reversal_field:
            self.look_for_reversals(new)
        if self.names:
            self.waiting += new
        else:
            self._land(new)

    def land_details(self, pages: list[SpooledPage]) -> None:
        """Land records with the details that were fetched of them."""
        self._land([received for page in pages for received in self.work.records(self.load, page)])

    def _land(self, new: list[RawRecord]) -> None:
        entity, load = self.work.entity, self.load
        rejects: list[dict[str, Any]] = []
        zone = self.work.settings.zone
        table = type_records(
            entity, load.company_id, load.load_id, new, rejects, self.unknown, zone, self.noisy
        )
        for name, (count, difference) in finer_amounts(entity, table).items():
            before = self.finer.get(name, (0, Decimal(0)))
            self.finer[name] = (before[0] + count, before[1] + difference)
        self.nulls.update(
            name
            for name, column in zip(table.column_names, table.columns, strict=True)
            if column.null_count and not name.startswith("_")
        )
        columns = zip(table.column_names, table.columns, strict=True)
        filled = {name for name, column in columns if column.null_count < len(column)}
        self.absence.look(new, filled)
        self.landing.add(table, rejects)

    def __post_init__(self) -> None:
        self.absence = details.Absence(self.work.entity)

    def has_strays(self, payloads: list[msgspec.Raw]) -> bool:
        """Tell whether some of these changed before `since`, by all the times that they have."""
        names = {feed.change_field for feed in self.work.entity.feeds}
        columns = [change_times(name, payloads) for name in sorted(names)]
        latest = [max(filter(None, times), default=None) for times in zip(*columns, strict=True)]
        return any(at and self.since and at < self.since for at in latest)

    def look_for_reversals(self, batch: list[RawRecord]) -> None:
        """Note which records are void, and which were reversed by these."""
        for received in batch:
            try:
                record = _reversal_in(received.payload)
            except UNTYPED:
                continue
            if record.status == "void" and record.id:
                self.void_ids.add(record.id)
            if record.reverses_id:
                self.reversed_ids.add(record.reverses_id)

    def outcome(self, window_end: datetime, deleted: int) -> LoadResult:
        """Return what the load came to."""
        work, load = self.work, self.load
        earlier = loads.server_traits(work.ledger, load.company_id, load.entity).null_fields
        return LoadResult(
            window_end,
            self.landing.rows,
            deleted,
            self.landing.rejected,
            is_sorted=all(w.is_sorted for w in loads.walks_of(work.ledger, load.load_id)),
            page_limit=work.client.page_limits.get(work.entity.path),
            findings={
                "unknown_fields": sorted(self.unknown),
                "null_fields": sorted(self.nulls),
                "noisy_numbers": [f"{name}: {n}" for name, n in sorted(self.noisy.items())],
                "finer_amounts": [
                    f"{name}: {count}, together {difference:f}"
                    for name, (count, difference) in sorted(self.finer.items())
                ],
                "newly_null": sorted(self.nulls - earlier) if earlier is not None else [],
            },
        )


def _facts(work: PullContext, load: Load, outcome: LoadResult) -> dict[str, Any]:
    cost = loads.cost_of(work.ledger, load.load_id)
    return {
        "load_id": load.load_id,
        "company_id": load.company_id,
        "base_url": work.company.base_url,
        "lake_id": work.ledger.lake_id,
        "entity": load.entity,
        "kind": load.kind,
        "feeds": sorted(feed.name for feed in work.entity.feeds),
        "window_start": load.window_start.isoformat() if load.window_start else None,
        "started_at": load.started_at.isoformat(),
        "requests": cost.requests,
        "throttled_ms": cost.throttled_ms,
        **vars(outcome),
        "window_end": outcome.window_end.isoformat(),
        "committed_at": work.stamp().isoformat(),  # later than all stamps of the load
    }


def outcome_of(facts: dict[str, Any]) -> LoadResult:
    """Return what a landed file's footer says that its load came to."""
    names = LoadResult.__dataclass_fields__
    values = {name: facts[name] for name in names if name in facts}
    return LoadResult(**{**values, "window_end": datetime.fromisoformat(facts["window_end"])})


def _check_share(work: PullContext, landing: Landing) -> None:
    share, rejected, first = work.settings.quarantine_share, landing.rejected, landing.first_reject
    records = landing.rows + rejected
    if first is None or records < ENOUGH or rejected <= share * records:
        return
    raise TooManyRejected(
        f"{rejected} of {records} new {work.entity.name} cannot be typed, more than the share "
        f"of {share:.0%} that goes to quarantine, so none of them landed. The first: "
        f"{first['_reason']} (request {first['_request_id']}). Ask the vendor what changed, or set "
        "BLSYNC_QUARANTINE_SHARE higher; what was read is kept for the next sync."
    )


class _Reversal(msgspec.Struct, rename="camel"):
    id: str | None = None
    status: str | None = None
    reverses_id: str | None = None


def _reversal_in(payload: msgspec.Raw) -> _Reversal:
    try:
        return _REVERSAL.decode(payload)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # it is in quarantine; what it reverses is void all the same
        return _REVERSAL.decode(legible(bytes(payload)))


_REVERSAL = msgspec.json.Decoder(_Reversal)


async def _fetch_reversed(work: PullContext, load: Load, typing: _Typing) -> list[SpooledPage]:
    """Fetch again what a reversing record reversed: its status changed, its times did not.

    Returns the pages, with those that an earlier run fetched.
    """
    for page in _reversed_pages(work, load):
        typing.look_for_reversals(work.records(load, page))
    wanted = sorted(typing.reversed_ids - typing.void_ids)
    await read_aside(work, load, REVERSED, "id", wanted)
    return _reversed_pages(work, load)


def _reversed_pages(work: PullContext, load: Load) -> list[SpooledPage]:
    return [page for page in loads.pages_of(work.ledger, load.load_id) if page.feed == REVERSED]
