"""The user's own tables, for tests that run dbt themselves: what Python reads of them, dbt has."""

from __future__ import annotations

from pathlib import Path

from blsync import user_tables
from blsync.lake.store import Lake


def hand_over(data: Path, seeds: Path) -> None:
    """Write what is read of the user's tables, as a build does."""
    for name, rows in user_tables.rows_of_tables(seeds).items():
        Lake(data).write_input(Path(name).stem, rows, user_tables.SCHEMAS[name])
