"""The rate limiter: one request budget, shared by every process that uses a key.

A slot is free again a second after the *answer* to the request that took it, because the server
counts a request when it sees it, somewhere between its sending and its answer. What the server
tells in its headers is believed over our own count.

Two examples. With 10 requests a second, ten are sent at 0.00 and answered at 0.30. The server may
have counted them at 0.30 as well as at 0.00, so the eleventh goes out at 1.30, not at 1.00.

A request is sent at 100.0 and answered at 100.4, by our clock, and the answer's `Date` is 105.
The server wrote that, in whole seconds, somewhere in between, so its clock is ahead by at least
105 - 100.4 = 4.6 and by less than 106 - 100.0 = 6.0 seconds. The least is taken: a reset that it
tells for 3605.0 is 3600.4 by our clock. Had `Date` been 100, no difference would be sure, and times
would be taken as they are told.

What the counts are made of is in `blsync.ledger.requests`, with an example of an hour.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from blsync.clock import read_date
from blsync.errors import QuotaSpent
from blsync.ledger import Ledger, requests
from blsync.ledger.requests import Limits, ServerQuota, Wait

SHORTEST_WAIT = 0.25
"""Seconds waited after a 429 that says `Retry-After: 0`."""
SAME_CLOCK = 1.0
"""Seconds by which the server's `Date` may differ from our clock without a correction."""
JUST_RESET = 2.0
"""Seconds for which a reset may have passed when it is told: one rounded down, still to come."""


@dataclass
class RateLimiter:
    """Paces the requests of one key; `clock` tells unix seconds.

    `waits` tells whether a used-up hour is waited for; else QuotaSpent is raised.
    """

    ledger: Ledger
    key_id: str
    limits: Limits
    zone: ZoneInfo
    waits: bool = True
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    say: Callable[[str], None] = lambda _: None
    throttled: float = field(default=0, init=False)
    _said_until: float = field(default=0, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _sent_at: dict[int, float] = field(default_factory=dict, init=False)
    _ahead: tuple[float, float] = field(default=(-math.inf, math.inf), init=False)
    """Between how many and how many seconds the server's clock is ahead of ours."""

    async def slot(self, records: int | None = None) -> int:
        """Wait for a slot and take it; `records` is how many a batch has. Raises QuotaSpent where
        the hour is used up and no wait is wanted, or what is sent for events has used up its share.
        """
        async with self._lock:  # one asks the ledger at a time, the others wait in turn
            while True:
                now = self.clock()
                taken = requests.take(self.ledger, self.key_id, self.limits, now, records)
                if not isinstance(taken, Wait):
                    self._sent_at[taken] = now
                    return taken
                if taken.is_share:
                    raise self._share_spent(taken.until)
                if taken.is_hour:
                    self._announce(taken.until)
                pause = max(taken.until - now, 0.001)
                if taken.is_batch:
                    self.say(f"BigLedger takes no more batches this minute; waiting {pause:.0f} s.")
                self.throttled += pause
                await self.sleep(pause)

    def answered(
        self, slot: int, status: int, headers: Mapping[str, str], *, told: float | None = None
    ) -> None:
        """Free a slot and take note of what the answer says about the quota.

        Times in the headers are the server's: they are corrected by its `Date`. `told` are the
        seconds to wait that the body of a 429 names; of them and `Retry-After` the longer wait
        counts.
        """
        now = self.clock()
        ahead = self._compare_clocks(_date(headers.get("date")), self._sent_at.pop(slot, now), now)
        blocked_until = 0.0
        if status == 429:
            waits = (told, retry_after(headers.get("retry-after"), now + ahead))
            longest = max((wait for wait in waits if wait is not None), default=1.0)
            # No wait is longer than the window: whoever asks for more is asked again by then.
            wait = min(max(longest, SHORTEST_WAIT), self.limits.window)
            blocked_until = now + wait
        word = self._word(headers, now, ahead)
        requests.answer(self.ledger, self.key_id, self.limits, slot, now, word, blocked_until)

    def withdrawn(self, slot: int) -> None:
        """Free a slot and forget it: its time was told by a clock that is wrong."""
        self._sent_at.pop(slot, None)
        requests.withdraw(self.ledger, slot)

    def _compare_clocks(self, date: float | None, sent_at: float, now: float) -> float:
        """Return by how many seconds the server's clock is ahead; 0 where it may be the same.

        It told `date` (in whole seconds) somewhere between sending and answer: each answer
        narrows down how far ahead it can be.
        """
        if date is not None:
            least, most = max(self._ahead[0], date - now), min(self._ahead[1], date + 1 - sent_at)
            self._ahead = (least, most) if least <= most else (date - now, date + 1 - sent_at)
        least, most = self._ahead
        is_same = least - SAME_CLOCK <= 0 <= most + SAME_CLOCK
        return 0.0 if is_same else least

    def _word(self, headers: Mapping[str, str], now: float, ahead: float) -> ServerQuota | None:
        remaining = _whole(headers.get("x-ratelimit-remaining"))
        reset = _whole(headers.get("x-ratelimit-reset"))
        if remaining is None or reset is None:
            return None
        reset_at = reset - ahead
        if now - JUST_RESET < reset_at <= now:
            reset_at = now + 1.0
        # No window is longer than the window: a reset told in milliseconds would never come.
        reset_at = min(reset_at, now + self.limits.window)
        return ServerQuota(_whole(headers.get("x-ratelimit-limit")), remaining, reset_at)

    def left(self) -> int:
        """Requests that may still be sent in this hour."""
        return requests.left(self.ledger, self.key_id, self.limits, self.clock())

    def left_for_events(self) -> int:
        """Requests that may still be sent in this hour because of events, whatever else is left."""
        return requests.left_for_events(self.ledger, self.key_id, self.limits, self.clock())

    def _share_spent(self, until: float) -> QuotaSpent:
        at = datetime.fromtimestamp(until, UTC).astimezone(self.zone)
        return QuotaSpent(
            f"Events have used up their share of the hour ({self.limits.for_events} requests, "
            f"BLSYNC_LIVE_SHARE) until {at:%Y-%m-%d %H:%M:%S %Z}. What was read is kept, and what "
            "they tell of is pulled then, or by the next sync."
        )

    def _announce(self, until: float) -> None:
        at = datetime.fromtimestamp(until, UTC).astimezone(self.zone)
        message = (
            f"The key's hourly quota is used up (or told to be) until {at:%Y-%m-%d %H:%M:%S %Z}"
        )
        if not self.waits:
            raise QuotaSpent(
                f"{message}. What was read is kept; run the same command again then. "
                "If that cannot be, `blsync repair` clears it."
            )
        if until > self._said_until + 60:  # a sliding hour frees a request now and then
            self._said_until = until
            self.say(
                f"{message}; waiting, then going on. If that cannot be, `blsync repair` clears it."
            )


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\s*[0-9]{1,18}\s*", text) else None


def _date(text: str | None) -> float | None:
    at = read_date(text)
    return at.timestamp() if at else None


def retry_after(text: str | None, server_now: float) -> float | None:
    """Read `Retry-After`: seconds from now, or an HTTP date; as long as it says. None where it is
    neither.
    """
    try:
        seconds = float(text or "")
    except ValueError:
        date = _date(text)
        if date is None:
            return None
        seconds = date - server_now
    return max(0.0, seconds) if math.isfinite(seconds) else None
