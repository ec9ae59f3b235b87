"""BigLedger over HTTP: credentials, envelope, errors, retries, pages and bulk writes.

Every request goes through the key's pace. Reads are retried, with jitter and inside a bound; a
write is sent once, and what becomes of one that was not answered is for `push` to settle.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import msgspec

from blsync.clock import LARGEST_SKEW, plausible, read_date, skew_of
from blsync.errors import (
    ApiError,
    CursorRefused,
    Forbidden,
    NotSent,
    ServerFault,
    Unanswered,
    Unauthorized,
    WrongClock,
)
from blsync.exchange import (
    DEADLINE,
    MOST_NUMBER,
    NoResponse,
    Response,
    exchange,
    opened,
    said,
)
from blsync.oauth import TokenSource
from blsync.quota import Pace, retry_after
from blsync.records import MOST_NESTING, UNTYPED, Fingerprints, Payload, is_too_deep
from blsync.redaction import holds_secret
from blsync.settings import Company, require_credentials

LATENCIES = 5
"""Answers that the latency is taken from."""
TRIES = 5
REFUSALS = 60
"""Answers 429 in a row, each waited for as told, before a request is given up."""
LONGEST_PAUSE = 60.0
"""Seconds; a 503 that asks for a longer wait is asked again after this."""
SMALLER_LIMITS = (100, 50, 20, 10, 1)
"""Page sizes to try where a refusal does not name the largest."""
STALE_PAGES = 20
"""Pages in a row that bring nothing new and promise more, before the server is called broken."""
MOST_OF_TOTAL = 2
"""How often the total a walk may bring: all of it may change once while it is read."""
PAGES_BEYOND = 2
"""Pages that a walk may bring besides, of records that came to be meanwhile."""
LONGEST_PAGE = 10_000
"""Records of one answer; 100 to 200 are asked for."""
MOST_VALUES = 2_000_000
"""JSON values of one answer: each takes up to some hundred bytes of memory once it is read."""
LONGEST_CURSOR = 4_096
"""Characters; a longer one finds no room in an address."""
_NOT_JSON = "a body that is not the API's JSON"
_LONGEST_CODE = 100
_LONGEST_DETAILS = 2**20
"""Bytes of an error's details; more of them are left out."""
_UNUSABLE = (msgspec.MsgspecError, RecursionError, ValueError, ArithmeticError)
"""Raised by JSON that is none, nested too deep, or has numbers that nobody can mean."""

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


_NULL = msgspec.Raw(b"null")


class _Problem(msgspec.Struct):
    code: str = ""
    message: str = ""
    details: msgspec.Raw = _NULL


class _Pagination(msgspec.Struct, rename="camel"):
    """Each part as it came: one that cannot be used must not spoil the page."""

    has_more: msgspec.Raw = msgspec.Raw(b"false")
    next_cursor: msgspec.Raw = _NULL
    limit: msgspec.Raw = _NULL
    total: msgspec.Raw = _NULL


class _Envelope(msgspec.Struct):
    success: bool | None = None
    data: msgspec.Raw = _NULL
    pagination: _Pagination | None = None
    error: _Problem | None = None
    meta: msgspec.Raw = _NULL


class _Meta(msgspec.Struct):
    timestamp: datetime | None = None


class _ListEnvelope(msgspec.Struct):
    data: list[msgspec.Raw]


class _Identified(msgspec.Struct):
    id: str


_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)
_EXACT = msgspec.json.Decoder(float_hook=Decimal)
_LIST = msgspec.json.Decoder(_ListEnvelope)
_IDENTIFIED = msgspec.json.Decoder(_Identified)


@dataclass(frozen=True)
class Answer:
    """A successful answer: `data` is the JSON of the envelope's data, `at` the server's clock,
    never later than ours.

    `made_at` is when it was made, by that clock, where its headers say so.
    """

    body: bytes
    data: msgspec.Raw
    request_id: str
    at: datetime
    pagination: _Pagination | None
    made_at: datetime | None = None

    def read(self) -> Any:
        """Return the data as Python has it, fractions exact. Raises ServerFault."""
        return read(self.data, self.request_id)


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


def read(text: msgspec.Raw, request_id: str) -> Any:
    """Return JSON that a request brought as Python has it, fractions exact.

    Raises ServerFault where it is nested too deep, or has a number that cannot be read.
    """
    try:
        if is_too_deep(text):
            raise RecursionError
        return _EXACT.decode(text)
    except _UNUSABLE as error:
        what = f"nested more than {MOST_NESTING} deep"
        what = what if isinstance(error, RecursionError) else f"JSON that cannot be read ({error})"
        raise ServerFault(
            f"Request {request_id} brought data {what}. Tell the vendor, quoting the request.",
            request_id=request_id,
        ) from None


class Client:
    """One company's API; an async context manager. `requests` counts all that were sent."""

    def __init__(
        self,
        company: Company,
        pace: Pace,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        deadline: float = DEADLINE,
    ) -> None:
        """`deadline` bounds each request as a whole, in seconds.

        Raises ConfigError where the company has no credentials.
        """
        require_credentials(company)
        self.company = company
        self.pace = pace
        self.requests = 0
        self.skew: timedelta | None = None
        """By how much this clock is ahead of the server's; None until an answer tells a time."""
        self._has_asked_time = False
        self.page_limits: dict[str, int] = {}
        """The largest page of a path, where it is known to be smaller than documented."""
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._sleep = sleep
        self._jitter = jitter
        self._deadline = deadline
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
        self._http = opened(
            company.base_url,
            {"X-Company-Id": company.company_id, "X-API-Version": "2024-01-15"},
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

    async def check_clock(self) -> None:
        """Compare this clock with the server's, for one request where no answer told it yet.

        Raises WrongClock; what else the answer says is left to the requests that matter.
        """
        if self.skew is None and not self._has_asked_time:
            self._has_asked_time = True
            with suppress(ApiError):
                await self.get("/auth/verify")

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
        """Walk a list from `cursor` on, in its largest pages (bigledger-api.md, section 3).

        A server that refuses `limit`, or whose page is too large, is asked for smaller pages, now
        and from then on. Raises CursorRefused where the server no longer takes the cursor, and
        ServerFault where it breaks its own paging: a cursor given twice, `hasMore` without one, or
        a list that does not end (`_Walked`).
        """
        walked = _Walked(path, {cursor} - {None})
        while True:
            page = await self._page(path, params, cursor)
            walked.check_cursor(page)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            walked.check_end(page, int(params.get("limit", 0)))

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
            sent = self._now()
            sent_at = time.monotonic()
            try:
                response = await exchange(
                    self._http, method, url, headers, content, deadline=self._deadline
                )
                self._latencies.append(time.monotonic() - sent_at)
            except NoResponse as error:
                self.pace.answered(slot, 0, {})
                raise (Unanswered if error.was_sent else NotSent)(
                    f"{what}: no answer from {self.company.base_url} ({error}).",
                    request_id=request_id,
                ) from None
            except BaseException:
                self.pace.answered(slot, 0, {})
                raise
            self._check_clock(response, slot, sent)
            try:
                answer = self._read(
                    what, response, request_id, has_cursor="cursor" in (params or {})
                )
            except _TooMany:
                self.pace.answered(slot, 429, response.headers)
                continue
            except _TokenRefused:  # nothing was done, so a write may be sent again too
                self.pace.answered(slot, response.status, response.headers)
                if refused or self._tokens is None:
                    raise
                refused = token
                continue
            except BaseException:
                self.pace.answered(slot, response.status, response.headers)
                raise
            self.pace.answered(slot, response.status, response.headers)
            return answer
        raise ApiError(
            f"{what}: 429 {REFUSALS} times in a row, request {request_id}, though each wait was "
            "as long as told. Another program may be using up the key; run the command again "
            "later.",
            status=429,
            code="RATE_LIMIT_EXCEEDED",
            request_id=request_id,
        )

    def _read(self, what: str, response: Response, sent_id: str, *, has_cursor: bool) -> Answer:
        request_id = _request_id(response) or sent_id
        response = _of_bounded_values(response)
        envelope = None
        if not response.flaw:
            with suppress(*_UNUSABLE):
                envelope = _ENVELOPE.decode(response.body)
        if response.is_success and envelope is not None and envelope.success is not False:
            return Answer(
                response.body,
                envelope.data,
                request_id,
                _server_time(response, envelope.meta, self._now()),
                envelope.pagination,
                _made_at(response, self._now()),
            )
        raise _error(
            what,
            response,
            envelope,
            request_id,
            self.company,
            has_cursor=has_cursor,
            now=self._now(),
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.pace.clock(), UTC)

    def _check_clock(self, response: Response, slot: int, sent: datetime) -> None:
        """Measure this clock by the first answer that tells a time, before anything of that answer
        is kept. Raises WrongClock.

        Once is enough, and costs no request; later answers may come out of a cache.
        """
        now = self._now()
        if self.skew is None:
            self.skew = skew_of(_times_told(response), sent, now)
        if self.skew is not None and abs(self.skew) > LARGEST_SKEW:
            self.pace.withdrawn(slot)
            raise WrongClock(_wrong(self.company, now, self.skew))

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
    """Return the page size to try next where the server refused `limit`, or gave a page that is
    too large; None: it did neither.
    """
    usual = max((n for n in SMALLER_LIMITS if n < asked), default=None)
    if isinstance(error, _TooLarge):
        return usual
    if error.status not in (400, 422):
        return None
    texts = [str(error), *(str(value) for d in error.details for value in d.values())]
    if not any(re.search(r"\blimit\b", text, re.IGNORECASE) for text in texts):
        return None
    named = [int(n) for text in texts for n in re.findall(r"(?<![\w.-])\d{1,4}(?![\w-])", text)]
    return max((n for n in named if 1 < n < asked), default=usual)


class _TooMany(Exception):
    """429: the pace waits as it was told, then the request is sent again."""


class _TokenRefused(Unauthorized):
    """401: another access token may be taken, a key may not."""


class _Later(Unanswered):
    """503 that says in how many seconds (`after`) it is worth asking again."""

    after: float = 0


class _TooLarge(ServerFault):
    """An answer to a read that is too large to be kept; one to smaller pages may not be."""


def _error(
    what: str,
    response: Response,
    envelope: _Envelope | None,
    request_id: str,
    company: Company,
    *,
    has_cursor: bool,
    now: datetime,
) -> Exception:
    problem = (envelope.error if envelope else None) or _Problem()
    code, details = said(problem.code, _LONGEST_CODE), _details(problem)
    status = response.status
    if response.is_success:
        status = _STATUS_OF_CODE.get(code, 500)
    came = f"{response.status} {code}".strip()
    if envelope is None:
        came += f" with {response.flaw or _NOT_JSON}"
    told = f" ({said(problem.message)})" if problem.message else ""
    message = f"{what}: {came}{told}, request {request_id}."
    given: dict[str, Any] = {
        "status": status,
        "code": code,
        "details": details,
        "request_id": request_id,
    }
    if status == 429:
        return _TooMany()
    if status == 401:
        return _TokenRefused(f"BigLedger refused the credentials: {message} {_cure(company)}")
    if code == "INVALID_COMPANY":
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
        at = _server_time(response, _NULL, now).timestamp()
        pause = retry_after(response.headers.get("retry-after"), at)
        later.after = min(pause or 0, LONGEST_PAUSE)
        return later
    if response.is_success and response.is_too_large and what.startswith("GET "):
        return _TooLarge(f"{message} Tell the vendor, quoting the request.", **given)
    if status >= 500:
        return Unanswered(message, **given)
    if response.is_redirect:
        message += " Redirects are not followed; check BIGLEDGER_BASE_URL."
    return ApiError(message, **given)


def _details(problem: _Problem) -> list[dict[str, Any]]:
    """Return what the server says of single fields, its texts as they can be shown."""
    if len(bytes(problem.details)) > _LONGEST_DETAILS:
        return []
    try:
        told = msgspec.json.decode(problem.details)
    except _UNUSABLE:
        return []
    return [
        {said(k): said(v) if isinstance(v, str) else v for k, v in detail.items()}
        for detail in (told if isinstance(told, list) else [told])
        if isinstance(detail, dict)
    ]


def _request_id(response: Response) -> str:
    """Return the server's own id of a request; empty where it is none to quote."""
    told = response.headers.get("x-request-id", "")
    return said(told) if re.fullmatch(r"[!-~]{1,128}", told) else ""


def _of_bounded_values(response: Response) -> Response:
    """Return the response, without its body where that has more values than can be read."""
    body = response.body
    if len(body) <= MOST_VALUES or sum(map(body.count, (b",", b"[", b"{"))) <= MOST_VALUES:
        return response
    flaw = f"a body of more than {MOST_VALUES:,} values"
    return Response(response.status, response.headers, flaw=flaw, is_too_large=True)


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
    def fault(what: str) -> ServerFault:
        return ServerFault(
            f"GET {path}: {what}. Tell the vendor, quoting request {answer.request_id}.",
            request_id=answer.request_id,
        )

    try:
        records = records_of(answer.body)
    except _UNUSABLE:
        raise fault("the answer's data is not a list") from None
    if len(records) > LONGEST_PAGE:
        raise fault(f"one answer has {len(records):,} records, more than {LONGEST_PAGE:,}")
    told = answer.pagination
    has_more = None if told is None else _told(told.has_more, bool)
    if told is None or has_more is None:
        raise fault("the list does not say whether there is more")
    cursor = _told(told.next_cursor, str | int) if has_more else None
    if has_more and cursor in (None, ""):
        raise fault("the server says that there is more but gives no cursor to it")
    if cursor is not None and (len(str(cursor)) > LONGEST_CURSOR or "\0" in str(cursor)):
        raise fault("the server gives a cursor that no address can hold")
    if cursor is not None and holds_secret(str(cursor)):
        raise fault(
            "the cursor that the server gave holds this program's credentials, so it is neither "
            "kept nor sent back"
        )
    return Page(
        answer.body,
        records,
        None if cursor is None else str(cursor),
        _count(told.limit),
        _count(told.total),
        answer.request_id,
        answer.at,
    )


def _told(raw: msgspec.Raw, kind: Any) -> Any:
    """Return what the server told, of that kind, be it written as text; None where it is not."""
    try:
        return msgspec.json.decode(raw, type=kind, strict=False)
    except _UNUSABLE:
        return None


def _count(raw: msgspec.Raw) -> int | None:
    """Return a count that the server told; None where it cannot be one."""
    count = _told(raw, int)
    return count if count is not None and 0 <= count <= MOST_NUMBER else None


@dataclass
class _Walked:
    """What a walk has brought, and when that is more than its list can have.

    A list that does not end would take every request that the key has. It is the server's fault
    where a cursor comes twice; where page after page brings nothing new; and where more came than
    the total says, beyond what can have changed while it was read.
    """

    path: str
    cursors: set[str | None]
    records: int = 0
    new: int = 0
    stale: int = 0
    _seen: Fingerprints = field(default_factory=Fingerprints)

    def check_cursor(self, page: Page) -> None:
        """Raise ServerFault where a page's cursor was there before."""
        if page.next_cursor is not None and page.next_cursor in self.cursors:
            raise self._fault("the server gave the same cursor twice", page)
        self.cursors.add(page.next_cursor)

    def check_end(self, page: Page, limit: int) -> None:
        """Count a page that promises more. Raises ServerFault where there can be no more."""
        # Without a total only what is another record counts, not another version of one.
        marks: list[Payload] = [*page.records]
        if page.total is None:
            marks = [_mark(record) for record in page.records]
        new = sum(self._seen.add(marks)) if marks else 0
        self.records += len(page.records)
        self.new += new
        self.stale = 0 if new else self.stale + 1
        if self.stale >= STALE_PAGES:
            raise self._fault(f"{self.stale} pages in a row brought nothing new", page)
        beyond = PAGES_BEYOND * max(limit, len(page.records))
        if page.total is not None and self.new > MOST_OF_TOTAL * page.total + beyond:
            raise self._fault(f"the list has {page.total:,} records as its total says", page)

    def _fault(self, what: str, page: Page) -> ServerFault:
        return ServerFault(
            f"GET {self.path}: {what}, but more is promised after {self.records:,} records "
            f"({self.new:,} of them different), so the list cannot be read to its end. Tell the "
            f"vendor, quoting request {page.request_id}.",
            request_id=page.request_id,
        )


def _mark(record: Payload) -> Payload:
    try:
        return _IDENTIFIED.decode(record).id.encode()
    except UNTYPED:
        return record


def _wrong(company: Company, now: datetime, skew: timedelta) -> str:
    by = timedelta(seconds=round(abs(skew.total_seconds())))
    side = "ahead" if skew > timedelta(0) else "behind"
    bound = LARGEST_SKEW // timedelta(minutes=1)
    return (
        f"This machine's clock says {now:%Y-%m-%d %H:%M:%S} UTC, that of {company.base_url} says "
        f"{now - skew:%Y-%m-%d %H:%M:%S} UTC: this one is {by} {side}, and more than {bound} "
        "minutes are not safe. Nothing was written or sent. Set this clock by a time server and "
        "run the same command again."
    )


def _made_at(response: Response, now: datetime) -> datetime | None:
    """Return when an answer was made, where `Age` or `Last-Modified` says so."""
    age = _age(response)
    if age is not None:
        with suppress(OverflowError):  # older than time itself
            return _server_time(response, _NULL, now) - age
    return read_date(response.headers.get("last-modified"))


def _age(response: Response) -> timedelta | None:
    age = response.headers.get("age", "")
    return timedelta(seconds=int(age)) if age.isdecimal() and len(age) < 9 else None


def _times_told(response: Response) -> list[datetime]:
    """Return all that an answer says of the server's clock, UTC; a stored one's `Age` is added."""
    try:
        meta = _ENVELOPE.decode(response.body).meta
    except _UNUSABLE:
        meta = _NULL
    date, age, stamp = read_date(response.headers.get("date")), _age(response), _stamp(meta)
    stored = date + age if date and age else None
    return [at for at in (date, stored, stamp) if at]


def _stamp(meta: msgspec.Raw) -> datetime | None:
    try:
        return plausible(msgspec.json.decode(meta, type=_Meta).timestamp)
    except (*_UNUSABLE, OverflowError):
        return None


def _server_time(response: Response, meta: msgspec.Raw, now: datetime) -> datetime:
    """Return the earliest that the server says it is: a gateway's clock may not be the API's.

    It is never later than `now`: what is covered up to then lies in nobody's future. A
    `meta.timestamp` of another day is no clock and does not count.
    """
    at = min(read_date(response.headers.get("date")) or now, now)
    told = _stamp(meta)
    return min(at, told) if told and abs(at - told) < timedelta(days=1) else at
