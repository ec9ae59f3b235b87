"""The pace: one request budget, shared by every process that uses a key.

A slot is free again a second after the *answer* to the request that took it, because the server
counts a request when it sees it, somewhere between its sending and its answer. What the server
tells in its headers is believed over our own count.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from blsync.errors import QuotaSpent
from blsync.ledger import Ledger, requests
from blsync.ledger.requests import Limits, Wait
from blsync.settings import Settings

LONGEST_WAIT = 86_400.0
"""Seconds; a `Retry-After` above it is taken for this."""


@dataclass
class Pace:
    """Paces the requests of one key; `clock` tells unix seconds."""

    ledger: Ledger
    key_id: str
    limits: Limits
    zone: ZoneInfo
    wait_for_hour: bool = True
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    say: Callable[[str], None] = lambda _: None
    throttled: float = field(default=0, init=False)
    _said_until: float = field(default=0, init=False)

    async def slot(self) -> int:
        """Wait for a slot and take it. Raises QuotaSpent where the hour is used up and no wait
        is wanted.
        """
        while True:
            now = self.clock()
            taken = requests.take(self.ledger, self.key_id, self.limits, now)
            if not isinstance(taken, Wait):
                return taken
            if taken.is_hour:
                self._announce(taken.until)
            pause = max(taken.until - now, 0.001)
            self.throttled += pause
            await self.sleep(pause)

    def answered(self, slot: int, status: int, headers: Mapping[str, str]) -> None:
        """Free a slot and take note of what the answer says about the quota."""
        now = self.clock()
        retry_after = _seconds(headers.get("retry-after"), now)
        reset_at = _whole(headers.get("x-ratelimit-reset"))
        blocked_until = now + (1.0 if retry_after is None else retry_after) if status == 429 else 0
        requests.answer(
            self.ledger,
            self.key_id,
            slot,
            now,
            limit=_whole(headers.get("x-ratelimit-limit")),
            remaining=_whole(headers.get("x-ratelimit-remaining")),
            # No window is longer than the window: a reset told in milliseconds would never come.
            reset_at=None if reset_at is None else min(reset_at, now + self.limits.window),
            blocked_until=blocked_until,
        )

    def left(self) -> int:
        """Requests that may still be sent in this hour."""
        return requests.left(self.ledger, self.key_id, self.limits, self.clock())

    def _announce(self, until: float) -> None:
        at = datetime.fromtimestamp(until, UTC).astimezone(self.zone)
        message = (
            f"The key's hourly quota is used up (or told to be) until {at:%Y-%m-%d %H:%M:%S %Z}"
        )
        if not self.wait_for_hour:
            raise QuotaSpent(f"{message}. What was read is kept; run the same command again then.")
        if until > self._said_until + 1:
            self._said_until = until
            self.say(f"{message}; waiting, then going on.")


def pace_for(settings: Settings, ledger: Ledger, key_id: str) -> Pace:
    """Return a pace with the limits from the settings."""
    limits = Limits(
        settings.quota_per_hour,
        settings.quota_per_second,
        settings.quota_window_seconds,
        settings.quota_reserve,
    )
    return Pace(ledger, key_id, limits, settings.zone)


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\s*[0-9]{1,18}\s*", text) else None


def _seconds(text: str | None, now: float) -> float | None:
    """Read `Retry-After`: seconds, or an HTTP date. None where it is neither."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_WAIT) if math.isfinite(seconds) else None
