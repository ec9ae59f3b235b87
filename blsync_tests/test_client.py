"""The client against servers that keep the contract, and servers that break it."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Asked, Reply, Server, failure, listed
from pydantic import SecretStr

from blsync import doctor
from blsync.api.client import REFUSALS, TRIES, Client
from blsync.api.pages import STALE_PAGES
from blsync.errors import (
    ApiError,
    ConfigError,
    CursorRefused,
    Forbidden,
    ServerFault,
    Unanswered,
    Unauthorized,
)
from blsync.lake.store import Lake
from blsync.ledger import Ledger
from blsync.sandbox import Options, running
from blsync.session import Session
from blsync.settings import Company

OK = Reply(b'{"success":true,"data":{"id":"1"}}')


class Sleeper:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = time.time()  # the servers tell theirs
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture
def use(configure, sleeper, tmp_path: Path):
    """Run something with a client of a server; returns what it returns."""

    def run(
        server: Server,
        work: Callable[[Client], Awaitable[object]],
        change: Callable[[Company], Company] = lambda company: company,
    ) -> object:
        loaded = configure(server)
        company = change(loaded.companies()[0])
        ledger = Ledger(loaded.ledger_url)
        pace = Session(loaded, ledger, Lake(loaded.data)).rate_limiter(company)
        pace.clock, pace.sleep = sleeper.clock, sleeper.sleep

        async def inside() -> object:
            async with Client(company, pace, sleep=sleeper.sleep, jitter=lambda: 1.0) as client:
                return await work(client)

        try:
            return asyncio.run(inside())
        finally:
            ledger.close()

    return run


def in_turn(*replies: Reply) -> Callable[[Asked], Reply]:
    """Answer with each reply once, then with the last one for good."""
    rest = list(replies)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


def get(client: Client):
    return client.get("/company")


async def all_pages(client: Client) -> list[bytes]:
    return [bytes(r) async for page in client.pages("/customers", {}) for r in page.records]


def test_every_request_carries_what_the_contract_asks_for(use, tiny_server):
    server = tiny_server(in_turn(OK))

    async def twice(client: Client) -> None:
        await client.get("/company")
        await client.get("/company")

    use(server, twice)
    first, second = (asked.headers for asked in server.asked)
    assert first["authorization"] == "Bearer blg_test_sk_tiny"
    assert first["x-company-id"] == "company_tiny"
    assert first["x-api-version"] == "2024-01-15"
    assert first["user-agent"].startswith("blsync/")
    assert first["x-request-id"] != second["x-request-id"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_read_is_tried_again_after_a_failure_of_the_server(use, tiny_server, sleeper, status):
    server = tiny_server(in_turn(failure(status, "OOPS"), failure(status, "OOPS"), OK))
    answer = use(server, get)
    assert bytes(answer.data) == b'{"id":"1"}'
    assert len(server.asked) == 3
    assert sleeper.pauses == [1.0, 2.0]


@pytest.mark.parametrize(
    "broken",
    [
        Reply(b"<html>Bad Gateway</html>", 502, {"Content-Type": "text/html"}),
        Reply(b"<html>Welcome to the hotel</html>"),
        Reply(b'{"success":true,"data":{"id"'),
        Reply(b'{"success":true,"data":{"id":"1"}}', cut=10),
        Reply(gzip.compress(OK.body)[:20], 200, {"Content-Encoding": "gzip"}),
        Reply(b"not gzip at all", 200, {"Content-Encoding": "gzip"}),
        Reply(b""),
        Reply(b'[]'),
        Reply(b'{"success":false,"error":{"code":"INTERNAL_ERROR","message":"no"}}'),
        Reply(b'{"success":false}'),
        Reply(b'{"success":true,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
    ids=["html 502", "html 200", "cut json", "cut body", "cut gzip", "no gzip", "empty", "a list",
         "says failure", "says failure without a word", "too deep"],
)  # fmt: skip
def test_an_answer_that_cannot_be_used_is_asked_for_again(use, tiny_server, broken):
    server = tiny_server(in_turn(broken, OK))
    assert bytes(use(server, get).data) == b'{"id":"1"}'
    assert len(server.asked) == 2


def test_a_server_that_fails_for_good_is_given_up_after_a_bound(use, tiny_server, sleeper):
    server = tiny_server(in_turn(failure(503, "SERVICE_UNAVAILABLE")))
    with pytest.raises(Unanswered, match="503 SERVICE_UNAVAILABLE") as caught:
        use(server, get)
    assert len(server.asked) == TRIES
    assert sum(sleeper.pauses) < 120
    assert caught.value.status == 503
    assert caught.value.request_id == server.asked[-1].headers["x-request-id"]


def test_a_server_that_is_not_there_is_said_to_give_no_answer(use, tiny_server):
    server = replace(tiny_server(in_turn(OK)), base_url="http://127.0.0.1:1/v1")
    with pytest.raises(Unanswered, match=r"no answer from http://127\.0\.0\.1:1/v1"):
        use(server, get)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (failure(404, "NOT_FOUND"), ApiError, "404 NOT_FOUND"),
        (failure(400, "BAD_REQUEST"), ApiError, "The message of BAD_REQUEST"),
        (failure(409, "CONFLICT"), ApiError, "409 CONFLICT"),
        (failure(422, "VALIDATION_ERROR"), ApiError, "422 VALIDATION_ERROR"),
        (failure(200, "NOT_FOUND"), ApiError, "NOT_FOUND"),
        (failure(200, "UNAUTHORIZED"), Unauthorized, "BIGLEDGER_API_KEY"),
        (failure(401, "UNAUTHORIZED"), Unauthorized, "BIGLEDGER_API_KEY"),
        (Reply(b"<html>", 401), Unauthorized, "BIGLEDGER_API_KEY"),
        (failure(422, "INVALID_COMPANY"), Unauthorized, "BIGLEDGER_COMPANY_ID"),
        (failure(200, "INVALID_COMPANY"), Unauthorized, "BIGLEDGER_COMPANY_ID"),
        (failure(403, "FORBIDDEN", details={"required_scope": "read:x"}), Forbidden, "read:x"),
        (failure(403, "FORBIDDEN", details=[{"required_scope": "read:x"}]), Forbidden, "read:x"),
        (failure(403, "FORBIDDEN", details="none"), Forbidden, "permission"),
        (Reply(b"<html>", 403), Forbidden, "not the API's JSON"),
        (Reply(b"", 302, {"Location": "https://example.com/v1/company"}), ApiError, "Redirects"),
    ],
)
def test_a_failure_that_stays_one_is_reported_at_once(use, tiny_server, reply, kind, said):
    server = tiny_server(in_turn(reply))
    with pytest.raises(kind, match=said) as caught:
        use(server, get)
    assert len(server.asked) == 1
    assert server.api_key not in str(caught.value)


def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else(use, tiny_server):
    elsewhere = tiny_server(in_turn(OK))
    location = {"Location": f"{elsewhere.base_url}/company"}
    server = tiny_server(in_turn(Reply(b"", 307, location)))
    with pytest.raises(ApiError, match="Redirects are not followed"):
        use(server, get)
    assert elsewhere.asked == []


def test_a_refusal_for_the_rate_is_waited_for_and_sent_again(use, tiny_server, sleeper):
    refusal = replace(failure(429, "RATE_LIMIT_EXCEEDED"), headers={"Retry-After": "7"})
    server = tiny_server(in_turn(refusal, refusal, OK))
    use(server, get)
    assert len(server.asked) == 3
    assert sum(sleeper.pauses) >= 14


def test_a_write_refused_for_the_rate_is_sent_again_because_nothing_was_done(use, tiny_server):
    refusal = replace(failure(429, "RATE_LIMIT_EXCEEDED"), headers={"Retry-After": "0"})
    server = tiny_server(in_turn(refusal, OK))
    use(server, lambda client: client.post("/bulk/customers", {}))
    assert len(server.asked) == 2


def test_a_server_that_refuses_for_good_is_given_up(use, tiny_server):
    refusal = replace(failure(429, "RATE_LIMIT_EXCEEDED"), headers={"Retry-After": "0"})
    server = tiny_server(in_turn(refusal))
    with pytest.raises(ApiError, match="429") as caught:
        use(server, get)
    assert len(server.asked) == REFUSALS
    assert not isinstance(caught.value, Unanswered)


def test_a_write_is_never_sent_twice_where_the_server_may_have_acted(use, tiny_server):
    server = tiny_server(in_turn(failure(500, "INTERNAL_ERROR"), OK))
    with pytest.raises(Unanswered):
        use(server, lambda client: client.post("/bulk/customers", {}))
    assert len(server.asked) == 1


def test_pages_are_read_to_the_end_with_empty_ones_between(use, tiny_server):
    server = tiny_server(
        in_turn(listed(["1"], "a"), listed([], "b"), listed([], "c"), listed(["2", "3"]))
    )
    assert use(server, all_pages) == [b"1", b"2", b"3"]
    assert [asked.params.get("cursor") for asked in server.asked] == [None, "a", "b", "c"]


def test_a_cursor_beside_the_last_page_is_not_followed(use, tiny_server):
    server = tiny_server(in_turn(listed(["1"], "a", has_more=False)))
    assert use(server, all_pages) == [b"1"]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "replies",
    [
        [listed(["1"], "a"), listed(["2"], "a")],
        [listed(["1"], "a"), listed(["2"], "b"), listed(["3"], "a")],
        [listed(["1"], None, has_more=True)],
        [listed(["1"], "", has_more=True)],
        [Reply(b'{"success":true,"data":["1"],"pagination":{}}')],
        [Reply(b'{"success":true,"data":{"id":"1"},"pagination":{"hasMore":false}}')],
        [Reply(b'{"success":true,"data":null,"pagination":{"hasMore":false}}')],
        [Reply(b'{"success":true,"pagination":{"hasMore":false}}')],
    ],
    ids=["cursor twice in a row", "cursor in a ring", "no cursor", "empty cursor",
         "no pagination", "no list", "null", "no data"],
)  # fmt: skip
def test_a_list_that_breaks_its_own_paging_is_the_servers_fault(use, tiny_server, replies):
    server = tiny_server(in_turn(*replies))
    with pytest.raises(ServerFault, match="request") as caught:
        use(server, all_pages)
    assert caught.value.request_id == server.asked[-1].headers["x-request-id"]
    assert len(server.asked) == len(replies)


def test_endless_empty_pages_are_the_servers_fault(use, tiny_server):
    numbers = iter(range(10_000))
    server = tiny_server(lambda _: listed([], str(next(numbers))))
    with pytest.raises(ServerFault, match="20 pages in a row brought nothing new"):
        use(server, all_pages)
    assert len(server.asked) == STALE_PAGES


def test_a_refused_cursor_is_told_from_a_bad_request(use, tiny_server):
    server = tiny_server(in_turn(listed(["1"], "a"), failure(400, "INVALID_CURSOR")))
    with pytest.raises(CursorRefused):
        use(server, all_pages)


def test_the_servers_own_request_id_is_the_one_to_quote(use, tiny_server):
    reply = replace(failure(404, "NOT_FOUND"), headers={"X-Request-ID": "req_theirs"})
    with pytest.raises(ApiError, match="req_theirs") as caught:
        use(tiny_server(in_turn(reply)), get)
    assert caught.value.request_id == "req_theirs"


def test_without_credentials_nothing_is_sent(use, tiny_server):
    server = tiny_server(in_turn(OK))
    with pytest.raises(ConfigError, match="BIGLEDGER_API_KEY"):
        use(server, get, lambda company: company.model_copy(update={"api_key": None}))
    assert server.asked == []


def test_a_key_that_no_header_can_hold_is_not_shown(use, tiny_server):
    secret = "blg_test_sk_line\nbreak"
    with pytest.raises(Unanswered, match="LocalProtocolError") as caught:
        use(
            tiny_server(in_turn(OK)),
            get,
            lambda company: company.model_copy(update={"api_key": SecretStr(secret)}),
        )
    assert "sk_line" not in str(caught.value)


def test_the_sandbox_is_read_to_its_end_through_its_faults(use, sleeper):
    faults = "error=0.1,html=0.1,truncate=0.1,error-after=0.05"
    options = Options(invoices=10, customers=40, items=5, months=1, limits=False, faults=faults)

    async def small_pages(client: Client) -> list[bytes]:
        pages = client.pages("/customers", {"limit": "4", "sort": "updatedAt:asc"})
        return [bytes(record) async for page in pages for record in page.records]

    with running(options) as sandbox:
        records = use(sandbox, small_pages)
    assert len(set(records)) == len(records) >= 40
    assert sleeper.pauses


def _waiting(seconds: object) -> dict[str, Any]:
    return {"retryAfter": seconds, "limit": 1000, "remaining": 0}


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (_waiting(40), None, 40),
        (_waiting("40"), None, 40),
        ({"details": [_waiting(40.5)]}, None, 40.5),
        ({"details": _waiting(40)}, None, 40),
        (_waiting(40), "7", 40),
        (_waiting(7), "40", 40),
        (_waiting(None), "9", 9),
        (_waiting(True), None, 1),
        (_waiting("soon"), None, 1),
        (_waiting(-5), None, 1),
    ],
)
def test_a_429_is_waited_for_as_its_body_says(use, tiny_server, sleeper, body, header, seconds):
    headers = {"Retry-After": header} if header else {}
    refusal = replace(failure(429, "RATE_LIMIT_EXCEEDED", **body), headers=headers)
    answers = [refusal, OK]
    use(tiny_server(lambda _: answers.pop(0)), lambda client: client.get("/thing"))
    assert sum(sleeper.pauses) == pytest.approx(seconds, abs=0.5)


def test_a_503_is_waited_for_as_its_body_says(use, tiny_server, sleeper):
    answers = [failure(503, "SERVICE_UNAVAILABLE", retryAfter=33), OK]
    use(tiny_server(lambda _: answers.pop(0)), lambda client: client.get("/thing"))
    assert max(sleeper.pauses) == 33


@pytest.mark.parametrize(("told", "most"), [(None, 5), ("1000", 5), ("10", 5), ("3000", 15)])
def test_five_requests_are_under_way_at_once_unless_the_server_tells_of_a_larger_hour(
    use, tiny_server, told, most
):
    lock, now, peaks = threading.Lock(), [0], [0]

    def answer(_: Asked) -> Reply:
        with lock:
            now[0] += 1
            peaks.append(now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return replace(OK, headers={"X-RateLimit-Limit": told} if told else {})

    async def ask(client: Client) -> None:
        await client.get("/thing")
        peaks.clear()
        await asyncio.gather(*(client.get("/thing") for _ in range(40)))

    use(tiny_server(answer), ask)
    assert max(peaks) <= most
    assert max(peaks) > most // 2


@pytest.mark.parametrize(
    ("reply", "is_ok", "told"),
    [
        (Reply(b'{"status":"ok","version":"2.4.1"}'), True, "the server says 'ok' (2.4.1)"),
        (Reply(b'{"success":true,"data":{"status":"healthy"}}'), True, "says 'healthy'"),
        (Reply(b'{"status":"degraded"}'), False, "says 'degraded'; ask the vendor"),
        (Reply(b'{"status":7}'), True, "does not tell"),
        (failure(404, "NOT_FOUND"), True, "does not tell"),
        (failure(422, "VALIDATION_ERROR"), False, "422"),
    ],
)
def test_doctor_tells_what_the_server_says_of_its_health(
    configure, tiny_server, reply, is_ok, told
):
    verified = Reply(b'{"success":true,"data":{"company":{"name":"Kedai"}}}')
    server = tiny_server(lambda asked: reply if asked.path == "/health" else verified)
    configure(server)
    [check] = [c for c in doctor.examine().checks if c.name.endswith(": health")]
    assert (check.is_ok, told in check.message) == (is_ok, True), check
