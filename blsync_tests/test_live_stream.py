"""The stream and the subscription at BigLedger, and the sandbox's side of both."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from rig.listening import listening
from test_pull import api, control
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from blsync.errors import ConfigError
from blsync.ledger import Ledger, events, requests
from blsync.ledger.requests import Limits, Wait
from blsync.live import subscription
from blsync.live.inbox import Inbox
from blsync.live.stream import Stream
from blsync.sandbox import Handle, Options, running
from blsync.session import open_session
from blsync.settings import Settings

SECRET = "a-secret-of-these-tests"
PATIENCE = 60
"""Seconds after which what is waited for will not come."""


@pytest.fixture(scope="module")
def server() -> Iterator[Handle]:
    with running(Options(invoices=20, customers=8, items=6, months=2, limits=False)) as handle:
        yield handle


@pytest.fixture(autouse=True)
def without_faults(server: Handle) -> Iterator[None]:
    yield
    control(server, "faults", faults="")
    with api(server) as client:
        for one in client.get("/webhooks").json()["data"]:
            client.delete(f"/webhooks/{one['id']}").raise_for_status()


@dataclass
class Subscriber:
    """A server that takes webhooks; `statuses` are its first answers, then 202."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    @property
    def names(self) -> list[str]:
        return [told["event"] for told in self.told]


@contextmanager
def subscriber() -> Iterator[Subscriber]:
    found = Subscriber()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            found.signatures.append(self.headers["X-Signature"])
            self.send_response(found.statuses.pop(0) if found.statuses else 202)
            self.end_headers()

    with listening(Handler) as port:
        found.url = f"http://127.0.0.1:{port}/webhooks"
        yield found


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def subscribed(server: Handle, to: Subscriber, *names: str, **more: Any) -> dict[str, Any]:
    body = {"url": to.url, "events": names or ("*",), "secret": SECRET, **more}
    with api(server) as client:
        made: dict[str, Any] = client.post("/webhooks/subscribe", json=body).json()["data"]
    return made


def new_customer(server: Handle, **more: Any) -> str:
    body = {"name": "Kedai Runcit Aman", "email": f"{time.monotonic_ns()}@kedai.example", **more}
    with api(server) as client:
        return str(client.post("/customers", json=body).raise_for_status().json()["data"]["id"])


def quick(retries: int = 5) -> dict[str, Any]:
    return {"maxRetries": retries, "retryDelay": 0.02, "backoffMultiplier": 1}


def test_the_sandbox_signs_what_it_delivers_and_says_what_changed(server):
    with subscriber() as to:
        subscribed(server, to, "customer.created", "customer.updated")
        key = new_customer(server)
        wait_for(lambda: bool(to.bodies))
    (body,), (signature,) = to.bodies, to.signatures
    told = json.loads(body)
    assert signature == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert (told["event"], told["data"]["object"]["id"]) == ("customer.created", key)
    assert told["context"] == {"companyId": server.company_id}


def test_the_sandbox_tells_of_a_payment_as_no_record_does(server):
    with subscriber() as to, api(server) as client:
        subscribed(server, to)
        listed = client.get("/invoices", params={"limit": 100}).json()["data"]
        owed = next(i for i in listed if i["amountDue"] > 2 and i["status"] in ("sent", "overdue"))
        body = {
            "amount": 1.5,
            "paymentDate": str(datetime.now(UTC).date()),
            "paymentMethod": "cash",
        }
        client.post(f"/invoices/{owed['id']}/payment", json=body).raise_for_status()
        wait_for(lambda: {"payment.received", "invoice.partially_paid"} <= set(to.names))
    told = next(told for told in to.told if told["event"] == "payment.received")
    payment = told["data"]["object"]
    assert (payment["amount"], payment["invoiceId"]) == (1.5, owed["id"])


def test_the_sandbox_tries_again_what_was_not_taken_and_logs_each_try(server):
    with subscriber() as to, api(server) as client:
        to.statuses = [500, 401, 202]
        made = subscribed(server, to, retryPolicy=quick())
        new_customer(server)
        wait_for(lambda: len(to.bodies) == 3)
        assert len(set(to.bodies)) == 1
        address = f"/webhooks/{made['id']}"
        wait_for(lambda: client.get(f"{address}/statistics").json()["data"]["totalDelivered"] == 1)
        log = client.get(f"{address}/logs").json()["data"]
    assert [row["status"] for row in log] == ["success", "pending", "pending"]


def test_the_sandbox_delivers_several_events_in_one_body_where_that_is_asked_for(server):
    with subscriber() as to:
        settings = {"enabled": True, "maxEvents": 3, "maxWaitTime": 60}
        subscribed(server, to, "customer.created", batchSettings=settings)
        keys = [new_customer(server) for _ in range(3)]
        wait_for(lambda: bool(to.bodies))
    (told,) = to.told
    assert told["batch"] is True
    assert [one["data"]["object"]["id"] for one in told["events"]] == keys


@pytest.mark.parametrize(
    ("fault", "bodies", "are_right"),
    [("double-events=1", 2, True), ("lose-events=1", 0, True), ("forge-events=1", 1, False)],
)
def test_what_goes_wrong_with_webhooks_can_be_rehearsed(server, fault, bodies, are_right):
    with subscriber() as to:
        subscribed(server, to, "customer.created", "try.it")
        control(server, "faults", faults=fault)
        new_customer(server)
        control(server, "faults", faults="")
        new_customer(server)
        wait_for(lambda: len(to.bodies) == bodies + 1)
    wanted = [
        "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        for body in to.bodies
    ]
    right = sum(map(str.__eq__, wanted, to.signatures))
    assert right == (bodies + 1 if are_right else 1)


def test_a_subscription_to_plain_http_elsewhere_is_refused(server):
    with api(server) as client:
        body = {"url": "http://books.example.com/webhooks", "events": ["*"]}
        assert client.post("/webhooks/subscribe", json=body).status_code == 422


async def messages(server: Handle, *sent: dict[str, Any], count: int) -> list[dict[str, Any]]:
    async with connect(f"ws{server.base_url.removeprefix('http')}/stream", proxy=None) as socket:
        for message in sent:
            await socket.send(json.dumps(message))
        return [json.loads(await socket.recv()) for _ in range(count)]


def signing_in(server: Handle, **more: str) -> dict[str, Any]:
    who = {"token": server.api_key, "companyId": server.company_id}
    return {"type": "auth", **who, **more}


def test_the_sandbox_s_stream_lets_nobody_in_without_the_key(server):
    for wrong in (signing_in(server, token="blg_test_sk_other"), {"type": "subscribe"}):
        with pytest.raises(ConnectionClosed) as closed:
            asyncio.run(messages(server, wrong, count=1))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_the_sandbox_s_stream_tells_of_an_unknown_channel_and_goes_on(server):
    asked = {"type": "subscribe", "channels": ["invoice.updates", "customer.created"]}
    told = asyncio.run(messages(server, signing_in(server), asked, count=3))
    assert [message["type"] for message in told] == ["auth", "error", "subscribed"]
    assert told[2]["channels"] == ["customer.created"]


@dataclass
class Following:
    """A stream that is followed, what it said and slept, and how often it was opened."""

    ledger: Ledger
    opened: int = 0
    slept: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def record_ids(self) -> list[str]:
        return [row["record_id"] for row in events.log(self.ledger)]


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[Following]:
    """Follow the company's stream; sleep for a hundredth of what is asked."""
    with open_session(settings) as session:
        found = Following(session.ledger)
        (company,) = settings.companies()

        def opened() -> None:
            found.opened += 1

        async def sleep(seconds: float) -> None:
            found.slept.append(seconds)
            await asyncio.sleep(seconds / 100)

        async with Inbox(
            session.ledger, {company.company_id}, session.clock, lambda: None, found.said.append
        ) as inbox:
            stream = Stream(
                session, company, inbox, opened, session.clock, found.said.append, sleep
            )
            task = asyncio.create_task(stream.follow())
            try:
                yield found
            finally:
                task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, is_so)


def test_events_of_the_stream_are_stored_as_webhooks_are(server, configure):
    async def run() -> list[dict[str, Any]]:
        async with following(configure(server)) as found:
            await until(lambda: found.opened == 1)
            key = await asyncio.to_thread(new_customer, server)
            await until(lambda: key in found.record_ids)
            return events.log(found.ledger)

    (row,) = asyncio.run(run())
    assert (row["event"], row["entity"], row["source"]) == (
        "customer.created",
        "customers",
        "stream",
    )


def test_a_stream_that_is_cut_is_opened_again_after_ever_longer_pauses(server, configure):
    control(server, "faults", faults="cut-stream=20ms")

    async def run() -> Following:
        async with following(configure(server)) as found:
            await until(lambda: len(found.slept) >= 6)
            return found

    found = asyncio.run(run())
    bounds = [1, 2, 4, 8, 16]
    assert all(
        bound / 2 <= pause <= bound for bound, pause in zip(bounds, found.slept, strict=False)
    )
    assert len(set(found.slept)) > 1


def test_a_stream_that_refuses_the_key_is_told_and_not_hammered(server, configure):
    settings = configure(server, BIGLEDGER_API_KEY="blg_test_sk_wrong")

    async def run() -> Following:
        async with following(settings) as found:
            await until(lambda: bool(found.slept))
            return found

    found = asyncio.run(run())
    assert found.slept[0] == 600
    assert "refused the key" in found.said[0]
    assert "blg_test_sk_wrong" not in " ".join(found.said)


def test_what_is_subscribed_twice_is_one_subscription_and_its_secret_is_ours(server, configure):
    settings = configure(server, BLSYNC_WEBHOOK_SECRET=SECRET)
    (company,) = settings.companies()
    url = "https://books.example.com/webhooks"
    with open_session(settings) as session:
        first = subscription.subscribe(session, company, url)
        again = subscription.subscribe(session, company, url, ["customer.created"])
        (listed,) = subscription.subscriptions(session, company)
        assert (first.is_new, again.is_new) == (True, False)
        assert listed.id == first.subscription.id == again.subscription.id
        assert listed.events == ["customer.created"]
        assert listed.is_ours
        assert first.made_secret is None
        assert subscription.unsubscribe(session, company) == [listed.id]
        assert subscription.subscriptions(session, company) == []


def test_a_subscription_whose_answer_is_lost_is_not_made_twice(server, configure):
    settings = configure(server)
    (company,) = settings.companies()
    url = "https://books.example.com/webhooks"
    control(server, "faults", faults="drop-after=1,only=writes,times=1")
    with open_session(settings) as session:
        done = subscription.subscribe(session, company, url)
        (listed,) = subscription.subscriptions(session, company)
    assert listed.id == done.subscription.id
    assert done.made_secret
    assert len(done.made_secret) >= 32


def test_only_an_https_address_is_subscribed(server, configure):
    settings = configure(server)
    (company,) = settings.companies()
    with open_session(settings) as session, pytest.raises(ConfigError, match="https"):
        subscription.subscribe(session, company, "http://books.example.com/webhooks")


def test_ending_what_is_not_there_names_what_is(server, configure):
    settings = configure(server)
    (company,) = settings.companies()
    with open_session(settings) as session:
        made = subscription.subscribe(session, company, "https://books.example.com/webhooks")
        with pytest.raises(ConfigError, match=made.subscription.id):
            subscription.unsubscribe(session, company, "webhook_other")


def test_requests_for_events_stop_at_their_share_and_others_go_on(tmp_path):
    limits = Limits(per_hour=100, per_second=1000, window=3600.0, reserve=0.1)
    live = Limits(per_hour=100, per_second=1000, window=3600.0, reserve=0.1, live_share=0.5)
    with closing(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        now = 1_000_000.0
        for second in range(45):
            slot = requests.take(ledger, "key", live, now + second)
            assert not isinstance(slot, Wait)
            requests.answer(ledger, "key", live, slot, now + second)
        refused = requests.take(ledger, "key", live, now + 45)
        assert isinstance(refused, Wait)
        assert refused.is_share
        assert refused.until == now + 3600
        assert requests.left_for_events(ledger, "key", live, now + 45) == 0
        assert not isinstance(requests.take(ledger, "key", limits, now + 45), Wait)
        assert requests.left_for_events(ledger, "key", live, now + 3601) == 2
