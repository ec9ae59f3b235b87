"""Rows of a Parquet file, within what a file of changes may hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from blsync.errors import InputFileError
from blsync.files.intake import MOST_TEXT, Intake, check_size
from blsync.lake.store import BATCH


def read_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and rows of any Parquet file, structs and maps as dicts.

    Raises InputFileError where it is none, or holds more than a file of changes may; OSError as it
    comes.
    """
    check_size(path)
    intake, rows = Intake(path), []
    try:
        with pq.ParquetFile(path) as file:
            names: list[str] = file.schema_arrow.names
            for batch in file.iter_batches(_rows_at_once(file.metadata, intake)):
                records = batch.to_pylist(maps_as_pydicts="strict")
                intake.take(rows=len(records), text=_length_of(records))
                rows += records
    except pa.ArrowException as error:
        message = f"{path.name} is not a Parquet file that can be read: {error}."
        raise InputFileError(message) from None
    return names, rows


def _length_of(value: Any) -> int:
    """Return how long all texts in a value are together."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_length_of, value.values()))
    return sum(map(_length_of, value)) if isinstance(value, list) else 0


def _rows_at_once(about: pq.FileMetaData, intake: Intake) -> int:
    """Return how many rows may be read together, going by what the file says of itself.

    A text that is kept once may stand in every row. Raises InputFileError.
    """
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    asked = replace(intake)
    asked.take(
        rows=about.num_rows,
        cells=sum(column.num_values for column in columns),
        text=max((column.total_uncompressed_size for column in columns), default=0),
    )
    return max(1, min(BATCH, MOST_TEXT // max(asked.text, 1)))
