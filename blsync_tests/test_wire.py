"""What comes over the wire is bounded: in time, in memory, in pages, and in what it may say."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Asked, Reply, Server, failure, listed
from rig import commands
from rig.commands import pull, replay

from blsync.api.client import TRIES, Client
from blsync.api.envelope import Answer
from blsync.api.exchange import MOST_BYTES, MOST_SAID
from blsync.api.pages import LONGEST_PAGE, PAGES_BEYOND, STALE_PAGES
from blsync.entities import select
from blsync.errors import ApiError, NotSent, ServerFault, Unanswered
from blsync.files.locks import SAY_AGAIN, blocking_file_lock, file_lock
from blsync.lake.store import Lake
from blsync.ledger import Ledger
from blsync.session import Session

OK = b'{"success":true,"data":{"id":"1"}}'
PEAK = "next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]"
"""Kilobytes of memory that a process had at most; what its parent had does not count."""
ASKING = f"""
import asyncio
from blsync import settings
from blsync.api.client import Client
from blsync.errors import BlsyncError
from blsync.lake.store import Lake
from blsync.ledger import Ledger
from blsync.session import Session

loaded = settings.load()
company = loaded.companies()[0]

async def main():
    async def no_sleep(_): ...
    session = Session(loaded, Ledger(loaded.ledger_url), Lake(loaded.data), sleep=no_sleep)
    async with session.client(company) as client:
        try:
            async for _ in client.pages("/customers", {{}}):
                pass
        except BlsyncError as error:
            print(type(error).__name__, error)

asyncio.run(main())
print({PEAK})
"""


@pytest.fixture
def use(configure):
    """Run something with a client of a server, without waiting; returns what it returns."""

    def run(server: Server, work: Callable[[Client], Awaitable[object]], deadline=30.0) -> object:
        loaded = configure(server)
        company = loaded.companies()[0]
        ledger = Ledger(loaded.ledger_url)

        now = time.time()

        async def no_wait(seconds: float) -> None:
            nonlocal now
            now += seconds

        async def inside() -> object:
            pace = Session(loaded, ledger, Lake(loaded.data)).rate_limiter(company)
            pace.clock, pace.sleep = lambda: now, no_wait
            async with Client(company, pace, sleep=no_wait, deadline=deadline) as client:
                return await work(client)

        try:
            return asyncio.run(inside())
        finally:
            ledger.close()

    return run


@dataclass
class Line:
    """A server that sends what it is told to, byte for byte."""

    base_url: str
    api_key: str = "blg_test_sk_line"
    company_id: str = "company_line"
    connections: int = 0


@contextmanager
def dripping(head: bytes, body: bytes, pause: float) -> Iterator[Line]:
    """Serve a head at once and a body byte by byte."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line = Line(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65_536)
                    connection.sendall(head)
                    for number in range(len(body)):
                        time.sleep(pause)
                        connection.sendall(body[number : number + 1])
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                line.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield line
        listening.shutdown(socket.SHUT_RDWR)


def get(client: Client):
    return client.get("/company")


async def walk(client: Client) -> list[bytes]:
    pages = client.pages("/customers", {"limit": "2"})
    return [bytes(r) async for page in pages for r in page.records]


async def first_page(client: Client):
    return await anext(client.pages("/customers", {"limit": "2"}))


def zipped(body: bytes, encoding: str = "gzip", **more: str) -> Reply:
    return Reply(body, 200, {"Content-Encoding": encoding, **more})


def bomb(beginning: bytes, filling: bytes, times: int) -> bytes:
    """Return gzip that would not fit into memory: the filling is packed once and repeated.

    Its end is missing, which nobody should ever see.
    """
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(beginning) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(filling) + packer.flush(zlib.Z_FULL_FLUSH)) * times


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


def test_a_read_that_drips_is_over_at_its_deadline_and_asked_for_again(use):
    with (
        dripping(HEAD, b" " * 1000, 0.02) as line,
        pytest.raises(Unanswered, match=r"not over after 0\.1 seconds") as caught,
    ):
        use(line, get, deadline=0.1)
    assert line.connections == TRIES
    assert not isinstance(caught.value, NotSent)


def test_headers_that_drip_are_bounded_by_the_deadline_too(use):
    with (
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n" * 1000, 0.02) as line,
        pytest.raises(Unanswered, match="not over after"),
    ):
        use(line, get, deadline=0.1)


def test_a_write_that_is_not_over_at_its_deadline_may_have_been_done(use):
    with dripping(HEAD, b" " * 1000, 0.02) as line:
        with pytest.raises(Unanswered) as caught:
            use(line, lambda client: client.post("/customers/bulk", {}), deadline=0.1)
        assert line.connections == 1
    assert not isinstance(caught.value, NotSent)


def test_an_answer_in_gzip_of_several_members_is_read_whole(use, tiny_server):
    body = gzip.compress(OK[:9]) + gzip.compress(OK[9:])
    server = tiny_server(lambda _: zipped(body))
    assert bytes(use(server, get).data) == b'{"id":"1"}'
    assert server.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
def test_an_encoding_that_was_not_asked_for_is_named(use, tiny_server, encoding):
    server = tiny_server(lambda _: zipped(zlib.compress(OK), encoding))
    with pytest.raises(Unanswered, match=f"encoding '{encoding}'.* only gzip was asked for"):
        use(server, get)


def test_a_body_beyond_the_bound_ends_a_read_and_leaves_a_write_open(use, tiny_server):
    body = bomb(b'{"success":true,"data":"', b"x" * 2**20, 1 + MOST_BYTES // 2**20)
    server = tiny_server(lambda _: zipped(body))
    with pytest.raises(ServerFault, match="more than 32 MiB") as caught:
        use(server, get)
    assert caught.value.request_id in str(caught.value)
    assert len(server.asked) == 1
    with pytest.raises(Unanswered, match="more than 32 MiB"):
        use(server, lambda client: client.post("/customers/bulk", {}))
    assert len(server.asked) == 2


def test_a_refusal_counts_even_where_its_body_cannot_be_used(use, tiny_server):
    replies = [Reply(b"x", 429, {"Content-Encoding": "br", "Retry-After": "0"}), Reply(OK)]
    server = tiny_server(lambda _: replies.pop(0))
    assert bytes(use(server, lambda c: c.post("/customers/bulk", {})).data) == b'{"id":"1"}'


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(use, tiny_server):
    large = bomb(b'{"success":true,"data":["', b"x" * 2**20, 1 + MOST_BYTES // 2**20)

    def answer(asked: Asked) -> Reply:
        return zipped(large) if int(asked.params["limit"]) > 20 else listed([{"id": "1"}])

    async def walked(client: Client) -> list[bytes]:
        return [bytes(r) async for p in client.pages("/x", {"limit": "100"}) for r in p.records]

    server = tiny_server(answer)
    assert use(server, walked) == [b'{"id": "1"}']
    assert [asked.params["limit"] for asked in server.asked] == ["100", "50", "20"]


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    ("beginning", "filling"),
    [
        (b'{"success":true,"data":["', b"x" * 2**20),
        (b'{"success":true,"data":[1', b",1" * 2**19),
        (b'{"success":true,"data":[[]', b",[]" * 2**18),
        (b'{"success":false,"error":{"code":"X","details":[{}', b",{}" * 2**18),
    ],
    ids=["text", "numbers", "lists", "details"],
)
def test_a_megabyte_of_gzip_takes_no_gigabytes(configure, tiny_server, beginning, filling):
    body = bomb(beginning, filling, 1200)
    assert len(body) < 3 * 2**20
    configure(tiny_server(lambda _: zipped(body)))
    ended = subprocess.run(
        [sys.executable, "-c", ASKING], capture_output=True, text=True, timeout=120
    )
    said, peak = ended.stdout.splitlines()
    assert "more than 32 MiB" in said
    assert int(peak) < 400_000, f"{int(peak) >> 10} MB"


def test_a_body_of_more_values_than_can_be_read_takes_no_gigabytes(configure, tiny_server):
    """It is not too large as it came; what would be made of it is."""
    body = gzip.compress(b'{"success":true,"data":[1' + b",1" * (15 * 2**20) + b"]}")
    configure(tiny_server(lambda _: zipped(body)))
    ended = subprocess.run(
        [sys.executable, "-c", ASKING], capture_output=True, text=True, timeout=120
    )
    said, peak = ended.stdout.splitlines()
    assert "more than 2,000,000 values" in said
    assert int(peak) < 400_000, f"{int(peak) >> 10} MB"


def endless(**more: object) -> Callable[[Asked], Reply]:
    """Give two records more for ever, that nobody has seen before."""
    numbers = iter(range(1_000_000))

    def answer(_: Asked) -> Reply:
        number = next(numbers)
        return listed([{"id": f"{number}a"}, {"id": f"{number}b"}], str(number), **more)

    return answer


def test_a_list_that_goes_on_beyond_its_total_is_the_servers_fault(use, tiny_server):
    server = tiny_server(endless(total=10))
    with pytest.raises(ServerFault, match=r"10 records as its total says.* after 26 rec") as caught:
        use(server, walk)
    assert caught.value.request_id in str(caught.value)
    assert len(server.asked) == 10 + PAGES_BEYOND + 1


def test_a_round_total_may_have_stopped_counting_and_ends_no_walk(use, tiny_server):
    def answer(asked: Asked) -> Reply:
        at = int(asked.params.get("cursor", "0"))
        cursor = str(at + 100) if at < 2900 else None
        return listed([{"id": str(at + n)} for n in range(100)], cursor, total=500)

    assert len(use(tiny_server(answer), walk)) == 3000


def test_a_total_that_grows_with_the_list_is_believed(use, tiny_server):
    def answer(asked: Asked) -> Reply:
        at = int(asked.params.get("cursor", "0"))
        cursor = str(at + 2) if at < 78 else None
        return listed([{"id": str(at)}, {"id": str(at + 1)}], cursor, total=4 + at)

    assert len(use(tiny_server(answer), walk)) == 80


def test_a_list_of_which_everything_changes_once_is_read_to_its_end(use, tiny_server):
    def answer(asked: Asked) -> Reply:
        at = int(asked.params.get("cursor", "0"))
        records = [{"id": str((at + n) % 40), "updatedAt": at // 40} for n in (0, 1)]
        return listed(records, str(at + 2) if at < 78 else None, total=40)

    assert len(use(tiny_server(answer), walk)) == 80


@pytest.mark.parametrize("total", [None, 2**62], ids=["no total", "a total beyond belief"])
def test_the_same_records_under_ever_new_cursors_are_the_servers_fault(use, tiny_server, total):
    numbers = iter(range(1_000_000))

    def answer(_: Asked) -> Reply:
        return listed([{"id": "1"}, {"id": "2"}], str(next(numbers)), total=total)

    server = tiny_server(answer)
    with pytest.raises(ServerFault, match=f"{STALE_PAGES} pages in a row brought nothing new"):
        use(server, walk)
    assert len(server.asked) == 1 + STALE_PAGES


def test_without_a_total_other_versions_of_the_same_records_are_nothing_new(use, tiny_server):
    numbers = iter(range(1_000_000))

    def answer(_: Asked) -> Reply:
        number = next(numbers)
        return listed([{"id": "1", "seen": number}], str(number))

    with pytest.raises(ServerFault, match="brought nothing new"):
        use(tiny_server(answer), walk)


def test_an_answer_of_far_more_records_than_were_asked_for_is_the_servers_fault(use, tiny_server):
    server = tiny_server(lambda _: listed(["1"] * (LONGEST_PAGE + 1)))
    with pytest.raises(ServerFault, match=r"one answer has 10,001 records"):
        use(server, walk)


def paged(**told: str) -> Callable[[Asked], Reply]:
    """Answer with one page, its pagination written just so."""
    parts = {"hasMore": "false", "nextCursor": "null", **told}
    text = ",".join(f'"{name}":{value}' for name, value in parts.items())
    body = f'{{"success":true,"data":[{{"id":"1"}}],"pagination":{{{text}}}}}'
    return lambda _: Reply(body.encode())


@pytest.mark.parametrize(
    ("told", "total"),
    [
        ("400", 400),
        ('"400"', 400),
        ("400.0", 400),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 5000, None),
        ("1e400", None),
        ("-1", None),
        ("400.5", None),
        ('"many"', None),
        ("null", None),
        ("true", None),
        ("[]", None),
    ],
)
def test_a_count_that_cannot_be_one_counts_as_not_told(use, tiny_server, told, total):
    for name in ("total", "limit"):
        page = use(tiny_server(paged(**{name: told})), first_page)
        assert getattr(page, name) == total


@pytest.mark.parametrize(
    ("told", "cursor"),
    [
        ({"hasMore": '"true"', "nextCursor": '"c"'}, "c"),
        ({"hasMore": "1", "nextCursor": "17"}, "17"),
        ({"hasMore": '"false"', "nextCursor": '"c"'}, None),
        ({"hasMore": "false", "nextCursor": "{}"}, None),
    ],
)
def test_paging_may_be_told_as_text_or_number(use, tiny_server, told, cursor):
    assert use(tiny_server(paged(**told)), first_page).next_cursor == cursor


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"hasMore": '"perhaps"'}, "does not say whether there is more"),
        ({"hasMore": "null"}, "does not say whether there is more"),
        ({"hasMore": "true", "nextCursor": "{}"}, "no cursor"),
        ({"hasMore": "true", "nextCursor": '""'}, "no cursor"),
        ({"hasMore": "true", "nextCursor": f'"{"c" * 100_000}"'}, "no address can hold"),
        ({"hasMore": "true", "nextCursor": r'"a\u0000b"'}, "no address can hold"),
    ],
)
def test_paging_that_cannot_be_followed_is_the_servers_fault(use, tiny_server, told, said):
    server = tiny_server(paged(**told))
    with pytest.raises(ServerFault, match=said):
        use(server, first_page)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Date": "Sun, 06 Nov 1994 08:49:37 +99999999999999"},
        {"Date": "Sun, 06 Nov 99999999999999999999 08:49:37 GMT"},
        {"Date": "Fri, 31 Dec 9999 23:59:59 -2300"},
        {"Date": "never"},
        {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 +99999999999999"},
        {"Last-Modified": "Fri, 31 Dec 9999 23:59:59 -2300"},
        {"Age": "99999999"},
        {"Date": "Mon, 01 Jan 1000 00:00:00 GMT", "Age": "99999999"},
        {"Age": "9" * 5000},
        {"X-RateLimit-Reset": "9" * 400, "X-RateLimit-Remaining": "9" * 400},
        {"X-RateLimit-Reset": "9" * 18, "X-RateLimit-Remaining": "9" * 18},
        {"Retry-After": "1e999"},
    ],
    ids=lambda headers: " ".join(f"{n} {v[:40]}" for n, v in headers.items()),
)
def test_a_header_that_tells_no_time_there_can_be_stops_nothing(use, tiny_server, headers):
    replies = [Reply(b"{}", 503, headers), Reply(b"{}", 429, headers), Reply(OK, 200, headers)]
    server = tiny_server(lambda _: replies.pop(0))
    assert isinstance(use(server, get), Answer)


@pytest.mark.parametrize("told", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "x"])
def test_a_body_that_tells_no_time_there_can_be_stops_nothing(use, tiny_server, told):
    body = json.dumps({"success": True, "data": 1, "meta": {"timestamp": told}}).encode()
    dates = {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}
    answer = use(tiny_server(lambda _: Reply(body, 200, dates)), get)
    assert answer.at.tzinfo is UTC
    assert isinstance(answer.at, datetime)


@pytest.mark.parametrize("told", ["r" * 129, "r\x1b[31m", "two words", "\xfcber", ""])
def test_a_request_id_that_nobody_could_quote_is_replaced_by_our_own(use, tiny_server, told):
    server = tiny_server(lambda _: Reply(OK, 200, {"X-Request-ID": told}))
    assert use(server, get).request_id == server.asked[0].headers["x-request-id"]


def test_what_the_server_says_is_shown_and_not_sent_to_the_terminal(use, tiny_server):
    message = "no\x1b]0;title\x07\n\u202e" + "x" * 10_000
    details = [{"field": "a\x00b", "message": message, "more": 1}, 7]
    reply = failure(422, "BAD\x1b" + "C" * 500, details=details)
    body = json.loads(reply.body)
    body["error"]["message"] = message
    server = tiny_server(lambda _: Reply(json.dumps(body).encode(), 422))
    with pytest.raises(ApiError) as caught:
        use(server, get)
    error = caught.value
    (detail,) = error.details
    for text in (str(error), error.code, detail["field"], detail["message"]):
        assert text.isprintable()
        assert len(text) < MOST_SAID + 500
    assert r"no\x1b]0;title\x07\n\u202exxx" in str(error)
    assert detail["more"] == 1


HOLDING = """
import sys
from pathlib import Path
from blsync.files.locks import blocking_file_lock
with blocking_file_lock(Path(sys.argv[1]), print, "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock file in another process."""
    command = [sys.executable, "-c", HOLDING, str(lock)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.stdin.close()


def test_who_waits_says_for_which_process_and_how_long(tmp_path):
    lock, said, slept = tmp_path / "x.lock", [], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) > 2 * SAY_AGAIN + 60:
            holder.kill()
            holder.wait()

    async def wait() -> None:
        async with file_lock(lock, said.append, "Another sync is at it.", sleep=sleep):
            assert json.loads(lock.read_text())["pid"] == os.getpid()

    with held_elsewhere(lock) as holder:
        asyncio.run(wait())
    first, second, third = said
    told = rf"Another sync is at it\. It is process {holder.pid} \(-c {lock}\), at it since 20"
    assert re.match(told, first)
    assert second.startswith(first)
    assert second.endswith("Waited 5 minutes so far.")
    assert third.endswith("Waited 10 minutes so far.")
    assert lock.read_text() == ""


@pytest.mark.parametrize(
    "content", ["", "{", '{"pid": 1}', '{"pid":1,"since":1e99,"command":""}', "[]"]
)
def test_a_lock_file_that_does_not_name_its_holder_is_waited_for_all_the_same(tmp_path, content):
    lock, said = tmp_path / "x.lock", []

    def sleep(_: float) -> None:
        holder.stdin.close()
        holder.wait()

    with held_elsewhere(lock) as holder:
        lock.write_text(content)  # as an earlier version leaves it, or a full disk
        with blocking_file_lock(lock, said.append, "Another sync is at it.", sleep=sleep):
            pass
    assert said == ["Another sync is at it."]


DEEP = "[" * 850 + "]" * 850
TIMES = '"createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-02T00:00:00Z"'
ODD = {
    "c1": rf'{{"id":"c1","name":"nul\u0000here",{TIMES}}}',
    "c\x002": rf'{{"id":"c\u00002","tags":["a\u0000b"],"odd\u0000":1,{TIMES}}}',
    "deep": f'{{"id":"deep","unknown":{DEEP},{TIMES}}}',
    "free": f'{{"id":"free","customFields":{DEEP},{TIMES}}}',
    "strings": f'{{"id":"strings","name":"{"[{" * 200}",{TIMES}}}',
    "long": f'{{"id":"long","creditLimit":1e99999999999999999999,{TIMES}}}',
}


def test_records_of_nul_and_of_hundreds_of_levels_land_or_say_why_not(configure, tiny_server):
    server = tiny_server(lambda _: listed(list(ODD.values()), total=len(ODD)))
    loaded = configure(server, BLSYNC_QUARANTINE_SHARE="1")
    company, entities = loaded.companies()[0], select(["customers"])
    first = pull(loaded, company, entities)["customers"]
    again = pull(loaded, company, entities)["customers"]
    assert (first.error, first.rows, first.quarantined) == (None, 3, 3)
    assert (again.error, again.rows, again.quarantined, again.drift) == (None, 0, 0, 0)
    files = {
        name: list((loaded.data / name).rglob("*.parquet")) for name in ("landing", "quarantine")
    }
    landed = [row for f in files["landing"] for row in pq.ParquetFile(f).read().to_pylist()]
    assert {row["id"]: row["_payload"] for row in landed} == {
        key: ODD[key] for key in ("c1", "c\x002", "strings")
    }
    odd = [row for f in files["quarantine"] for row in pq.ParquetFile(f).read().to_pylist()]
    reasons = {json.loads(row["_payload"])["id"]: row["_reason"] for row in odd}
    assert reasons["deep"] == reasons["free"] == "nested more than 100 deep"
    (replayed,) = replay(loaded, [company], entities[0])
    assert (replayed.rows, replayed.quarantined, replayed.recovered) == (3, 0, 0)


def test_a_total_beyond_what_a_ledger_keeps_stops_no_entity(configure, tiny_server):
    server = tiny_server(lambda _: listed([ODD["c1"]], total=2**63))
    loaded = configure(server)
    result = pull(loaded, loaded.companies()[0], select(["customers"]))["customers"]
    assert (result.error, result.rows, result.drift) == (None, 1, None)


@pytest.mark.parametrize(
    "about",
    [
        *(b'"' + b"x" * 10_000 + b'"', rb'"A\u0000\u001b[31m"', b"{}", DEEP.encode()),
        b"1e99999999999999999999",
    ],
    ids=["long", "control characters", "an object", "deep", "a number"],
)  # fmt: skip
def test_what_a_company_says_of_itself_is_shown_as_text_or_not_at_all(
    configure, tiny_server, about
):
    def answer(asked: Asked) -> Reply:
        if asked.path != "/company":
            return failure(404, "NOT_FOUND")
        return Reply(b'{"success":true,"data":{"name":%b,"currency":%b}}' % (about, about))

    loaded = configure(tiny_server(answer))
    said: list[str] = []
    facts = commands.ask_reports(loaded, loaded.companies()[0], say=said.append)
    for text in (facts.name, facts.currency):
        assert text is None or (text.isprintable() and len(text) <= MOST_SAID + 1)


def test_a_report_that_is_nested_beyond_use_cannot_be_compared(configure, tiny_server):
    data = b'{"success":true,"data":{"accounts":%b},"meta":{"generatedAt":"%b"}}'
    bodies = [data % (DEEP.encode(), b"2026"), data % (b"[]", b"9999-12-31T23:59:59-14:00")]

    def answer(asked: Asked) -> Reply:
        return Reply(bodies["trial" in asked.path])

    loaded = configure(tiny_server(answer))
    said: list[str] = []
    facts = commands.ask_reports(loaded, loaded.companies()[0], say=said.append)
    assert {row["report"] for row in facts.figures} == {"trial_balance"}
    assert any("nested more than 100 deep" in text for text in said)
