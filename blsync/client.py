"""BigLedger over HTTP: credentials, envelope, errors, retries, pages and bulk writes.

Every request goes through the key's pace. Reads are retried, with jitter and inside a bound; a
write is sent once, and what becomes of one that was not answered is for `push` to settle.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from blsync import __version__
from blsync.errors import (
    ApiError,
    CursorRefused,
    Forbidden,
    NotSent,
    ServerFault,
    Unanswered,
    Unauthorized,
)
from blsync.oauth import TokenSource
from blsync.quota import Pace, retry_after
from blsync.redaction import holds_secret, redact
from blsync.settings import Company, require_credentials

# httpx logs addresses, and a look-up by email has personal data in its query.
logging.getLogger("httpx").setLevel(logging.WARNING)

LATENCIES = 5
"""Answers that the latency is taken from."""
TRIES = 5
REFUSALS = 60
"""Answers 429 in a row, each waited for as told, before a request is given up."""
LONGEST_PAUSE = 60.0
"""Seconds; a 503 that asks for a longer wait is asked again after this."""
SMALLER_LIMITS = (100, 50, 20, 10, 1)
"""Page sizes to try where a refusal does not name the largest."""
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
    """A successful answer: `data` is the JSON of the envelope's data, `at` the server's clock.

    `made_at` is when it was made, by that clock, where its headers say so.
    """

    body: bytes
    data: msgspec.Raw
    request_id: str
    at: datetime
    pagination: _Pagination | None
    made_at: datetime | None = None


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
        self.page_limits: dict[str, int] = {}
        """The largest page of a path, where it is known to be smaller than documented."""
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._sleep = sleep
        self._jitter = jitter
        self._tokens = (
            TokenSource(
                company.oauth,
                pace.ledger,
                company.key_id,
                clock=pace.clock,
                sleep=sleep,
                jitter=jitter,
            )
            if company.oauth and not company.api_key
            else None
        )
        loopback = urlsplit(company.base_url).scheme == "http"
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT,
            trust_env=not loopback,  # no proxy between us and ourselves
            verify=not loopback,  # http has no certificate; loading the authorities takes time
            headers={
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
        return await self._tried(Unanswered, lambda: self._send("GET", path, params=params))

    async def _tried(
        self, again: type[Unanswered], send: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Send until an answer comes, a bounded number of times, where it fails as `again`."""
        last: ApiError | None = None
        for attempt in range(TRIES):
            if attempt:
                pause = min(30.0, 0.5 * 2**attempt) * (0.5 + self._jitter() / 2)
                told = last.after if isinstance(last, _Later) else 0
                await self._sleep(max(pause, told))
            try:
                return await send()
            except again as error:
                last = error
        assert last is not None  # noqa: S101 (the loop ran)
        raise again(
            f"{last} Tried {TRIES} times; run the same command again, it goes on from here.",
            status=last.status,
            code=last.code,
            request_id=last.request_id,
        )

    @property
    def latency(self) -> float:
        """Seconds that an answer takes at best, of the latest few; 0 before there are some."""
        return min(self._latencies) if len(self._latencies) == LATENCIES else 0.0

    async def pages(
        self, path: str, params: Mapping[str, str], cursor: str | None = None
    ) -> AsyncGenerator[Page]:
        """Walk a list from `cursor` on (contract, section 3), in the largest pages it gives.

        A server that refuses `limit` is asked for smaller pages, now and from then on. Raises
        CursorRefused where the server no longer takes the cursor, and ServerFault where it breaks
        its own paging: a cursor given twice, `hasMore` without one, or page after page that is
        empty.
        """
        used = {cursor} - {None}
        empty = 0
        while True:
            page = await self._page(path, params, cursor)
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

    async def _page(self, path: str, params: Mapping[str, str], cursor: str | None) -> Page:
        asked = {**params, **({"cursor": cursor} if cursor else {})}
        while True:
            limit = int(asked.get("limit", 0))
            if limit > self.page_limits.get(path, limit):
                asked["limit"] = str(self.page_limits[path])
            try:
                return _page(path, await self.get(path, asked))
            except ApiError as error:
                smaller = _smaller_limit(error, int(asked.get("limit", 0)))
                if smaller is None:
                    raise
                self.page_limits[path] = smaller

    async def post(self, path: str, body: object) -> Answer:
        """Send a write, once. What was not carried out for certain is sent again: a 429 after the
        wait, and what found no connection.

        Raises Unanswered where the server may or may not have acted, NotSent where it has not.
        """
        content = msgspec.json.encode(body)
        return await self._tried(NotSent, lambda: self._send("POST", path, content=content))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        what = f"{method} {path}"
        # Given in parts, httpx parses the address once more for each part.
        url = f"{self.company.base_url}{path}{'?' if params else ''}{urlencode(params or {})}"
        refused = ""
        for _ in range(REFUSALS):
            request_id = uuid.uuid4().hex
            slot, token = await self._slot(refused)
            headers = {"X-Request-ID": request_id, "Authorization": f"Bearer {token}"}
            if content is not None:
                headers["Content-Type"] = "application/json"
            self.requests += 1
            sent_at = time.monotonic()
            try:
                response = await self._http.request(method, url, content=content, headers=headers)
                self._latencies.append(time.monotonic() - sent_at)
            except (httpx.TransportError, httpx.DecodingError) as error:
                self.pace.answered(slot, 0, {})
                # A protocol error of our own quotes the header that it dislikes: perhaps the key.
                is_ours = isinstance(error, httpx.LocalProtocolError)
                details = "a header cannot be sent" if is_ours else str(error) or "no details"
                was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                raise (Unanswered if was_sent else NotSent)(
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
            except _TokenRefused:  # nothing was done, so a write may be sent again too
                self.pace.answered(slot, response.status_code, response.headers)
                if refused or self._tokens is None:
                    raise
                refused = token
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
        request_id = redact(response.headers.get("x-request-id") or sent_id)
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
                _made_at(response),
            )
        raise _error(what, response, envelope, request_id, self.company, has_cursor=has_cursor)

    async def _slot(self, refused: str) -> tuple[int, str]:
        """Wait for a slot; return it with a token that is still good after the wait."""
        await self._token(refused)  # a renewal must not hold a slot
        slot = await self.pace.slot()
        try:
            return slot, await self._token(refused)
        except BaseException:
            self.pace.answered(slot, 0, {})
            raise

    async def _token(self, refused: str) -> str:
        if self._tokens:
            return await self._tokens.access_token(refused)
        key = self.company.api_key
        return key.get_secret_value() if key else ""


def _smaller_limit(error: ApiError, asked: int) -> int | None:
    """Return the page size to try next where the server refused `limit`; None: it did not."""
    if error.status not in (400, 422):
        return None
    texts = [str(error), *(str(value) for d in error.details for value in d.values())]
    if not any(re.search(r"\blimit\b", text, re.IGNORECASE) for text in texts):
        return None
    named = [int(n) for text in texts for n in re.findall(r"(?<![\w.-])\d{1,4}(?![\w-])", text)]
    usual = max((n for n in SMALLER_LIMITS if n < asked), default=None)
    return max((n for n in named if 1 < n < asked), default=usual)


class _TooMany(Exception):
    """429: the pace waits as it was told, then the request is sent again."""


class _TokenRefused(Unauthorized):
    """401: another access token may be taken, a key may not."""


class _Later(Unanswered):
    """503 that says in how many seconds (`after`) it is worth asking again."""

    after: float = 0


def _error(
    what: str,
    response: httpx.Response,
    envelope: _Envelope | None,
    request_id: str,
    company: Company,
    *,
    has_cursor: bool,
) -> Exception:
    problem = (envelope.error if envelope else None) or _Problem()
    problem.code, problem.message = redact(problem.code), redact(problem.message)
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
        return _TokenRefused(f"BigLedger refused the credentials: {message} {_cure(company)}")
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
    if status == 503:
        later = _Later(message, **given)
        now = _server_time(response, msgspec.Raw(b"null")).timestamp()
        told = retry_after(response.headers.get("retry-after"), now)
        later.after = min(told or 0, LONGEST_PAUSE)
        return later
    if status >= 500:
        return Unanswered(message, **given)
    if response.is_redirect:
        message += " Redirects are not followed; check BIGLEDGER_BASE_URL."
    return ApiError(message, **given)


def _cure(company: Company) -> str:
    if company.oauth and not company.api_key:
        return (
            "A new access token was refused as well: sign in to BigLedger again and put the new "
            f"refresh token into {company.oauth.names[2]}."
        )
    return (
        f"Check {company.api_key_name}: a blg_live_ key works against production alone, a "
        "blg_test_ key against a sandbox alone."
    )


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
    if pagination.next_cursor and holds_secret(pagination.next_cursor):
        raise ServerFault(
            f"GET {path}: the cursor that the server gave holds this program's credentials, so it "
            f"is neither kept nor sent back. Tell the vendor, quoting request {answer.request_id}.",
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


def _made_at(response: httpx.Response) -> datetime | None:
    """Return when an answer was made, where `Age` or `Last-Modified` says so."""
    age = response.headers.get("age", "")
    if age.isdecimal() and len(age) < 9:
        return _server_time(response, msgspec.Raw(b"null")) - timedelta(seconds=int(age))
    try:
        at: datetime = parsedate_to_datetime(response.headers.get("last-modified", ""))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


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
