"""What the pull of one entity works with, and what it comes to."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from blsync.api.client import Client
from blsync.api.dialect import Dialect
from blsync.api.pages import Page, id_of, records_of
from blsync.entity import Entity, Feed
from blsync.errors import BlsyncError
from blsync.files.atomic import storage_errors
from blsync.lake.store import Lake
from blsync.lake.typing import RawRecord
from blsync.lake.withholding import keeper
from blsync.ledger import Ledger, loads
from blsync.ledger.loads import Cost, Load, SpooledPage, Walk
from blsync.session import Session
from blsync.settings import Company, Settings

FINDINGS = ("unknown_fields", "newly_null", "noisy_numbers", "finer_amounts")
"""What a load finds odd about records that it lands: a list of texts each."""
MOST_WALKS = 4
"""Walks of a company that are open at once, at most."""


@dataclass(frozen=True)
class Window:
    """A range of change time, UTC, `end` excluded; None is no bound (`end`: up to now)."""

    start: datetime | None = None
    end: datetime | None = None


UP_TO_NOW = Window()


def window_of(settings: Settings, first: date, last: date) -> Window:
    """Return the window of change time of these days in `settings.zone`, both included.

    The first day of all holds everything older.
    """
    oldest = min(company.start for company in settings.companies())
    start, end = (
        datetime.combine(day, time(), settings.zone) for day in (first, last + timedelta(days=1))
    )
    return Window(None if first <= oldest else start, end)


@dataclass
class Result:
    """What the pull of one entity brought and cost; times are UTC.

    `drift` is the API's total less the records held, None where it was not told.
    """

    rows: int = 0
    deleted: int = 0
    quarantined: int = 0
    requests: int = 0
    throttled_ms: int = 0
    window: tuple[datetime | None, datetime | None] = (None, None)
    drift: int | None = None
    unannounced: int | None = None
    """Records that came and that no event had named, though events tell of the entity; None where
    none ever did, or where it was pulled because of events."""
    unknown_fields: list[str] = field(default_factory=list)
    newly_null: list[str] = field(default_factory=list)
    noisy_numbers: list[str] = field(default_factory=list)
    finer_amounts: list[str] = field(default_factory=list)
    error: BlsyncError | None = None
    unavailable: str | None = None
    """What the server said of an optional list that it does not have, or that the key may not
    see."""


@dataclass
class OpenWalks:
    """How many walks a company's entities have open at this moment."""

    count: int = 0


@dataclass
class PullContext:
    """All that the pull of one entity works with."""

    session: Session
    entity: Entity
    company: Company
    client: Client
    open_walks: OpenWalks
    result: Result = field(default_factory=Result)
    totals: dict[str, int | None] = field(default_factory=dict)
    """What the server said of all records of a feed, in this run."""
    told_by: str | None = None
    """The request that told the last of them."""
    ended: set[str] = field(default_factory=set)
    """Walks whose last page was read in this run."""
    covered: list[str] = field(default_factory=list)
    """Loads whose windows came to be covered in this run."""
    has_moving_total: bool = False
    """Whether pages of one list told different totals in this run."""
    listed_since: datetime | None = None
    """When the first page came of those lists that told a total in this run, UTC."""
    is_in_doubt: bool = False
    """Whether records seem to be gone, and the server could not be asked for them by id."""
    has_looked_again: bool = False
    """Whether a list that said it was empty was asked a second time in this run."""
    kept: asyncio.Queue[SpooledPage | None] = field(default_factory=asyncio.Queue)
    """The pages of the load that is read, as they come into the spool; None is its end."""
    is_again: bool = False
    """Whether a range of days is read again, covered or not."""
    seen_id: str | None = None
    """The id of the record that was listed last in this run: likelier than others it is there."""
    _walks: dict[str, Walk] = field(default_factory=dict)
    _counted: Cost = field(default=Cost(0, 0))
    _stamped_at: datetime | None = None

    def __post_init__(self) -> None:
        entity = self.entity
        self.dialect = Dialect(
            self.client,
            entity.name,
            entity.path,
            self.session.say,
            self.session.clock,
            keeper(entity),
        )

    @property
    def ledger(self) -> Ledger:
        """The session's ledger."""
        return self.session.ledger

    @property
    def lake(self) -> Lake:
        """The session's lake."""
        return self.session.lake

    @property
    def settings(self) -> Settings:
        """The session's settings."""
        return self.session.settings

    def feeds_for(self, start: datetime | None) -> list[Feed]:
        """Return the feeds that the server has to be asked for in a window that begins so."""
        return self.dialect.apart(self.entity.feeds_for(start))

    def say(self, text: str) -> None:
        """Tell whoever watches the session."""
        self.session.say(text)

    def clock(self) -> datetime:
        """Return now, UTC, whether or not that is later than what was told before."""
        return self.session.clock()

    @property
    def is_allowed(self) -> bool:
        """Whether deletes above BLSYNC_DELETE_SHARE land this time."""
        return self.session.is_allowed(self.company)

    def follow(self, last: datetime) -> None:
        """Have every stamp from now on be later than that."""
        self._stamped_at = max(last, self._stamped_at or last)

    def stamp(self) -> datetime:
        """Return a time that is later than all that the entity was given before: by it versions
        follow each other. It is now, UTC, unless the clock was set back.
        """
        now, last = self.clock(), self._stamped_at
        self._stamped_at = now if last is None else max(now, last + timedelta(microseconds=1))
        return self._stamped_at

    @property
    def pages_by_offset(self) -> bool:
        """Whether the list pages by offset: what moves in it then moves others between pages."""
        return self.dialect.pages_by_offset(self.entity.pages_by_offset)

    def order_of(self, feed: Feed) -> str:
        """Return the field by whose order a feed is read page by page.

        It is the time of creation where the list pages by offset: that moves no record.
        """
        return self.entity.created_field if self.pages_by_offset else feed.change_field

    @property
    def has_room(self) -> bool:
        """Whether one more walk would bring the key's requests nearer to its burst limit."""
        fills_it = math.ceil(self.client.limiter.limits.per_second * self.client.latency - 0.1)
        most = min(MOST_WALKS, self.client.connections.most)
        return self.open_walks.count < min(most, fills_it)

    def keep(self, load: Load, walk: Walk, page: Page, body: bytes | None = None) -> None:
        """Put a page into the spool, then its place and cost into the ledger.

        `body` is kept in its stead where only some of its records count.
        """
        spooled = SpooledPage(walk.feed, walk.pages, page.request_id, self.stamp())
        path = self.lake.spool(load.load_id, spooled)
        self.lake.put_page(path, page.body if body is None else body)
        loads.record_page(self.ledger, load.load_id, walk, spooled, self.uncounted())
        self.kept.put_nowait(spooled)
        if page.records:
            self.seen_id = id_of(page.records[-1]) or self.seen_id
        self._walks[walk.feed] = walk
        totals = loads.own_totals(self._walks.values()).values()
        read = sum(w.records for w in self._walks.values())
        self.session.progress(
            self.entity.name, read, sum(totals) if totals else None, self.client.limiter
        )

    def uncover(self) -> None:
        """Have the next sync read again what this run covered: what the server said is in doubt.

        A record that was hidden meanwhile may have changed, and would not show that it did.
        """
        loads.uncover(self.ledger, self.covered)

    def records(self, load: Load, page: SpooledPage) -> list[RawRecord]:
        """Return the records of a page that lies in the spool. Raises StorageError."""
        path = self.lake.spool(load.load_id, page)
        with storage_errors(path):
            body = path.read_bytes()
        return [RawRecord(raw, page.request_id, page.pulled_at) for raw in records_of(body)]

    def uncounted(self) -> Cost:
        """Take what was spent since the last call."""
        spent = Cost(self.client.requests, round(self.client.limiter.throttled * 1000))
        before, self._counted = self._counted, spent
        return Cost(spent.requests - before.requests, spent.throttled_ms - before.throttled_ms)
