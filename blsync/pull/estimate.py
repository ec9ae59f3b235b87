"""What the pull of one entity would read and cost, for at most one request.

What an earlier run left open is read off the ledger; how much changed since is one filtered list's
`total`. What nobody can know beforehand is left out: records that change while they are read, the
second feed's own count, and what a new difference from BigLedger's total would be made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from blsync.api.client import Client
from blsync.api.dialect import TOTAL, Dialect, Query
from blsync.api.pages import Page
from blsync.entity import Entity, Feed
from blsync.errors import ApiError, BlsyncError, QuotaSpent, Unauthorized, WrongClock
from blsync.lake.typing import UNTYPED, Payload
from blsync.lake.withholding import keeper
from blsync.ledger import Ledger, loads
from blsync.ledger.loads import Load, Walk
from blsync.ledger.states import LoadKind
from blsync.pull import OVERLAP, Window, availability, details, drift
from blsync.pull.drift import IDS
from blsync.pull.walk import feed_of
from blsync.pull.work import UP_TO_NOW
from blsync.session import Session


@dataclass(frozen=True)
class Estimate:
    """What a sync would read of an entity and spend on it; None where the server tells no total."""

    records: int | None = 0
    requests: int | None = 0
    is_news: bool = False
    """Whether something would land."""
    error: BlsyncError | None = None
    is_unavailable: bool = False
    """Whether the company's server, or its key, has no such list."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            sum_known([self.records, other.records]),
            sum_known([self.requests, other.requests]),
            self.is_news or other.is_news,
            self.error or other.error,
            self.is_unavailable or other.is_unavailable,
        )

    def to_json(self) -> dict[str, Any]:
        """Return {records, requests}, with the error where it could not be asked, and `unavailable`
        where the list is not there.
        """
        error = {"error": str(self.error)} if self.error else {}
        absence = {"unavailable": True} if self.is_unavailable else {}
        return {"records": self.records, "requests": self.requests, **error, **absence}


def sum_known(numbers: Sequence[int | None]) -> int | None:
    """Return the sum, None where one of them is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


@dataclass
class Estimator:
    """What the estimate of one entity works with."""

    session: Session
    entity: Entity
    client: Client
    window: Window
    has_asked: bool = False

    def __post_init__(self) -> None:
        session, entity = self.session, self.entity
        self.dialect = Dialect(
            self.client, entity.name, entity.path, session.say, session.clock, keeper(entity)
        )

    @property
    def ledger(self) -> Ledger:
        """The session's ledger."""
        return self.session.ledger

    @property
    def company_id(self) -> str:
        """BigLedger's id of the company that is asked about."""
        return self.client.company.company_id

    async def estimate(self) -> Estimate:
        """Return what the entity would cost, its error included where that stops it alone."""
        session, company, entity = self.session, self.client.company, self.entity
        if self.window == UP_TO_NOW and availability.left_alone(session, company, entity):
            return Estimate(is_unavailable=True)
        try:
            return await self._estimate()
        except (Unauthorized, QuotaSpent, WrongClock):
            raise
        except BlsyncError as error:
            if isinstance(error, ApiError) and availability.is_unavailable(entity, error):
                availability.note(session, company, entity, error)
                return Estimate(is_unavailable=True)
            return Estimate(error=error)

    async def _estimate(self) -> Estimate:
        details.check(self.session.settings)
        limit = loads.server_traits(self.ledger, self.company_id, self.entity.name).page_limit
        if limit is not None:
            self.client.page_limits[self.entity.path] = limit
        is_up_to_now = self.window == UP_TO_NOW
        found = Estimate()
        reached = loads.uncovered_from(
            self.ledger, self.company_id, self.entity.name, None, self.session.clock()
        )
        load = loads.unfinished(self.ledger, self.company_id, self.entity.name)
        if load:
            walks = loads.walks_of(self.ledger, load.load_id)
            found += await self._rest_of(load, walks)
            if is_up_to_now and self._brings_up_to_now(load, walks):
                return found + self._look(found)
            reached = max([reached or loads.BEGINNING, *(walk.as_of for walk in walks)])
        start = self.window.start
        if is_up_to_now and reached and reached > loads.BEGINNING:
            start = reached - OVERLAP
        end = self.window.end if self._has_ended() else None
        found += await self._window_of(self.dialect.apart(self.entity.feeds_for(start)), start, end)
        return found + (self._look(found) if is_up_to_now else Estimate())

    def _has_ended(self) -> bool:
        return self.window.end is not None and self.window.end < self.session.clock() - OVERLAP

    async def _rest_of(self, load: Load, walks: list[Walk]) -> Estimate:
        """Return what is left of a load that an earlier run left open."""
        if self.session.lake.file_of(self.entity, self.company_id, load.load_id).exists():
            return Estimate()
        if load.kind != LoadKind.CHANGE:
            walks = [walk for walk in walks if walk.feed.startswith(IDS)]
            return self._left(walks) + (Estimate(0, 1) if walks else self._look(Estimate()))
        begun = {feed_of(walk) for walk in walks}
        feeds = self.dialect.apart(self.entity.feeds_for(load.window_start))
        unread = [feed for feed in feeds if feed.name not in begun]
        if feeds[0] in unread:
            fresh = await self._window_of(unread, load.window_start, load.window_end)
        else:
            fresh = Estimate(0, len(unread))
        return self._left(walks) + fresh + Estimate(is_news=True)

    def _left(self, walks: list[Walk]) -> Estimate:
        """Return what is left of walks: each of them asks once more at the least."""
        is_told = all(w.total is not None or "/" in w.feed for w in walks)
        if not is_told:
            return Estimate(None, None)
        size = max(
            (math.ceil(w.records / w.pages) for w in walks if w.pages and not w.is_done),
            default=self.entity.page_limit,
        )
        totals = loads.own_totals(walks)
        left = [max(0, totals.get(w.feed, 0) - w.records) for w in walks if not w.is_done]
        requests = sum(max(1, math.ceil(records / size)) for records in left)
        return Estimate(sum(left), requests)

    def _brings_up_to_now(self, load: Load, walks: list[Walk]) -> bool:
        """Tell whether no window follows: all feeds run up to now and end in the next run."""
        is_landed = self.session.lake.file_of(self.entity, self.company_id, load.load_id).exists()
        is_open = load.kind == LoadKind.CHANGE and load.window_end is None and not is_landed
        feeds = {feed.name for feed in self.dialect.apart(self.entity.feeds_for(load.window_start))}
        return is_open and not any(walk.is_done for walk in walks if walk.feed in feeds)

    async def _window_of(
        self, feeds: list[Feed], start: datetime | None, end: datetime | None
    ) -> Estimate:
        """Return what reading a window costs; asks how many records it has."""
        if self.has_asked:
            return Estimate(0, len(feeds))
        self.has_asked = True
        page = await self._first_page(feeds[0], start, end)
        if page.total is None:
            return Estimate(None, None, is_news=bool(page.records))
        known = self.client.page_limits.get(self.entity.path)
        size = page.limit or known or self.entity.page_limit
        is_sorted = loads.server_traits(self.ledger, self.company_id, self.entity.name).is_sorted
        requests = 0
        for number, feed in enumerate(feeds):
            # A feed of the same list has about as many; of another list nothing is known.
            count = page.total if number == 0 or feed.needs_lower_bound else 0
            walk = self._pages_of(count, size)
            is_newest_first = is_sorted and start and not end and not feed.needs_lower_bound
            requests += (1 if count < size else 1 + walk) if is_newest_first else walk
        if start is None:
            if details.left_out(self.session.settings, self.dialect, self.entity):
                requests += page.total
            return Estimate(page.total, requests, is_news=page.total > 0)
        since = start if self.dialect.has_window(feeds[0].change_field) else None
        names = details.left_out(self.session.settings, self.dialect, self.entity)
        is_again = self.window != UP_TO_NOW
        seen_as = partial(details.held_as_listed, names=names, needs_details=is_again)
        held = self.session.lake.stored(
            self.entity, self.company_id, since, seen_as=seen_as if names else None
        )
        records: list[Payload] = [*page.records]
        if names:
            records = [details.as_listed(record, names) for record in records]
        are_new = held.are_new(records)
        reversing = sum(
            1
            for record, is_new in zip(page.records, are_new, strict=True)
            if is_new and self._reverses(record)
        )
        beyond = page.total - len(page.records)
        scale = page.total / max(1, len(page.records))
        requests += math.ceil(reversing * scale / self.entity.page_limit)
        if names:
            requests += math.ceil(sum(are_new) * scale)
        count = page.total if is_again or beyond > 0 else sum(are_new)
        is_news = any(are_new) or (beyond > 0 and not is_again)
        return Estimate(count, requests, is_news)

    def _pages_of(self, records: int, size: int) -> int:
        """Return how many pages a walk reads; those by offset overlap by a record."""
        if self.dialect.pages_by_offset(self.entity.pages_by_offset) and records > size > 1:
            return 1 + math.ceil((records - size) / (size - 1))
        return max(1, math.ceil(records / size))

    async def _first_page(self, feed: Feed, start: datetime | None, end: datetime | None) -> Page:
        name = feed.change_field
        query = Query(
            self.entity.path,
            self.entity.page_limit,
            window=(name, start, end),
            filters=feed.spellings,
        )
        async with aclosing(self.dialect.pages(query)) as pages:
            return await anext(pages)

    def _reverses(self, record: msgspec.Raw) -> bool:
        if self.entity.reversal_field is None:
            return False
        try:
            fields = msgspec.json.decode(record, type=dict[str, Any])
        except UNTYPED:
            return False
        return bool(fields.get(self.entity.reversal_field))

    def _look(self, found: Estimate) -> Estimate:
        """Return what a look at the ids costs, where the last comparison left one to do."""
        known = loads.drift_of(self.ledger, self.company_id, self.entity.name)
        if known is None or found.requests is None:
            return Estimate()
        is_untold = TOTAL in self.dialect.known
        if not known.difference and not is_untold:
            return Estimate()
        if not drift.is_due(self.session.settings, known.walked_at, self.session.clock()):
            return Estimate()
        narrowed = drift.requests_to_narrow(known.total, known.held, self.entity.page_limit)
        pages = math.ceil(known.total / self.entity.page_limit)
        if is_untold:
            return Estimate(0, max(1, pages) + 1)
        lists = len(self.dialect.apart(self.entity.feeds_for(None)))
        return Estimate(0, lists + math.ceil(min(pages, narrowed)) + 1, is_news=True)
