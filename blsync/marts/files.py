"""Which files of the lake a build reads, and what strayed among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from blsync.errors import StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.lake.landed import files_of_build, strays, told
from blsync.lake.landing import QUARANTINE
from blsync.lake.store import Lake
from blsync.marts.figures import COMPANIES
from blsync.settings import Settings


def companies_known(settings: Settings) -> set[str]:
    """Return the ids of the companies whose folders a build reads: those of the settings, and those
    that were synced before. Raises StorageError.
    """
    synced = Lake(settings.data).read_input("companies", COMPANIES)
    set_now = {company.company_id for company in settings.companies()}
    return {row["company_id"] for row in synced} | set_now - {""}


def strays_of(settings: Settings) -> list[str]:
    """Return what lies among the lake's files and is none of them. Raises StorageError."""
    with storage_errors(settings.data):
        return strays(settings.data, companies_known(settings))


def strays_told(settings: Settings) -> str:
    """Return one line on what strayed into the data folder; empty where nothing did.

    Raises StorageError.
    """
    return told(strays_of(settings))


def tell_strays(settings: Settings, say: Callable[[str], None]) -> None:
    """Say that line, if there is one."""
    with contextlib.suppress(StorageError):  # told by whoever needs what cannot be read
        if line := strays_told(settings):
            say(line)


def lake_files(settings: Settings) -> list[tuple[str, str, str]]:
    """Return the files of the lake that a build reads: (layer, entity, path)."""
    with storage_errors(settings.data):
        return files_of_build(settings.data, companies_known(settings))


def write_files_of_build(settings: Settings, target: Path) -> None:
    """Write which files of the lake a build reads, for as long as it runs: (layer, entity, path).

    By a pattern it would read strays too. A file without rows stands beside the list, and in it, so
    that there is a quarantine to be read. Raises StorageError.
    """
    names, empty = ("layer", "entity", "path"), no_quarantine(target)
    found = [*lake_files(settings), ("quarantine", "", str(empty))]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    schema = pa.schema([(name, pa.string()) for name in names])
    for path, table in (
        (empty, QUARANTINE.empty_table()),
        (target, pa.Table.from_pylist(rows, schema)),
    ):
        with storage_errors(path), atomic_write(path) as draft:
            pq.write_table(table, draft)


def no_quarantine(files: Path) -> Path:
    """Return the file without rows that stands beside a build's list of files."""
    return files.with_name("build.quarantine")
