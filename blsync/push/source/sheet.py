"""What is read of a file of changes, or of a view: rows, each one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    `delimiter` is what a csv file was written with; `notes` are what the reader should be told.
    """

    path: Path
    columns: list[str]
    rows: list[SheetRow]
    delimiter: str = ","
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A file's own rows, numbered, before lines are gathered.

    `is_flat` where a record's lines may be rows of their own (csv, xlsx). `problems` say by the
    number of a row why it cannot be used; `notes` tell what the reader should know.
    """

    columns: list[str]
    rows: list[tuple[int, Cells]]
    delimiter: str = ","
    notes: tuple[str, ...] = ()
    is_flat: bool = False
    problems: Mapping[int, list[str]] = field(default_factory=dict)
