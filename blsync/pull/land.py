"""Landing: what a load has in the spool, typed and written, each version once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import compress
from typing import Any

import msgspec
import pyarrow as pa

from blsync.client import records_of
from blsync.errors import TooManyRejected
from blsync.lake import storage
from blsync.ledger import loads
from blsync.ledger.loads import Load, Outcome
from blsync.pull.walk import read_aside
from blsync.pull.work import Work
from blsync.records import UNTYPED, Fingerprints, Received, tombstones, type_records

REVERSED = "reversed originals"
"""Under its name records are spooled that a reversing record made us fetch again."""
ENOUGH = 20
"""Records that a load has at least before a share of them means anything."""

Gone = list[tuple[str, str]]
"""Keys that BigLedger no longer has, each with the id of the request that showed it."""


async def land(work: Work, load: Load, window_end: datetime, gone: Gone | None = None) -> Outcome:
    """Land what the load has in the spool and is not held yet, and a delete row for `gone`.

    Raises TooManyRejected where too large a share cannot be typed.
    """
    entity, company_id = work.entity, load.company_id
    is_change = load.kind == loads.CHANGE
    held = work.lake.held(entity, company_id, load.window_start if is_change else None)
    if entity.reversal_field and await _fetch_reversed(work, load, held):
        held = work.lake.held(entity, company_id, None)  # what was reversed may be of any age
    known = loads.known(work.ledger, company_id, entity.name)
    rejects: list[dict[str, Any]] = []
    unknown: set[str] = set()
    nulls: set[str] = set()
    rows = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal rows
        for batch in _new_records(work, load, held):
            table = type_records(entity, company_id, load.load_id, batch, rejects, unknown)
            rows += table.num_rows
            nulls.update(
                f
                for f, c in zip(_names(entity.schema), table.columns, strict=False)
                if c.null_count
            )
            yield table
        _check_share(work, rows, rejects)
        if gone:
            yield tombstones(entity, company_id, load.load_id, gone, datetime.now(UTC))

    def facts() -> dict[str, Any]:
        cost = loads.cost_of(work.ledger, load.load_id)
        return {
            "load_id": load.load_id,
            "company_id": company_id,
            "entity": load.entity,
            "kind": load.kind,
            "feeds": sorted(feed.name for feed in entity.feeds),
            "window_start": load.window_start.isoformat() if load.window_start else None,
            "started_at": load.started_at.isoformat(),
            "requests": cost.requests,
            "throttled_ms": cost.throttled_ms,
            **_as_json(outcome()),
        }

    def outcome() -> Outcome:
        earlier = known.null_fields
        return Outcome(
            window_end,
            rows,
            len(gone or []),
            len(rejects),
            is_sorted=all(w.is_sorted for w in loads.walks_of(work.ledger, load.load_id)),
            page_limit=work.client.page_limits.get(entity.path),
            findings={
                "unknown_fields": sorted(unknown),
                "null_fields": sorted(nulls),
                "newly_null": sorted(nulls - earlier) if earlier is not None else [],
            },
        )

    work.lake.land(entity, company_id, load.load_id, tables(), rejects, facts)
    return outcome()


def outcome_of(facts: dict[str, Any]) -> Outcome:
    """Return what a landed file's footer says that its load came to."""
    names = Outcome.__dataclass_fields__
    values = {name: facts[name] for name in names if name in facts}
    return Outcome(**{**values, "window_end": datetime.fromisoformat(facts["window_end"])})


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {**vars(outcome), "window_end": outcome.window_end.isoformat()}


def _names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if not name.startswith("_")]


def _check_share(work: Work, rows: int, rejects: list[dict[str, Any]]) -> None:
    share = work.settings.quarantine_share
    records = rows + len(rejects)
    if records < ENOUGH or len(rejects) <= share * records:
        return
    first = rejects[0]
    raise TooManyRejected(
        f"{len(rejects)} of {records} new {work.entity.name} cannot be typed, more than the share "
        f"of {share:.0%} that goes to quarantine, so none of them landed. The first: "
        f"{first['_reason']} (request {first['_request_id']}). Ask the vendor what changed, or set "
        "BLSYNC_QUARANTINE_SHARE higher; what was read is kept for the next sync."
    )


def spooled(work: Work, load: Load) -> Iterator[list[Received]]:
    """Yield the records of a load's pages."""
    for page in loads.pages_of(work.ledger, load.load_id):
        path = work.lake.spool(load.load_id, page.feed, page.number)
        with storage(path):
            body = path.read_bytes()
        yield [Received(raw, page.request_id, page.pulled_at) for raw in records_of(body)]


def _new_records(work: Work, load: Load, held: Fingerprints) -> Iterator[list[Received]]:
    """Yield the spooled records page by page, each version once and none that is held already."""
    for batch in spooled(work, load):
        yield list(compress(batch, held.add([received.payload for received in batch])))


class _Reversal(msgspec.Struct, rename="camel"):
    id: str | None = None
    status: str | None = None
    reverses_id: str | None = None


async def _fetch_reversed(work: Work, load: Load, held: Fingerprints) -> bool:
    """Fetch again what a reversing record reversed: its status changed, its times did not.

    Tells whether there was anything to fetch.
    """
    reversed_ids: set[str] = set()
    known_void: set[str | None] = set()
    for batch in spooled(work, load):
        are_new = held.are_new([received.payload for received in batch])
        for received in compress(batch, are_new):
            try:
                record = msgspec.json.decode(received.payload, type=_Reversal)
            except UNTYPED:
                continue
            if record.status == "void":
                known_void.add(record.id)
            if record.reverses_id:
                reversed_ids.add(record.reverses_id)
    wanted = sorted(reversed_ids - known_void)
    await read_aside(work, load, REVERSED, "id", wanted)
    return bool(wanted)
