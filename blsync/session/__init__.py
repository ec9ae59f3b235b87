"""What a command opens once and closes once; all that is below takes the session, or a part of it.

Whoever opens a session has the folder, the ledger and the settings bound to each other
(`blsync.session.binding`), so nothing is asked, written or sent where they do not fit.

    with open_session(settings.load(), say=print) as session:
        pull(session, session.settings.company("main"), entities)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from blsync.api.client import Client
from blsync.api.rate_limit import RateLimiter
from blsync.entity import Entity
from blsync.files.locks import file_lock
from blsync.lake.landed import folders_of_a_layer
from blsync.lake.mirror import Mirror
from blsync.lake.store import Lake
from blsync.ledger import Ledger
from blsync.ledger.requests import Limits
from blsync.session.binding import open_ledger, store_of
from blsync.settings import Company, Settings

Say = Callable[[str], None]
Progress = Callable[[str, int, int | None, RateLimiter], None]
"""Told the entity, the records read so far, the total that the server gave, and the key's limiter;
once for each page."""


def utc_now() -> datetime:
    """Return this machine's time, UTC."""
    return datetime.now(UTC)


def silent(*_: object) -> None:
    """Say nothing, show no progress."""


@dataclass(frozen=True)
class Session:
    """The parts of an open house.

    `waits` tells whether a used-up hour is waited for (else QuotaSpent). `allowed` are the names
    of the companies of which what a safety bound holds back is let through, this once. `clock`
    tells UTC, by it records and plans are dated. `limiter_clock` tells unix seconds, by it requests
    are paced and compared with the server's time. `sleep` takes seconds. `actor` is who acts, as
    it is written into plans, approvals and attempts.
    """

    settings: Settings
    ledger: Ledger
    lake: Lake
    say: Say = silent
    progress: Progress = silent
    waits: bool = True
    allowed: frozenset[str] = frozenset()
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    limiter_clock: Callable[[], float] = time.time
    actor: str = ""
    is_live: bool = False
    """Whether it is opened because of events: then it has a share of the hour, no more, and waits
    for no other hour."""

    def rate_limiter(self, company: Company) -> RateLimiter:
        """Return the limiter of a company's key, with the limits of the settings.

        Its counts are in the ledger, so all limiters of a key share one budget.
        """
        given = self.settings
        limits = Limits(
            given.quota_per_hour,
            given.quota_per_second,
            given.quota_window_seconds,
            given.quota_reserve,
            given.live_share if self.is_live else None,
            given.batches_per_minute,
            given.large_batches_per_minute,
        )
        return RateLimiter(
            self.ledger,
            company.key_id,
            limits,
            given.zone,
            waits=self.waits and not self.is_live,
            clock=self.limiter_clock,
            say=self.say,
        )

    def client(self, company: Company) -> Client:
        """Return a client of a company's API. Raises ConfigError where it has no credentials."""
        return Client(company, self.rate_limiter(company), sleep=self.sleep)

    @asynccontextmanager
    async def hold(self, entity: Entity, company_id: str, busy: str) -> AsyncIterator[None]:
        """Hold an entity's files of a company for this process, as they are on all machines.

        Where another process has them, says `busy` and waits. Raises StorageError.
        """
        lake, mirror = self.lake, self.lake.mirror
        async with self.ledger.lock(lake.lock_of(entity, company_id), self.say, busy):
            if mirror is not None:
                bring = partial(mirror.bring, entity.name, company_id)
                if not await asyncio.to_thread(bring, may_exchange=False):
                    building = "The marts are being built; waiting for it."
                    async with file_lock(lake.build_lock, self.say, building):
                        await asyncio.to_thread(bring, may_exchange=True)
            yield

    def bring(self) -> None:
        """Fetch what other machines have put into the store, of every company.

        Whoever calls it holds the build's lock. Raises StorageError.
        """
        if (mirror := self.lake.mirror) is None:
            return
        for company in self.settings.companies():
            for name in folders_of_a_layer():
                mirror.bring(name, company.company_id, may_exchange=True)
        mirror.bring_inputs()

    def is_allowed(self, company: Company) -> bool:
        """Tell whether what a safety bound holds back of a company is let through."""
        return company.name in self.allowed


def lake_of(settings: Settings, ledger: Ledger) -> Lake:
    """Return the lake of the data folder, which mirrors the bucket that the settings name, if any.

    Raises ConfigError and StorageError.
    """
    bucket = store_of(settings)
    return Lake(settings.data, Mirror(settings.data, bucket, ledger) if bucket else None)


@contextmanager
def open_session(
    settings: Settings,
    *,
    say: Say = silent,
    progress: Progress = silent,
    waits: bool = True,
    allowed: Collection[str] = (),
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    limiter_clock: Callable[[], float] = time.time,
    is_mended: bool = False,
    actor: str | None = None,
    is_live: bool = False,
) -> Iterator[Session]:
    """Open the house for one command, where it `is_mended` also with a ledger that was lost.

    Where `actor` is not given, it is who the settings say. Raises what `open_ledger` does.
    """
    with closing(open_ledger(settings, is_mended=is_mended)) as ledger:
        yield Session(
            settings,
            ledger,
            lake_of(settings, ledger),
            say,
            progress,
            waits,
            frozenset(allowed),
            clock,
            sleep,
            limiter_clock,
            actor or settings.actor,
            is_live,
        )
