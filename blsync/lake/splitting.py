r"""JSON that breaks JSON's own rules, taken apart: which bytes are whose, and what is wrong with
them.

A reader of JSON gives up a whole page for one byte of one record: half of an emoji, a raw tab in a
text, NaN for a number. Here a text is taken apart by its quotes, brackets and commas alone, so that
what is damaged is one value among others:

    {"data":[{"id":"a","notes":"hi \\ud83d"},{"id":"b"}],"pagination":{"hasMore":false}}

has the fields `data` and `pagination`, and in `data` the records {"id":"a",…} and {"id":"b"}, each
as it came. A record that breaks off, without its last quote or bracket, ends where the next thing
that looks like a record begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

MOST_BROKEN_OFF = 100
"""Records of a page that break off, before the page counts as torn: each is looked for anew."""
LEADING = 4
"""Fields at its beginning by which a record that breaks off is known for one."""
ALIKE = 0.6
"""Share of the usual fields by which something counts as a record."""
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb'|["\[\]{}]', re.DOTALL)
_COMMA = re.compile(_STRING + rb'|["\[\]{},]', re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^\s\[\]{},:\"]+", re.DOTALL)
_NAME = re.compile(rb"\s*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_NO_SPACE = re.compile(rb"\S|\Z")
_NEXT_RECORD = re.compile(rb",\s*(?=\{)")
_OBJECT = re.compile(rb"(?<=[\[,])\{")
_LIST_END = re.compile(rb"\]")
_CLOSING = {b"[": b"]", b"{": b"}"}
_CONTROL = re.compile(rb"[\x00-\x1f]")
_NO_LETTER = re.compile("[\x00-\x1f\ud800-\udfff]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_NUMBER = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_ANY = msgspec.json.Decoder(msgspec.Raw)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PROBLEM = re.compile(r"(?:JSON is malformed: )?(.*?)(?: \(byte \d+\))?", re.DOTALL)
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Torn(ValueError):
    """The text cannot be taken apart; `place` is the byte, counted from 0, where it goes wrong."""

    def __init__(self, place: int) -> None:
        super().__init__(f"what begins at byte {place} has no end")
        self.place = place


@dataclass(frozen=True)
class Parts:
    """A JSON object's fields as they came; `records` are what its list `data` holds, if it has
    one.
    """

    fields: dict[str, bytes]
    records: list[bytes] | None


def take_apart(body: bytes) -> Parts:
    """Return what an answer of the API holds, damaged or not. Raises Torn."""
    fields: dict[str, bytes] = {}
    records = None
    at = _opened(body, 0, b"{")
    while not body.startswith(b"}", at):
        name, at = _name(body, at)
        if name == "data" and body.startswith(b"[", at):
            spans, end = _records(body, at)
            records = [body[start:stop] for start, stop in spans]
        else:
            end = _value_end(body, at)
        fields[name] = body[at:end].rstrip()
        at = _past_space(body, end)
        if body.startswith(b",", at):
            at = _past_space(body, at + 1)
        elif not body.startswith(b"}", at):
            raise Torn(at)
    return Parts(fields, records)


def fields_in(record: bytes) -> dict[str, bytes]:
    """Return the fields of a JSON object as they came, up to where it breaks off."""
    fields: dict[str, bytes] = {}
    try:
        at = _opened(record, 0, b"{")
        while not record.startswith(b"}", at):
            name, at = _name(record, at)
            end = _value_end(record, at)
            if end >= len(record):
                break
            fields[name] = record[at:end].rstrip()
            at = _past_space(record, end + 1)
            if not record.startswith(b",", end):
                break
    except Torn:
        pass
    return fields


def legible(text: bytes) -> bytes:
    """Return JSON that can be read, of a text that is damaged in its values alone: what is no
    letter becomes U+FFFD, what is no number and no word of JSON becomes null.
    """

    def value(found: re.Match[bytes]) -> bytes:
        token = found[0]
        if is_json(token):
            return token
        if token.startswith(b'"'):
            try:
                told = json.loads(token.decode("utf-8", "replace"), strict=False)
            except ValueError:
                return b"null"
            return msgspec.json.encode(_NO_LETTER.sub("\ufffd", told))
        return b"null"

    return _SCALAR.sub(value, text)


def is_json(text: bytes | msgspec.Raw) -> bool:
    """Tell whether a text is JSON by its rules, in UTF-8."""
    try:
        _ANY.decode(text)
        str(text, "utf-8")
    except _BROKEN:
        return False
    return True


def damage_of(record: bytes) -> str | None:
    """Return what makes a record no JSON, in which field and at which of its bytes (from 0); None
    where it is JSON. It repeats nothing of the record's values.
    """
    return None if is_json(record) else _damage(record, 0, "")


def _damage(text: bytes, offset: int, path: str) -> str:
    """Say what is wrong with a text that is no JSON; `offset` is where it stands in the record."""
    for name, start, end in _parts(text):
        part = text[start:end].rstrip()
        if not is_json(part):
            inner = name if not path or name.startswith("[") else f".{name}"
            return _damage(part, offset + start, path + inner)
    within = f" in {path}" if path else ""
    what, at = _flaw(text)
    return f"{what}{within}, byte {offset + at} of the record"


def _parts(text: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield the name and the place of each part of a list or an object, up to where it breaks."""
    try:
        if text.startswith(b"{"):
            at = _opened(text, 0, b"{")
            while not text.startswith(b"}", at):
                name, at = _name(text, at)
                end = _value_end(text, at)
                if end >= len(text):
                    return
                yield name, at, end
                at = end + 1
        elif text.startswith(b"["):
            at = _opened(text, 0, b"[")
            while at < len(text) and not text.startswith(b"]", at):
                end = _value_end(text, at)
                if end >= len(text):
                    return
                yield "[]", at, end
                at = _past_space(text, end + 1)
    except Torn:
        return


def _flaw(text: bytes) -> tuple[str, int]:
    """Return what is wrong with a value that is no JSON, and at which of its bytes."""
    if text.startswith(b'"'):
        if control := _CONTROL.search(text):
            return f"a raw control character ({control[0].hex()})", control.start()
        if (half := _SURROGATE.search(text)) and not is_json(text):
            return "half of a surrogate pair", half.start()
    elif number := _NO_NUMBER.fullmatch(text):
        return f"{number[0].decode()}, which is no number", 0
    if not text:
        return "nothing where a value belongs", 0
    try:
        _ANY.decode(text)
        text.decode()
    except UnicodeDecodeError as error:
        return "a byte that is no UTF-8", error.start
    except _BROKEN as error:
        told = str(error)
        found = re.search(r"\(byte (\d+)\)", told)
        what = _PROBLEM.fullmatch(told)
        return (what[1] if what else told), int(found[1]) if found else len(text)
    return "no JSON", 0


def _past_space(text: bytes, at: int) -> int:
    """Return the place of the next byte that is no white space, the text's end where none is."""
    found = _NO_SPACE.search(text, at)
    return found.start() if found else len(text)


def _opened(text: bytes, at: int, bracket: bytes) -> int:
    """Return where the first part behind an opening bracket begins. Raises Torn."""
    at = _past_space(text, at)
    if not text.startswith(bracket, at):
        raise Torn(at)
    return _past_space(text, at + 1)


def _name(text: bytes, at: int) -> tuple[str, int]:
    """Return a field's name, and where its value begins. Raises Torn."""
    found = _NAME.match(text, at)
    if found is None:
        raise Torn(at)
    try:
        return msgspec.json.decode(found[1], type=str), found.end()
    except _BROKEN:
        return found[1][1:-1].decode("utf-8", "replace"), found.end()


def _value_end(text: bytes, start: int) -> int:
    """Return where a value ends: before the comma or bracket that follows it, or at the text's end.

    Raises Torn where a quote or a bracket inside it is not closed.
    """
    open_brackets: list[bytes] = []
    for found in (_TOKEN if text[start : start + 1] in _CLOSING else _COMMA).finditer(text, start):
        token = found[0]
        if token == b'"':
            raise Torn(found.start())
        if token in _CLOSING:
            open_brackets.append(_CLOSING[token])
        elif token in (b"]", b"}"):
            if not open_brackets:
                return found.start()
            if open_brackets.pop() != token:
                raise Torn(start)
            if not open_brackets and text[start : start + 1] in _CLOSING:
                return found.end()
        elif token == b"," and not open_brackets:
            return found.start()
    if open_brackets:
        raise Torn(start)
    return len(text)


def _records(text: bytes, at: int) -> tuple[list[tuple[int, int]], int]:
    """Return the places of the records in the list that begins at `at`, and where the list ends."""
    spans: list[tuple[int, int]] = []
    usual: list[str] = []
    broken_off = 0
    start = _opened(text, at, b"[")
    while not text.startswith(b"]", start):
        end = _whole_end(text, start)
        if end is not None and not is_json(text[start:end]):
            # Two quotes that are missing make up for each other: a record may be hidden in between.
            usual = usual or _usual_fields(text, at)
            end = _next_record(text, start, end, usual) or end
        if end is None:
            broken_off += 1
            if broken_off > MOST_BROKEN_OFF:
                raise Torn(start)
            usual = usual or _usual_fields(text, at)
            end = _break(text, start, usual)
        spans.append((start, end))
        start = _past_space(text, end)
        if text.startswith(b",", start):
            start = _past_space(text, start + 1)
        elif not text.startswith(b"]", start):
            raise Torn(start)
    return spans, start + 1


def _whole_end(text: bytes, start: int) -> int | None:
    """Return where a record ends whose quotes and brackets are all closed; None where some are
    not.
    """
    try:
        end = _value_end(text, start)
    except Torn:
        return None
    end = len(text[:end].rstrip()) if text[start : start + 1] not in _CLOSING else end
    follows = _past_space(text, end)
    return end if text[follows : follows + 1] in (b",", b"]") else None


def _break(text: bytes, start: int, usual: list[str]) -> int:
    """Return where a record that breaks off ends: before the next record, or before the list's end.

    Raises Torn where neither is found.
    """
    found = _next_record(text, start, len(text), usual)
    if found is not None:
        return found
    for end in _LIST_END.finditer(text, start):
        if is_json(b'{"data":[]' + text[end.end() :]):
            return end.start()
    raise Torn(start)


def _next_record(text: bytes, start: int, end: int, usual: list[str]) -> int | None:
    """Return where the comma before the first record stands that begins between two places."""
    for found in _NEXT_RECORD.finditer(text, start, end):
        if _is_record(text, found.end(), usual):
            return found.start()
    return None


def _usual_fields(text: bytes, at: int) -> list[str]:
    """Return the names of the fields of the largest whole object among those that follow."""
    found = (_names_at(text, place.start()) for place in _OBJECT.finditer(text, at))
    return max(found, key=len, default=[])


def _is_record(text: bytes, start: int, usual: list[str]) -> bool:
    """Tell whether what begins there has the usual fields, or begins with them: one that breaks
    off, or that leaves out what it has no value for.
    """
    names = _names_at(text, start)
    if names:
        has_most = len({*names} & {*usual}) >= ALIKE * len(usual)
        return has_most or (len(names) >= LEADING and names[:LEADING] == usual[:LEADING])
    first = [*islice(_leading_names(text, start), LEADING)]
    return len(first) > 1 and first == usual[: len(first)]


def _names_at(text: bytes, start: int) -> list[str]:
    """Return the names of the fields of the whole object that begins there; none where none
    does.
    """
    try:
        return [*_FIELDS.decode(text[start : _value_end(text, start)])]
    except (Torn, *_BROKEN):
        return []


def _leading_names(text: bytes, start: int) -> Iterator[str]:
    """Yield the names of an object's fields up to where it breaks off."""
    try:
        at = _opened(text, start, b"{")
        while True:
            name, at = _name(text, at)
            yield name
            at = _value_end(text, at) + 1
    except Torn:
        return
