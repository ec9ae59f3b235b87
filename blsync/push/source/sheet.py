"""What is read of a file of changes, or of a view: rows, each one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLEAR = "(clear)"
"""The word that empties a field; an empty cell leaves the field alone."""

Cells = dict[str, Any]


@dataclass(frozen=True)
class SheetRow:
    """A record. `number` 1 is the first row below the header, of several rows the first.

    `cells` are those that hold something, with dots for nesting; lines lie in one list of objects
    under their field. `source` are the file's own rows, under its own columns. `problems` say in
    words why the row cannot be used; they name no value that may be a person's.
    """

    number: int
    cells: Mapping[str, Any]
    source: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A file of changes, read.

    `columns` are the file's own (`items.quantity`, where `cells` have the one name `items`);
    `delimiter` is what a csv file was written with; `note` is what the reader should be told, or
    empty.
    """

    path: Path
    columns: list[str]
    rows: list[SheetRow]
    delimiter: str = ","
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A file's own rows, numbered, before lines are gathered.

    `is_flat` where a record's lines may be rows of their own (csv, xlsx).
    """

    columns: list[str]
    rows: list[tuple[int, Cells]]
    delimiter: str = ","
    note: str = ""
    is_flat: bool = False
