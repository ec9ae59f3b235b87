"""Pulling what events told of, and publishing it: once, or for as long as somebody listens.

The pull is the nightly one, of the entities that have news alone and inside the events' share of
the hour; what the share does not allow waits for a later hour, or for the next sync. BigLedger's
reports are left to the night.
"""

from __future__ import annotations

import contextlib
import io
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from blsync import alerts
from blsync.entity import Entity
from blsync.errors import BlsyncError, QuotaSpent
from blsync.files.locks import blocking_file_lock
from blsync.live.listener import GAP
from blsync.live.news import heard_entities, news_of
from blsync.orchestration import nightly, run
from blsync.orchestration.location import RunContext
from blsync.pull import Result
from blsync.session import open_session
from blsync.settings import Company, Settings

GAP_EVERY = 30.0
"""Seconds between two pulls of what a stream may have told while it was cut."""
LOOK_EVERY = 15.0
"""Seconds after which the ledger is asked for news that nobody told of: another machine's, or what
waited for its share of the hour."""
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0
"""Seconds that are waited after a failure, and at most after many."""

Say = Callable[[str], None]


@dataclass
class LivePull:
    """What a pull because of events did, by company; `waits` says what it could not do and why."""

    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    failed: dict[str, BlsyncError] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)
    published: datetime | None = None

    @property
    def requests(self) -> int:
        """All that it asked BigLedger."""
        return sum(r.requests for of_company in self.results.values() for r in of_company.values())

    @property
    def has_brought(self) -> bool:
        """Whether anything of it is new."""
        return any(
            r.rows or r.deleted or r.quarantined
            for of_company in self.results.values()
            for r in of_company.values()
        )

    def to_json(self) -> dict[str, Any]:
        """Return {companies: {NAME: {ENTITY: {rows, requests}}}, requests, waits, published}."""
        return {
            "companies": {
                name: {e: {"rows": r.rows, "requests": r.requests} for e, r in found.items()}
                for name, found in self.results.items()
            },
            "requests": self.requests,
            "waits": self.waits,
            "published": self.published.isoformat() if self.published else None,
        }


def pull_news(
    settings: Settings,
    say: Say,
    *,
    has_build: bool = True,
    gaps: frozenset[str] = frozenset(),
) -> LivePull:
    """Pull what events told of and no pull has satisfied, then build and publish where it brought
    anything.

    `gaps` names the companies of which a stream may have told something that nobody heard. What
    fails is in the result: its events go on waiting.
    """
    done = LivePull()
    busy = "Another process is pulling what events told of; waiting for it."
    with blocking_file_lock(settings.data / "live.lock", say, busy):
        for company in settings.companies():
            try:
                _pull_company(settings, company, done, say, has_gap=company.name in gaps)
            except BlsyncError as error:
                done.failed[company.name] = error
    if has_build and done.has_brought:
        try:
            nightly.build(settings, say)
            done.published = datetime.now(UTC)
        except BlsyncError as error:
            done.failed["build"] = error
    return done


def _pull_company(
    settings: Settings, company: Company, done: LivePull, say: Say, *, has_gap: bool
) -> None:
    with open_session(settings, is_live=True) as session:
        news = news_of(session, company)
        chosen = {entity.name: entity for entity in news.entities}
        if has_gap:
            chosen |= {entity.name: entity for entity in heard_entities(session, company)}
        left = session.rate_limiter(company).left_for_events()
    if news.never_pulled:
        done.waits.append(
            f"{company.name}: events tell of {', '.join(news.never_pulled)}, which no sync has "
            "pulled yet. Run `blsync sync` first."
        )
    if not chosen:
        return
    if left < (needed := requests_of(list(chosen.values()))):
        done.waits.append(
            f"{company.name}: events may send {left} more requests in this hour "
            f"(BLSYNC_LIVE_SHARE {settings.live_share:g}), and {', '.join(chosen)} take {needed} "
            "at least. They wait for a later hour, or for the next sync."
        )
        return
    watch = RunContext(wait=False, is_live=True, say=say)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run.run(company.name, watch, entities=list(chosen), has_build=False)
    except QuotaSpent as error:
        done.waits.append(f"{company.name}: {error}")
    finally:
        done.results |= watch.results


def requests_of(entities: list[Entity]) -> int:
    """Return how many requests it takes at least to pull these: one a feed."""
    return sum(len(entity.feeds) for entity in entities)


@dataclass
class Follower:
    """Pulls whenever there is news, until nobody tells of any more.

    `words` has what is told: NEWS, GAP with a company's name, None for the end. `clock` tells
    seconds of any beginning, `sleep` takes seconds.
    """

    settings: Settings
    words: queue.Queue[str | None]
    say: Say
    has_build: bool = True
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _gaps: set[str] = field(default_factory=set)
    _gap_due: float = 0
    _failures: int = 0
    _waited: list[str] = field(default_factory=list)

    def follow(self) -> None:
        """Pull until the end is told."""
        while self._hear():
            gaps = frozenset(self._gaps) if self.clock() >= self._gap_due else frozenset()
            if gaps:
                self._gaps.clear()
                self._gap_due = self.clock() + GAP_EVERY
            done = pull_news(self.settings, self.say, has_build=self.has_build, gaps=gaps)
            self._gaps |= gaps & done.failed.keys()
            self._tell(done)
            alerts.after_run(self.settings, self.say)
            if done.failed:
                self._failures += 1
                self.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1)))
            else:
                self._failures = 0

    def _hear(self) -> bool:
        """Wait for a word, then for a moment, so that what comes together is pulled together; tell
        whether to go on.
        """
        wait = LOOK_EVERY
        if self._gaps:
            wait = min(wait, max(0.0, self._gap_due - self.clock()))
        try:
            word = self.words.get(timeout=wait)
        except queue.Empty:
            return True
        self.sleep(self.settings.live_gather_seconds)
        while True:
            if word is None:
                return False
            if word.startswith(GAP):
                self._gaps.add(word.removeprefix(GAP).strip())
            try:
                word = self.words.get_nowait()
            except queue.Empty:
                return True

    def _tell(self, done: LivePull) -> None:
        for company, results in done.results.items():
            brought = ", ".join(f"{r.rows} {name}" for name, r in results.items() if r.rows)
            requests = sum(result.requests for result in results.values())
            self.say(f"{company}: {brought or 'nothing new'}, {requests} requests.")
        if done.published:
            self.say("Published.")
        for name, error in done.failed.items():
            self.say(f"{name} failed, and is tried again: {error}")
        for line in done.waits:
            if line.partition(":")[0] not in {old.partition(":")[0] for old in self._waited}:
                self.say(line)
        self._waited = done.waits
