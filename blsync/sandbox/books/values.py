"""Numbers, instants and JSON texts as the API writes them (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NoReturn

import msgspec

Record = dict[str, Any]

KUALA_LUMPUR = timezone(timedelta(hours=8))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CENT = Decimal("0.01")
ZERO = Decimal("0.00")
MICROSECOND = timedelta(microseconds=1)

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(value: object) -> bytes:
    """JSON in UTF-8; a Decimal becomes a number with the decimals it carries."""
    return _encoder.encode(value)


def dumps(value: object) -> str:
    """JSON as `encode` writes it, as text."""
    return _encoder.encode(value).decode()


def loads(text: str | bytes) -> Any:
    """Read JSON with Decimals for numbers that have a fraction.

    Raises ValueError, also for NaN and Infinity, which JSON does not know.
    """
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def money(value: Decimal | int) -> Decimal:
    """Round an amount to two decimals, half up."""
    return Decimal(value).quantize(CENT, ROUND_HALF_UP)


def from_cents(cents: int) -> Decimal:
    """Turn whole cents into an amount."""
    return Decimal(cents).scaleb(-2)


def to_cents(amount: Decimal | int) -> int:
    """Turn an amount of at most two decimals into whole cents."""
    return int(Decimal(amount).scaleb(2))


def quantity(value: Decimal | int) -> Decimal | int:
    """Write a quantity without trailing zeros: 5, 2.5; at most four decimals."""
    exact = Decimal(value).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    whole = int(exact)
    return whole if whole == exact else exact.normalize()


def to_ten_thousandths(value: Decimal | int) -> int:
    """Turn a quantity of at most four decimals into an integer SQL can add up exactly."""
    return int(Decimal(value).scaleb(4))


def from_ten_thousandths(value: int) -> Decimal | int:
    """Undo `to_ten_thousandths`."""
    return quantity(Decimal(value).scaleb(-4))


def now_us() -> int:
    """Microseconds since 1970 in UTC, by this machine's clock."""
    return (datetime.now(UTC) - EPOCH) // MICROSECOND


def parse_instant(text: str) -> int:
    """Microseconds since 1970 from any ISO 8601 spelling; without a zone it is UTC.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // MICROSECOND


def write_instant(instant_us: int, local: bool = False) -> str:
    """ISO 8601 with no more fraction than the instant has, as `Z` or as +08:00.

    Nothing is cut off, so the text orders exactly as the instant does.
    """
    seconds, fraction = divmod(instant_us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, KUALA_LUMPUR if local else UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += f".{fraction // 1000:03d}" if fraction % 1000 == 0 else f".{fraction:06d}"
    return text + ("+08:00" if local else "Z")


def parse_date(text: str) -> str:
    """Check a business date, spelled YYYY-MM-DD, and return it. Raises ValueError."""
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError(f"{text!r} is not spelled YYYY-MM-DD")
    return text


def business_today() -> date:
    """Today in Asia/Kuala_Lumpur."""
    return datetime.now(KUALA_LUMPUR).date()
