"""BigLedger over HTTP: credentials, envelope, errors, retries, pages and bulk writes.

Every request goes through the key's pace. Reads are retried, with jitter and inside a bound; a
write is sent once, and what becomes of one that was not answered is for `push` to settle.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from blsync import __version__
from blsync.errors import (
    ApiError,
    CursorRefused,
    Forbidden,
    ServerFault,
    Unanswered,
    Unauthorized,
)
from blsync.quota import Pace
from blsync.settings import Company, require_credentials

# httpx logs addresses, and a look-up by email has personal data in its query.
logging.getLogger("httpx").setLevel(logging.WARNING)

TRIES = 5
REFUSALS = 60
"""Answers 429 in a row, each waited for as told, before a request is given up."""
EMPTY_PAGES = 20
"""Empty pages in a row, each promising more, before the server is called broken."""
_TIMEOUT = httpx.Timeout(connect=10, read=60, write=30, pool=None)

# A 200 whose body says `success: false` is a failure of the status that its code belongs to.
_STATUS_OF_CODE = {
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "INVALID_COMPANY": 422,
    "VALIDATION_ERROR": 422,
    "BUSINESS_RULE_VIOLATION": 422,
    "RATE_LIMIT_EXCEEDED": 429,
    "BAD_REQUEST": 400,
    "INVALID_CURSOR": 400,
}


class _Problem(msgspec.Struct):
    code: str = ""
    message: str = ""
    details: Any = None


class _Pagination(msgspec.Struct, rename="camel"):
    has_more: bool = False
    next_cursor: str | None = None
    limit: int | None = None
    total: int | None = None


class _Envelope(msgspec.Struct):
    success: bool | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    pagination: _Pagination | None = None
    error: _Problem | None = None
    meta: msgspec.Raw = msgspec.Raw(b"null")


class _Meta(msgspec.Struct):
    timestamp: datetime | None = None


class _ListEnvelope(msgspec.Struct):
    data: list[msgspec.Raw]


_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)
_LIST = msgspec.json.Decoder(_ListEnvelope)


@dataclass(frozen=True)
class Answer:
    """A successful answer: `data` is the JSON of the envelope's data, `at` the server's clock."""

    body: bytes
    data: msgspec.Raw
    request_id: str
    at: datetime
    pagination: _Pagination | None


@dataclass(frozen=True)
class Page:
    """One page of a list: the records' bytes as they came."""

    body: bytes
    records: list[msgspec.Raw]
    next_cursor: str | None
    limit: int | None
    total: int | None
    request_id: str
    at: datetime


def records_of(body: bytes) -> list[msgspec.Raw]:
    """Return the records of a list answer, each as the bytes that came."""
    return _LIST.decode(body).data


class Client:
    """One company's API; an async context manager. `requests` counts all that were sent."""

    def __init__(
        self,
        company: Company,
        pace: Pace,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Raises ConfigError where the company has no credentials."""
        require_credentials(company)
        self.company = company
        self.pace = pace
        self.requests = 0
        self._sleep = sleep
        self._jitter = jitter
        loopback = urlsplit(company.base_url).scheme == "http"
        self._http = httpx.AsyncClient(
            base_url=company.base_url,
            timeout=_TIMEOUT,
            trust_env=not loopback,  # no proxy between us and ourselves
            verify=not loopback,  # http has no certificate; loading the authorities takes time
            headers={
                "Authorization": f"Bearer {self._token()}",
                "X-Company-Id": company.company_id,
                "X-API-Version": "2024-01-15",
                "User-Agent": f"blsync/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Read `path`. Raises Unauthorized, Forbidden, QuotaSpent or another ApiError."""
        last: ApiError | None = None
        for attempt in range(TRIES):
            if attempt:
                await self._sleep(min(30.0, 0.5 * 2**attempt) * (0.5 + self._jitter() / 2))
            try:
                return await self._send("GET", path, params=params)
            except Unanswered as error:
                last = error
        assert last is not None  # noqa: S101 (the loop ran)
        raise Unanswered(
            f"{last} Tried {TRIES} times; run the same command again, it goes on from here.",
            status=last.status,
            code=last.code,
            request_id=last.request_id,
        )

    async def pages(
        self, path: str, params: Mapping[str, str], cursor: str | None = None
    ) -> AsyncIterator[Page]:
        """Walk a list from `cursor` on (contract, section 3).

        Raises CursorRefused where the server no longer takes the cursor, and ServerFault where
        it breaks its own paging: a cursor given twice, `hasMore` without one, or page after page
        that is empty.
        """
        used = {cursor} - {None}
        empty = 0
        while True:
            answer = await self.get(path, {**params, **({"cursor": cursor} if cursor else {})})
            page = _page(path, answer)
            if page.next_cursor in used:
                raise ServerFault(
                    f"GET {path}: the server gave the same cursor twice, so the list cannot be "
                    f"read to its end. Tell the vendor, quoting request {page.request_id}.",
                    request_id=page.request_id,
                )
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            used.add(cursor)
            empty = 0 if page.records else empty + 1
            if empty >= EMPTY_PAGES:
                raise ServerFault(
                    f"GET {path}: {empty} empty pages in a row, each promising more. Tell the "
                    f"vendor, quoting request {page.request_id}.",
                    request_id=page.request_id,
                )

    async def post(self, path: str, body: object) -> Answer:
        """Send a write, once. A 429 was not carried out, so it is sent again after the wait.

        Raises Unanswered where the server may or may not have acted.
        """
        return await self._send("POST", path, content=msgspec.json.encode(body))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        what = f"{method} {path}"
        for _ in range(REFUSALS):
            request_id = uuid.uuid4().hex
            headers = {"X-Request-ID": request_id}
            if content is not None:
                headers["Content-Type"] = "application/json"
            slot = await self.pace.slot()
            self.requests += 1
            try:
                response = await self._http.request(
                    method, path, params=params, content=content, headers=headers
                )
            except (httpx.TransportError, httpx.DecodingError) as error:
                self.pace.answered(slot, 0, {})
                # A protocol error of our own quotes the header that it dislikes: perhaps the key.
                is_ours = isinstance(error, httpx.LocalProtocolError)
                details = "a header cannot be sent" if is_ours else str(error) or "no details"
                raise Unanswered(
                    f"{what}: no answer from {self.company.base_url} "
                    f"({type(error).__name__}: {details}).",
                    request_id=request_id,
                ) from None
            except BaseException:
                self.pace.answered(slot, 0, {})
                raise
            try:
                answer = self._read(
                    what, response, request_id, has_cursor="cursor" in (params or {})
                )
            except _TooMany:
                self.pace.answered(slot, 429, response.headers)
                continue
            except BaseException:
                self.pace.answered(slot, response.status_code, response.headers)
                raise
            self.pace.answered(slot, response.status_code, response.headers)
            return answer
        raise ApiError(
            f"{what}: 429 {REFUSALS} times in a row, request {request_id}, though each wait was "
            "as long as told. Another program may be using up the key; run the command again "
            "later.",
            status=429,
            code="RATE_LIMIT_EXCEEDED",
            request_id=request_id,
        )

    def _read(
        self, what: str, response: httpx.Response, sent_id: str, *, has_cursor: bool
    ) -> Answer:
        request_id = response.headers.get("x-request-id") or sent_id
        try:
            envelope = _ENVELOPE.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            envelope = None
        if response.is_success and envelope is not None and envelope.success is not False:
            return Answer(
                response.content,
                envelope.data,
                request_id,
                _server_time(response, envelope.meta),
                envelope.pagination,
            )
        raise _error(
            what, response, envelope, request_id, self.company.api_key_name, has_cursor=has_cursor
        )

    def _token(self) -> str:
        key = self.company.api_key
        return key.get_secret_value() if key else ""


class _TooMany(Exception):
    """429: the pace waits as it was told, then the request is sent again."""


def _error(
    what: str,
    response: httpx.Response,
    envelope: _Envelope | None,
    request_id: str,
    key_name: str,
    *,
    has_cursor: bool,
) -> Exception:
    problem = (envelope.error if envelope else None) or _Problem()
    status = response.status_code
    if response.is_success:
        status = _STATUS_OF_CODE.get(problem.code, 500)
    details = (
        [d for d in problem.details if isinstance(d, dict)]
        if isinstance(problem.details, list)
        else [problem.details]
        if isinstance(problem.details, dict)
        else []
    )
    came = f"{response.status_code} {problem.code}".strip()
    if envelope is None:
        came += " with a body that is not the API's JSON"
    said = f" ({problem.message})" if problem.message else ""
    message = f"{what}: {came}{said}, request {request_id}."
    given: dict[str, Any] = {
        "status": status,
        "code": problem.code,
        "details": details,
        "request_id": request_id,
    }
    if status == 429:
        return _TooMany()
    if status == 401:
        return Unauthorized(
            f"BigLedger refused the credentials: {message} Check {key_name}: a blg_live_ "
            "key works against production alone, a blg_test_ key against a sandbox alone."
        )
    if problem.code == "INVALID_COMPANY":
        return Unauthorized(
            f"The key may not see this company: {message} Check BIGLEDGER_COMPANY_ID, or the "
            "company_id in the file of companies."
        )
    if status == 403:
        scope = next((d["required_scope"] for d in details if d.get("required_scope")), None)
        cure = f"Give the key the scope {scope}." if scope else "Give the key that permission."
        return Forbidden(f"{message} {cure}", **given)
    if status == 400 and has_cursor:
        return CursorRefused(message, **given)
    if status >= 500:
        return Unanswered(message, **given)
    if response.is_redirect:
        message += " Redirects are not followed; check BIGLEDGER_BASE_URL."
    return ApiError(message, **given)


def _page(path: str, answer: Answer) -> Page:
    try:
        records = records_of(answer.body)
    except msgspec.MsgspecError:
        raise ServerFault(
            f"GET {path}: the answer's data is not a list, request {answer.request_id}.",
            request_id=answer.request_id,
        ) from None
    pagination = answer.pagination
    if pagination is None:
        raise ServerFault(
            f"GET {path}: the list does not say whether there is more. Tell the vendor, quoting "
            f"request {answer.request_id}.",
            request_id=answer.request_id,
        )
    if pagination.has_more and not pagination.next_cursor:
        raise ServerFault(
            f"GET {path}: the server says that there is more but gives no cursor to it. Tell the "
            f"vendor, quoting request {answer.request_id}.",
            request_id=answer.request_id,
        )
    return Page(
        answer.body,
        records,
        pagination.next_cursor if pagination.has_more else None,
        pagination.limit,
        pagination.total,
        answer.request_id,
        answer.at,
    )


def _server_time(response: httpx.Response, meta: msgspec.Raw) -> datetime:
    """Return the earliest that the server says it is: a gateway's clock may not be the API's.

    A `meta.timestamp` of another day is no clock and does not count.
    """
    try:
        at: datetime = parsedate_to_datetime(response.headers.get("date", ""))
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        at = datetime.now(UTC)
    try:
        told = msgspec.json.decode(meta, type=_Meta).timestamp
    except (msgspec.MsgspecError, UnicodeDecodeError):
        told = None
    if told:
        told = told if told.tzinfo else told.replace(tzinfo=UTC)
        if abs(at - told) < timedelta(days=1):
            at = min(at, told)
    return at.astimezone(UTC)
