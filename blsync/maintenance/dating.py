"""Dating anew: what a clock that ran ahead has dated, in the lake and in the ledger.

Such a load's window ends in the future, so that nothing would be pulled again until then, and its
versions would stay the latest of their records for as long. The load gets the time at which it was
pulled in truth, where the server told it then (its window's end), else a place beside its
neighbours, at the latest now; its order among the loads dated ahead stays. Ids stay what they are:
nothing is ordered by them, and other tables name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pyarrow as pa

from blsync.clock import is_ahead
from blsync.lake.landed import LAYERS
from blsync.ledger import Ledger, loads
from blsync.ledger.loads import BEGINNING
from blsync.ledger.states import LoadKind
from blsync.maintenance.files import About, about, batches_of, parquet_files, write
from blsync.maintenance.site import Site

ONE_NIGHT = timedelta(days=1)
"""Loads that are dated no further apart ran by a clock that was wrong by the same."""
_TICK = timedelta(microseconds=1)
_TIMES = ("window_start", "window_end", "started_at", "committed_at")


@dataclass
class Redating:
    """A load with its times (UTC) as its footers and the ledger tell them, and those of its rows.

    A repair that was killed leaves some of them mended: one that does not lie ahead is right.
    """

    load_id: str
    kind: LoadKind = LoadKind.CHANGE
    told: list[dict[str, datetime | None]] = field(default_factory=list)
    stamps: set[datetime] = field(default_factory=set)

    def times(self, now: datetime) -> dict[str, datetime | None]:
        """Return the times that are right, or all there are."""
        right = (one for one in self.told if not _any_ahead(one.values(), now))
        return next(right, self.told[0] if self.told else {})

    def is_ahead(self, now: datetime) -> bool:
        """Tell whether any of its times lies ahead, wherever it is told."""
        return _any_ahead([*self.stamps, *(at for one in self.told for at in one.values())], now)

    @property
    def began_at(self) -> datetime:
        """When it began, as it is written."""
        known = (one.get("started_at") for one in self.told)
        return min([*self.stamps, *(at for at in known if at)], default=BEGINNING)


def _any_ahead(times: Iterable[datetime | None], now: datetime) -> bool:
    return any(at and is_ahead(at, now) for at in times)


@dataclass
class Moves:
    """The times that take the places of others: of loads, and of their rows."""

    times: dict[str, dict[str, datetime | None]] = field(default_factory=dict)
    stamps: dict[str, dict[datetime, datetime]] = field(default_factory=dict)
    uncovered: list[str] = field(default_factory=list)
    """Loads whose window ended in the future; they cover nothing any more."""


def found_in(site: Site, ledger: Ledger) -> dict[str, Redating]:
    """Return the loads that the lake or the ledger knows, with all their times. Raises
    StorageError.
    """
    found: dict[str, Redating] = {}
    for layer in LAYERS:
        for path in parquet_files(site.folder(layer)):
            file = about(path)
            for facts in file.facts:
                dated = found.setdefault(facts["load_id"], Redating(facts["load_id"]))
                dated.told.append(_times_in(facts))
                dated.kind = facts.get("kind", dated.kind)
            for load_id, at in _stamps_in(file):
                found.setdefault(load_id, Redating(load_id)).stamps.add(at)
    rows = [*site.landed.values(), *loads.open_loads(ledger, site.company_id, site.entity.name)]
    for row in rows:
        dated = found.setdefault(row["load_id"], Redating(row["load_id"]))
        dated.kind = row["kind"]
        dated.told.append({name: row[name] for name in _TIMES})
    return found


def _times_in(facts: Mapping[str, Any]) -> dict[str, datetime | None]:
    texts = {name: facts.get(name) for name in _TIMES}
    return {name: datetime.fromisoformat(text) if text else None for name, text in texts.items()}


def _stamps_in(file: About) -> Iterator[tuple[str, datetime]]:
    """Yield which loads' rows a file has, and when they were pulled, each pair once a batch."""
    if not {"_load_id", "_pulled_at"} <= set(file.schema.names):
        return
    for batch in batches_of(file.path, ["_load_id", "_pulled_at"]):
        pairs = pa.Table.from_batches([batch]).group_by(["_load_id", "_pulled_at"]).aggregate([])
        for row in pairs.to_pylist():
            if row["_load_id"] and row["_pulled_at"]:
                yield row["_load_id"], row["_pulled_at"]


def moves_of(found: Mapping[str, Redating], zone: tzinfo, now: datetime) -> Moves:
    """Return the times that loads dated ahead of `now` (UTC) are to have; `zone` is that in which
    windows of days begin and end.
    """
    ahead = sorted(
        (one for one in found.values() if one.is_ahead(now)),
        key=lambda one: (one.began_at, one.load_id),
    )
    moves = Moves()
    last = BEGINNING
    true_times = _true_times(ahead, zone, now)
    for at, dated in sorted(zip(true_times, ahead, strict=True), key=lambda pair: pair[0]):
        begins = max(at, last + _TICK)
        last = _move(moves, dated, begins, now)
    return moves


def _true_times(ahead: list[Redating], zone: tzinfo, now: datetime) -> list[datetime]:
    """Return when loads were pulled in truth, as far as that can be told; equal ones keep order."""
    told = [_told(dated, zone, now) for dated in ahead]
    known: list[datetime] = []
    for number, dated in enumerate(ahead):
        at = told[number]
        if at is None and number and _is_one_night(ahead[number - 1], dated):
            at = known[-1]
        if at is None:
            later = zip(ahead[number + 1 :], told[number + 1 :], strict=True)
            at = next((t - _TICK for one, t in later if t and _is_one_night(dated, one)), now)
        known.append(at)
    return known


def _is_one_night(earlier: Redating, later: Redating) -> bool:
    return later.began_at - earlier.began_at <= ONE_NIGHT


def _told(dated: Redating, zone: tzinfo, now: datetime) -> datetime | None:
    """Return the server's time when a load began to read: a window up to now ends with it.

    One that ends at midnight is a window of days, which may be read at any time later.
    """
    end = dated.times(now).get("window_end")
    if dated.kind != LoadKind.CHANGE or end is None or is_ahead(end, now):
        return None
    if end.astimezone(zone).time() == time():
        return None
    return max([end, *(at for at in dated.stamps if not is_ahead(at, now))])


def _move(moves: Moves, dated: Redating, begins: datetime, now: datetime) -> datetime:
    """Have a load begin at that time; returns the last of its new times."""
    new_stamps: dict[datetime, datetime] = {}
    last = begins
    for stamp in sorted(at for at in dated.stamps if is_ahead(at, now)):
        last += _TICK
        new_stamps[stamp] = last
    last += _TICK
    times = dict(dated.times(now))
    start, end = times.get("window_start"), times.get("window_end")
    if end and is_ahead(end, now):
        if dated.kind == LoadKind.CHANGE:
            moves.uncovered.append(dated.load_id)
        times["window_start"] = times["window_end"] = begins
    elif start and is_ahead(start, now):
        times["window_start"] = end
    for name, at in (("started_at", begins), ("committed_at", last)):
        known = times.get(name)
        if known is None or is_ahead(known, now):
            times[name] = at
    moves.times[dated.load_id] = times
    moves.stamps[dated.load_id] = new_stamps
    return last


async def rewrite(site: Site, moves: Moves) -> None:
    """Write the files that hold such loads anew, the others as they are, and exchange the folders.

    Killed at any moment, either layer's folder is the old one or the new one, and the next repair
    goes on. Raises StorageError.
    """
    site.lake.full_build_marker.touch()  # before and after, as a replay does
    for layer in LAYERS:
        affected = {path.name for path in parquet_files(site.folder(layer)) if _is_in(path, moves)}
        if not affected:
            continue
        before = site.contents(layer)
        for name in before:
            if name in affected:
                _rewrite(site, layer, name, moves)
            else:
                site.keep(layer, name)
        await site.put_in_place(layer, before)
    site.lake.full_build_marker.touch()


def _is_in(path: Path, moves: Moves) -> bool:
    return not about(path).load_ids.isdisjoint(moves.times)


def _rewrite(site: Site, layer: str, name: str, moves: Moves) -> None:
    file = about(site.folder(layer) / name)
    batches = (_moved(batch, moves) for batch in batches_of(file.path))
    write(site.draft(layer) / name, file.schema, batches, _moved_facts(file.facts, moves))


def _moved(batch: pa.RecordBatch, moves: Moves) -> pa.RecordBatch:
    if "_pulled_at" not in batch.schema.names:
        return batch
    place = batch.schema.get_field_index("_pulled_at")
    pairs = zip(batch["_load_id"].to_pylist(), batch["_pulled_at"].to_pylist(), strict=True)
    times = [moves.stamps.get(load_id, {}).get(at, at) for load_id, at in pairs]
    kind = batch.schema.field(place)
    columns = [*batch.columns]
    columns[place] = pa.array(times, kind.type)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _moved_facts(facts: Iterable[dict[str, Any]], moves: Moves) -> list[dict[str, Any]]:
    moved = []
    for one in facts:
        times = moves.times.get(one["load_id"], {})
        told = {name: at.isoformat() for name, at in times.items() if at}
        moved.append({**one, **told})
    return moved


def write_times(ledger: Ledger, moves: Moves) -> None:
    """Write the loads' new times into the ledger, where it knows them."""
    for load_id, times in moves.times.items():
        # What a footer of an earlier version does not tell stays what the ledger knows.
        known = {n: at for n, at in times.items() if at or n == "window_start"}
        loads.put_times(ledger, load_id, known)


def latest_stamps(found: Mapping[str, Redating]) -> dict[str, datetime]:
    """Return when the last of each load's rows was pulled."""
    return {load_id: max(one.stamps) for load_id, one in found.items() if one.stamps}
