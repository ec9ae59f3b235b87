"""Values that some servers spell otherwise than the API's reference, and what they are read as.

A date that is not there comes as an empty text, as 0000-00-00 or as the first day of the year 1; a
day comes with a time. Read by one rule each, none of them keeps its record out of the landing:

    field       as it came                          read as
    a day       "", "0000-00-00", "0001-01-01…"     null
    a day       "2026-03-01T00:00:00.000Z"          2026-03-01, the day as it is written
    a day       "2026-02-28T16:00:00Z"              2026-03-01 where that is midnight (the zone)
    a day       "2026-03-01T09:30:00Z"              cannot be read: it may be either day
    a time      "", "0000-00-00 00:00:00", …        null
    a time      "2026-03-01"                        the beginning of that day in the zone

What is read otherwise than it is written stays in the record's payload as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, tzinfo
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from blsync.entity import NOTHING, Record

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_NO_DATE = re.compile(r"\s*|0000-00-00(?:[T ][0:.]*(?:Z|[+-][\d:]+)?)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]00:00(?::00(?:\.0*)?)?\s?(?:Z|[+-]\d\d:?\d\d)?")


def respelt(model: type[Record], payload: bytes | msgspec.Raw, zone: tzinfo) -> bytes | None:
    """Return a record's JSON in the reference's spelling; None where nothing of it is read
    otherwise.

    `zone` is that of the business days. Raises MsgspecError where the record is no JSON.
    """
    changed: dict[str, bytes | msgspec.Raw] = {}
    fields = _FIELDS.decode(payload)
    for name, kind in _kinds(model).items():
        value = fields.get(name)
        if value is None or value == NOTHING:
            continue
        read = _respelt_value(kind, value, zone)
        if read is not None:
            changed[name] = read
    if not changed:
        return None
    parts: Mapping[str, bytes | msgspec.Raw] = {**fields, **changed}
    return b"{%b}" % b",".join(
        msgspec.json.encode(name) + b":" + bytes(value) for name, value in parts.items()
    )


def _respelt_value(kind: Any, value: msgspec.Raw, zone: tzinfo) -> bytes | None:
    if isinstance(kind, type) and issubclass(kind, Record):
        if not bytes(value).startswith(b"["):
            return respelt(kind, value, zone)
        parts = _PARTS.decode(value)
        read = [None if part == NOTHING else respelt(kind, part, zone) for part in parts]
        if not any(read):
            return None
        both = zip(read, parts, strict=True)
        return b"[%b]" % b",".join(new or bytes(part) for new, part in both)
    try:
        text = msgspec.json.decode(value, type=str)
    except msgspec.ValidationError:
        return None
    told = (_day_of if kind is date else _time_of)(text, zone)
    return None if told == text else msgspec.json.encode(told)


def _day_of(text: str, zone: tzinfo) -> str | None:
    if _NO_DATE.fullmatch(text):
        return None
    if midnight := _MIDNIGHT.fullmatch(text):
        return midnight[1]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    local = at.astimezone(zone) if at.tzinfo else at
    return local.date().isoformat() if at.tzinfo and local.time() == time() else text


def _time_of(text: str, zone: tzinfo) -> str | None:
    if _NO_DATE.fullmatch(text):
        return None
    if not _DAY.fullmatch(text):
        return text
    try:
        day = date.fromisoformat(text)
        return datetime.combine(day, time(), zone).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return text


@cache
def _kinds(model: type[Record]) -> dict[str, Any]:
    """Return what the fields are that may be spelled otherwise: date, datetime or a nested
    model.
    """
    hints = get_type_hints(model, include_extras=True)
    names = zip(model.__struct_encode_fields__, model.__struct_fields__, strict=True)
    kinds = ((encoded, _kind_of(hints[name])) for encoded, name in names)
    return {name: kind for name, kind in kinds if kind is not None}


def _kind_of(hint: Any) -> Any:
    if hint in (date, datetime) or (isinstance(hint, type) and issubclass(hint, Record)):
        return hint
    if get_origin(hint) in (Union, _UNION, Annotated, list):
        found = (_kind_of(part) for part in get_args(hint))
        return next((kind for kind in found if kind is not None), None)
    return None


_UNION = type(int | str)
