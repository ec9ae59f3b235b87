"""BigLedger over HTTP: credentials, envelope, errors, retries, pages and bulk writes.

Every request goes through the key's rate limiter. Reads are retried, with jitter, in a bound; a
write is sent once, and what becomes of one that was not answered is for `push` to settle.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from blsync.api.connections import Connections
from blsync.api.envelope import (
    UNUSABLE,
    Answer,
    RetryLater,
    TokenRefused,
    TooManyRequests,
    Torn,
    envelope_of,
    error_of,
    flawed,
    made_at,
    request_id_of,
    server_time,
    times_told,
)
from blsync.api.exchange import DEADLINE, NoResponse, Response, exchange, opened
from blsync.api.oauth import TokenSource
from blsync.api.pages import (
    BY_OFFSET,
    LONGEST_PAGE,
    Page,
    PageStyle,
    Paging,
    WalkProgress,
    body_of,
    id_of,
    mark_of,
    may_be_whole_page,
    offset_in,
    page_of,
    smaller_limit,
)
from blsync.api.rate_limit import RateLimiter
from blsync.api.targets import ResponseTimes
from blsync.clock import LARGEST_SKEW, skew_of
from blsync.errors import (
    ApiError,
    CursorRefused,
    NotSent,
    Unanswered,
    WrongClock,
)
from blsync.lake.typing import Fingerprints
from blsync.settings import Company, require_credentials

PLACES = frozenset(("cursor", "offset"))
"""Parameters that name a place in a list."""
LATENCIES = 5
"""Answers that the latency is taken from."""
TRIES = 5
REFUSALS = 60
"""Answers 429 in a row, each waited for as told, before a request is given up."""
MOST_VALUES = 2_000_000
"""JSON values of one answer: each takes up to some hundred bytes of memory once it is read."""


class Client:
    """One company's API; an async context manager. `requests` counts all that were sent."""

    def __init__(
        self,
        company: Company,
        limiter: RateLimiter,
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
        self.limiter = limiter
        self.requests = 0
        self.skew: timedelta | None = None
        """By how much this clock is ahead of the server's; None until an answer tells a time."""
        self._has_asked_time = False
        self.page_limits: dict[str, int] = {}
        """The largest page of a path, where it is known to be smaller than documented; 0: it takes
        no limit."""
        self.styles: dict[str, PageStyle] = {}
        """How a path's list pages, where it is not by the server's own cursors."""
        self.connections = Connections()
        """How many of its requests may be under way at once."""
        self.times = ResponseTimes(limiter.ledger, company.company_id, limiter.zone, limiter.clock)
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._sleep = sleep
        self._jitter = jitter
        self._deadline = deadline
        self._tokens = (
            TokenSource(
                company.oauth,
                limiter.ledger,
                company.key_id,
                clock=limiter.clock,
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
        self.times.write()

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, is_smaller: bool = False
    ) -> Answer:
        """Read `path`. Raises Unauthorized, Forbidden, QuotaSpent or another ApiError.

        What breaks off is asked for once more, unless this is a smaller part of it (`is_smaller`).
        """
        send = partial(self._send, "GET", path, params=params)
        return await self._tried(Unanswered, send, most_torn=1 if is_smaller else 2)

    async def check_clock(self) -> None:
        """Compare this clock with the server's, for one request where no answer told it yet.

        Raises WrongClock; what else the answer says is left to the requests that matter.
        """
        if self.skew is None and not self._has_asked_time:
            self._has_asked_time = True
            with suppress(ApiError):
                await self.get("/auth/verify")

    async def _tried(
        self,
        again: type[Unanswered],
        send: Callable[[], Awaitable[Answer]],
        *,
        most_torn: int = 1,
    ) -> Answer:
        """Send until an answer comes, a bounded number of times, where it fails as `again`."""
        last: ApiError | None = None
        torn = 0
        for attempt in range(TRIES):
            if attempt:
                pause = min(30.0, 0.5 * 2**attempt) * (0.5 + self._jitter() / 2)
                told = last.after if isinstance(last, RetryLater) else 0
                await self._sleep(max(pause, told))
            try:
                return await send()
            except again as error:
                torn += isinstance(error, Torn)
                if torn >= most_torn:
                    raise
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

        A server that refuses `limit`, or whose page is too large or breaks off, is asked for
        smaller pages, now and from then on. One that does not say how its list goes on is asked for
        what lies behind the first page, by offset and then by the last id, and `styles` says from
        then on what it took. Pages by offset overlap by a record. Raises CursorRefused where the
        server no longer takes the cursor, or has no way on, and ServerFault where it breaks its own
        paging: a cursor given twice, `hasMore` without one, or a list that does not end
        (`WalkProgress`).
        """
        walked = WalkProgress(path, {cursor} - {None})
        page: Page | None = None
        # Of a walk that an earlier run began it is not known what that read.
        seen = Fingerprints() if cursor is None else None
        while True:
            offset = offset_in(cursor)
            if page and offset and seen is not None and self._is_by_offset(path):
                page = await self._overlapping(path, params, offset, seen, walked)
            else:
                page = await self._page(path, params, cursor, page)
            if seen is not None and page.records:
                seen.add([mark_of(record) for record in page.records])
            walked.check_cursor(page)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
            walked.check_end(page, int(params.get("limit", 0)))

    def _is_by_offset(self, path: str) -> bool:
        style = self.styles.get(path)
        return style is not None and style.paging in BY_OFFSET

    async def _overlapping(
        self,
        path: str,
        params: Mapping[str, str],
        offset: int,
        seen: Fingerprints,
        walked: WalkProgress,
    ) -> Page:
        """Read the page behind so many records, beginning with the last of these.

        Where another record is in its place, some before it have vanished or moved, and as many
        that nobody has read now lie before the offset: the walk goes back until it meets what it
        has `seen`, a page's length at a time.
        """
        start = offset - 1
        while True:
            page = await self._asked(path, params, {"offset": str(start)}, start)
            first = [mark_of(record) for record in page.records[:1]]
            if start == 0 or (first and not any(seen.are_new(first))):
                return page
            walked.begin_anew()
            length = page.limit or len(page.records) or int(params.get("limit", 0))
            start = max(0, start - max(1, length))

    async def _page(
        self, path: str, params: Mapping[str, str], cursor: str | None, before: Page | None
    ) -> Page:
        """Read the page at a place; `before` is the one that named it, where it is still known."""
        offset = offset_in(cursor)
        style = self.styles.get(path)
        is_known = style is not None and style.paging != Paging.ONE_PAGE
        if offset is None or is_known:
            place = {"cursor": cursor} if cursor else {}
            if offset is not None:
                place = {"offset": str(offset)}
            page = await self._asked(path, params, place, offset or 0)
            if page.paging == Paging.NEXT_OFFSET:
                self.styles[path] = PageStyle(Paging.NEXT_OFFSET, 0)
            return page
        return await self._behind(path, params, before or await self._asked(path, params, {}, 0))

    async def _asked(
        self, path: str, params: Mapping[str, str], place: Mapping[str, str], offset: int
    ) -> Page:
        asked = {**params, **place}
        is_smaller = False
        while True:
            limit = int(asked.get("limit", 0))
            if limit > (most := self.page_limits.get(path, limit)):
                asked["limit"] = str(most)
            if not most:
                asked.pop("limit", None)
            try:
                answer = await self.get(path, asked, is_smaller=is_smaller)
                style, has_cursor = self.styles.get(path), "cursor" in place
                return page_of(path, answer, most, offset, style, has_cursor=has_cursor)
            except ApiError as error:
                smaller = smaller_limit(error, int(asked.get("limit", 0)))
                if smaller is None:
                    raise
                is_smaller = True
                self.page_limits[path] = smaller

    async def _behind(self, path: str, params: Mapping[str, str], page: Page) -> Page:
        """Find out how a list goes on that does not say it; return what lies behind its first page.

        Fewer records than asked for, or more, are all where neither an offset nor a cursor leads
        further. With just as many it is tried whether `limit` counts at all. Raises CursorRefused
        where there may be more and nothing leads to it.
        """
        records, last = page.records, id_of(page.records[-1])
        ways = {Paging.OFFSET: {"offset": str(len(records))}}
        if last is not None:
            ways[Paging.LAST_ID] = {"cursor": last}
        known = Fingerprints()
        known.add(records)
        for paging, place in ways.items():
            self.styles[path] = PageStyle(paging, len(records))
            try:
                found = await self._asked(path, params, place, len(records))
            except ApiError as error:
                del self.styles[path]
                if not error.is_refusal:
                    raise
                continue
            if not found.records or any(known.are_new(found.records)):
                is_size = found.records or may_be_whole_page(len(records))
                size = len(records) if is_size else int(params.get("limit", 0))
                self.styles[path] = PageStyle(paging, size)
                return found
            del self.styles[path]
        limit = min(int(params.get("limit", 0)), self.page_limits.get(path, LONGEST_PAGE))
        if not limit:  # how long a page may be is the server's to know
            limit = len(records) if may_be_whole_page(len(records)) else len(records) + 1
            params = {**params, "limit": "0"}
        is_whole = len(records) > limit
        if len(records) == limit > 1 and params.get("limit") != "0":
            is_whole = len((await self._asked(path, {**params, "limit": "1"}, {}, 0)).records) > 1
        if is_whole or len(records) < limit:
            paging = Paging.WHOLE if is_whole else Paging.ONE_PAGE
            self.styles[path] = PageStyle(paging, 0 if is_whole else limit)
            body = body_of([])
            return replace(page, body=body, records=[], next_cursor=None, paging=paging)
        self.styles[path] = PageStyle(Paging.ONE_PAGE, limit)
        raise CursorRefused(
            f"GET {path}: a page of {limit} came, and neither an offset nor a cursor leads to what "
            f"may lie behind it, request {page.request_id}.",
            status=400,
            request_id=page.request_id,
        )

    def own_link(self, link: str) -> str | None:
        """Return the address that a link leads to, where it is one on the API's own host; None for
        any other: what may read the company's books goes nowhere else.
        """
        base = urlsplit(f"{self.company.base_url}/")
        try:
            at = urlsplit(urljoin(base.geturl(), link))
        except ValueError:
            return None
        is_own = (at.scheme, at.netloc) == (base.scheme, base.netloc)
        return at._replace(fragment="").geturl() if is_own else None

    async def post(self, path: str, body: object, *, records: int | None = None) -> Answer:
        """Send a write, once. What was not carried out for certain is sent again: a 429 after the
        wait, and what found no connection. A batch says how many `records` it has, for its limits.

        Raises Unanswered where the server may or may not have acted, NotSent where it has not.
        """
        return await self._written("POST", path, body, records)

    async def put(self, path: str, body: object) -> Answer:
        """Send what a record is to be, as `post` sends a write."""
        return await self._written("PUT", path, body)

    async def delete(self, path: str) -> Answer:
        """Delete a record, as `post` sends a write."""
        return await self._tried(NotSent, lambda: self._send("DELETE", path))

    async def _written(
        self, method: str, path: str, body: object, records: int | None = None
    ) -> Answer:
        content = msgspec.json.encode(body)
        send = partial(self._send, method, path, content=content, records=records)
        return await self._tried(NotSent, send)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        records: int | None = None,
    ) -> Answer:
        """Send a request; `path` is behind the base URL, or an address that `own_link` gave."""
        what = f"{method} {path}"
        # Given in parts, httpx parses the address once more for each part.
        place = path if path.startswith(("http://", "https://")) else self.company.base_url + path
        url = f"{place}{'?' if params else ''}{urlencode(params or {})}"
        refused = ""
        for _ in range(REFUSALS):
            request_id = uuid.uuid4().hex
            async with self.connections.taken():
                slot, token = await self._slot(refused, records)
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
                    took = time.monotonic() - sent_at
                    self._latencies.append(took)
                    self.times.note(method, path, took)
                except NoResponse as error:
                    self.limiter.answered(slot, 0, {})
                    raise (Unanswered if error.was_sent else NotSent)(
                        f"{what}: no answer from {self.company.base_url} ({error}).",
                        request_id=request_id,
                    ) from None
                except BaseException:
                    self.limiter.answered(slot, 0, {})
                    raise
            self.connections.hear(response.headers)
            self._check_clock(response, slot, sent)
            try:
                answer = self._read(
                    what, response, request_id, has_cursor=not PLACES.isdisjoint(params or {})
                )
            except TooManyRequests as refusal:
                self.limiter.answered(slot, 429, response.headers, told=refusal.after)
                continue
            except TokenRefused:  # nothing was done, so a write may be sent again too
                self.limiter.answered(slot, response.status, response.headers)
                if refused or self._tokens is None:
                    raise
                refused = token
                continue
            except BaseException:
                self.limiter.answered(slot, response.status, response.headers)
                raise
            self.limiter.answered(slot, response.status, response.headers)
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
        request_id = request_id_of(response) or sent_id
        response = _of_bounded_values(response)
        envelope = None
        if not response.flaw:
            try:
                envelope = envelope_of(response.body)
            except UNUSABLE as error:
                response = flawed(response, error)
        if response.is_success and envelope is not None and envelope.success is not False:
            return Answer(
                response.body,
                envelope.data,
                request_id,
                server_time(response, envelope.meta, self._now()),
                envelope.pagination,
                made_at(response, self._now()),
            )
        raise error_of(
            what,
            response,
            envelope,
            request_id,
            self.company,
            has_cursor=has_cursor,
            now=self._now(),
        )

    async def token(self) -> str:
        """Return what a connection is opened with that no header goes with: the key, or an access
        token that is still good.
        """
        return await self._token("")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.limiter.clock(), UTC)

    def _check_clock(self, response: Response, slot: int, sent: datetime) -> None:
        """Measure this clock by the first answer that tells a time, before anything of that answer
        is kept. Raises WrongClock.

        Once is enough, and costs no request; later answers may come out of a cache.
        """
        now = self._now()
        if self.skew is None:
            self.skew = skew_of(times_told(response), sent, now)
        if self.skew is not None and abs(self.skew) > LARGEST_SKEW:
            self.limiter.withdrawn(slot)
            raise WrongClock(_wrong(self.company, now, self.skew))

    async def _slot(self, refused: str, records: int | None) -> tuple[int, str]:
        """Wait for a slot; return it with a token that is still good after the wait."""
        await self._token(refused)  # a renewal must not hold a slot
        slot = await self.limiter.slot(records)
        try:
            return slot, await self._token(refused)
        except BaseException:
            self.limiter.answered(slot, 0, {})
            raise

    async def _token(self, refused: str) -> str:
        if self._tokens:
            return await self._tokens.access_token(refused)
        key = self.company.api_key
        return key.get_secret_value() if key else ""


def _of_bounded_values(response: Response) -> Response:
    """Return the response, without its body where that has more values than can be read."""
    body = response.body
    if len(body) <= MOST_VALUES or sum(map(body.count, (b",", b"[", b"{"))) <= MOST_VALUES:
        return response
    flaw = f"a body of more than {MOST_VALUES:,} values"
    return Response(response.status, response.headers, flaw=flaw, is_too_large=True)


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
