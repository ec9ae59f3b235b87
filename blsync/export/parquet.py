"""The published marts as one Parquet file a table, in folders by schema."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pyarrow.parquet as pq

from blsync import marts
from blsync.errors import ConfigError
from blsync.files.atomic import storage_errors, sync_folder
from blsync.marts import queries
from blsync.settings import Settings

MARKER = ".blsync-export"
"""Stands in a folder that an export has written, and that another may take the place of."""


def write_parquet(settings: Settings, output: Path) -> int:
    """Write `SCHEMA/TABLE.parquet` for all that is published; returns the number of tables.

    The folder is exchanged whole, so that a reader who opens it finds one night's tables. Raises
    ConfigError where it exists and no export wrote it; BuildError where nothing is published;
    StorageError.
    """
    if output.exists() and not (output / MARKER).exists():
        raise ConfigError(
            f"{output} exists, and no export of blsync has written it. Name a folder that does not "
            "exist yet, or take that one away."
        )
    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist.")
    draft = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}.draft")
    before = draft.with_suffix(".before")
    count = 0
    with storage_errors(output):
        try:
            draft.mkdir()
            (draft / MARKER).touch()
            with marts.open_published(settings) as db:
                for schema, table in queries.relations(db):
                    (draft / schema).mkdir(exist_ok=True)
                    reader = queries.read(db, schema, table)
                    with pq.ParquetWriter(
                        draft / schema / f"{table}.parquet", reader.schema, compression="zstd"
                    ) as writer:
                        for batch in reader:
                            writer.write_batch(batch)
                    count += 1
            if output.exists():
                output.rename(before)
            draft.rename(output)
            sync_folder(output.parent)
        finally:
            for left in (draft, before):
                shutil.rmtree(left, ignore_errors=True)
    return count
