"""A workbook to be filled in: a sheet with a header, drop-downs and an example, and lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

TEXT, DAY, NUMBER = "@", "yyyy-mm-dd", "General"
"""Number formats of columns."""
_ROWS = 2000
"""Rows that have drop-downs."""
_NEEDED = PatternFill("solid", fgColor="F8CBAD")
_FREE = PatternFill("solid", fgColor="DDEBF7")
_GREY = Font(italic=True, color="808080")
_LONGEST_LIST = 255
"""Characters of a drop-down's choices that a workbook takes without a list of their own."""


@dataclass(frozen=True)
class FormColumn:
    """A column to be filled in: its header, what is told of it, how its cells are shown, what the
    example holds. `choices` are the words that it takes, `list_of` the list sheet whose first
    column it takes values of.
    """

    header: str
    told: str
    is_needed: bool
    number_format: str
    example: Any
    choices: tuple[str, ...] = ()
    list_of: str | None = None


@dataclass(frozen=True)
class ListSheet:
    """A sheet to look things up in."""

    name: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


def write_form(
    path: Path, title: str, columns: Sequence[FormColumn], lists: Sequence[ListSheet]
) -> None:
    """Write the workbook. Raises OSError as it comes."""
    book = Workbook()
    page = book.active
    assert page is not None  # noqa: S101 (a new workbook has one)
    page.title = title
    page.freeze_panes = "A2"
    by_name = {each.name: each for each in lists}
    for number, column in enumerate(columns, start=1):
        letter = get_column_letter(number)
        head = page.cell(1, number, column.header)
        head.font = Font(bold=True)
        head.fill = _NEEDED if column.is_needed else _FREE
        head.alignment = Alignment(wrap_text=True, vertical="top")
        if column.told:
            head.comment = Comment(column.told, "blsync", height=120, width=320)
        page.column_dimensions[letter].width = max(12, min(30, len(column.header) + 4))
        _put(page.cell(2, number), column.example, column.number_format)
        page.cell(2, number).font = _GREY
        page.column_dimensions[letter].number_format = column.number_format
        if found := _validation(column, by_name.get(column.list_of or "")):
            page.add_data_validation(found)
            found.add(f"{letter}2:{letter}{_ROWS + 1}")
    for each in lists:
        _write_list(book.create_sheet(each.name), each)
    book.save(path)


def _put(cell: Any, value: Any, number_format: str) -> None:
    cell.value = value
    if number_format != NUMBER:
        cell.number_format = number_format
    if isinstance(value, str):
        cell.data_type = "s"  # also where it begins like a formula


def _validation(column: FormColumn, known: ListSheet | None) -> DataValidation | None:
    """Return a drop-down. One of a list only warns: a record may be newer than the list."""
    choices = ",".join(column.choices)
    if choices and len(choices) <= _LONGEST_LIST:
        found = DataValidation(type="list", formula1=f'"{choices}"', allow_blank=True)
        found.errorStyle = "stop"
    elif known and known.rows:
        last = len(known.rows) + 1
        found = DataValidation(
            type="list", formula1=f"'{known.name}'!$A$2:$A${last}", allow_blank=True
        )
        found.errorStyle = "warning"
    else:
        return None
    found.error = column.told[:200]
    found.showErrorMessage = True
    return found


def _write_list(page: Any, known: ListSheet) -> None:
    page.freeze_panes = "A2"
    for number, name in enumerate(known.header, start=1):
        page.cell(1, number, name).font = Font(bold=True)
        widest = max((len(str(row[number - 1] or "")) for row in known.rows), default=0)
        page.column_dimensions[get_column_letter(number)].width = max(10, min(70, widest + 2))
    for line, row in enumerate(known.rows, start=2):
        for number, value in enumerate(row, start=1):
            _put(page.cell(line, number), value, TEXT if isinstance(value, str) else NUMBER)
