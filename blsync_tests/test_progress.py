"""How far a sync has come, as people are told."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from blsync.api.rate_limit import RateLimiter
from blsync.cli.progress import lines, showing
from blsync.ledger import Ledger
from blsync.ledger.requests import Limits

NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC).timestamp()
"""12:00 in Kuala Lumpur."""


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(tmp_path: Path, clock: Clock) -> Iterator[RateLimiter]:
    """A key that may send 100 requests an hour, 20 of them left to others."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    limits = Limits(per_hour=100, per_second=10, window=3600, reserve=0.2)
    yield RateLimiter(ledger, "key", limits, ZoneInfo("Asia/Kuala_Lumpur"), clock=clock)
    ledger.close()


def walk(
    tell, clock: Clock, pace: RateLimiter, pages: int, total: int, seconds: float = 1.0
) -> None:
    """Tell of pages of 100 records, one every so many seconds."""
    for page in range(1, pages + 1):
        tell("invoices", 100 * page, total, pace)
        clock.now += seconds


def test_an_entity_has_a_line_every_five_seconds_at_most_and_one_at_its_end(clock, pace):
    said: list[str] = []
    walk(lines(said.append, clock), clock, pace, 12, 1200)
    told = [line for line in said if line.startswith("invoices: ")]
    assert told == [
        "invoices: 100 of 1200 records",
        "invoices: 600 of 1200 records",
        "invoices: 1100 of 1200 records",
        "invoices: 1200 of 1200 records",
    ]


def test_a_line_for_all_tells_rate_quota_and_the_local_time_of_the_end(clock, pace):
    said: list[str] = []
    walk(lines(said.append, clock), clock, pace, 6, 6600)
    (line,) = (line for line in said if line.startswith("together: "))
    # 60 requests at 1.2 a second after 5 seconds: 50 seconds more.
    assert line == (
        "together: 600 of 6600 records, 120 records/s, 1.2 requests/s, 80 requests left this hour, "
        "done at about 12:00"
    )


def test_what_the_hour_does_not_allow_is_done_in_a_later_one(clock, pace):
    said: list[str] = []
    walk(lines(said.append, clock), clock, pace, 6, 20_600)
    # 200 requests: 80 now, 80 an hour later, 40 two hours later.
    assert said[-1].endswith("done at about 14:00")
    said.clear()
    walk(lines(said.append, clock), clock, pace, 6, 200_600)
    assert said[-1].endswith("done at about 2026-11-23 12:01")


def test_without_a_total_no_end_is_promised(clock, pace):
    said: list[str] = []
    tell = lines(said.append, clock)
    for page in range(1, 7):
        tell("items", 100 * page, None, pace)
        clock.now += 1
    assert said[0] == "items: 100 of an unknown number of records"
    assert "requests left" in said[-1]
    assert "done at" not in said[-1]


def test_on_a_terminal_bars_tell_the_same(clock, pace):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140)
    with showing(console, lambda _: None) as tell:
        tell("invoices", 100, 1200, pace)
        tell("items", 20, 20, pace)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "100/1200" in shown
    assert "20/20" in shown
    assert "requests left this hour" in shown
