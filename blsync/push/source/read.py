"""Files of changes, with the API's field names and dots for nesting.

csv (UTF-8, with commas, semicolons or tabs), xlsx (the first worksheet), json (a list of objects),
jsonl (an object a line), parquet. A missing value leaves a field alone, `(clear)` empties it.
In csv an apostrophe before = + - or @ at the start of a cell is the one that an export put there.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from blsync.errors import InputFileError
from blsync.files.cells import DIGITS, unguarded
from blsync.files.intake import MOST_CELLS, Intake, check_size, too_large
from blsync.push.compare import from_text
from blsync.push.source.documents import gather, tidy
from blsync.push.source.form import Form
from blsync.push.source.grid import (
    MOST_ABOVE,
    MOST_NAMED,
    Grid,
    Row,
    fit,
    header_row,
    headings,
    table_of,
)
from blsync.push.source.parquet import read_parquet
from blsync.push.source.sheet import CLEAR, Cells, Sheet, SheetRow, Table
from blsync.push.source.values import read_values
from blsync.text.spellings import told_separator
from blsync.text.synonyms import letters

if TYPE_CHECKING:
    from blsync.files.spreadsheet import Start, Worksheet

__all__ = ["CLEAR", "Sheet", "SheetRow", "plain", "read", "sheet_of"]

NUL = "\u2400"
"""Stands for a NUL character where one is shown."""
_DELIMITERS = {",": "','", ";": "';'", "\t": "a tab"}


@dataclass(frozen=True)
class _How:
    hidden: bool
    form: Form | None


def read(
    path: Path,
    *,
    lines: str | None = None,
    key: str = "",
    hidden: bool = False,
    form: Form | None = None,
) -> Sheet:
    """Read a file of changes; of a worksheet what it shows, or all of it where `hidden`.

    With a `form` the sheet's columns become those of its endpoint, and its cells are read as the
    columns of the endpoint and the rest of each column tell (`blsync.push.source.values`).

    `lines` is the field that holds a document's lines, None where there are none; `key` the column
    of the natural key, by which rows of a csv or xlsx file are lines of one document
    (`blsync.push.documents`).

    Raises InputFileError, in one line, where the file as a whole cannot be used: it is missing,
    empty or not well formed. What is wrong with single values is left to validation.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = f"save it as one of {', '.join(_READERS)} (csv: UTF-8)"
        raise InputFileError(
            f"{path.name}: files of the kind {path.suffix or 'without an ending'!r} are not read; "
            f"{known}."
        )
    try:
        table = reader(path, _How(hidden, form))
    except FileNotFoundError:
        raise InputFileError(f"{path} does not exist; check the file's name.") from None
    except RecursionError:
        raise InputFileError(
            f"{path.name} has values nested too deep to be read; a record has a few levels."
        ) from None
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not table.rows:
        told = f"{path.name} has no rows below its header; there is nothing to plan."
        raise InputFileError(" ".join((told, *table.notes)))
    if form:
        table = read_values(table, form)
    return sheet_of(path, table, lines=lines, key=key)


def sheet_of(path: Path, table: Table, *, lines: str | None, key: str) -> Sheet:
    """Gather a table's rows to records, as `read` does."""
    missing: Counter[str] = Counter()
    rows = [_without_nul(row) for row in gather(path.name, table, lines, key, missing)]
    notes = table.notes
    if missing:
        words = ", ".join(sorted(missing))
        told = f"{path.name}: {missing.total()} cells hold {words}, and are read as empty."
        notes = (*notes, told)
    return Sheet(
        path,
        table.columns,
        rows,
        table.delimiter,
        notes,
        table.readings,
        table.headers,
        table.style,
    )


def _without_nul(row: SheetRow) -> SheetRow:
    """Return a row that holds NUL, which no database takes in a text, as one with a problem."""
    odd = [name for name, value in row.cells.items() if _has_nul(value) or "\0" in name]
    if not odd:
        return row
    told = f"row {row.place}: {odd[0]!r} holds a NUL character; delete it and plan the row again"
    cells = {name.replace("\0", NUL): _shown(value) for name, value in row.cells.items()}
    return replace(row, cells=cells, problems=(*row.problems, told))


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
    return isinstance(value, list) and any(map(_has_nul, value))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", NUL)
    if isinstance(value, dict):
        return {_shown(name): _shown(inner) for name, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list) else value


def _text(path: Path) -> str:
    check_size(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputFileError(
            f"{path.name} is not UTF-8 (line {line} has a byte that cannot be read); save it "
            "again as 'CSV UTF-8' and plan that file."
        ) from None
    if not text.strip():
        raise _empty(path)
    return text


def _json_text(path: Path) -> str:
    """Return the text of a file of JSON that has no more values than can be read."""
    text = _text(path)
    if sum(map(text.count, (",", "[", "{"))) > 3 * MOST_CELLS:
        raise too_large(path, f"more than {MOST_CELLS:,} values")
    return text


def _empty(path: Path) -> InputFileError:
    return InputFileError(f"{path.name} is empty; the first line must name the fields.")


def _read_csv(path: Path, how: _How) -> Table:
    text, delimiter = _told_delimiter(_text(path))
    rows: list[Row] = []
    intake = Intake(path)
    for number, record in enumerate(_records(path, text, delimiter), start=1):
        cells = [unguarded(cell.strip()) for cell in record] if rows else record
        if any(map(str.strip, cells)):
            intake.take(rows=int(bool(rows)), cells=len(cells) if rows else 0)
            rows.append((number, cells))
    if not rows:
        raise _empty(path)
    at = header_row(rows, how.form) if how.form else 0
    top = len(rows[at][1])
    for number, cells in rows[at + 1 :]:
        if any(cells[top:]):
            raise InputFileError(
                f"{path.name} row {number} has {len(cells)} cells where the header has "
                f"{top}; put cells that hold {_DELIMITERS.get(delimiter, repr(delimiter))} "
                "into double quotes."
            )
    return table_of(path, Grid(rows, delimiter), how.form)


_TOO_LONG = "field limit"
"""What Python's reader of csv says of a cell longer than any it takes."""


def _records(path: Path, text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from reader
    except csv.Error as error:
        if _TOO_LONG in str(error):
            raise InputFileError(
                f"{path.name} has a cell of more than {csv.field_size_limit():,} characters that "
                f"goes on in line {reader.line_num}: shorten it, or close the double quotes that "
                "it begins with."
            ) from None
        raise InputFileError(
            f"{path.name} line {reader.line_num} is not well-formed csv ({error}); every quoted "
            'cell needs a closing ", and a " inside one is written "".'
        ) from None


def _told_delimiter(text: str) -> tuple[str, str]:
    """Return a text without the line `sep=;` that may stand before its header, and its delimiter.

    Spreadsheet programs write and read that line.
    """
    if told := told_separator(text):
        return text.lstrip().partition("\n")[2], told
    return text, _delimiter(text)


def _delimiter(text: str) -> str:
    """Return what stands between cells: the first line that has any of them tells, as a title
    above the table may have none.
    """
    for line in text.splitlines():
        outside = "".join(line.split('"')[::2])
        if any(map(outside.count, _DELIMITERS)):
            return max(_DELIMITERS, key=outside.count)
    return ","


def _read_xlsx(path: Path, how: _How) -> Table:
    # Here: most files are no workbooks, and what reads them loads slowly.
    from blsync.files.spreadsheet import read_worksheet

    alike: list[str] = []
    sheet = read_worksheet(path, _chooser(path, how.form, alike), MOST_ABOVE if how.form else 0)
    if not sheet.rows:
        raise _empty(path)
    width = max(len(values) for _, values in sheet.rows)
    shown = [n for n in range(width) if how.hidden or not sheet.hidden.has_column(n)]
    at = header_row(sheet.rows, how.form) if how.form else 0
    notes = _hidden_notes(path, sheet, at, hidden=how.hidden)
    # A worksheet whose name begins with _ is for the reader, as such a column is.
    if beside := [name for name in sheet.others if not name.startswith("_")]:
        others = ", ".join(map(repr, beside))
        told = f"{path.name}: only the worksheet {sheet.name!r} is read; not {others}."
        if alike := [name for name in alike if name != sheet.name]:
            told += f" {_also(alike)} such a header too: --sheet {alike[0]!r} reads that one."
        notes.append(told)
    table = table_of(
        path,
        Grid(
            sheet.rows,
            shown=shown,
            left_out=frozenset() if how.hidden else sheet.hidden.rows,
            doubts=sheet.doubts,
            merged=sheet.merged,
            unvalued=sheet.unvalued,
            notes=tuple(notes),
        ),
        how.form,
    )
    if not table.rows and notes and not sheet.others:
        raise InputFileError(f"{notes[0]} There is nothing else to plan.")
    return table


def _also(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names))} {'has' if len(names) == 1 else 'have'}"


def _chooser(path: Path, form: Form | None, alike: list[str]) -> Callable[[Sequence[Start]], int]:
    """Return what picks the worksheet: the one that is named, or the first of those whose header
    fits best, all of which are put down in `alike`.
    """

    def choose(starts: Sequence[Start]) -> int:
        if form is None:
            return 0
        names = [start.name for start in starts]
        if form.sheet is not None:
            wanted = [n for n, name in enumerate(names) if letters(name) == letters(form.sheet)]
            if not wanted:
                told = ", ".join(map(repr, names))
                raise InputFileError(
                    f"{path.name} has no worksheet {form.sheet!r} that is not hidden; it has "
                    f"{told}."
                )
            return next((n for n in wanted if names[n] == form.sheet), wanted[0])
        fits = [
            max((fit(form, row) for _, row in start.rows if start.name[:1] != "_"), default=0)
            for start in starts
        ]
        best = max(fits, default=0)
        alike.extend(names[n] for n, good in enumerate(fits) if good == best > 0)
        return fits.index(best) if fits else 0

    return choose


def _name(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _hidden_notes(path: Path, sheet: Worksheet, at: int, *, hidden: bool) -> list[str]:
    """Tell which rows and columns of a worksheet nobody sees, and what becomes of them. `at` is
    which of its rows is the header.
    """
    (_, names), *below = sheet.rows[at:]
    rows = [number for number, _ in below if number in sheet.hidden.rows]
    last = max(len(values) for _, values in sheet.rows)
    hidden_columns = [n for n in range(last) if sheet.hidden.has_column(n)]
    columns = [
        _name(names[n] if n < len(names) else None) or f"without a name (number {n + 1})"
        for n in hidden_columns
        if any(n < len(values) and values[n] not in (None, "") for _, values in sheet.rows)
    ]
    parts = []
    if rows:
        told = ", ".join(map(str, rows[:MOST_NAMED])) + (" …" if len(rows) > MOST_NAMED else "")
        parts.append(f"{len(rows)} hidden row{'s'[: len(rows) > 1]} ({told} of the sheet)")
    if columns:
        told = ", ".join(map(repr, columns))
        parts.append(f"{len(columns)} hidden column{'s'[: len(columns) > 1]} ({told})")
    if not parts:
        return []
    both = " and ".join(parts)
    if hidden:
        return [f"{path.name}: read as well, as --hidden asks: {both}."]
    return [f"{path.name}: left out: {both}; unhide them, or plan with --hidden."]


def _read_json(path: Path, how: _How) -> Table:
    try:
        records = from_text(_json_text(path))
    except msgspec.MsgspecError as error:
        raise InputFileError(f"{path.name} is not well-formed JSON: {error}.") from None
    if not isinstance(records, list):
        raise InputFileError(f"{path.name} must hold a list of objects, one for each record.")
    return _meant(path, _table(path, enumerate(records, start=1)), how.form)


def _read_jsonl(path: Path, how: _How) -> Table:
    records = []
    for number, line in enumerate(_json_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append((number, from_text(line)))
        except msgspec.MsgspecError as error:
            raise InputFileError(
                f"{path.name} line {number} is not well-formed JSON: {error}."
            ) from None
    return _meant(path, _table(path, iter(records)), how.form)


def _table(path: Path, records: Iterator[tuple[int, Any]]) -> Table:
    intake, rows = Intake(path), []
    for number, record in records:
        if not isinstance(record, dict):
            raise InputFileError(f"{path.name} row {number} is not an object of field names.")
        row = dict(_flat(tidy(record)))
        intake.take(rows=1, cells=len(row))
        rows.append((number, row))
    return Table(_columns(rows), rows)


def _columns(rows: list[tuple[int, Cells]]) -> list[str]:
    return list(dict.fromkeys(name for _, cells in rows for name in cells))


def _read_parquet(path: Path, how: _How) -> Table:
    columns, records = read_parquet(path)
    return _meant(path, plain(columns, records), how.form)


def _meant(path: Path, table: Table, form: Form | None) -> Table:
    """Give the columns of a table that has names alone the endpoint's own."""
    if form is None:
        return table
    headers = form.headers(table.columns)
    out = form.check(path.name, headers)
    given = zip(table.columns, headers, strict=True)
    names = {own: header.column or f"_{header.name}" for own, header in given}
    notes = list(table.notes)
    if out:
        told = "; ".join(map(form.told, out))
        notes.append(f"{path.name}: left out, nothing of it is sent: {told}.")
    return replace(
        table,
        columns=list(dict.fromkeys(names.values())),
        rows=[(n, {names[own]: v for own, v in row.items()}) for n, row in table.rows],
        headers={name: own for own, name in names.items() if name != own},
        notes=tuple(notes),
        readings=tuple(headings(headers)),
    )


def plain(columns: list[str], records: list[Cells]) -> Table:
    """Make a table of typed records: days and instants as text (ISO 8601, UTC where they have a
    zone), numbers exact, structs as columns with dots.
    """
    rows = [(n, dict(_flat(tidy(_plain(record))))) for n, record in enumerate(records, start=1)]
    return Table(_columns(rows) or columns, rows)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            return None  # data frames write a missing number so
        # Beyond that a float has lost digits, and no code is made of it.
        is_exact = value.is_integer() and abs(value) < 10**DIGITS
        return int(value) if is_exact else Decimal(repr(value))
    if isinstance(value, Decimal):
        return value
    if isinstance(value, datetime):
        if value.tzinfo:
            return value.astimezone(UTC).isoformat()
        return (value.date() if value.time() == time() else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value)


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


_READERS: dict[str, Callable[[Path, _How], Table]] = {
    ".csv": _read_csv,
    ".xlsx": _read_xlsx,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
