"""From the cells of a sheet to a table: where its header is, which columns it has, what is no row.

People write a title above their table and who made it below, leave columns and rows blank, merge
cells, and keep a column of remarks. What of that is left out is named, and nothing else is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blsync.errors import InputFileError
from blsync.files.intake import MOST_COLUMNS, too_large
from blsync.push.source.form import Form, Header
from blsync.push.source.sheet import Reading, Table
from blsync.text.natural_keys import cleaned
from blsync.text.readings import amount_of, day_of
from blsync.text.spellings import Kind
from blsync.text.synonyms import letters, without_unit

if TYPE_CHECKING:
    from blsync.files.workbook_parts import Merged

MOST_ABOVE = 30
"""Rows that hold something among which the header is looked for."""
MOST_NAMED = 20
"""Rows that a note names one by one."""
EXAMPLE = "example, not sent"
"""What a cell of a column that begins with _ says where its row is there to be looked at alone."""
EXAMPLE_KEYS = {
    "email": "name@company.my",
    "reference": "REF-001",
    "itemCode": "ITEM-001",
    "accountNumber": "6990",
    "supplierInvoiceNumber": "INV-0001",
}
"""Natural key → what it is in such a row."""
WRITTEN_OVER = (
    f"is not the example's, and the row says {EXAMPLE!r}: empty that cell to have the row sent, or "
    "delete the row"
)
_TOTALS = frozenset(
    letters(word)
    for word in (
        *("Total", "Totals", "Grand Total", "Sub Total", "Net Total", "Total Amount", "Sum"),
        *("Jumlah", "Jumlah Besar", "Jumlah Kecil", "Jumlah Keseluruhan"),
    )
)

Row = tuple[int, list[Any]]


@dataclass(frozen=True)
class Grid:
    """A sheet's rows that hold something: each with its number, from 1, and its cells.

    `shown` are the columns that are read (None: all), `doubts` what is odd with single cells, by
    row and column, `merged` the cells that are one. `what` says what a cell is, for messages.
    """

    rows: list[Row]
    delimiter: str = ","
    shown: list[int] | None = None
    left_out: frozenset[int] = frozenset()
    """Numbers of rows that nobody sees."""
    doubts: Mapping[tuple[int, int], str] = field(default_factory=dict)
    merged: Sequence[Merged] = ()
    notes: tuple[str, ...] = ()
    unvalued: frozenset[tuple[int, int]] = frozenset()
    """Cells, by row and column, of formulas that were never worked out."""

    def check_formulas(self, path: Path, columns: Collection[int], out: Collection[int]) -> None:
        """Raise InputFileError where such a cell lies in one of the columns, but for rows that are
        left `out`.
        """
        for row, column in sorted(self.unvalued):
            if column in columns and row not in out and row not in self.left_out:
                from blsync.files.spreadsheet import without_value  # here: a workbook alone has it

                raise without_value(path.name, row, column)


def is_filled(value: object) -> bool:
    """Tell whether a cell holds something."""
    return value is not None and value != ""


def fit(form: Form, values: Sequence[Any]) -> int:
    """Return how well a row would do as the header: twice the columns it names, and one more for
    each that it names letter for letter.
    """
    names = [cleaned(str(value)) for value in values if is_filled(value)]
    found = [h for h in form.headers(names) if h.column and not h.name.startswith("_")]
    columns = {h.column for h in found}
    if len(columns) < 2 and not columns & set(form.endpoint.identifiers):
        return 0
    return 2 * len(columns) + sum(h.name == h.column for h in found)


def header_row(rows: Sequence[Row], form: Form) -> int:
    """Return which of the rows is the header: the first of those that fit best, else the first."""
    fits = [fit(form, values) for _, values in rows[:MOST_ABOVE]]
    return fits.index(max(fits)) if fits else 0


def table_of(path: Path, grid: Grid, form: Form | None) -> Table:
    """Make a table of a sheet.

    Raises InputFileError where its header names a column twice, or none that is needed.
    """
    at = header_row(grid.rows, form) if form else 0
    top, names = grid.rows[at]
    below = grid.rows[at + 1 :]
    width = max(len(values) for _, values in grid.rows[at:])
    shown = [n for n in range(width) if grid.shown is None or n in grid.shown]
    called = ["" if n >= len(names) else _name(names[n]) for n in shown]
    if form is None:
        return _as_named(path, grid, (top, called), shown, below)
    return _as_meant(path, grid, (top, called), shown, (below, at), form)


def _name(cell: Any) -> str:
    return cleaned(str(cell)) if is_filled(cell) else ""


def checked(path: Path, cells: Sequence[str]) -> list[str]:
    """Return the names of a header, without blank ones at its end. Raises InputFileError."""
    header = [cleaned(cell) for cell in cells]
    while header and not header[-1]:
        header.pop()  # spreadsheets write columns that hold nothing
    if "" in header:
        raise InputFileError(
            f"{path.name}: column {header.index('') + 1} of the header has no name."
        )
    _check_names(path, header)
    return header


def _check_width(path: Path, header: Sequence[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise too_large(path, f"more than {MOST_COLUMNS:,} columns")


def _check_names(path: Path, header: Sequence[str]) -> None:
    _check_width(path, header)
    twice = sorted(name for name, count in Counter(filter(None, header)).items() if count > 1)
    if twice:
        raise InputFileError(
            f"{path.name} has the column {twice[0]!r} more than once; keep one of them."
        )


def _as_named(
    path: Path, grid: Grid, head: tuple[int, list[str]], shown: list[int], below: list[Row]
) -> Table:
    """Read the columns as their header names them, for no endpoint."""
    top, called = head
    header = checked(path, called)
    grid.check_formulas(path, shown, ())
    rows = []
    for number, every in below:
        if number in grid.left_out:
            continue
        values = [every[n] if n < len(every) else None for n in shown]
        if any(is_filled(value) for value in values[len(header) :]):
            raise InputFileError(
                f"{path.name}: row {number} of the sheet has a cell right of the last column that "
                "the header names; name the column, or empty the cell."
            )
        if any(map(is_filled, values)):
            rows.append((number, values))
    return _table(grid, top, dict(zip(shown, header, strict=False)), rows)


def _as_meant(
    path: Path,
    grid: Grid,
    head: tuple[int, list[str]],
    shown: list[int],
    below: tuple[list[Row], int],
    form: Form,
) -> Table:
    """Read the columns that the endpoint has; name those that are left out."""
    top, called = head
    rows, above = below
    _check_width(path, called)
    rows = [row for row in rows if row[0] not in grid.left_out]
    rows, merged = _unmerged(grid, rows, shown)
    grid, written_over = _examples_written_over(grid, rows, (shown, called), form)
    kept, notes = _without_what_is_no_row(path, rows, shown, called, written_over)
    cells = [[v[n] for _, v in kept if n < len(v) and is_filled(v[n])] for n in shown]
    headers = _told_by_cells(form, form.headers(called), cells)
    headers = _of_lines(form, headers, [[_at(v, n) for n in shown] for _, v in kept])
    try:
        out = form.check(path.name, headers)
        _ask_for_days(path, form, headers, cells)
    except InputFileError as error:  # a column that nobody sees may be what is missing
        raise InputFileError(" ".join((str(error), *grid.notes))) from None
    columns: dict[int, str] = {}
    for n, header in zip(shown, headers, strict=True):
        is_used = any(n < len(values) and is_filled(values[n]) for _, values in kept)
        if header.column:
            columns[n] = header.column
        elif header.name or is_used:
            name = f"_{header.name or f'column {n + 1}'}"
            columns[n] = f"{name} (column {n + 1})" if name in columns.values() else name
    nameless = [n + 1 for n in columns if columns[n] == f"_column {n + 1}"]
    notes = [*_above(path, grid.rows[:above], top), *notes]
    if out or nameless:
        told = [form.told(header) for header in out]
        told += [f"column number {n} has no name" for n in nameless]
        if nameless and form.is_strict:
            raise InputFileError(f"{path.name} cannot be used: {'; '.join(told)}.")
        notes.append(f"{path.name}: left out, nothing of it is sent: {'; '.join(told)}.")
    known = {n: column for n, column in columns.items() if column is not None}
    no_rows = {number for number, _ in rows} - {number for number, _ in kept}
    used = [n for n, column in known.items() if not column.startswith("_")]
    grid.check_formulas(path, used, no_rows | set(range(top)))
    own = {h.column: h.name for h in headers if h.column and h.column != h.name}
    own |= {f"_{h.name}": h.name for h in out}
    return _table(
        grid,
        top,
        known,
        kept,
        notes=notes,
        headers=own,
        readings=(*headings(headers), *_merge_readings(known, merged)),
    )


def _at(values: Sequence[Any], column: int) -> Any:
    return values[column] if column < len(values) else None


def _told_by_cells(
    form: Form, headers: Sequence[Header], cells: Sequence[Sequence[Any]]
) -> list[Header]:
    """Return the headers with those that may be two columns decided, where the cells below tell."""
    found = []
    taken = {header.column for header in headers}
    for header, held in zip(headers, cells, strict=True):
        column = _fitting(form, header, held) if not taken & set(header.twins) else None
        if column:
            found.append(Header(header.name, column, "as the cells below tell"))
        elif header.twins and not held:
            found.append(Header(header.name))
        else:
            found.append(header)
    return found


def _fitting(form: Form, header: Header, held: Sequence[Any]) -> str | None:
    """Return the one of a header's columns that addresses, percentages or words only fit."""
    kinds = form.endpoint.kinds
    mails = [column for column in header.twins if kinds.get(column) == Kind.EMAIL]
    if mails and held and all("@" in str(cell) for cell in held):
        return mails[0]
    rates = [column for column in header.twins if kinds.get(column) == Kind.PERCENT]
    words = [column for column in header.twins if column not in kinds]
    if len(rates) == 1 and held and all(str(cell).strip().endswith("%") for cell in held):
        return rates[0]
    is_worded = held and all(isinstance(c, str) and not amount_of(c.strip("% ")) for c in held)
    return words[0] if len(words) == 1 and is_worded else None


def _of_lines(form: Form, headers: Sequence[Header], rows: Sequence[Sequence[Any]]) -> list[Header]:
    """Return the headers with those as the lines' that differ from line to line of a document.

    The document and its lines have a column of the same name, as a description: what differs within
    one document is said of its lines.
    """
    endpoint = form.endpoint
    columns = [header.column for header in headers]
    if endpoint.lines is None or endpoint.natural_key not in columns:
        return list(headers)
    key = columns.index(endpoint.natural_key)
    found = list(headers)
    for n, header in enumerate(headers):
        line = f"{endpoint.lines}.{header.column}"
        if line in endpoint.rules and line not in columns and _differs(rows, key, n):
            found[n] = Header(header.name, line, "it differs from line to line of a document")
    return found


def _differs(rows: Sequence[Sequence[Any]], key: int, column: int) -> bool:
    """Tell whether a column differs among rows of one key, which only the first may have."""
    current = first = None
    for values in rows:
        own = values[key]
        if is_filled(own) and own != current:
            current, first = own, values[column]
        # What a document says once is not written again where its key is not.
        elif (
            current is not None
            and is_filled(values[column])
            and not (is_filled(own) and values[column] == first)
        ):
            return True
    return False


def _ask_for_days(
    path: Path, form: Form, headers: Sequence[Header], cells: Sequence[Sequence[Any]]
) -> None:
    """Raise InputFileError where nothing says the documents' day and a column that is left out
    holds days: they would be dated by another one without anybody's wish.
    """
    wanted = form.endpoint.date_field
    if wanted is None or any(header.column == wanted for header in headers):
        return
    for header, held in zip(headers, cells, strict=True):
        is_open = header.column is None and not header.rule and header.name
        if is_open and held and all(isinstance(c, str) and day_of(c) for c in held):
            raise InputFileError(
                f"{path.name} cannot be used: column {header.name!r} holds days, and no column is "
                f"{wanted!r}: if it is, plan with --map '{header.name}={wanted}', else with --map "
                f"'{header.name}='."
            )


def headings(headers: Sequence[Header]) -> list[Reading]:
    """Return the columns that were known by more than their own letters, as readings."""
    return [
        Reading(h.column, f"header: {h.rule}", 1, None, h.name, h.column)
        for h in headers
        if h.column and h.rule
    ]


def _table(
    grid: Grid,
    top: int,
    columns: Mapping[int, str],
    rows: list[Row],
    *,
    notes: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    readings: Sequence[Reading] = (),
) -> Table:
    made, problems = [], {}
    for number, values in rows:
        held = {
            name: values[n]
            for n, name in columns.items()
            if n < len(values) and is_filled(values[n])
        }
        if not held:
            continue
        made.append((number - top, held))
        doubts = [(name, grid.doubts.get((number, n))) for n, name in columns.items()]
        problems[number - top] = [
            f"row {number}: {name} {doubt}" for name, doubt in doubts if doubt and name[:1] != "_"
        ]
    return Table(
        list(columns.values()),
        made,
        grid.delimiter,
        notes=(*grid.notes, *notes),
        is_flat=True,
        problems=problems,
        top=top,
        headers=headers or {},
        readings=tuple(readings),
    )


def _above(path: Path, rows: list[Row], top: int) -> list[str]:
    if not rows:
        return []
    return [f"{path.name}: the header is row {top}; {_rows_told([n for n, _ in rows])} above it."]


def _rows_told(numbers: list[int]) -> str:
    told = ", ".join(map(str, numbers[:MOST_NAMED])) + (" …" if len(numbers) > MOST_NAMED else "")
    return f"row{'s'[: len(numbers) > 1]} {told} {'are' if len(numbers) > 1 else 'is'}"


def _unmerged(
    grid: Grid, rows: list[Row], shown: list[int]
) -> tuple[list[Row], dict[int, list[tuple[int, Any]]]]:
    """Give each row of merged cells their value; tell which rows got one, by column."""
    filled: dict[int, list[tuple[int, Any]]] = {}
    if not grid.merged:
        return rows, filled
    by_number = {number: [*values] for number, values in rows}
    seen = set(shown)
    for cells in grid.merged:
        (first, last), (column, right) = cells.rows, cells.columns
        top = by_number.get(first)
        if first == last or column != right or column not in seen or top is None:
            continue
        value = top[column] if column < len(top) else None
        if not is_filled(value):
            continue
        for number, values in by_number.items():
            if first < number <= last:
                values.extend([None] * (column + 1 - len(values)))
                values[column] = value
                filled.setdefault(column, []).append((number, value))
    return [*by_number.items()], filled


def _merge_readings(
    columns: Mapping[int, str], merged: Mapping[int, list[tuple[int, Any]]]
) -> list[Reading]:
    return [
        Reading(
            columns[n], "a merged cell holds for each of its rows", len(found), found[0][0],
            "", str(found[0][1]),
        )
        for n, found in merged.items()
        if not columns.get(n, "_").startswith("_")
    ]  # fmt: skip


def _examples_written_over(
    grid: Grid, rows: list[Row], head: tuple[list[int], list[str]], form: Form
) -> tuple[Grid, set[int]]:
    """Return which rows say that they are the template's example and name another record, and the
    grid with a doubt about each: somebody may want it sent.
    """
    shown, called = head
    name = form.endpoint.natural_key
    key = next(
        (n for n, h in zip(shown, form.headers(called), strict=True) if h.column == name), -1
    )
    found = {
        number
        for number, values in rows
        if _is_example(values, shown, called)
        and is_filled(own := _at(values, key) if key >= 0 else None)
        and own != EXAMPLE_KEYS.get(name)
    }
    doubts = {(number, key): WRITTEN_OVER for number in found}
    return replace(grid, doubts={**grid.doubts, **doubts}), found


def _without_what_is_no_row(
    path: Path, rows: list[Row], shown: list[int], called: list[str], written_over: set[int]
) -> tuple[list[Row], list[str]]:
    """Return the rows that are some, and notes that name the others: the header again, an example,
    a sum, and notes below the table.
    """
    held = [
        (number, values, [values[n] for n in shown if n < len(values) and is_filled(values[n])])
        for number, values in rows
    ]
    held = [row for row in held if row[2]]
    out: dict[str, list[int]] = {}
    end = _end_of_table(held, called)
    kept: list[Row] = []
    for index, (number, values, cells) in enumerate(held):
        if index >= end:
            out.setdefault("notes below the table", []).append(number)
        elif _is_example(values, shown, called) and number not in written_over:
            out.setdefault("the example", []).append(number)
        elif [str(cell) for cell in cells] == [name for name in called if name]:
            out.setdefault("the header again", []).append(number)
        elif _is_total(cells, called):
            out.setdefault("a sum", []).append(number)
        else:
            kept.append((number, values))
    return kept, [
        f"{path.name}: {_rows_told(numbers)} left out: {what}." for what, numbers in out.items()
    ]


def _is_example(values: list[Any], shown: list[int], called: list[str]) -> bool:
    return any(
        name.startswith("_") and n < len(values) and letters(str(values[n])) == letters(EXAMPLE)
        for n, name in zip(shown, called, strict=True)
    )


def _is_total(cells: list[Any], called: list[str]) -> bool:
    """Tell whether a row is a sum: it begins with that word, and has few of the columns or numbers
    alone.
    """
    if not (isinstance(cells[0], str) and letters(without_unit(cells[0])) in _TOTALS):
        return False
    is_short = len(cells) <= max(2, sum(map(bool, called)) // 2)
    return is_short or all(not isinstance(c, str) or amount_of(c) for c in cells[1:])


def _end_of_table(held: Sequence[tuple[int, list[Any], list[Any]]], called: list[str]) -> int:
    """Return where the table ends: below a blank row or a sum stand only rows of a single text.

    A table of two columns or fewer may have such rows of its own.
    """
    if sum(map(bool, called)) < 3:
        return len(held)
    end = len(held)
    while end > 1 and len(held[end - 1][2]) == 1 and isinstance(held[end - 1][2][0], str):
        end -= 1
    while end < len(held):
        (above, _, cells), (number, *_) = held[end - 1], held[end]
        if number - above > 1 or _is_total(cells, called):
            break
        end += 1
    return end
