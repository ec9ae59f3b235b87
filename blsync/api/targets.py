"""How long an answer may take by the vendor's own targets, and how long each took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from blsync.ledger import Ledger, response_times


class RequestKind(StrEnum):
    """What a request is, as the vendor's targets tell them apart."""

    READ = "read"
    WRITE = "write"
    BULK = "bulk"
    REPORT = "report"


TARGETS_MS = {
    RequestKind.READ: 200,
    RequestKind.WRITE: 500,
    RequestKind.BULK: 5_000,
    RequestKind.REPORT: 10_000,
}
"""Milliseconds in which the vendor means to answer (bigledger-api.md, section 4)."""
WRITE_EVERY = 200
"""Answers after which what was measured is written down."""


def kind_of(method: str, path: str) -> RequestKind:
    """Return what kind of request this is; `path` as behind the base URL."""
    if method == "POST" and path.startswith(("/bulk/", "/batch/")):
        return RequestKind.BULK
    if path.startswith(("/reports/", "/inventory/reports/")):
        return RequestKind.REPORT
    return RequestKind.READ if method in ("GET", "HEAD") else RequestKind.WRITE


class ResponseTimes:
    """What was measured of a company's answers and not written down yet."""

    def __init__(
        self, ledger: Ledger, company_id: str, zone: ZoneInfo, clock: Callable[[], float]
    ) -> None:
        """Days are days in `zone`; `clock` tells unix seconds."""
        self._ledger, self._company_id, self._zone = ledger, company_id, zone
        self._clock = clock
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._unwritten = 0

    def note(self, method: str, path: str, seconds: float) -> None:
        """Count an answer that took so long, from sending the request to the answer's last byte."""
        day = datetime.fromtimestamp(self._clock(), UTC).astimezone(self._zone).date().isoformat()
        self._counts[day, kind_of(method, path).value, response_times.rounded(seconds)] += 1
        self._unwritten += 1
        if self._unwritten >= WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """Write down what was measured. Raises StorageError."""
        if self._counts:
            response_times.add(self._ledger, self._company_id, self._counts)
        self._counts, self._unwritten = Counter(), 0
