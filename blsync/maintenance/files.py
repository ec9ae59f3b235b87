"""Parquet files of the lake, read and written in streams; what their footers say of loads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from blsync.files.atomic import storage_errors
from blsync.lake.landed import damaged, landed_files
from blsync.lake.store import FOOTER

PART = "part"
"""In a load's facts: the file holds rows of the load that were added later, not the load itself."""
BATCH_ROWS = 4096
GROUP_ROWS = 65_536
GROUP_BYTES = 32 * 2**20
"""A row group is written when it has so many rows or bytes: what memory has to hold."""


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file of the lake. Raises StorageError, also while it is read."""
    try:
        with storage_errors(path), pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowException as error:
        if isinstance(error, MemoryError):
            raise
        raise damaged(path, error) from error


@dataclass(frozen=True)
class About:
    """What a file holds, as its footer tells."""

    path: Path
    facts: list[dict[str, Any]]
    schema: pa.Schema
    rows: int

    @property
    def load_ids(self) -> set[str]:
        """The loads whose rows it holds; without a footer its name says which load it is."""
        return {facts["load_id"] for facts in self.facts} or {self.path.stem}


def about(path: Path) -> About:
    """Read a file's footer. Raises StorageError."""
    with opened(path) as file:
        text = (file.metadata.metadata or {}).get(FOOTER)
        try:
            facts: dict[str, Any] = json.loads(text) if text else {}
        except ValueError as error:
            raise damaged(path, f"its footer is no JSON ({error})") from error
        several = facts.get("loads", [facts] if facts else [])
        schema = file.schema_arrow.remove_metadata()
        return About(path, several, schema, file.metadata.num_rows)


def facts_in(path: Path) -> list[dict[str, Any]]:
    """Return what a file's footer says of each load in it: one for a landed file, several for a
    merged one, none for a file without a footer. Raises StorageError.
    """
    return about(path).facts


def parquet_files(folder: Path) -> list[Path]:
    """Return a folder's landed files, the oldest load first; none where there is no folder.

    Raises StorageError.
    """
    with storage_errors(folder):
        return landed_files(folder)


def batches_of(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows in their order. Raises StorageError."""
    with opened(path) as file:
        # Most files are small: threads would take longer to start than the reading takes.
        yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows with a schema's columns: null where the batch has none of that name."""
    if batch.schema.equals(schema):
        return batch
    held = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in held
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def write(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    facts: list[dict[str, Any]],
) -> int:
    """Write a file of rows that fit the schema, and sync it; returns its rows."""
    rows = 0
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for group in _row_groups(batches):
                writer.write_table(group, row_group_size=GROUP_ROWS)
                rows += group.num_rows
            if facts:
                footer = facts[0] if len(facts) == 1 else {"loads": facts}
                writer.add_key_value_metadata({FOOTER: json.dumps(footer)})
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return rows


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if waiting and (rows + batch.num_rows > GROUP_ROWS or size + batch.nbytes > GROUP_BYTES):
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if rows:
        yield pa.Table.from_batches(waiting)
