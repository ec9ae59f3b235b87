"""OAuth: tokens are renewed once for everybody, outlive a process, and are readable nowhere."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from conftest import Asked, Reply, failure
from rig import patient
from rig.warm import PYTHON

from blsync import doctor
from blsync.api.client import Client
from blsync.api.envelope import LONGEST_PAUSE
from blsync.api.oauth import LEASE, TRIES
from blsync.errors import ApiError, ConfigError, Unanswered, Unauthorized
from blsync.lake.store import Lake
from blsync.ledger import Ledger, tokens
from blsync.sandbox import Handle, Options, running
from blsync.session import Session

OK = Reply(b'{"success":true,"data":{"id":"1"}}')
BOOKS = {
    **{"invoices": 1, "customers": 12, "items": 3, "months": 1, "limits": False},
    "faults": "clock=none",  # these tests move our clock on by hours, and the server's stays
}
SECRET, REFRESH = "sandbox-secret", "blg_oauth_rt_sandbox"

WORKER = """
import asyncio, sys, time
from blsync import settings
from blsync.api.client import Client
from blsync.ledger import Ledger, tokens
from blsync.lake.store import Lake
from blsync.session import Session

loaded = settings.load()
company = loaded.companies()[0]
session = Session(loaded, Ledger(loaded.ledger_url), Lake(loaded.data))
pace = session.rate_limiter(company)
ahead = 0.0
pace.clock = lambda: time.time() + ahead

async def main():
    global ahead
    async with Client(company, pace) as client:
        print("ready", flush=True)
        for line in sys.stdin:
            ahead = float(line)
            await asyncio.gather(*(client.get("/company") for _ in range(5)))
            print("done", flush=True)

asyncio.run(main())
"""


class Clock:
    """The time of day, moved on by sleeping, or standing still."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.stands_at: float | None = None
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.stands_at or time.time() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.ahead += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox() -> Iterator[Callable[..., Handle]]:
    """Start sandboxes whose refresh tokens serve once; they end with the test."""
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(
            running(Options(**BOOKS, refresh_twice=False, **more))
        )


@pytest.fixture
def sign_in(configure):
    """Return settings for a server with OAuth in the place of its key."""

    def signed_in(server, **more: str):
        root = server.base_url.removesuffix("/v1")
        return configure(
            server,
            **{
                "BIGLEDGER_API_KEY": "",
                "BIGLEDGER_CLIENT_ID": "sandbox-client",
                "BIGLEDGER_CLIENT_SECRET": SECRET,
                "BIGLEDGER_REFRESH_TOKEN": REFRESH,
                "BIGLEDGER_TOKEN_URL": f"{root}/oauth/token",
                **more,
            },
        )

    return signed_in


@pytest.fixture
def use(clock):
    """Run something with a new client, as a new run of the command would; return its result."""

    def run(loaded, work: Callable[[Client], Awaitable[object]]) -> object:
        company = loaded.companies()[0]
        ledger = Ledger(loaded.ledger_url)
        pace = Session(loaded, ledger, Lake(loaded.data)).rate_limiter(company)
        pace.clock, pace.sleep = clock, clock.sleep

        async def inside() -> object:
            async with Client(company, pace, sleep=clock.sleep, jitter=lambda: 1.0) as client:
                await work(client)
                return client.requests

        try:
            return asyncio.run(inside())
        finally:
            ledger.close()

    return run


def get(client: Client):
    return client.get("/company")


def renewals(handle: Handle) -> int:
    stats = patient.get(f"{handle.url}/sandbox/stats", trust_env=False).json()
    return stats["routes"].get("POST /oauth/token", 0)


def granted(number: int = 1, **more: object) -> Reply:
    body = {
        "access_token": f"blg_oauth_at_{number}",
        "refresh_token": f"blg_oauth_rt_{number}",
        "token_type": "Bearer",
        "expires_in": 3600,
        **more,
    }
    return Reply(json.dumps(body).encode())


def authority(
    grant: Callable[[], Reply] = granted, api: Callable[[Asked], Reply] = lambda _: OK
) -> Callable[[Asked], Reply]:
    return lambda asked: grant() if asked.path == "/oauth/token" else api(asked)


def only(tokens: list[str]) -> Callable[[Asked], Reply]:
    """Answer those who come with one of the tokens, and refuse the others."""

    def answer(asked: Asked) -> Reply:
        token = asked.headers["authorization"].removeprefix("Bearer ")
        return OK if token in tokens else failure(401, "UNAUTHORIZED")

    return answer


def asked_for_tokens(server) -> int:
    return sum(asked.path == "/oauth/token" for asked in server.asked)


@contextmanager
def workers(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of their own, each with a client that is ready to ask."""
    command = [PYTHON, "-c", WORKER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(count)]
    try:
        for process in started:
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_one_token_serves_all_requests_of_all_runs(sandbox, sign_in, use):
    server = sandbox()
    loaded = sign_in(server)

    async def many(client: Client) -> None:
        await asyncio.gather(*(client.get("/company") for _ in range(20)))

    assert use(loaded, many) == 20
    assert use(loaded, get) == 1
    assert renewals(server) == 1


def test_several_processes_at_once_renew_once_an_expiry(sandbox, sign_in):
    server = sandbox()
    sign_in(server)
    with workers(3) as processes:
        for count, ahead in enumerate((0, 3600, 7200), start=1):
            for process in processes:
                process.stdin.write(f"{ahead}\n")
                process.stdin.flush()
            for process in processes:
                assert process.stdout.readline() == "done\n"
            assert renewals(server) == count


def test_a_token_is_renewed_before_it_expires(sandbox, sign_in, use, clock):
    server = sandbox()
    loaded = sign_in(server)

    async def twice(client: Client) -> None:
        await client.get("/company")
        clock.ahead = 3530
        await client.get("/company")
        assert renewals(server) == 1
        clock.ahead = 3545
        await client.get("/company")
        assert renewals(server) == 2

    assert use(loaded, twice) == 3


def test_a_refresh_token_that_was_replaced_is_kept_over_restarts(sandbox, sign_in, use, clock):
    server = sandbox()
    loaded = sign_in(server)
    for count in (1, 2, 3):
        use(loaded, get)
        assert renewals(server) == count
        clock.ahead += 3600


def test_a_token_that_expires_in_the_middle_of_a_walk_is_renewed_and_the_walk_goes_on(
    sandbox, sign_in, use, clock
):
    server = sandbox(token_lifetime=0.4)
    loaded = sign_in(server)
    clock.stands_at = time.time()  # so that only the server finds the token expired
    found = []

    async def walk(client: Client) -> None:
        async for page in client.pages("/customers", {"limit": "5"}):
            found.extend(page.records)
            if len(found) == 5:
                await asyncio.sleep(0.5)

    assert use(loaded, walk) == 4  # three pages, and the one that was refused
    assert len(found) == 12
    assert renewals(server) == 2


def test_many_requests_that_are_refused_together_share_the_renewal(tiny_server, sign_in, use):
    grants = iter(range(1, 10))
    server = tiny_server(authority(lambda: granted(next(grants)), only(["blg_oauth_at_2"])))

    async def many(client: Client) -> None:
        await asyncio.gather(*(client.get("/company") for _ in range(8)))

    use(sign_in(server), many)
    assert asked_for_tokens(server) == 2


def test_a_token_that_another_process_has_renewed_is_taken_after_a_refusal(
    tiny_server, sign_in, use, clock
):
    grants, good = iter(range(1, 10)), ["blg_oauth_at_1"]
    server = tiny_server(authority(lambda: granted(next(grants)), only(good)))
    loaded = sign_in(server)

    async def two(first: Client) -> None:
        async with Client(first.company, first.limiter, sleep=clock.sleep) as second:
            await first.get("/company")
            await second.get("/company")
            good[:] = ["blg_oauth_at_2"]
            await first.get("/company")
            await second.get("/company")

    use(loaded, two)
    assert asked_for_tokens(server) == 2


def test_a_write_refused_for_its_token_is_sent_again_because_nothing_was_done(
    tiny_server, sign_in, use
):
    replies = [failure(401, "UNAUTHORIZED"), OK]
    server = tiny_server(authority(api=lambda _: replies.pop(0)))
    assert use(sign_in(server), lambda client: client.post("/bulk/customers", {})) == 2


def test_a_new_token_that_is_refused_too_stops_with_the_cure(tiny_server, sign_in, use):
    grants = iter(range(1, 10))
    server = tiny_server(authority(lambda: granted(next(grants)), only([])))
    with pytest.raises(Unauthorized, match="BIGLEDGER_REFRESH_TOKEN") as caught:
        use(sign_in(server), get)
    assert [asked.path for asked in server.asked] == ["/oauth/token", "/company"] * 2
    assert caught.value.exit_code == 2
    assert "blg_oauth" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BIGLEDGER_REFRESH_TOKEN", "blg_oauth_rt_old", "sign in to BigLedger again"),
        (
            "BIGLEDGER_CLIENT_SECRET",
            "blg_oauth_cs_of_another",
            "BIGLEDGER_CLIENT_ID and BIGLEDGER_CLIENT_SECRET",
        ),
    ],
)
def test_credentials_that_are_granted_no_token_are_named_with_the_cure(
    sandbox, sign_in, use, name, value, said
):
    server = sandbox()
    loaded = sign_in(server, **{name: value})
    with pytest.raises(Unauthorized, match=said) as caught:
        use(loaded, get)
    assert caught.value.exit_code == 2
    assert renewals(server) == 1
    for secret in (value, SECRET, REFRESH):
        assert secret not in str(caught.value)
    assert doctor.examine().exit_code == 2
    assert use(sign_in(server), get) == 1


@pytest.mark.parametrize(
    "reply", [Reply(b"<html>", 404), Reply(b"", 302, {"Location": "https://example.com"})]
)
def test_an_address_that_grants_no_tokens_is_named(tiny_server, sign_in, use, reply):
    server = tiny_server(authority(lambda: reply))
    with pytest.raises(ConfigError, match="Check BIGLEDGER_TOKEN_URL"):
        use(sign_in(server), get)
    assert [asked.path for asked in server.asked] == ["/oauth/token"]


def test_a_refresh_token_that_is_put_in_anew_is_used_at_once(tiny_server, sign_in, use):
    server = tiny_server(authority())
    for count, which in ((1, "first"), (1, "first"), (2, "second"), (2, "second")):
        use(sign_in(server, BIGLEDGER_REFRESH_TOKEN=f"blg_oauth_rt_{which}"), get)
        assert asked_for_tokens(server) == count


@pytest.mark.deep
def test_a_token_that_a_clock_ahead_has_kept_is_renewed_not_believed(sandbox, sign_in, use, clock):
    server = sandbox()
    loaded = sign_in(server)
    clock.ahead = 730 * 86_400
    use(loaded, get)
    clock.ahead = 0
    assert use(loaded, get) == 1  # and not one that is refused first
    assert renewals(server) == 2
    assert use(loaded, get) == 1
    assert renewals(server) == 2


def test_a_server_that_began_anew_is_asked_with_the_refresh_token_of_the_settings(
    sign_in, use, clock
):
    port = 0
    for _ in range(2):
        with running(Options(**BOOKS, refresh_twice=False), port) as server:
            assert use(sign_in(server), get) == 1
            port = int(server.url.rpartition(":")[2])
        clock.ahead = 3600


@pytest.mark.parametrize(
    "trouble",
    [Reply(b"", 503), Reply(b"<html>Welcome</html>"), Reply(b"{}", cut=1), failure(429, "SLOW"),
     Reply(b'{"access_token":""}')],
    ids=["503", "html", "cut", "429", "no token"],
)  # fmt: skip
def test_a_token_server_in_trouble_is_asked_again(tiny_server, sign_in, use, clock, trouble):
    replies = [trouble, trouble, granted()]
    server = tiny_server(authority(lambda: replies.pop(0)))
    assert use(sign_in(server), get) == 1
    assert clock.pauses == [1.0, 2.0]


def test_a_token_server_that_stays_in_trouble_is_given_up_with_nothing_in_doubt(
    tiny_server, sign_in, use, clock
):
    server = tiny_server(authority(lambda: Reply(b"", 500)))
    loaded = sign_in(server)

    async def many(client: Client) -> None:
        results = await asyncio.gather(
            *(client.post("/bulk/customers", {}) for _ in range(4)), return_exceptions=True
        )
        assert {type(result) for result in results} == {ApiError}
        raise results[0]

    with pytest.raises(ApiError, match=f"after {TRIES} tries") as caught:
        use(loaded, many)
    assert not isinstance(caught.value, Unanswered)
    assert [asked.path for asked in server.asked] == ["/oauth/token"] * TRIES
    assert sum(clock.pauses) < 60


def test_no_token_can_be_read_in_any_file(tiny_server, sign_in, use, tmp_path: Path):
    server = tiny_server(authority())
    loaded = sign_in(server)
    use(loaded, get)
    use(loaded, get)
    assert asked_for_tokens(server) == 1  # so it is in some file
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for secret in ("blg_oauth_", SECRET):
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_a_process_killed_while_renewing_keeps_the_others_waiting_no_longer_than_its_lease(
    tiny_server, sign_in, use, clock
):
    is_stuck, go_on, stuck = threading.Event(), threading.Event(), []

    def grant() -> Reply:
        if not is_stuck.is_set():
            stuck.append(threading.current_thread())
            is_stuck.set()
            go_on.wait(20)
        return granted()

    server = tiny_server(authority(grant))
    loaded = sign_in(server)
    with workers(1) as (process,):
        process.stdin.write("0\n")
        process.stdin.flush()
        assert is_stuck.wait(20)
    use(loaded, get)
    go_on.set()
    stuck[0].join()  # it complains that nobody listens any more: within this test
    assert LEASE - 10 < sum(clock.pauses) < LEASE + 1


def test_a_sync_that_is_stopped_while_renewing_does_not_lose_the_answer(tiny_server, sign_in, use):
    is_asked, go_on = threading.Event(), threading.Event()

    def grant() -> Reply:
        is_asked.set()
        go_on.wait(20)
        return granted()

    server = tiny_server(authority(grant))
    loaded = sign_in(server)

    async def stopped(client: Client) -> None:
        asking = asyncio.create_task(client.get("/company"))
        await asyncio.to_thread(is_asked.wait, 20)
        asking.cancel()
        await asyncio.wait([asking])
        go_on.set()

    use(loaded, stopped)
    use(loaded, get)
    assert [asked.path for asked in server.asked] == ["/oauth/token", "/company"]


@pytest.mark.parametrize(
    ("behind", "may"),
    [(0.01, False), (LEASE, False), (86_400, True)],
    ids=["a bit", "some", "lots"],
)
def test_a_lease_holds_against_a_clock_behind_but_not_for_a_day(tmp_path: Path, behind, may):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    now = 1_800_000_000.0
    assert tokens.claim(ledger, "key", "one", None, now, LEASE)
    assert tokens.claim(ledger, "key", "two", None, now - behind, LEASE) is may
    ledger.close()


@pytest.mark.parametrize(
    ("told", "waited"),
    [
        ("20", 20.0),
        ("a date", 20.0),
        ("0", 1.0),
        ("soon", 1.0),
        ("86400", LONGEST_PAUSE),
    ],
)
def test_a_server_that_says_when_it_is_back_is_asked_again_then(
    tiny_server, configure, use, clock, told, waited
):
    is_date = told == "a date"
    if is_date:
        told = formatdate(time.time() + waited, usegmt=True)
    replies = [Reply(b"", 503, {"Retry-After": told}), OK]
    server = tiny_server(lambda _: replies.pop(0))
    use(configure(server), get)
    assert clock.pauses == [pytest.approx(waited, abs=1.5 if is_date else 0)]
