"""Slim lists: fields of the model that a list leaves out, and fetching them record by record.

A list may show less of a record than `GET /{id}` does. Fields that are absent in every record of a
list are named, and one record is fetched by its id to see whether that has them; what was seen is a
fact of the dialect. For the entities of `BLSYNC_DETAIL_FETCH` each record that changed is then
fetched too, and lands as it was listed with the fields that were left out behind it.

Whether a record is held is told by the part of it that the list shows: the details are not known
before they are fetched. An example, with `items` left out:

    listed    {"id": "inv_1", "total": 5}
    fetched   {"id": "inv_1", "items": [{"id": "l1"}], "total": 5}
    landed    {"id": "inv_1", "total": 5, "items": [{"id": "l1"}]}

The next list shows `{"id": "inv_1", "total": 5}` again, which is held. What landed before without
its details is held as well, but where a range of days is read again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from blsync.api.dialect import FIELDS, Dialect
from blsync.api.pages import Page, body_of, id_of
from blsync.entities import select
from blsync.entity import Entity
from blsync.errors import ApiError, ConfigError, QuotaSpent
from blsync.lake.typing import UNTYPED, Payload, RawRecord, as_text, raw_fields
from blsync.ledger import loads
from blsync.ledger.loads import Load, SpooledPage, Walk
from blsync.pull.work import PullContext
from blsync.settings import Settings

DETAILS = "details"
"""Under its name records are spooled that were fetched one by one."""
ENOUGH = 20
"""Records that lack a field before that says something of the list: any one may lack it."""


def check(settings: Settings) -> None:
    """Raise ConfigError where BLSYNC_DETAIL_FETCH names what is no entity."""
    names = [name.strip() for name in (settings.detail_fetch or "").split(",")]
    try:
        select([name for name in names if name not in ("", "all")])
    except ConfigError as error:
        raise ConfigError(f"BLSYNC_DETAIL_FETCH: {error}") from None


def left_out(settings: Settings, dialect: Dialect, entity: Entity) -> list[str]:
    """Return the fields that are to be fetched for each record of an entity that changed."""
    if not settings.fetches_details(entity.name) or FIELDS not in dialect.known:
        return []
    names: list[str] = json.loads(dialect.known[FIELDS].spelling)["detail"]
    return names


def as_listed(payload: Payload, names: Sequence[str]) -> bytes:
    """Return a record as a list shows it that leaves these fields out."""
    try:
        fields = raw_fields(payload)
    except UNTYPED:
        return bytes(payload)
    return _object({name: raw for name, raw in fields.items() if name not in names})


def held_as_listed(text: str, names: Sequence[str], *, needs_details: bool) -> str | None:
    """Return a landed record as a list shows it; None where it `needs_details` and has none."""
    payload = text.encode()
    try:
        has_details = not raw_fields(payload).keys().isdisjoint(names)
    except UNTYPED:
        has_details = True
    return None if needs_details and not has_details else as_text(as_listed(payload, names))


def _object(fields: dict[str, Payload]) -> bytes:
    return b"{%b}" % b",".join(
        msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()
    )


@dataclass
class Absence:
    """Which fields of the model no record of a load had."""

    entity: Entity
    missing: set[str] = field(init=False)
    records: int = 0
    sample: str | None = None

    def __post_init__(self) -> None:
        certain = {*self.entity.key, *self.entity.unlisted}
        self.missing = set(self.entity.model.__struct_encode_fields__) - certain

    def look(self, records: Sequence[RawRecord], filled: set[str]) -> None:
        """Take in records; `filled` are the fields that have a value in some of them."""
        self.missing -= filled
        self.records += len(records)
        for received in records:
            if not self.missing:
                return
            try:
                self.missing -= raw_fields(received.payload).keys()
            except UNTYPED:
                continue
            self.sample = self.sample or id_of(received.payload)


async def note_absence(work: PullContext, absence: Absence) -> None:
    """Name the fields that a list leaves out, and see whether the detail of one record has them."""
    names = sorted(absence.missing)
    if absence.records < ENOUGH or not names or absence.sample is None:
        return
    known = work.dialect.known.get(FIELDS)
    if known and set(json.loads(known.spelling)["absent"]) >= set(names):
        return
    try:
        page = await work.dialect.detail(absence.sample)
        there = raw_fields(page.records[0]) if page else {}
    except (ApiError, QuotaSpent, *UNTYPED):  # it is no part of what was asked for: the next time
        return
    has = [name for name in names if bytes(there.get(name, b"null")) != b"null"]
    work.dialect.note_fields(names, has, absence.records, page.request_id if page else "")
    setting = "" if work.settings.fetches_details(work.entity.name) else _cure(work.entity)
    if has:
        work.say(
            f"{work.entity.name}: its list leaves out {', '.join(has)}, which GET /{{id}} has; "
            f"they are null in what landed.{setting}"
        )


def _cure(entity: Entity) -> str:
    return (
        f" Set BLSYNC_DETAIL_FETCH={entity.name} to have them fetched for changed records, one "
        "request each; `blsync plan` tells the cost."
    )


async def fetch(
    work: PullContext, load: Load, waiting: Sequence[RawRecord], names: Sequence[str]
) -> list[SpooledPage]:
    """Fetch the details of these records into the load's spool; return the pages of all fetched.

    A record that is not found by its id any more, or has none, lands as it was listed.
    """
    spooled = [p for p in loads.pages_of(work.ledger, load.load_id) if p.feed == DETAILS]
    there = {
        as_listed(received.payload, names)
        for page in spooled
        for received in work.records(load, page)
    }
    walk = next((w for w in loads.walks_of(work.ledger, load.load_id) if w.feed == DETAILS), None)
    for received in waiting:
        if as_listed(received.payload, names) in there:
            continue
        key = id_of(received.payload)
        page = await work.dialect.detail(key) if key else None
        if page is None:
            page = Page(b"", [], None, None, None, received.request_id, received.pulled_at)
        body = body_of([msgspec.Raw(_merged(received.payload, page.records, names))])
        at = page.at
        walk = walk or Walk(DETAILS, False, True, None, None, None, None, None, at, 0, 0, None)
        walk = replace(walk, pages=walk.pages + 1, records=walk.records + 1)
        work.keep(load, walk, page, body)
    return [p for p in loads.pages_of(work.ledger, load.load_id) if p.feed == DETAILS]


def _merged(payload: Payload, details: Sequence[Payload], names: Sequence[str]) -> bytes:
    fields = dict(raw_fields(payload))
    for detail in details:
        try:
            told = raw_fields(detail)
        except UNTYPED:
            continue
        fields |= {name: told[name] for name in names if name in told}
    return _object(fields)
