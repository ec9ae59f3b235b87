"""Documents with lines, out of flat rows.

A file has the lines of a document in one of three ways: a row for each line (`items.itemId`), a
column for each line's field (`items[0].itemId` or `items.0.itemId`), or one cell with JSON.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from blsync.errors import InputFileError
from blsync.push.compare import from_text
from blsync.push.source.sheet import Cells, SheetRow, Table
from blsync.text.natural_keys import normal_form
from blsync.text.spellings import Kind, OddSpelling, read_any, read_as


@dataclass
class _Row:
    """One row of the file: the document's own cells, notes (`_…`), and lines."""

    number: int
    place: int
    source: Cells
    cells: Cells
    notes: Cells
    lines: Any
    problems: list[str] = field(default_factory=list)


def gather(
    name: str, table: Table, lines: str | None, key: str, missing: Counter[str]
) -> list[SheetRow]:
    """Return the rows, each a record, in the file's order. `missing` counts the words that were
    read as missing values.

    Rows of a flat table belong together where the row above has the same `key`, and where key and
    all the document's own cells are empty, or without a key the same. Rows apart from each other
    are never put together, nor those that `_row` tells apart: two documents of one key must not
    become one with twice the lines. Raises InputFileError where lines are written in two ways.
    """
    parts = _line_columns(name, table.columns, lines)
    has_line_rows = any(index is None for index, _ in parts.values())
    rows = (_taken_apart(row, parts, lines, table, missing) for row in table.rows)
    if table.is_flat and has_line_rows and lines:
        return list(_documents(rows, lines, key))
    return [_record([row], lines) for row in rows]


def _line_columns(
    name: str, columns: list[str], lines: str | None
) -> dict[str, tuple[int | None, list[str]]]:
    """Return the columns of lines → the line's index, where the column has one, and the field."""
    if lines is None:
        return {}
    pattern = re.compile(rf"{re.escape(lines)}(?:\[(\d+)\]|\.(\d+))?\.(.+)")
    found: dict[str, tuple[int | None, list[str]]] = {}
    for column in columns:
        if match := pattern.fullmatch(column):
            index = match[1] or match[2]
            found[column] = (int(index) if index else None, match[3].split("."))
    ways = {index is None: column for column, (index, _) in reversed(found.items())}
    told = [*([lines] if lines in columns else []), *ways.values()]
    if len(told) > 1:
        raise InputFileError(
            f"{name} has {lines} in two ways, as the column {told[0]!r} and as {told[1]!r}; keep "
            "one of them."
        )
    return found


def _taken_apart(
    row: tuple[int, Cells],
    parts: Mapping[str, tuple[int | None, list[str]]],
    lines: str | None,
    table: Table,
    missing: Counter[str],
) -> _Row:
    number, source = row
    place = number + table.top
    taken = _Row(number, place, source, {}, {}, None, [*table.problems.get(number, ())])
    found: dict[int, Cells] = {}
    for name, given in source.items():
        if name.startswith("_"):
            taken.notes[name] = given
            continue
        value = _spelled(given, f"row {place}: {name}", taken.problems, missing)
        if value is None:
            continue
        if name in parts:
            index, path = parts[name]
            _put(found.setdefault(index or 0, {}), path, value)
        elif name == lines:
            taken.lines = _from_json(value, place, lines, taken.problems)
        else:
            taken.cells[name] = value
    if found:
        taken.lines = [found[index] for index in sorted(found)]
    return taken


def _put(line: Cells, path: list[str], value: Any) -> None:
    *outer, last = path
    for name in outer:
        inner = line.get(name)
        line = line.setdefault(name, {}) if isinstance(inner, dict | None) else {}
    line[last] = value


def _from_json(value: Any, place: int, lines: str, problems: list[str]) -> Any:
    if not (isinstance(value, str) and value.startswith("[")):
        return value
    try:
        return tidy(from_text(value))
    except msgspec.MsgspecError as error:
        problems.append(
            f"row {place}: {lines} begins with [ and is not well-formed JSON ({error}); write a "
            "list of objects, or a column for each field of a line"
        )
        return None


def _spelled(value: Any, place: str, problems: list[str], missing: Counter[str]) -> Any:
    """Read the spellings of a value, and of those in it; None where it says nothing.

    What is not read becomes a problem. The odd text is shown: it is a program's or a spreadsheet's
    own word, and names nobody.
    """
    if isinstance(value, str):
        try:
            read = read_any(value)
            if read is None and value:
                missing[value] += 1
            return read
        except OddSpelling as error:
            problems.append(f"{place} holds {value[:40]}, {error}")
            return None
    if isinstance(value, list):
        return [
            _spelled(each, f"{place}[{index}]", problems, missing)
            for index, each in enumerate(value)
        ]
    if isinstance(value, dict):
        inner = {n: _spelled(each, f"{place}.{n}", problems, missing) for n, each in value.items()}
        return {name: each for name, each in inner.items() if each is not None}
    return value


def tidy(value: Any) -> Any:
    """Return the value without blanks around texts, and objects without what holds nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [tidy(each) for each in value]
    if isinstance(value, dict):
        inner = {name: tidy(each) for name, each in value.items()}
        return {
            name: each for name, each in inner.items() if each is not None and each not in ("", {})
        }
    return value


def _documents(rows: Iterator[_Row], lines: str, key: str) -> Iterator[SheetRow]:
    open_: list[_Row] = []
    firsts: dict[str, int] = {}
    for row in rows:
        if open_ and _goes_on(open_, row, key):
            open_.append(row)
            continue
        if open_:
            yield _record(open_, lines)
            if key not in row.cells and row.lines and key in open_[0].cells:
                own = ", ".join(row.cells)
                row.problems.append(
                    f"row {row.place} has no {key}, and {own} of its own, so it is no line of row "
                    f"{open_[0].place}: write the {key} in each row of a document, or leave {own} "
                    "empty in all but its first"
                )
        open_ = [row]
        if key in row.cells:
            first = firsts.setdefault(normal_form(str(row.cells[key])), row.place)
            if first != row.place:
                row.problems.append(
                    f"row {row.place} has the {key} of row {first} and is no part of it; put the "
                    "rows of one document one below the other, with the same _row where the file "
                    f"has that column, or give each document a {key} of its own"
                )
    if open_:
        yield _record(open_, lines)


def _goes_on(document: list[_Row], row: _Row, key: str) -> bool:
    """Tell whether a row belongs to the document above it."""
    first = document[0]
    numbers = {str(each.notes["_row"]) for each in (first, row) if "_row" in each.notes}
    if len(numbers) > 1:
        return False
    if key in row.cells:
        return _is_same_key(first, row, key)
    if key in first.cells or not row.cells:
        return not row.cells
    return _own(row.cells) == _own(first.cells)


def _is_same_key(first: _Row, row: _Row, key: str) -> bool:
    """Tell whether two rows have the same key, sign for sign.

    What only looks the same is left to be told as twins. A key that lost its digits is the key of
    no document: two orders would become one.
    """
    if str(first.source.get(key)) != str(row.source.get(key)):
        return False
    try:
        read_as(Kind.KEY, row.cells[key])
    except OddSpelling:
        return False
    return True


def _own(cells: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in cells.items()}


def _record(rows: list[_Row], lines: str | None) -> SheetRow:
    first = rows[0]
    cells: Cells = {}
    given_in: dict[str, int] = {}
    problems: list[str] = []
    found: list[Any] = []
    lines_at: list[int] = []
    for row in rows:
        problems += row.problems
        for name, value in row.cells.items():
            if name not in cells:
                cells[name], given_in[name] = value, row.place
            elif str(cells[name]) != str(value):
                problems.append(
                    f"row {row.place} and row {given_in[name]} of the same document say different "
                    f"things in {name}; make them the same"
                )
        if isinstance(row.lines, list):
            found += row.lines
            lines_at += [row.place] * len(row.lines)
    value = first.lines if len(rows) == 1 else found or None
    if lines and value is not None:
        cells[lines] = value
    source = tuple(row.source for row in rows)
    return SheetRow(
        first.number,
        {**first.notes, **cells},
        source,
        tuple(problems),
        tuple(lines_at) if len(rows) > 1 else (),
        first.place,
    )
