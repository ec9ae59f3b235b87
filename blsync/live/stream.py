"""The stream: BigLedger's WebSocket, as another way for events to come.

Nothing is replayed after a cut, so whenever the stream is open again what was told meanwhile is
pulled by the entities' own windows. Replies, pings and close codes are documented nowhere: whatever
a server says that is no event is read, answered where it is a ping, and otherwise left alone.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from blsync import __version__
from blsync.entities import pulled_names
from blsync.errors import BlsyncError, StorageError
from blsync.live.events import UnusableEvent, channels, message_of, read_message
from blsync.live.inbox import Inbox
from blsync.redaction import redact
from blsync.session import Session
from blsync.settings import Company

FIRST_PAUSE = 1.0
"""Seconds before the stream is opened again, when it was cut for the first time."""
LONGEST_PAUSE = 30.0
"""Seconds that are waited at most, with each cut twice as long as before."""
REFUSED_PAUSE = 600.0
"""Seconds that are waited after BigLedger refused the key."""
REFUSED = 4401
"""The code with which it then closes."""
OPEN_SECONDS = 20.0
"""How long opening may take."""
CONFIRM_SECONDS = 5.0
"""After so long a subscription counts as taken where the server says nothing to it: what was told
before that is pulled, so it may not be looked for too early."""
MOST_BYTES = 1 << 20
"""Bytes of a message."""


class _Connect(connect):
    """Opens a stream where it was asked for and nowhere else: the key is the first thing sent."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow no redirect."""
        return exc


@dataclass
class Stream:
    """A company's stream. `on_open` is called whenever it tells of changes (again); `jitter` draws
    from 0 to 1; `sleep` takes seconds.
    """

    session: Session
    company: Company
    inbox: Inbox
    on_open: Callable[[], None]
    clock: Callable[[], datetime]
    say: Callable[[str], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    @cached_property
    def pulled(self) -> list[str]:
        """The entities that are pulled here."""
        return pulled_names(self.session.settings.entities)

    @property
    def address(self) -> str:
        """Where the stream is: beside the API."""
        return f"ws{self.company.base_url.removeprefix('http')}/stream"

    async def follow(self) -> None:
        """Store the events of the stream for ever, opening it again whenever it is cut."""
        pause, was_open = FIRST_PAUSE, True
        while True:
            opened_at = asyncio.get_running_loop().time()
            why = await self._follow_once()
            lasted = asyncio.get_running_loop().time() - opened_at
            if lasted > max(pause, LONGEST_PAUSE):
                pause = FIRST_PAUSE
            if why == REFUSED:
                self.say(
                    f"{self.company.name}: BigLedger's stream refused the key; trying again in "
                    f"{REFUSED_PAUSE / 60:g} minutes. Webhooks and the nightly sync go on."
                )
                await self.sleep(REFUSED_PAUSE)
                continue
            if was_open:
                self.say(f"{self.company.name}: the stream was cut ({why}); opening it again.")
            was_open = lasted > LONGEST_PAUSE
            await self.sleep(pause * (0.5 + self.jitter() / 2))
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _follow_once(self) -> int | str:
        """Follow the stream until it is cut; return why, as a close code or in words."""
        is_loopback = urlsplit(self.company.base_url).scheme == "http"
        try:
            async with self.session.client(self.company) as client:
                token = await client.token()
            async with _Connect(
                self.address,
                user_agent_header=f"blsync/{__version__}",
                max_size=MOST_BYTES,
                open_timeout=OPEN_SECONDS,
                proxy=None if is_loopback else True,
            ) as connection:
                await self._subscribe(connection, token)
                is_subscribed = asyncio.get_running_loop().call_later(CONFIRM_SECONDS, self.on_open)
                try:
                    async for text in connection:
                        await self._take(connection, text, is_subscribed)
                finally:
                    is_subscribed.cancel()
                return self._code(connection) or "closed"
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else 0
            return REFUSED if code == REFUSED else redact(str(error))
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            return redact(f"{type(error).__name__}: {error}")
        except StorageError as error:  # what cannot be stored is pulled once the stream is open
            return f"an event could not be stored: {error}"
        except BlsyncError as error:
            return str(error)

    def _code(self, connection: ClientConnection) -> int | None:
        return connection.close_code if connection.close_code == REFUSED else None

    async def _subscribe(self, connection: ClientConnection, token: str) -> None:
        """Say who we are, in a message because an address is written to logs, and what we want."""
        who = {"type": "auth", "token": token, "companyId": self.company.company_id}
        await connection.send(json.dumps(who))
        await connection.send(json.dumps({"type": "subscribe", "channels": channels(self.pulled)}))

    async def _take(
        self, connection: ClientConnection, text: str | bytes, is_subscribed: asyncio.TimerHandle
    ) -> None:
        try:
            message = message_of(text)
            if message.type == "subscribed" and not is_subscribed.cancelled():
                is_subscribed.cancel()
                self.on_open()
            elif message.type == "ping":
                with suppress(ConnectionClosed):
                    await connection.send(json.dumps({"type": "pong"}))
            elif message.type == "error":
                self.say(f"{self.company.name}: the stream says {message.told}.")
            elif message.type == "event":
                await self.inbox.put(
                    [read_message(message, self.company, self.clock(), self.pulled)]
                )
        except UnusableEvent as error:
            self.say(f"{self.company.name}: {error}")
