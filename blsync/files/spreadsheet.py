"""Spreadsheets (xlsx): the values of the first worksheet, and tables written as one."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice
from math import isfinite
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter
from openpyxl.xml.constants import SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

from blsync.errors import ConfigError, InputFileError
from blsync.files.cells import DIGITS
from blsync.files.intake import Intake, check_size, too_large
from blsync.files.number_formats import displayed, hides_day, plain
from blsync.files.workbook_parts import (
    HiddenParts,
    Merged,
    Source,
    hidden_parts,
    merged_cells,
    transitional,
)

MOST_ROWS = 1_048_576
"""Rows that a worksheet has room for, the header among them."""
MOST_TEXT = 32_767
"""Characters that a cell has room for."""
MOST_INFLATED = 128 * 2**20
"""Bytes of all parts of a workbook, inflated."""
MOST_MARKS = 4_000_000
"""Elements and attributes of the cells or texts of a workbook: some seven for each cell."""
MOST_TEXTS = MOST_MARKS // 7
"""Texts that a workbook has for its cells: no more than cells, and each costs as much as one."""
MOST_OTHER_MARKS = 300_000
"""Those of any other part, and of what a worksheet has beside its cells: each is read to an object
of a kilobyte or so."""
MOST_WIDTH = 20_000_000
"""Places of all rows up to their last cell: one cell far to the right is as wide as all before."""
_MEASURED = 200
"""Rows by which the widths of a written table's columns are chosen."""
_WIDEST, _MARGIN = 60, 2
"""Characters that a column shows at most, and what it has beside them for the filter's button."""
_PIECE = 2**20
_LARGE = re.compile(r"xl/worksheets/[^/]+\.xml|xl/[sS]haredStrings\.xml")
"""Parts that hold the cells."""
_OF_CELLS = re.compile(rb"</?(?:\w+:)?(?:row|c|v|f|is|si|t|r|rPr|b|i|sz|color|rFont|family)[ />\s]")
_FAR_OUT = re.compile(rb"""\sr\s*=\s*["']\s*(?:[A-Za-z]{4}|[A-Za-z]{0,3}\d{8})""")
"""Names a cell or row beyond all that a worksheet has."""
_AS_CSV = "save the sheet as csv, in several files where it is long"
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0"
"""Begins files of the old kind, and new ones that are locked by a password."""
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_TAG = f"{{{SHEET_MAIN_NS}}}"
_DATE, _TIME = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"


@dataclass(frozen=True)
class Worksheet:
    """A worksheet: rows that hold something, each with its number in the sheet, from 1.

    `others` are the names of further worksheets that hold something, `hidden` which of the rows and
    columns nobody sees, `merged` the cells that are one, as first and last row (from 1) and column
    (from 0): the first has the value. `doubts` are the cells, by row and column from 0, that show
    another number than they hold, or nothing: what is said of each follows its name. `unvalued` are
    the cells, alike, of formulas that were never worked out, which count as empty.
    """

    name: str
    rows: list[tuple[int, list[Any]]]
    others: list[str]
    hidden: HiddenParts
    doubts: dict[tuple[int, int], str]
    merged: list[Merged]
    unvalued: frozenset[tuple[int, int]] = frozenset()


Rows = list[tuple[int, list[Any]]]


@dataclass(frozen=True)
class Start:
    """The name of a worksheet that is not hidden, and its first rows that hold something."""

    name: str
    rows: Rows


def _first(_: Sequence[Start]) -> int:
    return 0


def read_worksheet(
    path: Path, choose: Callable[[Sequence[Start]], int] = _first, look_at: int = 0
) -> Worksheet:
    """Read one of the worksheets that are not hidden: the first, or the one that `choose` picks by
    the first `look_at` rows of each.

    Values are what the sheet shows: numbers with at most 15 significant digits (whole ones as int,
    others as Decimal), or text such as 6% or 0100 where their format shows that
    (`number_formats`), days as YYYY-MM-DD, instants in ISO 8601, true and false, text without
    blanks around it, None. A formula counts as the value that was saved with it; its error is text
    like #REF!.

    Raises InputFileError, in one line, where the file is no workbook that can be read; OSError as
    it comes.
    """
    check_size(path)
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(_COMPOUND_FILE):
            raise InputFileError(_why_compound(path.name, start + file.read()))
    try:
        _check_parts(path)
        with warnings.catch_warnings(action="ignore"):  # about what only looks suffer from
            return _read(path, transitional(path), choose, look_at)
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


def _read(
    path: Path, source: Source, choose: Callable[[Sequence[Start]], int], look_at: int
) -> Worksheet:
    book = load_workbook(source, read_only=True, data_only=True, keep_links=False)
    try:
        shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not shown:
            raise InputFileError(f"{path.name} has no worksheet that is not hidden.")
        for each in shown:
            each.reset_dimensions()  # what a file says of its size is not always so
        starts = [Start(each.title, _start(path, each, look_at)) for each in shown]
        sheet = shown[choose(starts)]
        others = [each for each in shown if each is not sheet]
        unvalued = frozenset(_unvalued_formulas(source, sheet))
        hidden = hidden_parts(source, sheet._worksheet_path)
        merged = merged_cells(source, sheet._worksheet_path)
        doubts: dict[tuple[int, int], str] = {}
        intake, rows = Intake(path), []
        for number, values in _filled_rows(path, sheet, doubts):
            text = sum(len(value) for value in values if isinstance(value, str))
            intake.take(rows=1, cells=len(values), text=text)
            rows.append((number, values))
        names = [each.title for each in others if _holds_any(path, each)]
        return Worksheet(sheet.title, rows, names, hidden, doubts, merged, unvalued)
    finally:
        book.close()


def _filled_rows(
    path: Path, sheet: Any, doubts: dict[tuple[int, int], str]
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows that hold something, each with its number, up to its last value."""
    for number, cells in _rows(path, sheet):
        values = [
            None if cell.value is None else _value(path, cell, (number, column), doubts)
            for column, cell in enumerate(cells)
        ]
        while values and values[-1] in (None, ""):
            values.pop()
        if values:
            yield number, values


def _start(path: Path, sheet: Any, look_at: int) -> Rows:
    return list(islice(_filled_rows(path, sheet, {}), look_at)) if look_at else []


def _check_parts(path: Path) -> None:
    """Raise InputFileError where reading a workbook would take more memory than it is worth.

    What the archive says of a part's size holds: no more than that is ever inflated.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > MOST_INFLATED:
            raise too_large(
                path, f"more than {MOST_INFLATED >> 20} MiB once it is inflated", _AS_CSV
            )
        for part in parts:
            _check_part(path, archive, part)


def _check_part(path: Path, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    is_large = bool(_LARGE.fullmatch(part.filename))
    marks = others = texts = 0
    with archive.open(part) as source:
        rest = b""
        while piece := source.read(_PIECE):
            text = rest + piece
            # Its length keeps any name whole in one of two pieces, and counts little twice.
            rest = text[-64:]
            found = piece.count(b"<") + piece.count(b"=")
            marks += found
            # A part may be UTF-16, which Office reads as well.
            if b"<!DOCTYPE" in text.replace(b"\0", b""):
                raise InputFileError(
                    f"{path.name} defines texts of its own ({part.filename}), which no spreadsheet "
                    "program does; save it again from one."
                )
            if is_large:
                texts += piece.count(b"<si")
                others += piece.count(b"<") - len(_OF_CELLS.findall(piece))
                if _FAR_OUT.search(text):
                    raise InputFileError(
                        f"{path.name} has a cell beyond the last row or column that a worksheet "
                        "has; save it again from a spreadsheet program."
                    )
            else:
                others = marks
            if marks > MOST_MARKS or others > MOST_OTHER_MARKS or texts > MOST_TEXTS:
                what = f"more than can be read in the part {part.filename}"
                raise too_large(path, what, _AS_CSV)


def _rows(path: Path, sheet: Any) -> Iterator[tuple[int, Any]]:
    """Yield a worksheet's rows with their numbers."""
    width = 0
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        width += len(cells)
        if number > MOST_ROWS or width > MOST_WIDTH:
            what = f"cells far below or to the right of the others (row {number:,})"
            raise too_large(
                path, what, "delete the rows or columns beyond the table, or save it as csv"
            )
        yield number, cells


def _holds_any(path: Path, sheet: Any) -> bool:
    return any(cell.value is not None for _, cells in _rows(path, sheet) for cell in cells)


def _value(
    path: Path, cell: Any, place: tuple[int, int], doubts: dict[tuple[int, int], str]
) -> Any:
    value = cell.value
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            raise too_large(
                path, f"a cell of more than {MOST_TEXT:,} characters (cell {cell.coordinate})"
            )
        return value.strip()
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _displayed(value, cell.number_format, place, doubts)
    if isinstance(value, datetime):
        is_day = value.time() == time()
        day = (value.date() if is_day else value).isoformat()
        if hides_day(cell.number_format):
            doubts[place] = _doubt("no day of its month", day)
        return day
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def _doubt(shown: str, held: str) -> str:
    return (
        f"shows {shown} and holds {held}: its number format hides the rest; write the value that "
        "is meant, or let the format show all of it"
    )


def exact(value: float) -> int | Decimal:
    """Return the number that a binary float shows as, of at most 15 significant digits."""
    if isinstance(value, int):
        return value
    number = Decimal(format(value, f".{DIGITS}g"))
    is_whole = number == number.to_integral_value() and number.adjusted() < DIGITS
    return int(number) if is_whole else number


def _displayed(
    value: float, number_format: str, place: tuple[int, int], doubts: dict[tuple[int, int], str]
) -> int | Decimal | str:
    """Return a number as its format shows it. One of more digits than are kept stays a Decimal in
    powers of ten, which no code is.
    """
    number = exact(value)
    if isinstance(number, int) and len(str(abs(number))) > DIGITS:
        number = Decimal(f"{Decimal(number):.{DIGITS - 1}e}")
    display = displayed(number, number_format)
    if display.doubt is not None:
        doubts[place] = _doubt(display.doubt or "nothing", plain(number))
    return display.value


def _unvalued_formulas(source: Source, sheet: Any) -> Iterator[tuple[int, int]]:
    """Yield the cells of formulas without a value: the library's readers see nothing there.

    An empty text that a formula gave is marked as text, and is no such case.
    """
    with zipfile.ZipFile(source) as archive:
        part = sheet._worksheet_path
        if not _mentions_formulas(archive, part):
            return
        with archive.open(part) as content:
            for _, element in iterparse(content):
                if element.tag == f"{_TAG}c":
                    formula, value = element.find(f"{_TAG}f"), element.findtext(f"{_TAG}v")
                    if formula is not None and not value and element.get("t") != "str":
                        row, column = coordinate_to_tuple(element.get("r") or "A1")
                        yield row, column - 1
                elif element.tag == f"{_TAG}row":
                    element.clear()


def without_value(name: str, row: int, column: int) -> InputFileError:
    """Word that a cell's formula, by row from 1 and column from 0, was never worked out."""
    return InputFileError(
        f"{name}: cell {get_column_letter(column + 1)}{row} has a formula without the value that "
        "it gives; open the file in the spreadsheet program, save it and plan it again."
    )


def _mentions_formulas(archive: zipfile.ZipFile, part: str) -> bool:
    rest = b""
    with archive.open(part) as source:
        while piece := source.read(_PIECE):
            if re.search(rb"<(?:\w+:)?f[ >/]", rest + piece):
                return True
            rest = piece[-64:]
    return False


def write_table(
    path: Path, title: str, header: Sequence[str], rows: Iterable[Iterable[Any]]
) -> None:
    """Write a worksheet row by row.

    It has a bold header that stays in sight and filters the rows, and columns as wide as the first
    rows need.

    Decimals become numbers that show their own decimals, dates and times real ones (a time zone is
    left out); numbers of more than 15 digits, which a spreadsheet would round, and whatever it
    knows no type for become text. Text stays text, also where it begins like a formula.

    Raises ConfigError where there is no room for a row or a text; OSError as it comes.
    """
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    styles: dict[str, Any] = {}
    try:
        coming = iter(rows)
        first = [list(row) for row in islice(coming, _MEASURED)]
        _lay_out(sheet, header, first)
        sheet.append(_header(sheet, header))
        number = 1
        for number, row in enumerate(chain(first, coming), start=2):
            if number > MOST_ROWS:
                raise ConfigError(
                    f"An xlsx file has room for {MOST_ROWS - 1:,} rows below its header and there "
                    "are more; write csv or parquet."
                )
            sheet.append(_written(sheet, styles, row))
        if header:
            sheet.auto_filter.ref = f"A1:{get_column_letter(len(header))}{number}"
        book.save(path)
    except BaseException:
        with suppress(Exception):
            sheet.close()  # or its half-written part is complained of later
        raise


def _lay_out(sheet: Any, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Keep the header in sight, and set the widths: in the file both stand before the rows."""
    sheet.freeze_panes = "A2"
    for number, name in enumerate(header):
        texts = [name, *(_shown(row[number]) for row in rows)]
        width = min(max(map(len, texts)), _WIDEST)
        sheet.column_dimensions[get_column_letter(number + 1)].width = width + _MARGIN


def _shown(value: Any) -> str:
    """Return a value about as a spreadsheet shows it."""
    return f"{value:,f}" if _is_short(value) else str("" if value is None else value)


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
