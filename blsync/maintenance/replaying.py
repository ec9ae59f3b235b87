"""Replay: the landed payloads and the quarantine typed again with today's model, unasked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from blsync.entity import Entity
from blsync.files.atomic import atomic_write, storage_errors
from blsync.lake.landing import QUARANTINE
from blsync.lake.typing import RawRecord, as_bytes, fingerprint, type_records
from blsync.maintenance.files import (
    BATCH_ROWS,
    PART,
    about,
    batches_of,
    fitted,
    parquet_files,
    write,
)
from blsync.maintenance.site import Failures, Site, site_of
from blsync.session import Say, Session
from blsync.settings import Company


@dataclass
class Replay:
    """Landed rows typed again, rows recovered from the quarantine, rows that went there."""

    company: str
    rows: int = 0
    recovered: int = 0
    quarantined: int = 0


@dataclass
class _Work:
    """A replay under way; payloads are known by their fingerprints."""

    site: Site
    result: Replay
    zone: tzinfo
    waiting: set[int] = field(default_factory=set)
    """In quarantine."""
    gone: set[int] = field(default_factory=set)
    """Of those: held in the landing, or recovered now."""
    rejected: set[int] = field(default_factory=set)
    """Landed until now, and not typed any more."""
    rejects: list[dict[str, Any]] = field(default_factory=list)
    """Rows of these for the quarantine that are not written yet."""


def replay(
    session: Session,
    companies: Collection[Company],
    entity: Entity,
    *,
    on_step: Say = lambda _: None,
) -> list[Replay]:
    """Type an entity's landed payloads and its quarantine again, without a request.

    Files keep their names and footers, rows their load, request and time of pull; tombstones stay.
    A quarantined record that types now is landed under the load that brought it, a landed one that
    does not goes to quarantine. Loads that the ledger does not say are landed are left alone.
    Killed at any moment, the next replay ends it. A company that fails keeps back no other one:
    raises what it failed with, PartlyFailed where others are done.
    """
    failures = Failures(session.settings.data)

    async def all_of_them() -> list[Replay]:
        done = []
        for company in companies:
            with failures.apart(entity, company.name):
                async with site_of(session, entity, company.company_id, on_step) as site:
                    work = _Work(site, Replay(company.name), session.settings.zone)
                    if site.folder("landing").exists():
                        await _replay(work)
                    done.append(work.result)
        failures.raise_any()
        return done

    return asyncio.run(all_of_them())


async def _replay(work: _Work) -> None:
    site = work.site
    before = site.contents("landing")
    work.waiting = set(_marks(parquet_files(site.folder("quarantine"))))
    if work.waiting:
        files = parquet_files(site.folder("landing"))
        work.gone = {mark for mark in _marks(files) if mark in work.waiting}
    landed = {path.name for path in parquet_files(site.folder("landing"))}
    for name in before:
        if name in landed:
            _retype(work, name)
        else:
            site.keep("landing", name)
    _write_rejects(work)
    for path in parquet_files(site.folder("quarantine")):
        _recover(work, path)
    # Rejects are in quarantine before they leave the landing, and what is recovered is in the
    # landing before it leaves the quarantine: a kill in between leaves both, and loses nothing.
    _add_rejects(site)
    # Loads that were built from keep their ids: only a full build sees that their rows changed.
    # Said twice, for a build that begins before the exchange and for a kill right after it.
    site.lake.full_build_marker.touch()
    await site.put_in_place("landing", before)
    site.lake.full_build_marker.touch()
    if gone := work.gone - work.rejected:
        await _clear_quarantine(site, gone)
    if work.result.quarantined:
        site.say(
            f"{work.result.quarantined} landed {site.entity.name} no longer fit the model. They "
            "are in quarantine with their reasons; mend the model and replay again."
        )


def _marks(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        for batch in batches_of(path, ["_payload"]):
            yield from (_mark(text) for text in batch["_payload"].to_pylist() if text is not None)


def _mark(payload: str) -> int:
    return fingerprint(payload.encode())


def _retype(work: _Work, name: str) -> None:
    """Write a landed file anew into the draft."""
    site = work.site
    path = site.folder("landing") / name
    found = about(path)
    if found.load_ids <= site.landed.keys() or not found.rows:
        batches = (typed for batch in batches_of(path) for typed in _typed(work, batch))
        write(site.draft("landing") / name, site.entity.schema, batches, found.facts)
        return
    site.say(
        f"{name} was left as it is: the ledger does not say that its loads are landed. "
        "`blsync sync` or `blsync repair` mends that."
    )
    site.keep("landing", name)


def _typed(work: _Work, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield a batch's rows in today's types, run by run: rows that follow each other share a load.

    What no longer types is kept in `work.rejects`.
    """
    kinds = zip(batch["_load_id"].to_pylist(), batch["_op"].to_pylist(), strict=True)
    start = 0
    for (load_id, op), rows in groupby(kinds):
        run = batch.slice(start, sum(1 for _ in rows))
        start += run.num_rows
        if op != "upsert":
            yield fitted(run, work.site.entity.schema)
            continue
        received = [
            RawRecord(msgspec.Raw(row["_payload"].encode()), row["_request_id"], row["_pulled_at"])
            for row in run.select(["_payload", "_request_id", "_pulled_at"]).to_pylist()
        ]
        site = work.site
        table = type_records(
            site.entity, site.company_id, load_id, received, work.rejects, zone=work.zone
        )
        work.result.rows += table.num_rows
        yield from table.to_batches()
    if len(work.rejects) >= BATCH_ROWS:
        _write_rejects(work)


def _write_rejects(work: _Work) -> None:
    """Write rejects beside the drafts, but those that a killed replay left in quarantine."""
    marks = [_mark(reject["_payload"]) for reject in work.rejects]
    fresh = [
        reject for mark, reject in zip(marks, work.rejects, strict=True) if mark not in work.waiting
    ]
    if fresh:
        ids = {reject["_load_id"] for reject in fresh}
        target = work.site.work / "rejects" / _new_name(ids, "replayed")
        rows = pa.RecordBatch.from_pylist(fresh, QUARANTINE)
        write(target, QUARANTINE, [rows], _parts(work.site, ids))
    work.result.quarantined += len(marks)
    work.rejected.update(marks)
    work.rejects.clear()


def _add_rejects(site: Site) -> None:
    for path in parquet_files(site.work / "rejects"):
        target = site.folder("quarantine") / path.name
        with storage_errors(target), atomic_write(target) as draft:
            path.replace(draft)
    site.on_step("rejects added")


def _recover(work: _Work, path: Path) -> None:
    """Write what types now into a landing file of its own: the loads' files stay what they were."""
    site = work.site
    columns = (batch["_load_id"].to_pylist() for batch in batches_of(path, ["_load_id"]))
    ids = {load_id for column in columns for load_id in column} & site.landed.keys()
    if ids:
        target = site.draft("landing") / _new_name(ids, "recovered")
        rows = write(target, site.entity.schema, _recovered(work, path), _parts(site, ids))
        if not rows:
            target.unlink()
        work.result.recovered += rows


def _recovered(work: _Work, path: Path) -> Iterator[pa.RecordBatch]:
    site = work.site
    for batch in batches_of(path):
        for load_id, rows in groupby(batch.to_pylist(), key=lambda row: row["_load_id"]):
            if load_id not in site.landed:
                continue
            at = site.landed[load_id]["started_at"]
            tried = {
                _mark(row["_payload"]): RawRecord(
                    msgspec.Raw(as_bytes(row["_payload"])),
                    row["_request_id"],
                    row.get("_pulled_at") or at,
                )
                for row in rows
            }
            fresh = [received for mark, received in tried.items() if mark not in work.gone]
            table = type_records(site.entity, site.company_id, load_id, fresh, [], zone=work.zone)
            work.gone.update(map(_mark, table["_payload"].to_pylist()))
            yield from table.to_batches()


async def _clear_quarantine(site: Site, gone: set[int]) -> None:
    before = site.contents("quarantine")
    files = {path.name: path for path in parquet_files(site.folder("quarantine"))}
    for name in before:
        path = files.get(name)
        if path is None or gone.isdisjoint(_marks([path])):
            site.keep("quarantine", name)
            continue
        found = about(path)
        batches = (_without(batch, gone) for batch in batches_of(path))
        write(site.draft("quarantine") / name, found.schema, batches, found.facts)
    await site.put_in_place("quarantine", before)


def _without(batch: pa.RecordBatch, gone: set[int]) -> pa.RecordBatch:
    return batch.filter(pa.array([_mark(p) not in gone for p in batch["_payload"].to_pylist()]))


def _new_name(load_ids: set[str], word: str) -> str:
    return f"{min(load_ids)}--{word}-{uuid.uuid4().hex[:8]}.parquet"


def _parts(site: Site, load_ids: set[str]) -> list[dict[str, Any]]:
    """Return the ledger's facts of loads to which rows were added, or taken from, by a replay."""
    feeds = sorted(feed.name for feed in site.entity.feeds)
    return [
        {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in site.landed[load_id].items()
        }
        | {**site.origin, "feeds": feeds, PART: "replayed"}
        for load_id in sorted(load_ids)
    ]
