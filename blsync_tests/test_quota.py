"""The pace: one budget for all processes, whatever the server's clock and answers are like."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import patient

from blsync.api.client import Client
from blsync.api.rate_limit import RateLimiter
from blsync.errors import QuotaSpent
from blsync.lake.store import Lake
from blsync.ledger import Ledger
from blsync.ledger.requests import Limits
from blsync.sandbox import Options, running
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.http.limits import Limits as SandboxLimits
from blsync.session import Session
from blsync.settings import Settings

EPOCH = 1_800_000_000.0
ZONE = ZoneInfo("Asia/Kuala_Lumpur")


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now = 1000.0  # small: a nanosecond, the loop's own grain, must count in a float
        loop = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout=None):
                loop.now += timeout or 0
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        return self.now


def in_leaping_time(coroutine: Callable[[LeapingLoop], Awaitable[None]]) -> None:
    loop = LeapingLoop()
    try:
        loop.run_until_complete(coroutine(loop))
    finally:
        loop.close()


@dataclass
class Clock:
    """Time that passes while somebody sleeps."""

    now: float = EPOCH
    slept: float = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def ledger(tmp_path: Path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def paced(ledger: Ledger, clock: Clock, **limits: float) -> RateLimiter:
    given = {"per_hour": 1000, "per_second": 10, "window": 3600.0, "reserve": 0.0} | limits
    return RateLimiter(ledger, "key", Limits(**given), ZONE, clock=clock, sleep=clock.sleep)


def send(pace: RateLimiter, status: int = 200, **headers: object) -> int:
    """Send one request that is answered at once; returns its slot."""
    slot = asyncio.run(pace.slot())
    pace.answered(slot, status, {n.replace("_", "-"): str(v) for n, v in headers.items()})
    return slot


def told(remaining: int, reset: float, limit: int = 1000) -> dict[str, object]:
    return {
        "x_ratelimit_limit": limit,
        "x_ratelimit_remaining": remaining,
        "x_ratelimit_reset": round(reset),
    }


def most_in_a_window(sent: list[tuple[float, float]], length: float) -> int:
    """The most requests that a server can see in one window, each at any time until its answer."""
    windows = [answered for _, answered in sent]
    return max(
        sum(begin < start + length - 1e-6 and end >= start for begin, end in sent)
        for start in windows
    )


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32),
    per_second=st.sampled_from([2, 5, 10]),
    slowest=st.sampled_from([0.01, 0.3, 2.0]),
    per_hour=st.sampled_from([20, 1000]),
    reserve=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_no_second_and_no_hour_ever_holds_too_many_requests(
    tmp_path_factory, seed, per_second, slowest, per_hour, reserve
):
    """Three paces on two openings of one ledger; the server may see a request at any moment."""
    chance = random.Random(seed)
    url = f"sqlite:///{tmp_path_factory.mktemp('pace') / 'ledger.db'}"
    ledgers = [Ledger(url), Ledger(url)]
    limits = Limits(per_hour, per_second, 30.0, reserve)
    sent: list[tuple[float, float]] = []

    async def work(loop: LeapingLoop) -> None:
        async def program(number: int) -> None:
            pace = RateLimiter(ledgers[number % 2], "key", limits, ZONE, clock=loop.time)

            async def worker() -> None:
                for _ in range(5):
                    slot = await pace.slot()
                    began = loop.time()
                    await asyncio.sleep(chance.random() ** 3 * slowest)
                    pace.answered(slot, 200, {})
                    sent.append((began, loop.time()))

            await asyncio.gather(*(worker() for _ in range(3)))

        await asyncio.gather(*(program(number) for number in range(3)))

    in_leaping_time(work)
    for each in ledgers:
        each.close()
    assert len(sent) == 45
    assert most_in_a_window(sent, 1.0) <= per_second
    assert most_in_a_window(sent, 30.0) <= per_hour - round(per_hour * reserve)


def test_a_slow_request_keeps_its_slot_however_many_are_answered_meanwhile(ledger):
    sent: list[tuple[float, float]] = []

    async def work(loop: LeapingLoop) -> None:
        pace = RateLimiter(ledger, "key", Limits(1000, 10, 3600.0, 0.0), ZONE, clock=loop.time)

        async def worker(requests: int, lasts: float) -> None:
            for _ in range(requests):
                slot = await pace.slot()
                began = loop.time()
                await asyncio.sleep(lasts)
                pace.answered(slot, 200, {})
                sent.append((began, loop.time()))

        await asyncio.gather(worker(1, 4.9), *(worker(6, 0.01) for _ in range(10)))

    in_leaping_time(work)
    assert most_in_a_window(sent, 1.0) == 10


def test_a_slow_answer_counts_in_the_hour_in_which_it_came(ledger, clock):
    pace = paced(ledger, clock, per_hour=2, window=60.0)
    slow = asyncio.run(pace.slot())
    clock.now += 30
    pace.answered(slow, 200, {})
    send(pace)
    clock.now = EPOCH + 70
    assert pace.left() == 0
    send(pace)
    assert clock.now >= EPOCH + 90


def test_the_requests_of_another_key_do_not_count(ledger, clock):
    pace = paced(ledger, clock, per_hour=1)
    send(pace)
    other = paced(ledger, clock, per_hour=1)
    other.key_id = "other"
    send(other)
    assert clock.slept == 0


def test_the_reserve_is_left_to_other_programs(ledger, clock):
    pace = paced(ledger, clock, per_hour=20, per_second=100, reserve=0.25)
    assert pace.left() == 15
    for _ in range(15):
        send(pace)
    assert pace.left() == 0
    pace.waits = False
    with pytest.raises(QuotaSpent):
        send(pace)


@pytest.mark.parametrize(("per_hour", "reserve"), [(1, 0.9), (4, 0.9), (1000, 0.9999)])
def test_a_reserve_of_nearly_everything_leaves_one_request(ledger, clock, per_hour, reserve):
    pace = paced(ledger, clock, per_hour=per_hour, reserve=reserve)
    send(pace)
    send(pace)
    assert 3600 <= clock.slept < 3601


def test_what_the_server_says_is_left_is_believed_over_our_own_count(ledger, clock):
    pace = paced(ledger, clock, per_second=100)
    send(pace, **told(2, EPOCH + 500))
    assert pace.left() == 2
    send(pace)
    send(pace)
    assert (pace.left(), clock.slept) == (0, 0)
    send(pace)
    assert clock.now >= EPOCH + 500


def test_the_reserve_is_taken_off_what_the_server_says_too(ledger, clock):
    pace = paced(ledger, clock, reserve=0.1)
    send(pace, **told(103, EPOCH + 500))
    assert pace.left() == 3


def test_another_process_believes_what_this_one_was_told(ledger, clock, tmp_path):
    send(paced(ledger, clock), **told(0, EPOCH + 500))
    second = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    pace = paced(second, clock)
    pace.waits = False
    with pytest.raises(QuotaSpent):
        send(pace)
    second.close()


def test_an_answer_that_comes_late_does_not_undo_a_later_one(ledger, clock):
    pace = paced(ledger, clock)
    first, second = asyncio.run(pace.slot()), asyncio.run(pace.slot())
    headers = {n.replace("_", "-"): str(v) for n, v in told(7, EPOCH + 500).items()}
    pace.answered(second, 200, headers)
    pace.answered(first, 200, headers | {"x-ratelimit-remaining": "8"})
    assert pace.left() == 7


def test_a_reset_in_the_past_is_ignored(ledger, clock):
    pace = paced(ledger, clock)
    send(pace, **told(0, EPOCH - 10))
    send(pace)
    assert clock.slept == 0
    assert pace.left() == 998


def test_a_reset_in_milliseconds_is_waited_for_no_longer_than_a_window(ledger, clock):
    pace = paced(ledger, clock)
    send(pace, **told(0, (EPOCH + 100) * 1000))
    said = []
    pace.say = said.append
    send(pace)
    assert clock.slept <= 3600
    assert len(said) == 1


def test_more_left_than_the_limit_is_taken_for_the_limit(ledger, clock):
    pace = paced(ledger, clock)
    send(pace, **told(5000, EPOCH + 500, limit=1000))
    assert pace.left() == 1000


def test_what_is_left_without_a_reset_is_ignored(ledger, clock):
    pace = paced(ledger, clock)
    send(pace, x_ratelimit_remaining=0, x_ratelimit_limit=1000)
    send(pace)
    assert (pace.left(), clock.slept) == (998, 0)


def test_a_reset_that_was_rounded_down_is_asked_for_again_in_a_second(ledger, clock):
    pace = paced(ledger, clock)
    send(pace, **told(0, EPOCH + 10))
    send(pace, **told(0, EPOCH + 10))  # the new hour has not begun after all
    send(pace, **told(999, EPOCH + 3610))
    assert 10 <= clock.slept <= 12
    assert pace.left() == 999


def test_settings_below_the_servers_limit_hold_in_every_hour(ledger, clock):
    pace = paced(ledger, clock, per_hour=2)
    send(pace, **told(999, EPOCH + 10))
    send(pace, **told(998, EPOCH + 10))
    send(pace)
    assert clock.now >= EPOCH + 3600


def test_requests_that_the_server_has_not_seen_are_taken_off_what_it_says(ledger, clock):
    killed = paced(ledger, clock)
    for _ in range(3):
        asyncio.run(killed.slot())
    pace = paced(ledger, clock)
    send(pace, **told(50, EPOCH + 500))
    assert pace.left() == 47
    clock.now += 6
    send(pace, **told(49, EPOCH + 500))
    assert pace.left() == 49


def test_a_clock_that_was_set_back_stops_nothing(ledger, clock):
    pace = paced(ledger, clock, per_second=2)
    for _ in range(4):
        send(pace, **told(500, EPOCH + 3600))
    slept, clock.now = clock.slept, EPOCH - 7200
    for _ in range(4):
        send(pace, **told(400, EPOCH - 3600))
    assert clock.slept - slept < 3
    assert pace.left() >= 396


@dataclass
class Night:
    """What two programs on one key saw of a server with a small hour."""

    refused: int = 0
    others_refused: int = 0
    ended: float = 0


def a_small_hour_by_two(
    folder: Path,
    hour_window: str,
    *,
    requests: int = 60,
    ahead: float = 0,
    reserve: float = 0.0,
    others: int = 0,
    latency: float = 0.3,
) -> Night:
    """Let two programs send requests at the sandbox's own limits: 20 in an hour of 60 seconds.

    The loop's clock begins at 1000, which a fixed window ends 20 seconds later; the server's is
    `ahead`. `others` are the requests of another program in each hour.
    """
    options = Options(per_hour=20, per_second=5, window_seconds=60, hour_window=hour_window)
    limits = Limits(20, 5, 60.0, reserve)
    night = Night()
    chance = random.Random(7)
    ledgers = [Ledger(f"sqlite:///{folder / 'hour.db'}") for _ in range(2)]

    async def work(loop: LeapingLoop) -> None:
        server = SandboxLimits(options, lambda: loop.time() + ahead)
        left = [requests]

        async def other() -> None:
            while others:
                await asyncio.sleep(60 / others)
                try:
                    server.enter()
                except ApiError as error:
                    night.others_refused += error.status == 429

        async def worker(pace: RateLimiter) -> None:
            while left[0] > 0:
                left[0] -= 1
                slot = await pace.slot()
                await asyncio.sleep(chance.random() * latency)
                status = 200
                try:
                    server.enter()
                except ApiError as error:
                    status, night.refused = error.status, night.refused + 1
                date = format_datetime(datetime.fromtimestamp(loop.time() + ahead, UTC), True)
                headers = {n.lower(): value for n, value in server.headers().items()}
                await asyncio.sleep(chance.random() * latency)
                pace.answered(slot, status, {**headers, "date": date})

        background = asyncio.create_task(other())
        await asyncio.gather(
            *(
                worker(RateLimiter(ledger, "key", limits, ZONE, clock=loop.time))
                for ledger in ledgers
                for _ in range(3)
            )
        )
        night.ended = loop.time()
        background.cancel()

    in_leaping_time(work)
    for ledger in ledgers:
        ledger.close()
    return night


def test_a_fixed_hour_is_used_up_and_the_next_one_begun_at_its_reset(tmp_path):
    night = a_small_hour_by_two(tmp_path, "fixed")
    assert night.refused == 0
    assert 1080 < night.ended < 1087  # hours end at 1020 and 1080; 20 requests take 5 seconds


def test_a_sliding_hour_is_used_up_without_a_refusal(tmp_path):
    night = a_small_hour_by_two(tmp_path, "sliding")
    assert night.refused == 0
    assert 1120 < night.ended < 1130


@pytest.mark.parametrize(("hour_window", "by"), [("fixed", 1100), ("sliding", 1145)])
def test_slow_answers_in_any_order_are_not_misread(tmp_path, hour_window, by):
    night = a_small_hour_by_two(tmp_path, hour_window, latency=2.0)
    assert night.refused == 0
    assert night.ended < by


@pytest.mark.parametrize("ahead", [-300, 300, 4020])
@pytest.mark.parametrize(("hour_window", "by"), [("fixed", 1087), ("sliding", 1130)])
def test_a_server_with_another_clock_is_understood(tmp_path, ahead, hour_window, by):
    night = a_small_hour_by_two(tmp_path, hour_window, ahead=ahead)
    assert night.refused == 0
    assert night.ended < by


@pytest.mark.parametrize("hour_window", ["fixed", "sliding"])
def test_another_program_finds_its_reserve_in_every_hour(tmp_path, hour_window):
    night = a_small_hour_by_two(tmp_path, hour_window, reserve=0.3, others=5, requests=50)
    assert (night.refused, night.others_refused) == (0, 0)
    assert night.ended < 1250


TWO_YEARS = 730 * 86_400.0


@pytest.mark.parametrize("off", [TWO_YEARS, 7200.0])
def test_what_a_clock_ahead_has_written_blocks_nothing_once_it_is_right(ledger, clock, off):
    clock.now += off
    pace = paced(ledger, clock, per_second=100)
    for _ in range(5):
        send(pace, **told(0, clock.now + 3600))
        clock.now += 3600
    asyncio.run(pace.slot())  # of a process that was killed
    send(pace, 429, retry_after=3000)
    slept, clock.now = clock.slept, EPOCH
    pace = paced(ledger, clock, per_second=2)
    assert pace.left() == 1000
    for _ in range(2):
        send(pace)
    assert clock.slept == slept
    assert pace.left() == 998


def test_a_full_count_of_a_clock_ahead_is_not_waited_for(ledger, clock):
    clock.now += TWO_YEARS
    pace = paced(ledger, clock, per_hour=3)
    for _ in range(3):
        send(pace)
    clock.now = EPOCH
    send(pace)
    assert clock.slept == 0


def test_what_the_right_clock_tells_takes_the_place_of_what_the_wrong_one_wrote(ledger, clock):
    pace = paced(ledger, clock)
    clock.now += TWO_YEARS
    send(pace, 429, retry_after=3000)
    send(paced(ledger, clock), **told(7, clock.now + 3600))
    clock.now = EPOCH
    pace = paced(ledger, clock)
    pace.waits = False
    send(pace, 429, retry_after=3000)
    with pytest.raises(QuotaSpent, match="blsync repair"):
        send(pace)
    clock.now += 3000
    send(pace, **told(5, clock.now + 500))
    assert pace.left() == 5


def test_a_clock_behind_goes_by_nothing_that_the_right_one_wrote(ledger, clock):
    pace = paced(ledger, clock, per_hour=3)
    for _ in range(3):
        send(pace)
    clock.now -= TWO_YEARS
    send(paced(ledger, clock, per_hour=3))
    assert clock.slept == 0


@pytest.mark.parametrize("value", ["", "soon", "-5", "²", "1e9", "99999999999999999999999"])
def test_headers_that_are_no_numbers_are_ignored(ledger, clock, value):
    pace = paced(ledger, clock)
    headers = {"x_ratelimit_remaining": value, "x_ratelimit_reset": round(EPOCH + 100)}
    send(pace, **headers)
    send(pace, **told(5, EPOCH + 100) | {"x_ratelimit_reset": value})
    send(pace)
    assert clock.slept == 0


def test_the_server_is_believed_again_after_an_idle_day(ledger, clock):
    pace = paced(ledger, clock, per_second=100)
    for number in range(20):
        send(pace, **told(900 - number, EPOCH + 3600))
    clock.now += 86_400
    send(pace, **told(1, clock.now + 500))
    assert pace.left() == 1
    send(pace)
    pace.waits = False
    with pytest.raises(QuotaSpent):
        send(pace)


def refused(pace: RateLimiter, clock: Clock, retry_after: str | None) -> float:
    """Let a request be refused; returns how long the next one waited."""
    headers = {} if retry_after is None else {"retry_after": retry_after}
    send(pace, 429, **headers)
    before = clock.now
    send(pace)
    return clock.now - before


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7.1),
        ("0.5", 0.5, 0.6),
        (format_datetime(datetime.fromtimestamp(EPOCH + 30, UTC), usegmt=True), 30, 30.1),
        (format_datetime(datetime.fromtimestamp(EPOCH - 30, UTC), usegmt=True), 0.25, 0.3),
        ("0", 0.25, 0.3),
        ("-3", 0.25, 0.3),
        (None, 1, 1.1),
        ("after lunch", 1, 1.1),
        ("nan", 1, 1.1),
        ("inf", 1, 1.1),
        ("99999999999999", 3600, 3600.1),  # the window, and no longer
    ],
)
def test_a_refusal_is_waited_for_as_it_says(ledger, clock, retry_after, least, most):
    assert least <= refused(paced(ledger, clock), clock, retry_after) <= most


def test_refusals_without_a_wait_do_not_follow_each_other_at_once(ledger, clock):
    pace = paced(ledger, clock, per_second=1000)
    for _ in range(20):
        send(pace, 429, retry_after=0)
    assert clock.slept >= 19 * 0.25


def test_a_date_to_retry_after_is_read_in_the_servers_clock(ledger, clock):
    def date(seconds: float) -> str:
        return format_datetime(datetime.fromtimestamp(EPOCH + 300 + seconds, UTC), usegmt=True)

    pace = paced(ledger, clock)
    send(pace, 429, retry_after=date(20), date=date(0))
    send(pace)
    assert 19 <= clock.slept <= 21


def test_a_long_wait_that_a_refusal_asks_for_ends_a_sync_that_does_not_wait(ledger, clock):
    pace = paced(ledger, clock)
    pace.waits = False
    send(pace, 429, retry_after=1800)
    with pytest.raises(QuotaSpent, match="run the same command again"):
        send(pace)
    assert clock.slept == 0


def test_a_refusal_holds_back_every_process_on_the_key(ledger, clock, tmp_path):
    send(paced(ledger, clock), 429, retry_after=9)
    second = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    send(paced(second, clock))
    assert clock.now >= EPOCH + 9
    second.close()


def test_an_hour_that_is_used_up_is_not_waited_for_where_that_is_not_wanted(ledger, clock):
    pace = paced(ledger, clock, per_hour=1)
    pace.waits = False
    send(pace)
    with pytest.raises(QuotaSpent, match="run the same command again") as caught:
        send(pace)
    assert caught.value.exit_code == 3
    assert clock.slept == 0


def test_a_wait_for_the_hour_is_announced_once_with_its_end(ledger, clock):
    pace = paced(ledger, clock, per_hour=1)
    said = []
    pace.say = said.append
    send(pace)
    send(pace)
    (message,) = said
    ends_at = datetime.fromtimestamp(EPOCH + 3600, ZONE)
    assert f"{ends_at:%Y-%m-%d %H:%M:%S}" in message
    assert pace.throttled == pytest.approx(3600, abs=1)


def test_a_killed_process_leaves_slots_that_do_not_block_for_long(ledger, clock):
    killed = paced(ledger, clock, per_second=3)
    for _ in range(3):
        asyncio.run(killed.slot())
    send(paced(ledger, clock, per_second=3))
    assert 0 < clock.slept <= 6


def test_two_ledgers_never_give_one_slot_twice(ledger, clock, tmp_path):
    second = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    paces = [paced(ledger, clock, per_second=100), paced(second, clock, per_second=100)]
    slots = [send(paces[number % 2]) for number in range(30)]
    assert len(set(slots)) == 30
    second.close()


def test_a_new_ledger_can_be_opened_by_many_at_once(tmp_path):
    for number in range(5):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        with ThreadPoolExecutor(4) as threads:
            for opened in threads.map(Ledger, [url] * 4):
                opened.close()


def test_real_requests_inside_real_limits_are_never_refused(configure):
    options = Options(invoices=10, customers=10, items=5, months=1, per_second=10)

    async def ask(loaded: Settings) -> None:
        ledger = Ledger(loaded.ledger_url)
        pace = Session(loaded, ledger, Lake(loaded.data)).rate_limiter(loaded.companies()[0])
        async with Client(loaded.companies()[0], pace) as client:
            await asyncio.gather(*(client.get("/customers") for _ in range(25)))
        ledger.close()

    with running(options) as sandbox:
        loaded = configure(sandbox, BLSYNC_QUOTA_PER_HOUR="1000", BLSYNC_QUOTA_PER_SECOND="10")
        asyncio.run(ask(loaded))
        stats = patient.get(f"{sandbox.url}/sandbox/stats").json()
    assert (stats["requests"], stats["refused"]) == (25, 0)
    assert stats["max_per_second"] <= 10


def send_batch(pace: RateLimiter, records: int) -> float:
    """Send a batch that is answered at once; return when it went out."""
    slot = asyncio.run(pace.slot(records))
    pace.answered(slot, 200, {})
    return pace.clock() - EPOCH


def test_batches_keep_ten_a_minute_and_large_ones_five_over_all_processes(ledger, clock):
    paces = [paced(ledger, clock, window=2.0), paced(ledger, clock, window=2.0)]
    said: list[str] = []
    paces[0].say = said.append
    large = [send_batch(paces[n % 2], 101) for n in range(5)]
    small = [send_batch(paces[n % 2], 100) for n in range(5)]
    assert (large[-1], small[-1]) == (0, 0)
    assert send_batch(paces[0], 1) == 60
    assert said == [
        "BigLedger takes no more batches this minute; waiting 59 s."
    ]  # after the second
    assert send_batch(paces[1], 500) == 60
    clock.now += 1
    others = [asyncio.run(paces[0].slot()) for _ in range(3)]
    assert (len(set(others)), clock.slept) == (3, 60)


def test_a_large_batch_waits_for_the_fifth_before_it_while_small_ones_go_out(ledger, clock):
    pace = paced(ledger, clock)
    for _ in range(5):
        send_batch(pace, 500)
        clock.now += 5
    assert send_batch(pace, 100) == 25
    assert send_batch(pace, 101) == 60
    assert send_batch(pace, 101) == 65
