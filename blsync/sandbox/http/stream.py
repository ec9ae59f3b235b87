"""The stream of events, a WebSocket (bigledger-api.md, sections 7 and 18)."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from blsync.sandbox.books.values import Record, dumps, loads
from blsync.sandbox.events.hub import Hub
from blsync.sandbox.options import Options

CHANNELS = (
    *("invoice.created", "invoice.updated", "invoice.sent", "payment.received", "stock.updated"),
    *("customer.created", "order.status_changed", "einvoice.submitted", "report.generated"),
)
REFUSED = 4401
"""How a connection is closed whose first message opens nothing."""
RESTARTING = 1012
PING_SECONDS = 30.0
SECONDS_TO_SIGN_IN = 10.0


def stream_route(hub: Hub, options: Options, accepts: Callable[[str], bool]) -> APIRouter:
    """Build the route of one prefix; `accepts` tells whether an access token is good."""
    router = APIRouter()

    def is_let_in(first: Record) -> bool:
        token = str(first.get("token") or "")
        is_key = hmac.compare_digest(token.encode(), options.api_key.encode())
        is_ours = first.get("companyId") == options.company_id
        return first.get("type") == "auth" and is_ours and (is_key or accepts(token))

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        try:
            async with asyncio.timeout(SECONDS_TO_SIGN_IN):
                first = _read(await socket.receive_text())
        except (TimeoutError, WebSocketDisconnect):
            first = {}
        if not is_let_in(first):
            await _close(socket, REFUSED)
            return
        listener = _Listener(socket)
        listener.say({"type": "auth", "status": "ok"})
        hub.streams.add(listener.hear)
        tasks = [asyncio.create_task(work) for work in (listener.send(), listener.ping())]
        try:
            async with asyncio.timeout(hub.faults["cut-stream"] or None):
                while True:
                    listener.take(_read(await socket.receive_text()))
        except TimeoutError:
            await _close(socket, RESTARTING)
        except WebSocketDisconnect:
            pass
        finally:
            hub.streams.discard(listener.hear)
            for task in tasks:
                task.cancel()

    return router


class _Listener:
    """One connection: what it has subscribed to, and what is to be sent to it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._channels: set[str] = set()
        self._filters: dict[str, Any] = {}
        self._outgoing: asyncio.Queue[Record] = asyncio.Queue()

    def say(self, message: Record) -> None:
        """Have a message sent."""
        self._outgoing.put_nowait(message)

    def hear(self, message: Record) -> None:
        """Send an event on, where it was subscribed to."""
        channel = message["channel"]
        wanted = self._filters.get(channel) or {}
        if channel in self._channels and all(
            message["data"].get(field) in values for field, values in wanted.items()
        ):
            self.say(message)

    def take(self, message: Record) -> None:
        """Do what a message of the client's asks for."""
        if message.get("type") != "subscribe":
            return
        asked = [str(name) for name in message.get("channels") or []]
        for name in asked:
            if name not in CHANNELS:
                told = f"Unknown channel {name}"
                self.say({"type": "error", "code": "UNKNOWN_CHANNEL", "message": told})
        self._channels |= {name for name in asked if name in CHANNELS}
        self._filters |= message.get("filters") or {}
        self.say({"type": "subscribed", "channels": sorted(self._channels)})

    async def send(self) -> None:
        """Send what is to be sent, for ever."""
        while True:
            await self._socket.send_text(dumps(await self._outgoing.get()))

    async def ping(self) -> None:
        """Ask now and then whether anybody is there."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            self.say({"type": "ping"})


def _read(text: str) -> Record:
    try:
        message = loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


async def _close(socket: WebSocket, code: int) -> None:
    try:
        await socket.close(code)
    except RuntimeError:  # it has gone by itself
        return
