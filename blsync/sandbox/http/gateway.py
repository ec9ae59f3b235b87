"""What stands before every route: request ids, keys, scopes, limits, faults, compression.

Contract, sections 1, 2 and 4. Addresses outside `/v1` and `/api/v1` (the control routes, the
documentation) pass untouched; `/api/v1` is another name of `/v1`.
"""

from __future__ import annotations

import asyncio
import codecs
import gzip
import hmac
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

from starlette.datastructures import Headers

from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.values import Record, encode
from blsync.sandbox.faults.faults import OPTIONAL, Faults, Strikes
from blsync.sandbox.http.limits import Limits, Stats
from blsync.sandbox.http.oauth import Tokens
from blsync.sandbox.options import Options
from blsync.sandbox.writes.batch import ENDPOINTS as BATCH_ENDPOINTS

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

PREFIX = "/v1"
PREFIXES = ("/api/v1", PREFIX)
"""What an address of the API may begin with; the application knows it under `PREFIX`."""
OPEN = ("/sandbox/", "/oauth/")
"""What the application knows without a prefix, and is found behind one too."""
SMALLEST_GZIP = 500
NO_ANSWER = 444
"""The status by which a route asks for the connection to be closed instead of an answer."""
RECORD_ID = re.compile(
    rf"({'|'.join(entity.prefix for entity in ENTITIES.values() if entity.prefix)})_\w+"
)
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
ENTITY_OF = {
    **{path: entity.name for entity in ENTITIES.values() for path in entity.paths},
    "inventory/reports": "stock",
    "reports": "reports",
    "pos/reports": "pos_sessions",
    "bulk/customers": "customers",
    "bulk/invoices": "invoices",
    "bulk/payments": "invoices",
    "bulk/journal-entries": "journal_entries",
    "bulk/inventory-adjustments": "stock_adjustments",
    **{f"batch/{name}": endpoint.entity for name, endpoint in BATCH_ENDPOINTS.items()},
}
"""First part or two of an address → the entity whose permission it needs."""
REPORTED = {"reports/aged-payables": "bills", "reports/purchasing": "bills"}
"""Report → the optional entity without which there is none."""
STAMP = re.compile(rb'"timestamp":"[^"]*",(?="requestId":"[^"]*"\}\}$)')
"""The time in an envelope's meta, at the end of the body."""


def meta(request_id: str) -> Record:
    """Return the envelope's meta."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {"timestamp": stamp, "requestId": request_id}


def error_body(error: ApiError, request_id: str) -> bytes:
    """Write the error envelope."""
    worded: Record = {"code": error.code, "message": error.message}
    if error.details:
        worded["details"] = error.details
    return encode({"success": False, "error": worded, "meta": meta(request_id)})


def entity_of(path: str) -> str | None:
    """Name the entity that an address (without prefix) belongs to."""
    parts = path.strip("/").split("/")
    return ENTITY_OF.get("/".join(parts[:2])) or ENTITY_OF.get(parts[0])


class Answer:
    """A whole answer, gathered before any of it is sent."""

    def __init__(
        self, status: int = 500, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.body = body

    async def take(self, message: Message) -> None:
        """Gather what the application sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        """Send it all."""
        self.headers["content-length"] = str(len(self.body))
        headers = [(name.lower().encode(), text.encode()) for name, text in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Gateway:
    """ASGI middleware; one for each app."""

    app: Application

    def __init__(self, options: Options, faults: Faults, *, has_modules: bool) -> None:
        self.options = options
        self.has_modules = has_modules
        self.faults = faults
        self.limits = Limits(options)
        self.stats = Stats(window_seconds=options.window_seconds)
        self.tokens = Tokens(options)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle one connection event of the server."""
        asked = scope.get("path", "")
        path = next((asked[len(p) :] for p in PREFIXES if asked.startswith(f"{p}/")), None)
        if path is not None:
            scope["path"] = path if path.startswith(OPEN) else PREFIX + path
        if scope["type"] != "http" or path is None or path.startswith(OPEN):
            await self.app(scope, receive, send)
            return
        began, headers = time.perf_counter(), Headers(scope=scope)
        scope["request_id"] = headers.get("x-request-id") or f"req_{uuid.uuid4().hex[:16]}"
        self.stats.count(f"{scope['method']} {RECORD_ID.sub('{id}', path)}")
        strikes = scope["strikes"] = Strikes(self.faults, scope["method"])
        if strikes.by("reset"):
            self.stats.admit()
            await _drop(send)
            return
        answer = await self._answer(scope, receive, headers, path)
        if answer.status != NO_ANSWER and strikes.by("latency"):
            await asyncio.sleep(self.faults["latency"])
        if answer.status == NO_ANSWER or (answer.status < 500 and strikes.by("drop-after")):
            await _drop(send)
            return
        if (
            path.startswith(("/bulk/", "/batch/"))
            and answer.status == 200
            and strikes.by("damage-results")
        ):
            before, found, after = answer.body.rpartition(b'"success":true,')
            answer.body = before + found + (b'"note":"half \\ud83d",' if found else b"") + after
        self._finish(answer, scope["request_id"], headers, began)
        if answer.status == 200 and strikes.by("truncate"):
            answer.body = answer.body[: len(answer.body) // 2]
        await answer.send(send)

    async def _answer(self, scope: Any, receive: Receive, headers: Headers, path: str) -> Answer:
        """Admit the request and let the application act, or refuse it."""
        answer, strikes = Answer(), scope["strikes"]
        try:
            self._authenticate(headers)
            if self.options.limits:
                self._limit()
            self.stats.admit()
            if strikes.by("html"):
                return Answer(502, {"content-type": "text/html"}, HTML)
            if strikes.by("error"):
                message = "The service is temporarily unavailable"
                raise ApiError(503, "SERVICE_UNAVAILABLE", message, headers={"Retry-After": "1"})
            if strikes.by("refuse"):
                raise ApiError(200, "INTERNAL_ERROR", "An unexpected error occurred")
            self._permit(scope["method"], path)
            try:
                await self.app(scope, receive, answer.take)
            except Exception:  # the inner layers have worded it as a 500 already
                logger.exception("request %s failed", scope["request_id"])
            if answer.status != NO_ANSWER and strikes.by("error-after"):
                raise ApiError(500, "INTERNAL_ERROR", "An unexpected error occurred")
        except ApiError as error:
            kind = {"content-type": "application/json", **error.headers}
            return Answer(error.status, kind, error_body(error, scope["request_id"]))
        return answer

    def _authenticate(self, headers: Headers) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key, expected = key.strip(), self.options.api_key.encode()
        is_known = hmac.compare_digest(key.encode(), expected) or self.tokens.accepts(key)
        is_revoked = self.faults.is_revoked()
        if scheme.lower() != "bearer" or not is_known or is_revoked:
            message = "API key is missing or invalid"
            if is_revoked:
                message = "The API key has been revoked"
            elif key.startswith("blg_oauth_at_"):
                message = "The access token is unknown or has expired"
            elif key.startswith("blg_live_sk_"):
                message = "A live key does not open the sandbox: use a test key"
            detail = {"field": "authorization", "message": message, "code": "INVALID_API_KEY"}
            worded = "Authentication credentials were not provided or are invalid"
            raise ApiError(401, "UNAUTHORIZED", worded, [detail])
        company = headers.get("x-company-id")
        if company != self.options.company_id:
            message = "X-Company-Id is missing or names no company of this key"
            wrong: Record = {"field": "X-Company-Id", "message": message, "value": company}
            raise ApiError(422, "INVALID_COMPANY", message, [wrong])

    def _limit(self) -> None:
        try:
            self.limits.enter()
        except ApiError as error:
            self.stats.refused += 1
            seconds = int(error.headers.pop("Retry-After"))
            moment = formatdate(self.limits.clock() + seconds, usegmt=True)
            spelled = {"": str(seconds), "date": moment, "zero": "0"}
            if self.faults["retry-after"] in spelled:
                error.headers["Retry-After"] = spelled[self.faults["retry-after"]]
            raise

    def _permit(self, method: str, path: str) -> None:
        entity = entity_of(path)
        if entity is None:
            return
        part = REPORTED.get("/".join(path.strip("/").split("/")[:2]), entity)
        if part in self.faults["absent"] or (part in OPTIONAL and not self.has_modules):
            raise ApiError(404, "NOT_FOUND", f"{method} {path}: Not Found")
        verb = "read" if method in ("GET", "HEAD") else "write"
        subject = ENTITIES[entity].scope if entity in ENTITIES else entity
        required, held = f"{verb}:{subject}", list(self.options.permissions)
        if entity in self.faults["forbid"]:
            required = f"{verb}:{subject if entity in OPTIONAL else entity}"
        elif required in held:
            return
        detail: Record = {"required_scope": required, "current_scopes": held}
        message = "You don't have permission to access this resource"
        raise ApiError(403, "FORBIDDEN", message, [detail])

    def _tell_time(self, answer: Answer) -> None:
        """Say what time it is, in the header and in the envelope, as the fault would have it."""
        off = self.faults["clock"]
        if off is None:
            answer.body = STAMP.sub(b"", answer.body)
            return
        answer.headers["Date"] = formatdate(time.time() + off, usegmt=True)
        if off:
            stamp = datetime.now(UTC) + timedelta(seconds=off)
            told = stamp.strftime('"timestamp":"%Y-%m-%dT%H:%M:%S.%f')[:-3] + 'Z",'
            answer.body = STAMP.sub(told.encode(), answer.body)

    def _finish(self, answer: Answer, request_id: str, asked: Headers, began: float) -> None:
        """Add the headers every answer has, and compress."""
        headers = answer.headers
        headers["X-Request-ID"] = request_id
        headers["Cache-Control"] = "no-cache"
        self._tell_time(answer)
        if not self.faults["no-quota-headers"]:
            headers.update(self.limits.headers())
            if self.faults["reset-past"]:
                headers["X-RateLimit-Reset"] = str(int(self.limits.clock()) - 60)
        if self.faults["bom"]:
            answer.body = codecs.BOM_UTF8 + answer.body
        if len(answer.body) >= SMALLEST_GZIP and "gzip" in asked.get("accept-encoding", ""):
            # On loopback compressing costs more than it saves; the client unpacks all the same.
            answer.body = gzip.compress(answer.body, 0)
            headers["Content-Encoding"] = "gzip"
            headers["Vary"] = "Accept-Encoding"
        headers["X-Response-Time"] = f"{round((time.perf_counter() - began) * 1000)}ms"


async def _drop(send: Send) -> None:
    """Close the connection without a word; without uvicorn below, break off at once."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0.01)  # the server learns of the closing in a later turn of the loop
        return
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}
    )
