"""The receiver of webhooks: `POST /webhooks`, checked, stored, answered; nothing is pulled here.

What is answered with 202 is in the ledger, for good. 401: the signature is missing or wrong, and
nothing was kept. 400: no event, or one older than a day. 413: too large. 503: it could not be
stored, so BigLedger is to send it again.
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from blsync.entities import pulled_names
from blsync.errors import StorageError
from blsync.live.events import UnusableEvent, read_webhook
from blsync.live.inbox import Inbox
from blsync.live.signature import HEADER, is_signed
from blsync.session import Session

PATH = "/webhooks"
MOST_BYTES = 1 << 20
"""Bytes of a body: an event has some thousand."""
SECONDS_TO_SEND = 10.0
"""How long a body may take to arrive."""
SAID_EVERY = 100
"""Of so many refusals in a row one is told: whoever knocks does not fill the log."""


class _TooLarge(Exception):
    """The body is larger than any event."""


def receiver(session: Session, inbox: Inbox, secret: str) -> FastAPI:
    """Return the application that takes what is signed with the secret."""
    say, companies = session.say, session.settings.companies()
    pulled = pulled_names(session.settings.entities)
    app = FastAPI(title="blsync listen", docs_url=None, redoc_url=None, openapi_url=None)
    refused = unusable = 0

    @app.post(PATH)
    async def receive(request: Request) -> JSONResponse:
        nonlocal refused, unusable
        try:
            async with asyncio.timeout(SECONDS_TO_SEND):
                body = await _body(request)
        except _TooLarge:
            return _failure(413, f"An event has at most {MOST_BYTES} bytes.")
        except TimeoutError:
            return _failure(408, f"The body did not arrive within {SECONDS_TO_SEND:g} seconds.")
        if not is_signed(body, request.headers.get(HEADER), secret):
            refused += 1
            if refused % SAID_EVERY == 1:
                say(
                    f"A webhook without a valid {HEADER} was refused ({refused} so far). Where "
                    "they are BigLedger's, BLSYNC_WEBHOOK_SECRET is not the subscription's secret."
                )
            return _failure(401, f"{HEADER} is missing or does not fit the body.")
        try:
            received = read_webhook(body, companies, session.clock(), pulled)
            if not received.events:
                raise UnusableEvent(next(iter(received.refused), "The body has no events."))
            new = await inbox.put(received.events)
        except UnusableEvent as error:
            unusable += 1
            if unusable % SAID_EVERY == 1:
                say(f"A signed webhook was refused ({unusable} so far): {error}")
            return _failure(400, str(error))
        except StorageError as error:
            say(f"An event could not be stored, so it was not acknowledged: {error}")
            return _failure(503, "The event could not be stored. Send it again.")
        told = {
            "accepted": new,
            "duplicates": len(received.events) - new,
            "refused": len(received.refused),
        }
        return JSONResponse(told, 202)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return app


async def _body(request: Request) -> bytes:
    """Return the body as it came. Raises _TooLarge as soon as it is."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise _TooLarge
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _TooLarge
        parts.append(part)
    return b"".join(parts)


def _failure(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
