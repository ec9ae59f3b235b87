"""One HTTP exchange, bounded as a whole: in time, and in what it can make of memory.

httpx limits how long one read may take, so a server that sends a byte now and then holds it for
ever; and it inflates whatever has come, so a few megabytes of gzip become gigabytes. Every request
of blsync goes through `exchange`, which has a deadline and inflates no more than it may keep.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from blsync import __version__, logs
from blsync.redaction import redact

# httpx logs addresses, and a look-up by email has personal data in its query.
logging.getLogger("httpx").setLevel(logging.WARNING)

DEADLINE = 120.0
"""Seconds that a request may take as a whole: connecting, sending, and all of the answer."""
MOST_BYTES = 32 * 2**20
"""Bytes of a body, inflated. A page of 100 invoices has 0.12 MB, a report on 100,000 items some
20 MB."""
MOST_SAID = 500
"""Characters that are taken over of a text of the server's."""
MOST_NUMBER = 2**63 - 1
"""The largest number that the ledger's databases keep."""
_TIMEOUT = httpx.Timeout(connect=10, read=60, write=30, pool=None)
_GZIP = 31
"""Tells zlib that what comes is gzip."""
_MAGIC = b"\x1f\x8b"
"""Begins a member of a gzip file: there may be several, one after the other."""


@dataclass(frozen=True)
class Response:
    """What came back; `flaw` says why the body cannot be used, which is empty then."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    flaw: str = ""
    is_too_large: bool = False
    is_torn: bool = False
    """The body is an answer of the API's that nobody can take apart."""

    @property
    def is_success(self) -> bool:
        """Tell whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        """Tell whether the status sends elsewhere."""
        return 300 <= self.status < 400


class NoResponse(Exception):
    """No whole answer came; without `was_sent` no connection came about, and nothing was sent."""

    def __init__(self, details: str, *, was_sent: bool) -> None:
        super().__init__(details)
        self.was_sent = was_sent


class _Flawed(Exception):
    """The body cannot be used."""


class _TooLarge(_Flawed):
    """The body is larger than is kept of any."""


def opened(url: str, headers: Mapping[str, str]) -> httpx.AsyncClient:
    """Return what sends requests to a server with that address; an async context manager."""
    loopback = urlsplit(url).scheme == "http"
    return httpx.AsyncClient(
        timeout=_TIMEOUT,
        trust_env=not loopback,  # no proxy between us and ourselves
        verify=not loopback,  # http has no certificate; loading the authorities takes time
        headers={
            "User-Agent": f"blsync/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            **headers,
        },
    )


async def exchange(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    *,
    deadline: float = DEADLINE,
) -> Response:
    """Send one request and read its answer, in `deadline` seconds at most.

    A body that is larger than MOST_BYTES once it is inflated, or in an encoding that was not asked
    for, is read no further: the answer's status and headers count without it. Raises NoResponse.
    """
    begun = time.monotonic()
    try:
        async with (
            asyncio.timeout(deadline),
            http.stream(method, url, content=content, headers=headers) as response,
        ):
            status, told = response.status_code, response.headers
            # Without the query: a look-up by email has personal data in it.
            logs.tell(
                "request",
                level="debug",
                method=method,
                path=urlsplit(url).path,
                status=status,
                request_id=told.get("x-request-id") or headers.get("X-Request-ID"),
                ms=round((time.monotonic() - begun) * 1000),
            )
            try:
                return Response(status, told, await _body(response))
            except _Flawed as flaw:
                is_too_large = isinstance(flaw, _TooLarge)
                return Response(status, told, flaw=str(flaw), is_too_large=is_too_large)
    except TimeoutError:
        # Whether it was sent by then is not known, so it counts as sent.
        raise NoResponse(
            f"it was not over after {deadline:g} seconds, the most that a request may take",
            was_sent=True,
        ) from None
    except httpx.TransportError as error:
        # A protocol error of our own quotes the header that it dislikes: perhaps the key.
        is_ours = isinstance(error, httpx.LocalProtocolError)
        details = "a header cannot be sent" if is_ours else said(str(error)) or "no details"
        raise NoResponse(
            f"{type(error).__name__}: {details}",
            was_sent=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
        ) from None


async def _body(response: httpx.Response) -> bytes:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise _Flawed(
            f"a body in the encoding {said(encoding, 40)!r}, though only gzip was asked for"
        )
    raw = response.aiter_raw()
    size, parts = 0, []
    async for part in raw if encoding in ("", "identity") else _inflated(raw):
        size += len(part)
        if size > MOST_BYTES:
            raise _TooLarge(f"a body of more than {MOST_BYTES >> 20} MiB")
        parts.append(part)
    return b"".join(parts).removeprefix(codecs.BOM_UTF8)


async def _inflated(raw: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what gzip holds, in parts that are no larger than what came is worth keeping."""
    member = zlib.decompressobj(_GZIP)
    has_begun = False
    async for chunk in raw:
        rest = chunk
        while rest:
            if member.eof:
                if not rest.startswith(_MAGIC[: len(rest)]):
                    break  # what follows the last member is padding
                member = zlib.decompressobj(_GZIP)
            has_begun = True
            try:
                part = member.decompress(rest, MOST_BYTES + 1)
            except zlib.error as error:
                raise _Flawed(f"a body that is no gzip, though it says so ({error})") from None
            yield part
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if has_begun and not member.eof:
        raise _Flawed("a body of gzip that breaks off")


def said(text: str, most: int = MOST_SAID) -> str:
    r"""Return a text that the server said as it can be shown and kept.

    Secrets are replaced, control characters are written out (`\x1b`) rather than sent on, and what
    is too long is cut.
    """
    text = redact(text)  # before it is cut: half a secret is found by nobody
    shown = text if len(text) <= most else f"{text[:most]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
