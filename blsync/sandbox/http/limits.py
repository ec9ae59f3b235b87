"""The key's rate limits, and counts of what was asked for (bigledger-api.md, section 4)."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime

from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.options import Options

Clock = Callable[[], float]
MINUTE = 60.0
BATCHES_A_MINUTE = 10
LARGE_BATCHES_A_MINUTE = 5


class Limits:
    """So many requests in any second and so many in the hour's window, per key.

    Refused requests do not count. A fixed window begins at whole multiples of its length
    since 1970; of a sliding one, `X-RateLimit-Reset` tells when its oldest request leaves.
    ``clock`` gives unix seconds.
    """

    def __init__(self, options: Options, clock: Clock = time.time) -> None:
        self.options = options
        self.clock = clock
        self._second: deque[float] = deque()
        self._window: deque[float] = deque()

    def enter(self) -> None:
        """Let one request in, or raise ApiError 429 that says when to come back."""
        now = self._forget()
        if self.remaining <= 0:
            self._refuse(self.resets_at - now)
        if len(self._second) >= self.options.per_second:
            self._refuse(self._second[0] + 1 - now)
        self._second.append(now)
        self._window.append(now)

    def take(self, count: int) -> None:
        """Let another program use so many of the window's requests, or what is left, at once."""
        now = self._forget()
        self._window.extend([now] * min(count, self.remaining))

    def _forget(self) -> float:
        now = self.clock()
        while self._second and self._second[0] <= now - 1:
            self._second.popleft()
        while self._window and self._window[0] < self._window_start(now):
            self._window.popleft()
        return now

    def _window_start(self, now: float) -> float:
        length = self.options.window_seconds
        if self.options.hour_window == "fixed":
            return now // length * length
        return math.nextafter(now - length, math.inf)

    @property
    def remaining(self) -> int:
        """How many requests the window still takes."""
        return max(0, self.options.per_hour - len(self._window))

    @property
    def resets_at(self) -> float:
        """Unix seconds at which the window takes requests again."""
        now, length = self.clock(), self.options.window_seconds
        if self.options.hour_window == "fixed":
            return now // length * length + length
        return (self._window[0] if self._window else now) + length

    def headers(self) -> dict[str, str]:
        """Return the X-RateLimit headers of an answer given now."""
        self._forget()
        return {
            "X-RateLimit-Limit": str(self.options.per_hour),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.resets_at)),
        }

    def _refuse(self, wait: float) -> None:
        raise too_many(self.options.per_hour, self.remaining, self.clock(), wait)


class BatchLimits:
    """So many batches in any minute, and so many large ones; they count in the hour as well."""

    def __init__(self, clock: Clock = time.time) -> None:
        self.clock = clock
        self._sent: deque[tuple[float, bool]] = deque()

    def enter(self, *, is_large: bool) -> None:
        """Let one batch in, or raise ApiError 429 that says when to come back."""
        now = self._forget()
        large = [at for at, was_large in self._sent if was_large]
        waits = []
        if len(self._sent) >= BATCHES_A_MINUTE:
            waits.append(self._sent[0][0] + MINUTE - now)
        if is_large and len(large) >= LARGE_BATCHES_A_MINUTE:
            waits.append(large[0] + MINUTE - now)
        if waits:
            raise too_many(BATCHES_A_MINUTE, self.remaining, now, max(waits))
        self._sent.append((now, is_large))

    def _forget(self) -> float:
        now = self.clock()
        while self._sent and self._sent[0][0] <= now - MINUTE:
            self._sent.popleft()
        return now

    @property
    def remaining(self) -> int:
        """How many batches the minute still takes."""
        self._forget()
        return BATCHES_A_MINUTE - len(self._sent)

    @property
    def resets_at(self) -> float:
        """Unix seconds at which the minute takes one more."""
        return (self._sent[0][0] if self._sent else self.clock()) + MINUTE


def too_many(limit: int, remaining: int, now: float, wait: float) -> ApiError:
    """Return the refusal of a request that has to wait so many seconds; `now` in unix seconds."""
    seconds = max(1, math.ceil(wait))
    reset = datetime.fromtimestamp(math.ceil(now + wait), UTC)
    detail = {
        "limit": limit,
        "remaining": remaining,
        "resetTime": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "retryAfter": seconds,
    }
    message = "Rate limit exceeded. Please retry after the specified time"
    return ApiError(429, "RATE_LIMIT_EXCEEDED", message, [detail], {"Retry-After": str(seconds)})


class Stats:
    """Requests a route since the start or the last reset; ``clock`` gives seconds."""

    def __init__(self, clock: Clock = time.monotonic, window_seconds: float = 3600) -> None:
        self.clock = clock
        self.window_seconds = window_seconds
        self.reset()

    def reset(self) -> None:
        """Forget all counts."""
        self.routes: Counter[str] = Counter()
        self.refused = 0
        self.busiest_second = 0
        self.busiest_window = 0
        self._second: deque[float] = deque()
        self._window: deque[float] = deque()

    def count(self, route: str) -> None:
        """Count a request that arrived now, refused later or not."""
        self.routes[route] += 1
        self.busiest_second = max(self.busiest_second, _slide(self._second, self.clock(), 1))

    def admit(self) -> None:
        """Count a request that the limits let in now."""
        held = _slide(self._window, self.clock(), self.window_seconds)
        self.busiest_window = max(self.busiest_window, held)

    def report(self) -> dict[str, object]:
        """Return what was counted.

        requests: all that came. refused: with 429. max_per_second: most that came within any
        sliding second. max_per_window: most that were let in within any sliding window of the
        hour's length. routes: requests a route.
        """
        return {
            "requests": self.routes.total(),
            "refused": self.refused,
            "max_per_second": self.busiest_second,
            "max_per_window": self.busiest_window,
            "routes": dict(sorted(self.routes.items())),
        }


def _slide(times: deque[float], now: float, length: float) -> int:
    """Add now, forget what is older than the length, return how many are left."""
    times.append(now)
    while times[0] <= now - length:
        times.popleft()
    return len(times)
