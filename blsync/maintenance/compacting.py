"""Compaction: a thousand nights' files become a few, so that reading them costs what one does."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from blsync.entity import Entity
from blsync.files.atomic import storage_errors
from blsync.lake.landed import LAYERS, landed_files
from blsync.maintenance.files import About, about, batches_of, fitted, parquet_files, write
from blsync.maintenance.site import Failures, Site, site_of
from blsync.session import Say, Session
from blsync.settings import Company

FILE_SIZE = 128 * 2**20
"""Bytes from which on a file is left as it is, and up to which files are merged: what a night
rewrites stays bounded however large the lake grows."""
FEWEST = 8
"""A folder with fewer small files is left alone."""
MANY = 64
"""From so many small files in a folder on a night merges them of itself."""


@dataclass(frozen=True)
class Compaction:
    """An entity's files of one company, landing and quarantine together."""

    company: str
    entity: str
    files_before: int
    files_after: int


@dataclass
class _Group:
    """Neighbours that become one file."""

    schema: pa.Schema
    files: list[Path] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0


def compact(
    session: Session,
    companies: Collection[Company],
    entities: Collection[Entity],
    *,
    file_size: int = FILE_SIZE,
    on_step: Say = lambda _: None,
) -> list[Compaction]:
    """Merge old landed files into few; rows, their columns and their order stay.

    Only loads that the ledger says are landed are merged. Killed at any moment, the folder is the
    old one or the new one. An entity that fails keeps back no other one: raises what it failed
    with, PartlyFailed where others are done.
    """
    pairs = [(company, entity) for company in companies for entity in entities]
    failures = Failures(session.settings.data)

    async def all_of_them() -> list[Compaction]:
        done = []
        for company, entity in pairs:
            with failures.apart(entity, company.name):
                async with site_of(session, entity, company.company_id, on_step) as site:
                    counts = [await _compact(site, layer, file_size) for layer in LAYERS]
                before, after = (sum(numbers) for numbers in zip(*counts, strict=True))
                done.append(Compaction(company.name, entity.name, before, after))
        failures.raise_any()
        return done

    return asyncio.run(all_of_them())


def compact_grown(
    session: Session, companies: Collection[Company], entities: Collection[Entity]
) -> list[Compaction]:
    """Merge the files of the companies' entities that have become many, as `compact` does."""
    done = []
    for company in companies:
        grown = [one for one in entities if _has_grown(session, company, one)]
        done += compact(session, [company], grown) if grown else []
    return done


def _has_grown(session: Session, company: Company, entity: Entity) -> bool:
    for layer in LAYERS:
        folder = session.lake.data / layer / entity.name / f"company_id={company.company_id}"
        with storage_errors(folder):
            sizes = [path.stat().st_size for path in landed_files(folder)]
        if sum(size < FILE_SIZE for size in sizes) >= MANY:
            return True
    return False


async def _compact(site: Site, layer: str, file_size: int) -> tuple[int, int]:
    """Return the number of files before and after."""
    files = parquet_files(site.folder(layer))
    groups = _groups(_small_files(site, files, file_size), file_size)
    if not groups:
        return len(files), len(files)
    before = site.contents(layer)
    merged = {file.name for group in groups for file in group.files}
    for name in before.keys() - merged:
        site.keep(layer, name)
    for group in groups:
        ids = [facts["load_id"] for facts in group.facts]
        # A name never stands for two contents: a reader may have listed the files before.
        name = f"{min(ids)}--{max(ids)}-{uuid.uuid4().hex[:8]}.parquet"
        batches = (
            fitted(batch, group.schema) for file in group.files for batch in batches_of(file)
        )
        write(site.draft(layer) / name, group.schema, batches, group.facts)
        site.on_step(f"{layer} merged")
    await site.put_in_place(layer, before)
    return len(files), len(parquet_files(site.folder(layer)))


def _small_files(site: Site, files: list[Path], file_size: int) -> list[About]:
    small = [about(file) for file in files if file.stat().st_size < file_size]
    # A load left open is looked for under its own name, and may be written again.
    settled = [one for one in small if one.load_ids <= site.landed.keys()]
    left = sum(1 for one in small if one.rows) - sum(1 for one in settled if one.rows)
    if left:
        site.say(
            f"{left} files of {site.entity.name} are left as they are: the ledger does not say "
            "that their loads are landed. `blsync sync` or `blsync repair` mends that."
        )
    return settled


def _groups(small: list[About], file_size: int) -> list[_Group]:
    if len(small) < FEWEST:
        return []
    groups: list[_Group] = []
    for one in small:
        size = one.path.stat().st_size
        fitting = _merged(groups[-1].schema, one.schema) if groups else None
        if fitting is None or groups[-1].size + size > file_size:
            groups.append(_Group(one.schema))
            fitting = one.schema
        group = groups[-1]
        group.schema, group.size = fitting, group.size + size
        group.files.append(one.path)
        group.facts += one.facts or [{"load_id": one.path.stem}]
    return [group for group in groups if len(group.files) > 1]


def _merged(one: pa.Schema, other: pa.Schema) -> pa.Schema | None:
    """Return the schema that holds the rows of both; None where a column is of two kinds."""
    if one.equals(other):
        return one
    try:
        # The later one first: its order of the columns is the model's.
        both = pa.unify_schemas([other, one], promote_options="permissive")
    except pa.ArrowException:
        return None
    shared = set(one.names) & set(other.names)
    return pa.schema([f if f.name in shared else f.with_nullable(True) for f in both])
