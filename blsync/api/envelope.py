"""The envelope around every answer: its data, what failed, and the server's clock."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from blsync.api.exchange import Response, said
from blsync.api.rate_limit import retry_after
from blsync.clock import plausible, read_date
from blsync.errors import (
    ApiError,
    CursorRefused,
    Forbidden,
    ServerFault,
    Unanswered,
    Unauthorized,
)
from blsync.lake import splitting
from blsync.lake.typing import MOST_NESTING, is_too_deep
from blsync.settings import Company

LONGEST_PAUSE = 60.0
"""Seconds; a 503 that asks for a longer wait is asked again after this."""
NOT_JSON = "a body that is not the API's JSON"
_LONGEST_CODE = 100
_LONGEST_DETAILS = 2**20
"""Bytes of an error's details; more of them are left out."""
UNUSABLE = (msgspec.MsgspecError, RecursionError, ValueError, ArithmeticError)
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
NULL = msgspec.Raw(b"null")
ABSENT = msgspec.Raw(b"")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class _Problem(msgspec.Struct):
    code: str = ""
    message: str = ""
    details: msgspec.Raw = NULL
    retry_after: msgspec.Raw = msgspec.field(default=NULL, name="retryAfter")


class Pagination(msgspec.Struct, rename="camel"):
    """Each part as it came: one that cannot be used must not spoil the page."""

    has_more: msgspec.Raw = ABSENT
    next_cursor: msgspec.Raw = ABSENT
    next_offset: msgspec.Raw = ABSENT
    limit: msgspec.Raw = NULL
    total: msgspec.Raw = NULL


class Envelope(msgspec.Struct):
    """What every answer is wrapped in; each part as it came (bigledger-api.md, section 2)."""

    success: bool | None = None
    data: msgspec.Raw = NULL
    pagination: Pagination | None = None
    error: _Problem | None = None
    meta: msgspec.Raw = NULL


class _Meta(msgspec.Struct):
    timestamp: datetime | None = None


_ENVELOPE = msgspec.json.Decoder(Envelope, strict=False)
EXACT = msgspec.json.Decoder(float_hook=Decimal)


def envelope_of(body: bytes) -> Envelope:
    """Return an answer's envelope; damage in its data is the data's alone.

    Raises one of UNUSABLE where it is none.
    """
    try:
        return _ENVELOPE.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        try:
            fields = splitting.take_apart(body).fields
        except splitting.Torn:
            raise error from None
    data = fields.pop("data", b"null")
    rest = b",".join(
        msgspec.json.encode(k) + b":" + splitting.legible(v) for k, v in fields.items()
    )
    return msgspec.structs.replace(_ENVELOPE.decode(b"{%b}" % rest), data=msgspec.Raw(data))


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
    pagination: Pagination | None
    made_at: datetime | None = None

    def read(self) -> Any:
        """Return the data as Python has it, fractions exact. Raises ServerFault."""
        return read(self.data, self.request_id)


def read(text: msgspec.Raw, request_id: str, *, is_mended: bool = False) -> Any:
    """Return JSON that a request brought as Python has it, fractions exact.

    Where damage may be mended (`is_mended`), what is no letter comes as U+FFFD and what is no value
    as null. Raises ServerFault where it is nested too deep, or cannot be read.
    """
    if is_mended and not splitting.is_json(text):
        text = msgspec.Raw(splitting.legible(bytes(text)))
    try:
        if is_too_deep(text):
            raise RecursionError
        return EXACT.decode(text)
    except UNUSABLE as error:
        what = f"nested more than {MOST_NESTING} deep"
        what = what if isinstance(error, RecursionError) else f"JSON that cannot be read ({error})"
        raise ServerFault(
            f"Request {request_id} brought data {what}. Tell the vendor, quoting the request.",
            request_id=request_id,
        ) from None


class TooManyRequests(Exception):
    """429: the pace waits as it was told, then the request is sent again.

    `after` are the seconds that the body names, None where it names none.
    """

    after: float | None = None


class TokenRefused(Unauthorized):
    """401: another access token may be taken, a key may not."""


class RetryLater(Unanswered):
    """503 that says in how many seconds (`after`) it is worth asking again."""

    after: float = 0


class Torn(Unanswered):
    """An answer to a read that breaks off, or that nobody can take apart."""


class TooLarge(ServerFault):
    """An answer to a read that is too large to be kept; one to smaller pages may not be."""


def error_of(
    what: str,
    response: Response,
    envelope: Envelope | None,
    request_id: str,
    company: Company,
    *,
    has_cursor: bool,
    now: datetime,
) -> Exception:
    """Return what an answer that is no success means, as the exception to raise."""
    problem = (envelope.error if envelope else None) or _Problem()
    code, details = said(problem.code, _LONGEST_CODE), _details(problem)
    status = response.status
    if response.is_success:
        status = _STATUS_OF_CODE.get(code, 500)
    came = f"{response.status} {code}".strip()
    if envelope is None:
        came += f" with {response.flaw or NOT_JSON}"
    told = f" ({said(problem.message)})" if problem.message else ""
    message = f"{what}: {came}{told}, request {request_id}."
    given: dict[str, Any] = {
        "status": status,
        "code": code,
        "details": details,
        "request_id": request_id,
    }
    told_to_wait = _seconds(problem, details)
    if status == 429:
        refusal = TooManyRequests()
        refusal.after = told_to_wait
        return refusal
    if status == 401:
        return TokenRefused(f"BigLedger refused the credentials: {message} {_cure(company)}")
    if code == "INVALID_COMPANY":
        return Unauthorized(
            f"The key may not see this company: {message} Check BIGLEDGER_COMPANY_ID, or the "
            "company_id in the file of companies."
        )
    if status == 403:
        scope = next((d["required_scope"] for d in details if d.get("required_scope")), None)
        cure = f"Give the key the scope {scope}." if scope else "Give the key that permission."
        return Forbidden(f"{message} {cure}", **given)
    if status in (400, 422) and has_cursor:
        return CursorRefused(message, **given)
    if status == 503:
        later = RetryLater(message, **given)
        at = server_time(response, NULL, now).timestamp()
        pause = retry_after(response.headers.get("retry-after"), at)
        later.after = min(max(pause or 0, told_to_wait or 0), LONGEST_PAUSE)
        return later
    if response.is_success and response.is_too_large and what.startswith("GET "):
        return TooLarge(f"{message} Tell the vendor, quoting the request.", **given)
    if response.is_torn and what.startswith("GET "):
        return Torn(message, **given)
    if status >= 500:
        return Unanswered(message, **given)
    if response.is_redirect:
        message += " Redirects are not followed; check BIGLEDGER_BASE_URL."
    return ApiError(message, **given)


def _seconds(problem: _Problem, details: list[dict[str, Any]]) -> float | None:
    """Return the longest wait that an error's body names: the pages show `retryAfter` beside the
    code, and within the details.
    """
    try:
        beside = msgspec.json.decode(problem.retry_after)
    except UNUSABLE:
        beside = None
    named = (beside, *(detail.get("retryAfter") for detail in details))
    waits = [float(text) for one in named if _SECONDS.fullmatch(text := str(one))]
    return max(waits, default=None)


def _details(problem: _Problem) -> list[dict[str, Any]]:
    """Return what the server says of single fields, its texts as they can be shown."""
    if len(bytes(problem.details)) > _LONGEST_DETAILS:
        return []
    try:
        told = msgspec.json.decode(problem.details)
    except UNUSABLE:
        return []
    return [
        {said(k): said(v) if isinstance(v, str) else v for k, v in detail.items()}
        for detail in (told if isinstance(told, list) else [told])
        if isinstance(detail, dict)
    ]


def request_id_of(response: Response) -> str:
    """Return the server's own id of a request; empty where it is none to quote."""
    told = response.headers.get("x-request-id", "")
    return said(told) if re.fullmatch(r"[!-~]{1,128}", told) else ""


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


def made_at(response: Response, now: datetime) -> datetime | None:
    """Return when an answer was made, where `Age` or `Last-Modified` says so."""
    age = _age(response)
    if age is not None:
        with suppress(OverflowError):  # older than time itself
            return server_time(response, NULL, now) - age
    return read_date(response.headers.get("last-modified"))


def _age(response: Response) -> timedelta | None:
    age = response.headers.get("age", "")
    return timedelta(seconds=int(age)) if age.isdecimal() and len(age) < 9 else None


def flawed(response: Response, error: Exception) -> Response:
    """Return a response whose body is no envelope, with what is wrong with it and where."""
    told = str(error) or type(error).__name__
    is_torn = response.is_success and response.body.lstrip().startswith(b"{")
    if is_torn and "(byte " not in told:
        told += f" (byte {len(response.body)})"
    flaw = f"{NOT_JSON}: {said(told)}" if is_torn else NOT_JSON
    return replace(response, flaw=flaw, is_torn=is_torn)


def times_told(response: Response) -> list[datetime]:
    """Return all that an answer says of the server's clock, UTC; a stored one's `Age` is added."""
    try:
        meta = envelope_of(response.body).meta
    except UNUSABLE:
        meta = NULL
    date, age, stamp = read_date(response.headers.get("date")), _age(response), _stamp(meta)
    stored = date + age if date and age else None
    return [at for at in (date, stored, stamp) if at]


def _stamp(meta: msgspec.Raw) -> datetime | None:
    try:
        return plausible(msgspec.json.decode(meta, type=_Meta).timestamp)
    except (*UNUSABLE, OverflowError):
        return None


def server_time(response: Response, meta: msgspec.Raw, now: datetime) -> datetime:
    """Return the earliest that the server says it is: a gateway's clock may not be the API's.

    It is never later than `now`: what is covered up to then lies in nobody's future. A
    `meta.timestamp` of another day is no clock and does not count.
    """
    at = min(read_date(response.headers.get("date")) or now, now)
    told = _stamp(meta)
    return min(at, told) if told and abs(at - told) < timedelta(days=1) else at
