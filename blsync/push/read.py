"""Files of changes: csv, json and jsonl, with the API's field names and dots for nesting."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from blsync.errors import InputFileError

CLEAR = "(clear)"
"""The word that empties a field; an empty cell leaves the field alone."""

_DECODER = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True)
class SheetRow:
    """A row: `number` 1 is the first below the header; `cells` are those that hold something."""

    number: int
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """A file of changes, read; `delimiter` is what a csv file was written with."""

    path: Path
    columns: list[str]
    rows: list[SheetRow]
    delimiter: str = ","


def read(path: Path) -> Sheet:
    """Read a file of changes.

    Raises InputFileError, in one line, where the file as a whole cannot be used: it is missing,
    empty, not UTF-8 or not well formed. What is wrong with single values is left to validation.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputFileError(
            f"{path.name}: files of the kind {path.suffix or 'without an ending'!r} are not read; "
            f"save it as one of {', '.join(_READERS)} (csv: UTF-8)."
        )
    text = _text(path)
    if not text.strip():
        raise InputFileError(f"{path.name} is empty; the first line must name the fields.")
    sheet = reader(path, text)
    if not sheet.rows:
        raise InputFileError(f"{path.name} has no rows below its header; there is nothing to plan.")
    return sheet


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputFileError(f"{path} does not exist; check the file's name.") from None
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputFileError(
            f"{path.name} is not UTF-8 (line {line} has a byte that cannot be read); save it "
            "again as 'CSV UTF-8' and plan that file."
        ) from None


def _read_csv(path: Path, text: str) -> Sheet:
    delimiter = _delimiter(text)
    lines = _records(path, text, delimiter)
    header = [cell.strip() for cell in next(lines)]
    while header and not header[-1]:
        header.pop()  # spreadsheets write columns that hold nothing
    _check_header(path, header)
    rows = []
    for number, cells in enumerate(lines, start=1):
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        extra = cells[len(header) :]
        if len(cells) < len(header) or any(extra):
            raise InputFileError(
                f"{path.name} row {number} has {len(cells)} cells where the header has "
                f"{len(header)}; put cells that hold {delimiter!r} into double quotes."
            )
        given = zip(header, cells, strict=False)
        rows.append(SheetRow(number, {name: cell for name, cell in given if cell}))
    return Sheet(path, header, rows, delimiter)


def _records(path: Path, text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from reader
    except csv.Error as error:
        raise InputFileError(
            f"{path.name} line {reader.line_num} is not well-formed csv ({error}); every quoted "
            'cell needs a closing ", and a " inside one is written "".'
        ) from None


def _delimiter(text: str) -> str:
    header = text.lstrip("\r\n").partition("\n")[0]
    outside = "".join(header.split('"')[::2])
    return ";" if outside.count(";") > outside.count(",") else ","


def _check_header(path: Path, header: list[str]) -> None:
    if "" in header:
        raise InputFileError(
            f"{path.name}: column {header.index('') + 1} of the header has no name."
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputFileError(
            f"{path.name} has the column {twice[0]!r} more than once; keep one of them."
        )


def _read_json(path: Path, text: str) -> Sheet:
    try:
        records = _DECODER.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputFileError(f"{path.name} is not well-formed JSON: {error}.") from None
    if not isinstance(records, list):
        raise InputFileError(f"{path.name} must hold a list of objects, one for each record.")
    return _sheet(path, list(enumerate(records, start=1)))


def _read_jsonl(path: Path, text: str) -> Sheet:
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append((number, _DECODER.decode(line)))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InputFileError(
                f"{path.name} line {number} is not well-formed JSON: {error}."
            ) from None
    return _sheet(path, records)


def _sheet(path: Path, records: list[tuple[int, Any]]) -> Sheet:
    rows = []
    for number, record in records:
        if not isinstance(record, dict):
            raise InputFileError(f"{path.name} row {number} is not an object of field names.")
        rows.append(SheetRow(number, dict(_flat(record))))
    columns = dict.fromkeys(name for row in rows for name in row.cells)
    return Sheet(path, list(columns), rows)


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            if value.strip():
                yield prefix + name, value.strip()
        elif value is not None:
            yield prefix + name, value


_READERS: dict[str, Callable[[Path, str], Sheet]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
}
