"""Writes a statement's lines as a worksheet, with formulas for what is made of other cells."""

from __future__ import annotations

from typing import Any

from openpyxl import Workbook
from openpyxl.utils import get_column_letter

from blsync.pack import sheet as looks
from blsync.pack.lines import Across, Booked, Check, Kind, Page, Signed, Sum
from blsync.pack.sheet import Formula, Sheet, summed

_STYLES = {
    Kind.HEADING: looks.HEADING,
    Kind.SECTION: looks.SECTION,
    Kind.LINE: looks.PLAIN,
    Kind.TOTAL: looks.TOTAL,
}


class StatementSheet:
    """A statement as a worksheet: where its lines are."""

    def __init__(self, book: Workbook, page: Page, journal: Sheet) -> None:
        """Write it, below its heading; a month's figures are summed from the journal's lines."""
        self.sheet = Sheet(book, page.title)
        self.sheet.put([page.heading], looks.TITLE)
        if page.note:
            self.sheet.put([page.note])
        self.sheet.put([])
        self._rows: list[int] = []
        self._spans = tuple(journal.span(letter) for letter in ("D", "K", "L"))
        self._ids = get_column_letter(len(page.columns))
        for line in page.lines:
            row = self.sheet.next_row
            self._rows.append(row)
            cells = (self._cell(cell, row, number) for number, cell in enumerate(line.cells))
            self.sheet.put(cells, _STYLES[line.kind])
            if line.kind is Kind.HEADING:
                self.sheet.keep_in_sight(row)
        if page.is_list:
            self.sheet.filter(self._rows[0], max(self._rows[:-1]), len(page.columns))

    def cell(self, check: Check) -> str:
        """Return how the cover's formula names the cell of a check."""
        return self.sheet.cell(self._rows[check.line], get_column_letter(check.column + 1))

    def _cell(self, cell: Any, row: int, number: int) -> Any:
        letter = get_column_letter(number + 1)
        if isinstance(cell, Sum):
            return summed(letter, self._rows[cell.first], self._rows[cell.last])
        if isinstance(cell, Signed):
            parts = "".join(f"{sign}{letter}{self._rows[line]}" for sign, line in cell.parts)
            return Formula(f"=ROUND({parts},2)")
        if isinstance(cell, Across):
            parts = "".join(f"{sign}{get_column_letter(n + 1)}{row}" for sign, n in cell.parts)
            return Formula(f"={parts.removeprefix('+')}")
        if isinstance(cell, Booked):
            ids, amounts, counts = self._spans
            sign = "-" if cell.is_reversed else ""
            sums = f'SUMIFS({amounts},{ids},{self._ids}{row},{counts},"yes")'
            return Formula(f"={sign}ROUND({sums},2)")
        return cell
