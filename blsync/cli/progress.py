"""How far a sync has come: bars on a terminal, plain lines otherwise.

Each page that arrives is told. Shown are records of the total, the pace of the latest half minute,
the quota that is left, and when all will have been read.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from blsync import logs
from blsync.api.rate_limit import RateLimiter
from blsync.cli.estimate import seconds_for
from blsync.cli.screen import is_terse
from blsync.session import Progress

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_LOOKS = 1.0
"""How often the ledger is asked what is left of the hour."""
RECENT = 30.0
"""Seconds over which the rate is taken."""
TOGETHER = "together"


@dataclass
class _Entity:
    done: int = 0
    total: int | None = None
    page: int = 1
    """Records on the largest page so far."""

    @property
    def requests_left(self) -> int | None:
        if self.total is None:
            return None
        return math.ceil(max(0, self.total - self.done) / self.page)


@dataclass
class _Key:
    """What is known of one key: limiter, entities, when pages came and how large they were."""

    limiter: RateLimiter
    entities: dict[str, _Entity] = field(default_factory=dict)
    recent: deque[tuple[float, int]] = field(default_factory=deque)
    left: int = 0
    looked_at: float = -math.inf

    def rates(self, now: float) -> tuple[float, float]:
        """Return requests and records a second."""
        while self.recent and self.recent[0][0] < now - RECENT:
            self.recent.popleft()
        if not self.recent:
            return 0.0, 0.0
        span = max(now - self.recent[0][0], 1.0)
        return len(self.recent) / span, sum(records for _, records in self.recent) / span

    def seconds_left(self, now: float) -> float | None:
        """Return in how many seconds all is read; None where that cannot be told."""
        left = [entity.requests_left for entity in self.entities.values()]
        requests, _ = self.rates(now)
        if None in left or not requests:
            return None
        wanted = sum(number or 0 for number in left)
        return seconds_for(wanted, self.left, self.limiter.limits, requests)


class Meter:
    """Adds up what a pull tells of its progress; `clock` tells unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._keys: dict[str, _Key] = {}

    def heard(self, entity: str, done: int, total: int | None, limiter: RateLimiter) -> None:
        """Take note of a page."""
        now = self.clock()
        key = self._keys.setdefault(limiter.key_id, _Key(limiter))
        key.limiter = limiter
        known = key.entities.setdefault(entity, _Entity())
        if done < known.done:  # another window of it
            known.done = 0
        records = done - known.done
        known.page = max(known.page, records)
        known.done, known.total = done, total
        key.recent.append((now, records))
        if now - key.looked_at >= SECONDS_BETWEEN_LOOKS:
            key.left, key.looked_at = limiter.left(), now

    @property
    def done(self) -> int:
        """Records read so far."""
        return sum(entity.done for entity in self._entities())

    @property
    def total(self) -> int | None:
        """Records in all; None where a total is unknown."""
        totals = [entity.total for entity in self._entities()]
        return None if None in totals else sum(total or 0 for total in totals)

    def summary(self) -> str:
        """Return rate, quota and the time at which all will be read, in the company's zone."""
        now = self.clock()
        keys = list(self._keys.values())
        requests, records = (
            sum(rates) for rates in zip(*(k.rates(now) for k in keys), strict=True)
        )
        text = (
            f"{records:.0f} records/s, {requests:.1f} requests/s, "
            f"{sum(key.left for key in keys)} requests left this hour"
        )
        seconds = [key.seconds_left(now) for key in keys]
        if None in seconds or self.done == self.total:
            return text
        longest = max(number or 0.0 for number in seconds)
        return f"{text}, done at about {_local(now, longest, keys[0].limiter)}"

    def _entities(self) -> Iterator[_Entity]:
        for key in self._keys.values():
            yield from key.entities.values()


def _local(now: float, seconds: float, limiter: RateLimiter) -> str:
    today, at = (
        datetime.fromtimestamp(moment, UTC).astimezone(limiter.zone)
        for moment in (now, now + seconds)
    )
    return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"


@contextmanager
def showing(console: Console, say: Callable[[str], None]) -> Iterator[Progress]:
    """Yield a callback for the pull's progress: bars on a terminal, plain lines otherwise."""
    if console.is_terminal and not is_terse():
        with _bars(console) as show:
            yield show
    else:
        yield lines(say)


def lines(say: Callable[[str], None], clock: Callable[[], float] = time.time) -> Progress:
    """Return a callback that says plain lines.

    One an entity when its total is reached and every five seconds at most, and every five seconds
    one for all together.
    """
    meter = Meter(clock)
    said_at: dict[str, float] = {}

    def is_time(name: str) -> bool:
        if clock() - said_at.get(name, -math.inf) < SECONDS_BETWEEN_LINES:
            return False
        said_at[name] = clock()
        return True

    def tell(entity: str, done: int, total: int | None, limiter: RateLimiter) -> None:
        meter.heard(entity, done, total, limiter)
        said_at.setdefault(TOGETHER, clock())
        is_whole = total is not None and done >= total
        if is_time(entity) or is_whole:
            text = f"{entity}: {done} of {_or_unknown(total)} records"
            if not (is_terse() and logs.tell("progress", message=text, done=done, total=total)):
                say(text)
        if is_time(TOGETHER):
            of = f"{meter.done} of {_or_unknown(meter.total)} records"
            say(f"{TOGETHER}: {of}, {meter.summary()}")

    return tell


def _or_unknown(total: int | None) -> str:
    return "an unknown number of" if total is None else str(total)


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    meter = Meter()
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}
        noted_at = -math.inf

        def show(entity: str, done: int, total: int | None, limiter: RateLimiter) -> None:
            nonlocal noted_at
            meter.heard(entity, done, total, limiter)
            for name in (TOGETHER, entity):
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=None, note="")
            bars.update(tasks[entity], completed=done, total=total)
            bars.update(tasks[TOGETHER], completed=meter.done, total=meter.total)
            if meter.clock() - noted_at >= SECONDS_BETWEEN_LOOKS:
                noted_at = meter.clock()
                bars.update(tasks[TOGETHER], note=meter.summary())

        yield show
