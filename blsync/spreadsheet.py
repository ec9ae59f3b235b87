"""Spreadsheets (xlsx): the values of the first worksheet, and tables written as one."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.xml.constants import SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

from blsync.errors import ConfigError, InputFileError

MOST_ROWS = 1_048_576
"""Rows that a worksheet has room for, the header among them."""
MOST_TEXT = 32_767
"""Characters that a cell has room for."""
DIGITS = 15
"""Significant digits that a spreadsheet keeps of a number, and shows at most."""
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"
"""Begins files of the old kind, and new ones that are locked by a password."""
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_TAG = f"{{{SHEET_MAIN_NS}}}"
_DATE, _TIME = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.,]+%?")


def guarded(text: str) -> str:
    """Return a text for a cell of a csv file, so that no spreadsheet works it out.

    One that begins with = + - @, a tab or a carriage return gets an apostrophe before it; a number
    is no formula and stays. Apostrophes that already stand before such a character get one more, so
    that `unguarded` returns just what was given.
    """
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def unguarded(cell: str) -> str:
    """Return the text that `guarded` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


@dataclass(frozen=True)
class Worksheet:
    """A worksheet: rows that hold something, each with its number in the sheet, from 1.

    `others` are the names of further worksheets that hold something.
    """

    name: str
    rows: list[tuple[int, list[Any]]]
    others: list[str]


def read_worksheet(path: Path) -> Worksheet:
    """Read the first worksheet that is not hidden.

    Values are what the sheet shows: numbers with at most 15 significant digits (whole ones as int,
    others as Decimal, percentages as text like 6%), days as YYYY-MM-DD, instants in ISO 8601, true
    and false, text without blanks around it, None. A formula counts as the value that was saved
    with it; its error is text like #REF!.

    Raises InputFileError, in one line, where the file is no workbook that can be read, or holds
    formulas without their values; OSError as it comes.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(_COMPOUND_FILE):
            raise InputFileError(_why_compound(path.name, start + file.read()))
    try:
        with warnings.catch_warnings(action="ignore"):  # about what only looks suffer from
            return _read(path)
    except (InputFileError, OSError):
        raise
    except Exception as error:  # a damaged file fails in any of the parser's places
        raise InputFileError(
            f"{path.name} is not a workbook that can be read ({type(error).__name__}); open it in "
            "the spreadsheet program and save it again as .xlsx."
        ) from None


def _why_compound(name: str, content: bytes) -> str:
    if _LOCKED in content:
        return f"{name} is locked by a password; save a copy without one."
    return f"{name} is a workbook of the old kind (.xls); save it as .xlsx."


def _read(path: Path) -> Worksheet:
    book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not shown:
            raise InputFileError(f"{path.name} has no worksheet that is not hidden.")
        sheet, *others = shown
        for each in shown:
            each.reset_dimensions()  # what a file says of its size is not always so
        _check_formulas(path, sheet)
        rows = []
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            values = [None if cell.value is None else _value(cell) for cell in cells]
            if any(value not in (None, "") for value in values):
                rows.append((number, values))
        return Worksheet(sheet.title, rows, [each.title for each in others if _holds_any(each)])
    finally:
        book.close()


def _holds_any(sheet: Any) -> bool:
    return any(value is not None for row in sheet.iter_rows(values_only=True) for value in row)


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _percentage(value) if "%" in cell.number_format else exact(value)
    if isinstance(value, datetime):
        is_day = value.time() == time()
        return (value.date() if is_day else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def exact(value: float) -> int | Decimal:
    """Return the number that a binary float shows as, of at most 15 significant digits."""
    if isinstance(value, int):
        return value
    number = Decimal(format(value, f".{DIGITS}g"))
    return int(number) if number == number.to_integral_value() else number


def _percentage(value: float) -> str:
    return f"{exact(float(exact(value)) * 100)}%"


def _check_formulas(path: Path, sheet: Any) -> None:
    """Raise InputFileError where a formula was never worked out: the library's readers see nothing.

    An empty text that a formula gave is marked as text, and is no such case.
    """
    with zipfile.ZipFile(path) as archive:
        part = sheet._worksheet_path
        if not re.search(rb"<(?:\w+:)?f[ >/]", archive.read(part)):
            return
        with archive.open(part) as source:
            for _, element in iterparse(source):
                if element.tag == f"{_TAG}c":
                    formula, value = element.find(f"{_TAG}f"), element.findtext(f"{_TAG}v")
                    if formula is not None and not value and element.get("t") != "str":
                        raise InputFileError(
                            f"{path.name}: cell {element.get('r')} has a formula without the value "
                            "that it gives; open the file in the spreadsheet program, save it and "
                            "plan it again."
                        )
                elif element.tag == f"{_TAG}row":
                    element.clear()


def write_table(
    path: Path, title: str, header: Sequence[str], rows: Iterable[Iterable[Any]]
) -> None:
    """Write a worksheet with a bold header, row by row.

    Decimals become numbers that show their own decimals, dates and times real ones (a time zone is
    left out); numbers of more than 15 digits, which a spreadsheet would round, and whatever it
    knows no type for become text. Text stays text, also where it begins like a formula.

    Raises ConfigError where there is no room for a row or a text; OSError as it comes.
    """
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    styles: dict[str, Any] = {}
    try:
        sheet.append(_header(sheet, header))
        for number, row in enumerate(rows, start=2):
            if number > MOST_ROWS:
                raise ConfigError(
                    f"An xlsx file has room for {MOST_ROWS - 1:,} rows below its header and there "
                    "are more; write csv or parquet."
                )
            sheet.append(_written(sheet, styles, row))
        book.save(path)
    except BaseException:
        with suppress(Exception):
            sheet.close()  # or its half-written part is complained of later
        raise


def _header(sheet: Any, names: Sequence[str]) -> Iterator[Any]:
    for name in names:
        cell = WriteOnlyCell(sheet)
        _put(cell, name)
        cell.font = Font(bold=True)
        yield cell


def _written(sheet: Any, styles: dict[str, Any], values: Iterable[Any]) -> Iterator[Any]:
    """Yield what the library writes; each cell is written before the next is asked for."""
    for value in values:
        style = _style(value)
        if style is None:
            yield value
            continue
        cell = styles.get(style)
        if cell is None:  # the library takes a cell without style for its own scratch
            cell = WriteOnlyCell(sheet)
            cell.number_format = style
            if style != "General":
                styles[style] = cell
        _put(cell, value)
        yield cell


def _style(value: Any) -> str | None:
    """Return a value's number format; None where it can be written as it is."""
    kind = type(value)
    if value is None or kind is bool or (kind is int and abs(value) < 10**DIGITS):
        return None
    if kind is float and isfinite(value):
        return None
    if kind is str:
        is_plain = value[:1] not in ("=", "#") and len(value) <= MOST_TEXT
        return None if is_plain and not ILLEGAL_CHARACTERS_RE.search(value) else "General"
    if _is_short(value):
        places = -value.as_tuple().exponent
        return f"#,##0.{'0' * places}" if places > 0 else "#,##0"
    if kind is datetime:
        return _TIME
    if kind is date:
        return _DATE
    return "General"


def _is_short(value: Any) -> bool:
    """Tell whether a decimal comes through whole."""
    return (
        isinstance(value, Decimal) and value.is_finite() and len(value.as_tuple().digits) <= DIGITS
    )


def _put(cell: Any, value: Any) -> None:
    if isinstance(value, datetime):
        cell.value = value.replace(tzinfo=None)
    elif isinstance(value, date | timedelta) or _is_short(value):
        cell.value = value
    else:
        text = ILLEGAL_CHARACTERS_RE.sub(lambda odd: f"_x{ord(odd[0]):04X}_", str(value))
        if len(text) > MOST_TEXT:
            raise ConfigError(
                f"A text of {len(text):,} characters is longer than a cell of an xlsx file "
                f"({MOST_TEXT:,}); write csv."
            )
        cell.value = text
        cell.data_type = "s"  # also where it begins like a formula
