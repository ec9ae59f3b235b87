"""What is not kept of a record: secrets, and documents of which a digest tells enough.

It is taken out of an answer before anything of it is written, so that it is in no spool, landing,
quarantine, log or mart:

    came  {"id": "supp_1", "bankDetails": {…}}
    kept  {"id": "supp_1"}
    came  {"id": "einv_1", "document": {"xml": "<Invoice…"}}
    kept  {"id": "einv_1", "document": {"xml": "sha256:…"}}

A digest is that of the text itself, so a document can be compared with it; a link is kept. A record
in which there is nothing of either stays byte for byte as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec

from blsync.entity import NOTHING, Entity
from blsync.lake.splitting import fields_in, is_json
from blsync.lake.typing import UNTYPED, Payload

DIGEST = "sha256:"
_LINK = re.compile(r"https?://\S{1,2048}|/[^\s/]\S{0,255}")
"""An address, or a path at the server; a longer text that begins like one is a document."""
_NAME = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])


def keeper(entity: Entity) -> Callable[[msgspec.Raw], msgspec.Raw] | None:
    """Return what makes of a record what is kept of it; None where that is all."""
    if not entity.withheld and not entity.digested:
        return None
    names = frozenset(map(_plain, entity.withheld))
    paths = [path.split(".") for path in entity.digested]

    def kept(record: msgspec.Raw) -> msgspec.Raw:
        try:
            if not is_json(record):
                return msgspec.Raw(_without_in_damaged(bytes(record), names)) if names else record
            found = _without(record, names) if names else None
            for path in paths:
                found = _digested(found or record, path) or found
        except UNTYPED:  # nested beyond all meaning
            return msgspec.Raw(b"{}")
        return record if found is None else msgspec.Raw(found)

    return kept


def _plain(name: str) -> str:
    """Return a name without what servers spell in several ways: capitals, underscores."""
    return re.sub(r"[_\-\s]", "", name).casefold()


def _without(value: Payload, names: frozenset[str]) -> bytes | None:
    """Return JSON without the fields of these names, at any depth; None where it has none."""
    text = bytes(value).lstrip()
    if text.startswith(b"{"):
        fields = _FIELDS.decode(text)
        left = {name: raw for name, raw in fields.items() if _plain(name) not in names}
        changed = {name: new for name, raw in left.items() if (new := _without(raw, names))}
        if len(left) == len(fields) and not changed:
            return None
        return _object({**left, **changed})
    if text.startswith(b"["):
        parts = _PARTS.decode(text)
        new_parts = [_without(part, names) for part in parts]
        if not any(new_parts):
            return None
        both = zip(new_parts, parts, strict=True)
        return b"[%b]" % b",".join(new or bytes(part) for new, part in both)
    return None


def _object(fields: dict[str, Payload]) -> bytes:
    return b"{%b}" % b",".join(
        msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()
    )


def _without_in_damaged(record: bytes, names: frozenset[str]) -> bytes:
    """Return a record that is no JSON without these fields, as damaged as it was.

    One of them that is nested, or does not end, takes with it all that follows.
    """
    whole = {name: value for name, value in fields_in(record).items() if _plain(name) in names}
    at = 0
    while found := _NAME.search(record, at):
        at = found.end()
        name = found[1].decode("utf-8", "replace")
        if _plain(name) not in names:
            continue
        if not (value := whole.get(name)) or not record.startswith(value, at):
            return record[: found.start()]
        record = record[:at] + b"null" + record[at + len(value) :]
    return record


def _digested(record: Payload, path: Sequence[str]) -> bytes | None:
    """Return a record with the digest of what stands at a path; None where there is nothing, or a
    link.
    """
    if not bytes(record).lstrip().startswith(b"{"):
        return None
    fields = _FIELDS.decode(record)
    first, *rest = path
    value = fields.get(first, NOTHING)
    new = _digested(value, rest) if rest else _digest(value)
    return None if new is None else _object({**fields, first: new})


def _digest(value: msgspec.Raw) -> bytes | None:
    if value == NOTHING:
        return None
    try:
        text = msgspec.json.decode(value, type=str)
    except msgspec.ValidationError:  # no text: a document as JSON
        return msgspec.json.encode(DIGEST + sha256(bytes(value)).hexdigest())
    if not text or _LINK.fullmatch(text):
        return None
    return msgspec.json.encode(DIGEST + sha256(text.encode()).hexdigest())
