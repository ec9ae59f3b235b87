"""What is read of a file of changes, or of a view: rows, each one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blsync.text.spellings import NumberStyle

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
    lines_at: tuple[int, ...] = ()
    """The same of each line of a document whose lines are rows of their own."""
    sheet_row: int | None = None
    """The row's number in the file as a spreadsheet shows it, the header and blank rows counted."""

    @property
    def place(self) -> int:
        """The number by which people find the row."""
        return self.number if self.sheet_row is None else self.sheet_row


@dataclass(frozen=True)
class Reading:
    """A way in which cells of a column were read otherwise than they stand there.

    `column` is the endpoint's, `rule` what was done. `row` (the sheet's own number), `cell` and
    `read_as` are those of the first. A header has `count` 1 and no row.
    """

    column: str
    rule: str
    count: int
    row: int | None
    cell: str
    read_as: str


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
    readings: tuple[Reading, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """Column → what the file's header calls it, where that is another name."""
    style: NumberStyle | None = None
    """How the file writes its numbers; None: its cells are as they came."""


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
    top: int = 0
    """What is added to a row's number for the one that a spreadsheet shows."""
    headers: Mapping[str, str] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    style: NumberStyle | None = None
