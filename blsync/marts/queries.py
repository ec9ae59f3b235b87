"""Questions to a DuckDB file of marts: one select at a time, and nothing but the file's own tables.

Whoever may ask needs no right to anything else of this machine, so DuckDB is locked before the
question is read: no other file, no `copy`, no `attach`, no extension, no setting. What is written
to a file is written here, from the answer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from blsync.errors import ConfigError, StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.cells import guarded
from blsync.lake.store import BATCH
from blsync.marts.database import is_locked, is_of_damage, open_elsewhere, reason_of

LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # or a name in a query could be a variable of ours
    "lock_configuration": "true",
}
Connection = duckdb.DuckDBPyConnection
"""Open marts."""
_ASKING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_SPECIAL = re.compile(r'[",\r\n]')
_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True)
class Answer:
    """A query's columns, and its rows batch by batch; to be read once."""

    reader: pa.RecordBatchReader

    @property
    def names(self) -> list[str]:
        """Names of the columns, as the query gives them."""
        return list(self.reader.schema.names)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield rows: decimals exact, timestamps as DuckDB has them (those of the marts in UTC)."""
        for batch in self.reader:
            yield from zip(*(_values(column) for column in batch.columns), strict=True)


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file of marts for questions.

    Raises ConfigError where DuckDB refuses one, StorageError where the file cannot be read, or
    another program has it open for writing.
    """
    try:
        db = duckdb.connect(str(path), read_only=True, config=LOCKED)
    except duckdb.Error as error:
        raise _unreadable(path, error) from None
    with db:
        try:
            yield db
        except duckdb.PermissionException as error:
            raise ConfigError(
                "The query was refused: it reads the tables of the marts alone, no files, "
                f"extensions or other databases. {error}"
            ) from None
        except duckdb.Error as error:
            if is_of_damage(error):
                raise _unreadable(path, error) from None
            raise ConfigError(f"The query was refused: {error}") from None


def _unreadable(path: Path, error: duckdb.Error) -> StorageError:
    if is_locked(error):
        return StorageError(open_elsewhere(path, error))
    return StorageError(
        f"{path} cannot be read: {reason_of(error)}. `blsync build` makes it anew from what has "
        "landed; until then blsync.previous.duckdb beside the published marts has the night before."
    )


def ask(db: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any] | None = None) -> Answer:
    """Ask one question, with `values` for its `$names`.

    Raises ConfigError where it is none; what DuckDB refuses, where `db` was opened.
    """
    check(db, sql)
    return Answer(db.sql(sql, params=dict(values or {}) or None).to_arrow_reader(BATCH))


def relations(db: Connection) -> list[tuple[str, str]]:
    """Return (schema, name) of every table and view of the marts, in order."""
    found = db.execute(
        "select schema_name, table_name from duckdb_tables() where not internal union all "
        "select schema_name, view_name from duckdb_views() where not internal order by all"
    )
    return found.fetchall()


def read(db: Connection, schema: str, name: str) -> pa.RecordBatchReader:
    """Return all rows of a table or view of the marts."""
    return db.sql(f'from "{schema}"."{name}"').to_arrow_reader(BATCH)


def check(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise ConfigError unless the text is one statement that only asks."""
    statements = db.extract_statements(sql)
    if len(statements) != 1:
        raise ConfigError(f"Write one statement; there are {len(statements)}.")
    if statements[0].type not in _ASKING:
        raise ConfigError(
            f"The query was refused: the marts are read-only, and this is a "
            f"{statements[0].type.name} statement. Write a select (or from, with, values, "
            "describe, show, summarize, explain)."
        )


def write(answer: Answer, form: str, output: Path) -> int:
    """Write an answer to a file (csv, json, parquet, xlsx); returns its rows.

    Raises ConfigError where the folder does not exist or the answer does not fit into a worksheet,
    StorageError where the file cannot be written.
    """
    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist.")
    counted = _Counted(answer.rows())
    with storage_errors(output), atomic_write(output) as draft:
        if form == "parquet":
            return _write_parquet(answer, draft)
        if form == "xlsx":
            # Here: few ask for a workbook, and what writes it loads slowly.
            from blsync.files.spreadsheet import write_table

            write_table(draft, "query", answer.names, counted)
        else:
            writer = write_csv if form == "csv" else write_json
            with draft.open("w", encoding="utf-8", newline="") as file:
                writer(file, answer.names, counted)
    return counted.count


def write_csv(file: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write csv; a text that a spreadsheet would take for a formula has an apostrophe before it."""
    for row in itertools.chain([names], rows):
        file.write(",".join(map(_csv_cell, row)) + "\n")


def write_json(file: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write one JSON list of objects; a decimal becomes a number with just its own digits."""
    file.write("[")
    for number, row in enumerate(rows):
        record = {name: _json_value(value) for name, value in zip(names, row, strict=True)}
        file.write(("," if number else "") + _JSON.encode(record).decode())
    file.write("]\n")


def text_of(value: Any) -> str:
    """Return a value as people read it: decimals with their own digits, true and false, no T."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, list | dict):
        return _JSON.encode(_json_value(value)).decode()
    return str(value)


def _csv_cell(value: Any) -> str:
    """Quote as RFC 4180 has it; the library's writer leaves a lone carriage return bare."""
    text = guarded(value) if isinstance(value, str) else text_of(value)
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def _json_value(value: Any) -> Any:
    """Return what JSON has a type for as it is, and anything else as text."""
    if isinstance(value, list):
        return [_json_value(inner) for inner in value]
    if isinstance(value, dict):
        return {str(name): _json_value(inner) for name, inner in value.items()}
    is_known = value is None or isinstance(value, str | bool | int | float | Decimal)
    return value if is_known or hasattr(value, "isoformat") else str(value)


def _values(column: pa.Array) -> list[Any]:
    """Return a column's values; a day or instant that Python has no date for comes as text."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return list(column.cast(pa.string()).to_pylist())


def _write_parquet(answer: Answer, draft: Path) -> int:
    count = 0
    with pq.ParquetWriter(draft, answer.reader.schema, compression="zstd") as writer:
        for batch in answer.reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


class _Counted:
    """Counts rows while they are written."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            self.count += 1
            yield row
