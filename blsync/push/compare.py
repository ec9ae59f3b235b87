"""What is wanted against what BigLedger has: typed, so that 5000 and 5000.00 are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from blsync.lake.numbers import without_noise
from blsync.lake.typing import MOST_NESTING, is_too_deep
from blsync.push.endpoint import Endpoint, Json

Changes = dict[str, list[Any]]
"""Field, with dots for nesting → [now, wanted]."""


def _plain_text(value: object) -> str:
    """Write a text of a kind of its own as the text that it is."""
    if isinstance(value, str):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON")


_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain_text)
MOST_DECIMALS = 6
"""Decimals that a number of a record can have: those of a unit price."""
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def to_text(value: object) -> str:
    """Write JSON; a Decimal becomes a number with just its own digits."""
    return _ENCODER.encode(value).decode()


def from_text(text: str | bytes | msgspec.Raw) -> Any:
    """Read JSON; a number with a fraction becomes a Decimal, from its text.

    Raises msgspec.MsgspecError where it is not JSON, or is nested too deep or has a number too long
    to be read.
    """
    if is_too_deep(text.encode() if isinstance(text, str) else text):
        raise msgspec.DecodeError(f"JSON nested more than {MOST_NESTING} deep")
    try:
        return _DECODER.decode(text)
    except (ArithmeticError, RecursionError) as error:
        raise msgspec.DecodeError(f"JSON that cannot be read ({type(error).__name__})") from None


def changes(endpoint: Endpoint, now: Mapping[str, Any], wanted: Mapping[str, Any]) -> Changes:
    """Return the fields that differ. Fields that are not wanted otherwise do not count.

    A document's lines are one field: they are the same where each says all that is wanted of it.
    """
    found: Changes = {}
    for name, value in wanted.items():
        held = now.get(name)
        if isinstance(value, dict):
            parts = held if isinstance(held, dict) else {}
            for part, inner in value.items():
                if not _same(parts.get(part), inner):
                    found[f"{name}.{part}"] = [parts.get(part), inner]
        elif name == endpoint.lines:
            if not _same_lines(held, value):
                found[name] = [_shown(held, value), value]
        elif not _same(held, value, caseless=name in endpoint.listing.caseless):
            found[name] = [held, value]
    return found


def version_of(record: Mapping[str, Any]) -> str | None:
    """Return when a record last changed, UTC in ISO 8601, as far as it says; None: it does not."""
    told = record.get("updatedAt")
    try:
        at = datetime.fromisoformat(str(told))
    except ValueError:
        return str(told) if told else None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def update_body(now: Mapping[str, Any], wanted: Mapping[str, Any], changed: Changes) -> Json:
    """Return what an update sends: only the fields that change.

    A nested object goes whole, with the parts that stay: whether BigLedger merges or replaces one
    is not documented, and this is right either way.
    """
    heads = dict.fromkeys(name.partition(".")[0] for name in changed)
    body: Json = {}
    for head in heads:
        value = wanted[head]
        body[head] = {**(now.get(head) or {}), **value} if isinstance(value, dict) else value
    return body


def create_body(wanted: Mapping[str, Any]) -> Json:
    """Return what a create sends; there is nothing yet that could be cleared."""
    body: Json = {}
    for name, value in wanted.items():
        kept = (
            {n: v for n, v in value.items() if v is not None} if isinstance(value, dict) else value
        )
        if kept not in (None, {}, []):
            body[name] = kept
    return body


def _same_lines(now: Any, wanted: list[Json]) -> bool:
    held = now if isinstance(now, list) else []
    return len(held) == len(wanted) and all(
        isinstance(line, dict) and all(_same(line.get(n), v) for n, v in want.items())
        for line, want in zip(held, wanted, strict=True)
    )


def _shown(now: Any, wanted: list[Json]) -> list[Json] | None:
    """Return the lines that are there, less what the wanted ones say nothing of."""
    if not isinstance(now, list):
        return None
    names = dict.fromkeys(name for line in wanted for name in line)
    lines = (line for line in now if isinstance(line, dict))
    return [{name: line.get(name) for name in names} for line in lines]


def _same(now: Any, wanted: Any, *, caseless: bool = False) -> bool:
    if _is_number(wanted) or _is_number(now):
        number, other = _number(now), _number(wanted)
        if number is None or other is None:
            return number is not None and number == other
        return other in (number, without_noise(number, MOST_DECIMALS))
    if isinstance(wanted, list):
        return sorted(map(_text, now or [])) == sorted(map(_text, wanted))
    left, right = _text(now), _text(wanted)
    return left.casefold() == right.casefold() if caseless else left == right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _number(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def figure(told: object) -> Decimal:
    """Return a figure of a record or of a row, which may be text; what is absent is 0.

    Raises decimal.InvalidOperation where it is no number.
    """
    return Decimal(str(told or 0))


def _text(value: Any) -> str:
    """Bring a value to one spelling: absent, null and empty are the same, and so are both ways
    in which Unicode writes an accent.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return unicodedata.normalize("NFC", str(value)).strip()
