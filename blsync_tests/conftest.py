"""What several test files need: settings for a server, and a small server that breaks the rules."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from _pytest.terminal import TerminalReporter
from rig import (
    depth,  # noqa: F401  (its profile has to be there when Hypothesis reads the options)
    warm,
)
from rig.listening import listening
from rig.push_desk import Desk, opened, server

from blsync import redaction, settings
from blsync.marts.compiled import entities_of_project
from blsync.sandbox import Handle, Options, running
from blsync.settings import Settings

# Tests that run dbt by themselves name the entities to it, as blsync does.
os.environ["DBT_ENTITIES"] = " ".join(entities_of_project())

DURATIONS = Path(__file__).with_name("durations.json")
"""Seconds that each file took when `pytest --store-durations` last wrote them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the order be found anew where tests have become longer."""
    parser.addoption("--store-durations", action="store_true", help=f"write {DURATIONS.name}")


@pytest.hookimpl(tryfirst=True)  # marks are to be there when `-m` chooses by them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the later cases of a matrix be deep, where its test says so. Begin with the files that
    take longest, so that no worker is left with one at the end.
    """
    cases: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("deep_after"):
            test = item.nodeid.partition("[")[0]
            cases[test] += 1
            if cases[test] > mark.args[0]:
                item.add_marker("deep")
    seconds = json.loads(DURATIONS.read_text())
    items.sort(key=lambda item: -seconds.get(item.path.name, 0))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Keep what each file took, where that was asked for."""
    if config.getoption("--store-durations"):
        taken: Counter[str] = Counter()
        for report in itertools.chain(*terminalreporter.stats.values()):
            if isinstance(report, pytest.TestReport):
                taken[Path(report.location[0]).name] += report.duration
        seconds = {name: round(taken[name]) for name in sorted(taken) if taken[name] >= 1}
        DURATIONS.write_text(json.dumps(seconds, indent=1) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Let tests start programs that are warm (`rig.warm`)."""
    if not warm.IS_OWNER:
        return (yield)
    with warm.serving_programs():
        return (yield)


@pytest.fixture(autouse=True)
def secrets_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget after each test what it made a secret: `hidden` is a password in one, a word in all.

    What the fixtures of a file made one stays known as long as they do.
    """
    of_the_test = copy(redaction._SECRETS)
    of_the_test._known = set(of_the_test._known)
    monkeypatch.setattr(redaction, "_SECRETS", of_the_test)


class Server(Protocol):
    """A sandbox's handle, or a tiny server."""

    @property
    def base_url(self) -> str: ...

    @property
    def api_key(self) -> str: ...

    @property
    def company_id(self) -> str: ...


@dataclass(frozen=True)
class Asked:
    """A request that a tiny server got; `path` without `/v1`."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What a tiny server answers; `cut` closes the connection after so many bytes of the body.

    A `Date` among the headers is told instead of now; an empty one: none is.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass
class TinyServer:
    """A real HTTP server that answers as a test tells it to."""

    base_url: str
    asked: list[Asked] = field(default_factory=list)
    api_key: str = "blg_test_sk_tiny"
    company_id: str = "company_tiny"


def listed(
    records: list[Any], cursor: str | None = None, *, has_more: bool | None = None, **more: Any
) -> Reply:
    """Answer with a page of a list; records may be JSON texts, sent just as they are."""
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    pagination = {
        "hasMore": cursor is not None if has_more is None else has_more,
        "nextCursor": cursor,
        "limit": 100,
        **more,
    }
    body = f'{{"success":true,"data":[{",".join(texts)}],"pagination":{json.dumps(pagination)}}}'
    return Reply(body.encode())


def failure(status: int, code: str, **more: Any) -> Reply:
    """Answer with the envelope of failure."""
    error = {"code": code, "message": f"The message of {code}", **more}
    return Reply(json.dumps({"success": False, "error": error}).encode(), status)


SPY = """
import json, os, pathlib, sys

argv = sys.orig_argv
if any(word in argv or pathlib.Path(argv[1] if argv[1:] else "").name == word for word in WORDS):
    about = {"argv": argv, "environ": dict(os.environ)}
    pathlib.Path(__file__).with_name(f"{os.getpid()}.json").write_text(json.dumps(about))
"""


def spy_on_children(folder: Path, *words: str) -> dict[str, str]:
    """Return variables by which each Python process whose command has one of the words leaves its
    environment in the folder; `spied` reads them.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"WORDS = {words!r}\n{SPY}")
    return {"PYTHONPATH": str(folder)}


def spied(folder: Path) -> list[dict[str, str]]:
    """Return the environments that were left in a spy's folder."""
    return [json.loads(path.read_text())["environ"] for path in folder.glob("*.json")]


WRITER = """
import duckdb, sys

with duckdb.connect(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def open_for_writing(path: Path) -> Iterator[int]:
    """Have another process hold a DuckDB file open for writing; yields its id."""
    command = [sys.executable, "-c", WRITER, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        yield writer.pid
        writer.communicate("")


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[TinyServer]:
    """Serve `answer` on a free loopback port."""

    tiny = TinyServer("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            params = dict(parse_qsl(url.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(url.path.removeprefix("/v1"), params, headers)
            tiny.asked.append(asked)
            reply = answer(asked)
            if "Date" in reply.headers:
                self.send_response_only(reply.status)  # without a date of its own
            else:
                self.send_response(reply.status)
            for name, value in reply.headers.items():
                if value or name != "Date":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            self.close_connection = reply.cut is not None

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

    with listening(Handler) as port:
        tiny.base_url = f"http://127.0.0.1:{port}/v1"
        yield tiny


@pytest.fixture
def tiny_server() -> Iterator[Callable[[Callable[[Asked], Reply]], TinyServer]]:
    """Start tiny servers; they end with the test."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without any setting but a data folder of the test's own."""
    for name in os.environ:
        if name.startswith(("BIGLEDGER_", "BLSYNC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BLSYNC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BLSYNC_ENV_FILE", os.devnull)
    return monkeypatch


@pytest.fixture
def configure(environment: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Return settings for a server, with a quota that never makes a test wait."""

    def configured(server: Server, **more: str) -> Settings:
        values = {
            "BIGLEDGER_BASE_URL": server.base_url,
            "BIGLEDGER_API_KEY": server.api_key,
            "BIGLEDGER_COMPANY_ID": server.company_id,
            "BLSYNC_QUOTA_PER_HOUR": "100000",
            "BLSYNC_QUOTA_PER_SECOND": "1000",
            **more,
        }
        for name, value in values.items():
            environment.setenv(name, value)
        return settings.load()

    return configured


@pytest.fixture(scope="module")
def module_sandbox() -> Iterator[Handle]:
    """One sandbox of small books, without limits, for a file's tests."""
    with running(Options(invoices=60, customers=15, items=12, months=3, limits=False)) as handle:
        yield handle


@pytest.fixture(scope="module")
def sandbox() -> Iterator[httpx.Client]:
    """One server to push to for a file; each desk has its own ledger and its own email domain."""
    with server() as http:
        yield http


@pytest.fixture
def desk(sandbox: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with opened(sandbox, tmp_path, monkeypatch) as desk:
        yield desk
