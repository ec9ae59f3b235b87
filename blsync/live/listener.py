"""The listener: receives events and stores them, and has a process of its own pull them.

Pulling and building keep a process busy for seconds, and BigLedger is answered within milliseconds:
so they are two. The one that pulls reads lines from this one, and ends when they end, however this
one ends. What was stored and not pulled then is found by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn
from fastapi import FastAPI

from blsync.errors import ConfigError
from blsync.live.inbox import Inbox
from blsync.live.receiver import PATH, receiver
from blsync.live.stream import Stream
from blsync.session import Session
from blsync.settings import require_credentials

NEWS, GAP = "news", "gap"
"""The words by which who pulls is told what to look for."""
MOST_CONNECTIONS = 500
"""Requests that are under way at once; BigLedger sends what is refused above it again."""
IDLE_SECONDS = 30
"""How long a connection may lie idle."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to who runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


@dataclass
class Puller:
    """The process that pulls, `command`. It is started again where it ended."""

    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    def tell(self, word: str) -> None:
        """Tell it a word; where it has ended, start it again: it looks for all news by itself."""
        try:
            if self.process is None or self.process.poll() is not None:
                self.start()
            self._write(word)
        except OSError:
            self.start()
            self._write(word)

    def start(self) -> None:
        """Start it."""
        self.end()
        self.process = subprocess.Popen(  # noqa: S603
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )

    def end(self) -> None:
        """Let it finish what it does and end."""
        if self.process and self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            with contextlib.suppress(KeyboardInterrupt):
                self.process.wait()
        self.process = None

    def _write(self, word: str) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()


@dataclass
class Listener:
    """What `blsync listen` runs. `follower` is the command that pulls what is told to its stdin."""

    session: Session
    follower: list[str]
    host: str = "127.0.0.1"
    port: int = 8787
    has_stream: bool = False

    def __post_init__(self) -> None:
        given = self.session.settings.webhook_secret
        self.secret = given.get_secret_value() if given else None
        if self.secret is None and not self.has_stream:
            raise ConfigError(
                "BLSYNC_WEBHOOK_SECRET is not set, so nobody could tell BigLedger's webhooks from "
                "others. `blsync listen subscribe URL` makes a secret; put it into .env. Or read "
                "the stream alone, with --stream."
            )
        for company in self.session.settings.companies():
            require_credentials(company)
        self.puller = Puller(self.follower)

    async def run(self) -> None:
        """Listen until interrupted. Raises ConfigError where the port cannot be had."""
        session = self.session
        companies = session.settings.companies()
        ids = {company.company_id for company in companies}
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        wake = self._waker()
        async with AsyncExitStack() as stack:
            inbox = await stack.enter_async_context(
                Inbox(session.ledger, ids, session.clock, wake, session.say)
            )
            if self.secret:
                app = receiver(session, inbox, self.secret)
                await stack.enter_async_context(self._serving(app))
            self.puller.start()
            stack.callback(self.puller.end)
            self.puller.tell(NEWS)  # what was stored before and not pulled
            for company in companies if self.has_stream else ():
                stream = Stream(
                    session,
                    company,
                    inbox,
                    partial(self.puller.tell, f"{GAP} {company.name}"),
                    session.clock,
                    session.say,
                    session.sleep,
                )
                stack.enter_context(_cancelled_at_end(asyncio.create_task(stream.follow())))
            await stop.wait()
            session.say("Ending: what is being pulled is finished first.")

    def _waker(self) -> Callable[[], None]:
        """Return what tells the puller of news, once for what comes together."""
        loop = asyncio.get_running_loop()
        is_due = False

        def told() -> None:
            nonlocal is_due
            is_due = False
            self.puller.tell(NEWS)

        def wake() -> None:
            nonlocal is_due
            if not is_due:
                is_due = True
                loop.call_later(0.2, told)

        return wake

    @asynccontextmanager
    async def _serving(self, app: FastAPI) -> AsyncIterator[None]:
        listening = _listen(self.host, self.port)
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=2,
            lifespan="off",
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        address = f"http://{self.host}:{listening.getsockname()[1]}{PATH}"
        self.session.say(f"Listening at {address}. Ctrl-C ends it.")
        try:
            yield
        finally:
            server.should_exit = True
            await task
            listening.close()


@contextmanager
def _cancelled_at_end(task: asyncio.Task[None]) -> Iterator[None]:
    try:
        yield
    finally:
        task.cancel()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}. Choose another with "
            "--port or --host."
        ) from None
    return listening
