"""A worksheet that is written from the top: titles, tables with sums, formulas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter

MONEY = "#,##0.00;[Red]-#,##0.00;-"
_WIDEST = 48
_BLUE = "1F3864"


class Formula(str):
    """A text that the spreadsheet works out; every other text stays one, however it begins."""

    __slots__ = ()


def summed(letter: str, first: int, last: int) -> Formula:
    """Return the sum of a column's rows, to the cent: a spreadsheet adds in binary."""
    return Formula(f"=ROUND(SUM({letter}{first}:{letter}{last}),2)")


class Style:
    """How a row looks."""

    def __init__(
        self, *, size: int = 11, is_bold: bool = False, fill: str = "", is_total: bool = False
    ) -> None:
        color = "FFFFFF" if fill else "000000"
        self.font = Font(size=size, bold=is_bold, color=color)
        self.fill = PatternFill("solid", start_color=fill) if fill else None
        self.is_total = is_total


PLAIN = Style()
TITLE = Style(size=15, is_bold=True)
HEADING = Style(is_bold=True, fill=_BLUE)
SECTION = Style(is_bold=True)
TOTAL = Style(is_bold=True, is_total=True)


class Sheet:
    """One worksheet of a workbook, with the row that is written next."""

    def __init__(self, book: Workbook, title: str) -> None:
        self.title = title
        self.next_row = 1
        self._sheet = book.create_sheet(title)
        self._widths: dict[int, int] = {}
        self._sheet.sheet_view.showGridLines = False
        self._sheet.page_setup.orientation = "landscape"
        self._sheet.page_setup.fitToHeight = 0
        self._sheet.sheet_properties.pageSetUpPr.fitToPage = True

    def put(self, values: Iterable[Any], style: Style = PLAIN) -> int:
        """Write a row; return its number."""
        row = self.next_row
        for number, value in enumerate(values, start=1):
            self._write(row, number, value, style)
        self.next_row += 1
        return row

    def table(
        self,
        columns: Mapping[str, str],
        rows: Sequence[Mapping[str, Any]],
        *,
        sums: Collection[str] = (),
    ) -> int:
        """Write a table: `columns` are the names in `rows` and what they are called here. Names in
        braces in a formula stand for cells of its row. Returns the row of the sums, or the last.
        """
        first = self.put(columns.values(), HEADING) + 1
        letters = {name: get_column_letter(n) for n, name in enumerate(columns, start=1)}
        for row in rows:
            place = {name: f"{letter}{self.next_row}" for name, letter in letters.items()}
            self.put(_placed(row.get(name), place) for name in columns)
        last = self.next_row - 1
        if self._sheet.auto_filter.ref is None:
            self.filter(first - 1, max(last, first), len(columns))
            self.keep_in_sight(first - 1)
        if not sums or last < first:
            return last
        return self.put(
            (
                summed(letters[name], first, last)
                if name in sums
                else ("Total" if name == next(iter(columns)) else None)
                for name in columns
            ),
            TOTAL,
        )

    def keep_in_sight(self, heads: int) -> None:
        """Have a row of heads, and what is above it, stay in sight, and be on each page."""
        self._sheet.freeze_panes = f"A{heads + 1}"
        self._sheet.print_title_rows = f"{heads}:{heads}"

    def filter(self, heads: int, last: int, columns: int) -> None:
        """Let whoever reads it filter the rows below the heads."""
        self._sheet.auto_filter.ref = f"A{heads}:{get_column_letter(columns)}{last}"

    def column_of(self, columns: Mapping[str, str], name: str) -> str:
        """Return the letter of a table's column."""
        return str(get_column_letter([*columns].index(name) + 1))

    def cell(self, row: int, letter: str) -> str:
        """Return how another sheet's formula names a cell of this one."""
        return f"'{self.title}'!{letter}{row}"

    def span(self, letter: str) -> str:
        """Return how another sheet's formula names all that is written in a column."""
        return f"'{self.title}'!${letter}$1:${letter}${max(self.next_row - 1, 1)}"

    def _write(self, row: int, number: int, value: Any, style: Style) -> None:
        if value is None and style is PLAIN:
            return
        cell = self._sheet.cell(row, number)
        cell.font = style.font
        if style.fill:
            cell.fill = style.fill
            cell.alignment = Alignment(wrap_text=True, vertical="center")
        if style.is_total:
            cell.border = Border(top=Side("thin"))
        if isinstance(value, Formula):
            cell.value = str(value)
            cell.number_format = MONEY
            return
        if isinstance(value, str):
            cell.value = ILLEGAL_CHARACTERS_RE.sub(" ", value)
            cell.data_type = "s"  # also where it begins like a formula
        elif isinstance(value, datetime):
            cell.value, cell.number_format = value.replace(tzinfo=None), "yyyy-mm-dd hh:mm"
        else:
            cell.value = value
            if isinstance(value, Decimal):
                is_money = value == value.quantize(Decimal("0.01"))
                cell.number_format = MONEY if is_money else "#,##0.0000"
            elif isinstance(value, date):
                cell.number_format = "yyyy-mm-dd"
        if style not in (TITLE, SECTION, PLAIN) or not isinstance(value, str) or number > 1:
            self._widen(number, value)

    def _widen(self, number: int, value: Any) -> None:
        shown = f"{value:,.2f}" if isinstance(value, Decimal) else str(value)
        width = min(max(len(shown) + 3, 12), _WIDEST)
        if width > self._widths.get(number, 0):
            self._widths[number] = width
            self._sheet.column_dimensions[get_column_letter(number)].width = width


def _placed(value: Any, place: Mapping[str, str]) -> Any:
    """Put cells for the names in braces of a formula."""
    return Formula(value.format(**place)) if isinstance(value, Formula) else value
