"""A statement as lines of cells, before it is a worksheet or a page of a PDF.

Cells hold figures, or how one is made of others: the workbook writes that as a formula, and the PDF
works it out here, exactly. So one place decides rows and figures, and the two show the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

ZERO = Decimal("0.00")


@dataclass(frozen=True)
class Sum:
    """The sum of a column from one line to another, both included."""

    first: int
    last: int


@dataclass(frozen=True)
class Signed:
    """Lines of the same column, added (`+`) and taken away (`-`)."""

    parts: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Across:
    """Columns of the same line, from 0, added (`+`) and taken away (`-`)."""

    parts: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Booked:
    """What the journal's lines of the month come to on the account of this line; `is_reversed`
    where it is shown on the other side.
    """

    amount: Decimal
    is_reversed: bool = False


class Kind(Enum):
    """What a line is."""

    HEADING = "heading"
    SECTION = "section"
    LINE = "line"
    TOTAL = "total"


@dataclass(frozen=True)
class Column:
    """A column: its head, its share of a page's width, whether amounts are in it, and whether it
    helps the workbook's formulas alone.
    """

    head: str
    share: float = 1
    is_number: bool = False
    is_helper: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a statement."""

    kind: Kind
    cells: Sequence[Any]


@dataclass(frozen=True)
class Check:
    """A figure of a statement, by line and column, beside what the marts say."""

    what: str
    line: int
    column: int
    expected: Any


@dataclass
class Page:
    """A statement: `title` names its worksheet, `heading` stands above it."""

    title: str
    heading: str
    columns: Sequence[Column]
    is_list: bool = False
    """Whether it is one table, of heads, lines and a total."""
    note: str = ""
    """Of the workbook alone."""
    lines: list[Line] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    not_placed: list[str] = field(default_factory=list)
    """Accounts that the layout has no row for."""

    def put(self, cells: Iterable[Any], kind: Kind = Kind.LINE) -> int:
        """Add a line; return its number, from 0."""
        self.lines.append(Line(kind, list(cells)))
        return len(self.lines) - 1

    def value(self, line: int, column: int) -> Any:
        """Return what a cell holds or comes to."""
        cells = self.lines[line].cells
        cell = cells[column] if column < len(cells) else None
        if isinstance(cell, Booked):
            return -cell.amount if cell.is_reversed else cell.amount
        if isinstance(cell, Sum):
            return sum((self.value(n, column) for n in range(cell.first, cell.last + 1)), ZERO)
        if isinstance(cell, Signed):
            return _signed((sign, self.value(n, column)) for sign, n in cell.parts)
        if isinstance(cell, Across):
            return _signed((sign, self.value(line, n)) for sign, n in cell.parts)
        return cell


def _signed(parts: Iterable[tuple[str, Decimal]]) -> Decimal:
    return sum((value if sign == "+" else -value for sign, value in parts), ZERO)
