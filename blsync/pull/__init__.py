"""The pull: a window of change time, its feeds, their pages, the lake.

A page counts once its bytes are in the spool and its place is in the ledger; a window counts once
its file is in the lake. Killed at any moment, the next run goes on from what counts.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from blsync.client import Client, Page, records_of
from blsync.entity import Entity, Feed
from blsync.errors import (
    ApiError,
    BlsyncError,
    CursorRefused,
    PartlyFailed,
    QuotaSpent,
    ServerFault,
    Unauthorized,
)
from blsync.lake import Lake, Received, alone, fingerprint, storage
from blsync.ledger import Ledger, loads
from blsync.ledger.loads import Cost, Load, SpooledPage, Walk
from blsync.quota import Pace, pace_for
from blsync.settings import Company, Settings, require_credentials

OVERLAP = timedelta(minutes=5)
"""How far behind the covered time a window begins, for changes that were committed late."""
REVERSED = "reversed originals"
"""The name under which records are spooled that a reversing record made us fetch again."""

_UNTYPED = (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError)
"""Raised by a record that goes to quarantine once it is typed."""

Progress = Callable[[str, int, int | None], None]
"""Told the entity, the records read so far and the total that the server gave."""


@dataclass(frozen=True)
class Window:
    """A range of change time, UTC, `end` excluded; None is no bound (`end`: up to now)."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass
class Result:
    """What the pull of one entity brought and cost; times are UTC."""

    rows: int = 0
    deleted: int = 0
    quarantined: int = 0
    requests: int = 0
    throttled_ms: int = 0
    window: tuple[datetime | None, datetime | None] = (None, None)
    error: BlsyncError | None = None


def pull(
    settings: Settings,
    company: Company,
    entities: Iterable[Entity],
    window: Window = Window(),
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
    async def one(entity: Entity) -> Result:
        pace = pace_for(settings, ledger, company.key_id)
        pace.wait_for_hour, pace.say = wait, say
        async with Client(company, pace) as client:
            work = _Work(entity, company, client, pace, ledger, lake, progress, say)
            lock = lake.data / "spool" / f"{entity.name}.{company.company_id}.lock"
            busy = f"Another sync is pulling {entity.name}; waiting for it."
            try:
                async with alone(lock, say, busy):  # two syncs never land the same window
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


@dataclass
class _Work:
    """All that the pull of one entity works with."""

    entity: Entity
    company: Company
    client: Client
    pace: Pace
    ledger: Ledger
    lake: Lake
    progress: Progress
    say: Callable[[str], None]
    result: Result = field(default_factory=Result)
    seen: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    _counted: Cost = field(default=Cost(0, 0))

    def uncounted(self) -> Cost:
        """Take what was spent since the last call."""
        spent = Cost(self.client.requests, round(self.pace.throttled * 1000))
        before, self._counted = self._counted, spent
        return Cost(spent.requests - before.requests, spent.throttled_ms - before.throttled_ms)


async def _cover(work: _Work, window: Window, again: bool) -> None:
    entity, company_id = work.entity, work.company.company_id
    work.lake.ensure_schema(entity, company_id)
    left_open = loads.unfinished(work.ledger, company_id, entity.name)
    if left_open:
        await _finish(work, left_open)
    start = window.start
    if not again:
        reached = loads.uncovered_from(work.ledger, company_id, entity.name, start)
        if reached and window.end and reached >= window.end:
            return
        start = reached - OVERLAP if reached else None
    now = datetime.now(UTC)
    load = Load(
        load_id=f"{now:%Y%m%dT%H%M%S%f}Z-{uuid.uuid4().hex[:8]}",
        company_id=company_id,
        entity=entity.name,
        window_start=start,
        window_end=window.end if window.end and window.end < now - OVERLAP else None,
        started_at=now,
    )
    loads.start(work.ledger, load)
    await _finish(work, load)


async def _finish(work: _Work, load: Load) -> None:
    path = work.lake.file_of(work.entity, load.company_id, load.load_id)
    if path.exists():  # killed between the lake and the ledger
        facts = work.lake.facts_of(path)
    else:
        spooled = loads.pages_of(work.ledger, load.load_id)
        if not all(work.lake.spool(load.load_id, p.feed, p.number).exists() for p in spooled):
            loads.restart(work.ledger, load.load_id)  # somebody emptied the spool
        feeds = work.entity.feeds_for(load.window_start)
        try:
            # One that fails cancels none of the others: what they have asked for is paid.
            outcomes = await asyncio.gather(
                *(_walk(work, load, feed) for feed in feeds), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        finally:
            with work.ledger.begin() as db:
                loads.add_cost(db, load.load_id, work.uncounted())
        facts = await _land(work, load)
    window_end = datetime.fromisoformat(facts["window_end"])
    counts = {name: facts[name] for name in ("rows", "deleted", "quarantined")}
    loads.commit(work.ledger, load, window_end=window_end, committed_at=datetime.now(UTC), **counts)
    work.lake.drop_spool(load.load_id)
    for name, count in counts.items():
        setattr(work.result, name, getattr(work.result, name) + count)
    work.result.window = (load.window_start, window_end)


async def _walk(work: _Work, load: Load, feed: Feed) -> None:
    walk = loads.walk_of(work.ledger, load.load_id, feed.name)
    lower = walk.lower if walk else load.window_start
    refusals = 0
    spellings = iter(feed.spellings)
    filters = next(spellings)
    while walk is None or not walk.is_done:
        params = {**_params(work.entity, feed, lower, load.window_end), **filters}
        pages = work.client.pages(work.entity.path, params, walk.cursor if walk else None)
        try:
            async for page in pages:
                walk = _advanced(walk, feed, page, lower)
                _keep(work, load, walk, page)
        except CursorRefused as error:
            assert walk is not None  # noqa: S101 (a cursor comes from a page)
            goes_on_at = walk.position if walk.is_sorted else load.window_start
            # Without progress a second refusal would be followed by a third, and so on.
            if goes_on_at == lower:
                refusals += 1
            if refusals > 1:
                raise ServerFault(
                    f"{error} Its cursors are refused before the list is read to its end.",
                    request_id=error.request_id,
                ) from None
            lower, walk = goes_on_at, replace(walk, lower=goes_on_at, cursor=None)
            with work.ledger.begin() as db:
                loads.put_walk(db, load.load_id, walk)
        except ApiError as error:
            if error.status != 400 or len(feed.spellings) == 1:
                raise
            other = next(spellings, None)
            if other is None:
                work.say(f"{work.entity.name}: '{feed.name}' cannot be asked here: {error}")
                return
            filters = other


def _params(
    entity: Entity, feed: Feed, lower: datetime | None, upper: datetime | None
) -> dict[str, str]:
    params = {"limit": str(entity.page_limit), "sort": f"{feed.change_field}:asc"}
    if lower:
        params[f"{feed.change_field}[gte]"] = _iso(lower)
    if upper:
        params[f"{feed.change_field}[lt]"] = _iso(upper)
    return params


def _advanced(walk: Walk | None, feed: Feed, page: Page, lower: datetime | None) -> Walk:
    before = walk or Walk(feed.name, False, True, lower, None, None, page.at, 0, 0, page.total)
    times = _change_times(feed, page.records)
    ordered = [t for t in (before.position, *times) if t]
    return replace(
        before,
        is_done=page.next_cursor is None,
        is_sorted=before.is_sorted and ordered == sorted(ordered),
        lower=lower,
        cursor=page.next_cursor,
        position=max(ordered, default=None),
        pages=before.pages + 1,
        records=before.records + len(page.records),
    )


def _keep(work: _Work, load: Load, walk: Walk, page: Page) -> None:
    path = work.lake.spool(load.load_id, walk.feed, walk.pages)
    work.lake.put_page(path, page.body)
    spooled = SpooledPage(walk.feed, walk.pages, page.request_id, datetime.now(UTC))
    loads.record_page(work.ledger, load.load_id, walk, spooled, work.uncounted())
    work.seen[walk.feed] = (walk.records, walk.total)
    totals = [total for _, total in work.seen.values() if total is not None]
    records = sum(records for records, _ in work.seen.values())
    work.progress(work.entity.name, records, sum(totals) if totals else None)


async def _land(work: _Work, load: Load) -> dict[str, Any]:
    held = work.lake.held(work.entity, load.company_id, load.window_start)
    if work.entity.reversal_field:
        await _fetch_reversed(work, load, held)
    feeds = {feed.name for feed in work.entity.feeds}
    as_of = [w.as_of for w in loads.walks_of(work.ledger, load.load_id) if w.feed in feeds]
    window_end = min([*as_of, *([load.window_end] if load.window_end else [])])
    cost = loads.cost_of(work.ledger, load.load_id)
    facts = {
        "load_id": load.load_id,
        "company_id": load.company_id,
        "entity": load.entity,
        "feeds": sorted(feeds),
        "window_start": load.window_start.isoformat() if load.window_start else None,
        "window_end": window_end.isoformat(),
        "started_at": load.started_at.isoformat(),
        "requests": cost.requests,
        "throttled_ms": cost.throttled_ms,
        "deleted": 0,
    }
    batches = _new_records(work, load, held)
    landed = work.lake.land(work.entity, load.company_id, load.load_id, batches, facts)
    return facts | {"rows": landed.rows, "quarantined": landed.quarantined}


def _spooled(work: _Work, load: Load) -> Iterator[list[Received]]:
    for page in loads.pages_of(work.ledger, load.load_id):
        path = work.lake.spool(load.load_id, page.feed, page.number)
        with storage(path):
            body = path.read_bytes()
        yield [Received(raw, page.request_id, page.pulled_at) for raw in records_of(body)]


def _new_records(work: _Work, load: Load, held: set[int]) -> Iterator[list[Received]]:
    """Yield the spooled records page by page, each version once and none that is held already."""
    seen = set(held)
    for batch in _spooled(work, load):
        fresh = []
        for received in batch:
            mark = fingerprint(received.payload)
            if mark not in seen:
                seen.add(mark)
                fresh.append(received)
        yield fresh


class _Reversal(msgspec.Struct, rename="camel"):
    id: str | None = None
    status: str | None = None
    reverses_id: str | None = None


async def _fetch_reversed(work: _Work, load: Load, held: set[int]) -> None:
    """Fetch again what a reversing record reversed: its status changed, its times did not."""
    reversed_ids: set[str] = set()
    known_void: set[str | None] = set()
    for batch in _new_records(work, load, held):
        for received in batch:
            try:
                record = msgspec.json.decode(received.payload, type=_Reversal)
            except _UNTYPED:
                continue
            if record.status == "void":
                known_void.add(record.id)
            if record.reverses_id:
                reversed_ids.add(record.reverses_id)
    wanted = sorted(reversed_ids - known_void)
    walk = loads.walk_of(work.ledger, load.load_id, REVERSED)
    feed = Feed(REVERSED, "")
    for at in range(0, len(wanted), work.entity.page_limit):
        ids = ",".join(wanted[at : at + work.entity.page_limit])
        params = {"id[in]": ids, "limit": str(work.entity.page_limit)}
        async for page in work.client.pages(work.entity.path, params):
            walk = _advanced(walk, feed, page, None)
            _keep(work, load, walk, page)


@cache
def _change_decoder(name: str) -> msgspec.json.Decoder[Any]:
    probe = msgspec.defstruct("Change", [("at", datetime | None, None)], rename={"at": name})
    return msgspec.json.Decoder(probe)


def _change_times(feed: Feed, records: list[msgspec.Raw]) -> list[datetime]:
    decoder = _change_decoder(feed.change_field)
    times = []
    for record in records:
        try:
            at = decoder.decode(record).at
            if at:
                times.append(at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
        except _UNTYPED:
            continue
    return times


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


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
