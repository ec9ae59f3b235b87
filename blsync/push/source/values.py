"""The cells of a table as they are meant, each column by itself; what was done is told.

A cell is changed only where one thing can be meant by it (`blsync.text.readings`, `.synonyms`). One
that may mean two things becomes an `Unclear` text, which validation rejects with both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from blsync.push.endpoint import Endpoint
from blsync.push.source.form import INDEX, Form
from blsync.push.source.sheet import CLEAR, Cells, Reading, Table
from blsync.text.natural_keys import cleaned, stripped
from blsync.text.readings import (
    RINGGIT,
    SIGNS,
    Amount,
    Written,
    amount_of,
    day_of,
    is_no_day,
    orders_of,
    style_of,
    without_odd_blanks,
)
from blsync.text.spellings import (
    ASKED_COMMA,
    ASKED_DAY,
    DASH,
    Kind,
    Unclear,
    number_style,
    read_any,
    spelling_of,
)
from blsync.text.synonyms import letters, order_told, word_of

LAST_MONTH = 12
_SHOWN = 60
"""Characters of a cell that a reading shows."""
_UNIT = re.compile(r"(?:net\s*)?([0-9]{1,3})\s*(?:days?|hari)?", re.IGNORECASE)
_DAYS_OF_TERMS = "paymentTerms"
MAY_BE_SWAPPED = (
    "as the cell has it; look at it, as whoever typed 27/11/2026 beside it may have typed this day "
    "first as well, and the spreadsheet program took it for month first"
)
NO_DAY = "is in no calendar, or lies decades off"
_PERCENT = re.compile(r"(.*?)\s*%")


@dataclass
class _Cell:
    """A cell: where it is kept, the row's number in the sheet, the file's name of its column, and
    the row that it belongs to.
    """

    holder: Any
    key: Any
    place: int
    header: str
    row: Cells

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    @property
    def text(self) -> str:
        return stripped(self.value)


Change = tuple[Any, str] | None
"""What a cell is read as, and by which rule; None where it stays as it is."""


def read_values(table: Table, form: Form) -> Table:
    """Read the cells of a table as its endpoint's columns, and tell what was done."""
    rows = [(number, {n: _copied(v) for n, v in cells.items()}) for number, cells in table.rows]
    columns: dict[str, list[_Cell]] = defaultdict(list)
    for number, row in rows:
        for name in row:
            if not name.startswith("_"):
                header = table.headers.get(name, name)
                for column, holder, key in _leaves(INDEX.sub("", name), row, name):
                    columns[column].append(_Cell(holder, key, number + table.top, header, row))
    endpoint = form.endpoint
    numbers = [
        cell.value
        for column, cells in columns.items()
        if endpoint.kinds.get(column) in (Kind.NUMBER, Kind.PERCENT)
        for cell in cells
    ]
    style = number_style(numbers, table.delimiter)
    of_file = style_of(filter(None, (_amount(value) for value in numbers)))
    readings: list[Reading] = []
    for column, cells in columns.items():
        texts = [c for c in cells if isinstance(c.value, str) and c.text and c.text != CLEAR]
        rest = _as_any(column, texts, readings)
        is_key = column in endpoint.identifiers
        if is_key or endpoint.kinds.get(column) in (Kind.KEY, Kind.EMAIL):
            _keys_told(column, rest, readings)
        for reader in _readers(form, column, of_file):
            _change(column, reader(rest), readings)
        _numbers_as_text(endpoint, column, cells, readings)
    return replace(table, rows=rows, readings=(*table.readings, *readings), style=style)


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return value


def _leaves(column: str, holder: Any, key: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the single values below a cell, with the column that each is of."""
    value = holder[key]
    if isinstance(value, list):
        for index, each in enumerate(value):
            if isinstance(each, dict):
                for name in each:
                    yield from _leaves(f"{column}.{name}", each, name)
            else:
                yield column, value, index
    elif isinstance(value, dict):
        for name in value:
            yield from _leaves(f"{column}.{name}", value, name)
    else:
        yield column, holder, key


def _amount(value: object) -> Amount | None:
    if not isinstance(value, str):
        return None
    text = _PERCENT.fullmatch(value.strip())
    return amount_of(text[1] if text else value)


_Reader = Callable[[list[_Cell]], Iterator[tuple[_Cell, Change]]]


def _readers(form: Form, column: str, of_file: set[str]) -> Iterator[_Reader]:
    kind = form.endpoint.kinds.get(column)
    if column == _DAYS_OF_TERMS:
        yield _terms
    if column in form.endpoint.sides:
        yield _dashes
    if kind in (Kind.NUMBER, Kind.PERCENT):
        yield lambda cells: _as_numbers(cells, form, of_file)
    if kind == Kind.DAY:
        yield lambda cells: _as_days(cells, form)
    if column in form.endpoint.choices or column == "currency":
        yield lambda cells: _as_choices(cells, form.endpoint, column)


def _change(column: str, changes: Iterator[tuple[_Cell, Change]], readings: list[Reading]) -> None:
    """Carry out what is read otherwise, and take note of it by rule."""
    by_rule: dict[str, list[tuple[_Cell, str, str]]] = defaultdict(list)
    for cell, change in changes:
        if change is None:
            continue
        value, rule = change
        before = str(cell.value)
        cell.holder[cell.key] = value
        if not isinstance(value, Unclear):
            by_rule[rule].append((cell, before, str(value)))
    readings += [_reading(column, rule, found) for rule, found in by_rule.items()]


def _reading(column: str, rule: str, found: list[tuple[_Cell, str, str]]) -> Reading:
    """Return what is told of cells, each with what it held and what it was read as."""
    cell, before, after = found[0]
    return Reading(column, rule, len(found), cell.place, before[:_SHOWN], after[:_SHOWN])


def _as_any(column: str, cells: list[_Cell], readings: list[Reading]) -> list[_Cell]:
    """Take note of what is said of any field, which is read where lines are gathered; return the
    other cells. Words for a missing value are counted there.
    """
    by_name: dict[str, list[tuple[_Cell, str, str]]] = defaultdict(list)
    kept = []
    for cell in cells:
        spelling = spelling_of(Kind.ANY, cell.text)
        if spelling is None:
            kept.append(cell)
        elif spelling.read is not None and (read := read_any(cell.text)) is not None:
            by_name[spelling.name].append((cell, cell.text, read))
    readings += [_reading(column, name, found) for name, found in by_name.items()]
    return kept


def _as_numbers(
    cells: list[_Cell], form: Form, of_file: set[str]
) -> Iterator[tuple[_Cell, Change]]:
    parts = [(cell, _PERCENT.fullmatch(cell.text)) for cell in cells]
    found = [(cell, amount_of(part[1] if part else cell.text), part) for cell, part in parts]
    own = style_of(amount for _, amount, _ in found if amount)
    proven = {form.decimals.value} if form.decimals else own
    for cell, amount, percent in found:
        if amount is None or (amount.currency and not _is_own_currency(amount.currency, cell)):
            continue
        fitting = {amount.readings[s] for s in proven if s in amount.readings}
        is_clear = len(amount.values) == 1
        if is_clear and len(proven) < 2:
            number = next(iter(amount.values))
        elif len(proven) == 1 and (form.decimals or of_file == proven) and len(fitting) == 1:
            number = next(iter(fitting))
        elif "," in amount.text or (amount.readings and own):
            yield cell, (_unclear_number(cell.text, amount, proven), "")
            continue
        else:
            continue
        if amount.is_plain and number == Decimal(amount.text):
            continue
        sign = "%" if percent else ""
        yield cell, (f"{number}%" if sign else number, _number_rule(amount, is_clear, form))


def _dashes(cells: list[_Cell]) -> Iterator[tuple[_Cell, Change]]:
    """Read the dash that bookkeepers write on the other side of a debit or a credit."""
    for cell in cells:
        spelling = spelling_of(Kind.NUMBER, without_odd_blanks(cell.text))
        if spelling and spelling.name == DASH:
            yield cell, ("0", "a dash for nothing on this side")


def _is_own_currency(currency: str, cell: _Cell) -> bool:
    """Tell whether a currency beside a number is the row's, or where none is said ringgit."""
    said = cell.row.get("currency")
    if said is None:
        return currency in RINGGIT
    own = str(said).strip().upper()
    return currency == own or {currency, own} <= RINGGIT or own in SIGNS.get(currency, ())


def _number_rule(amount: Amount, is_clear: bool, form: Form) -> str:
    rules = [*amount.rules]
    separators = [name for sign, name in ((",", "commas"), (".", "points")) if sign in amount.text]
    if "," in amount.text or amount.text.count(".") > 1 or not is_clear:
        told = f"{' and '.join(separators)} as "
        number = next(iter(amount.values)) if is_clear else None
        told += "its signs tell" if number is not None else "the column proves"
        if not is_clear and form.decimals:
            told = f"{' and '.join(separators)} as --decimals {form.decimals} says"
        rules.insert(0, told)
    return ", ".join(rules) or "a number as text"


def _unclear_number(text: str, amount: Amount, proven: set[str]) -> Unclear:
    either = " or ".join(dict.fromkeys(str(number) for number in amount.readings.values()))
    why = (
        "the column has numbers of both kinds"
        if len(proven) > 1
        else "nothing in its column proves which; --decimals point or comma decides"
    )
    told = ASKED_COMMA
    if "," not in text:
        told = "has a point, which may stand before decimals or between thousands"
    return Unclear(text, f"{told} (it is {either}: {why})")


def _as_days(cells: list[_Cell], form: Form) -> Iterator[tuple[_Cell, Change]]:
    found = [(cell, day_of(cell.text)) for cell in cells]
    days = [day for _, day in found if day]
    by_header = next((o for c, _ in found if (o := order_told(c.header))), None)
    told = form.dates or by_header
    said = f"as --dates {form.dates} says" if form.dates else ""
    said = said or ("as its header says" if by_header else "")
    orders = {str(told)} if told else orders_of(days)
    doubtful = not told and orders == {"dmy"} and not any(_is_late(d) for d in days)
    for cell, day in found:
        if day is None:
            spelling = spelling_of(Kind.DAY, cell.text)
            if is_no_day(cell.text) and spelling and spelling.told == ASKED_DAY:
                yield cell, (Unclear(cell.text, NO_DAY), "")
            continue
        fitting = {day.readings[order] for order in orders if order in day.readings}
        values = day.values
        if len(values) == 1 and (not told or fitting):
            chosen, is_clear = next(iter(values)), True
        elif len(fitting) == 1:
            chosen, is_clear = next(iter(fitting)), False
        else:
            yield cell, (_unclear_day(cell.text, day, told), "")
            continue
        rule = "" if cell.text == chosen.isoformat() else _day_rule(day, is_clear, orders, said)
        if doubtful and not day.is_numeric and _may_be_swapped(cell.text):
            rule = ", ".join(filter(None, (rule, MAY_BE_SWAPPED)))
        if rule:
            yield cell, (chosen.isoformat(), rule)


def _is_late(day: Written) -> bool:
    """Tell whether a day that is no text of numbers is one that can be no month."""
    return not day.is_numeric and any(value.day > LAST_MONTH for value in day.values)


def _may_be_swapped(text: str) -> bool:
    """Tell whether a day that a program keeps as one is another with day and month changed over."""
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return False
    return day.day <= LAST_MONTH and day.day != day.month


def _day_rule(day: Written, is_clear: bool, orders: set[str], said: str) -> str:
    rules = [*day.rules]
    if day.is_numeric:
        order = next((o for o in ("dmy", "mdy", "ymd") if o in orders and o in day.readings), "")
        names = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}
        if is_clear and order not in day.readings:
            order = next(iter(day.readings))
        why = "as the column proves" if len(orders) == 1 else "as only that is a day"
        why = said if said and not is_clear else why
        rules.insert(0, f"{names.get(order, order)}, {why}")
    return ", ".join(rules) or "another spelling of a day"


def _unclear_day(text: str, day: Written, told: str | None) -> Unclear:
    either = " or ".join(f"{value} ({order})" for order, value in day.readings.items())
    if told:
        why = f"and in the order {told}, which the sheet was said to have, it is none"
    else:
        why = "nothing in its column proves which; --dates dmy, mdy or ymd decides"
    return Unclear(text, f"{ASKED_DAY} ({either}: {why}); write it like 2026-03-31")


def _as_choices(
    cells: list[_Cell], endpoint: Endpoint, column: str
) -> Iterator[tuple[_Cell, Change]]:
    choices = endpoint.choices.get(column, ())
    for cell in cells:
        text = without_odd_blanks(cell.text)
        if text in choices:
            continue
        own = [choice for choice in choices if letters(choice) == letters(text)]
        if len(own) == 1:
            yield cell, (own[0], "the choice that has its letters")
        elif word := word_of(endpoint.name, column, cell.header, text):
            yield cell, (word, "another word for the choice")
        elif not choices and re.fullmatch("[A-Za-z]{3}", text) and not text.isupper():
            yield cell, (text.upper(), "in capital letters")


def _terms(cells: list[_Cell]) -> Iterator[tuple[_Cell, Change]]:
    for cell in cells:
        found = _UNIT.fullmatch(without_odd_blanks(cell.text))
        if found and found[1] != cell.text:
            yield cell, (found[1], "days, without the words around them")


def _keys_told(column: str, cells: list[_Cell], readings: list[Reading]) -> None:
    """Take note of keys in wrappers. They are read where a row is checked: until then two documents
    whose keys only look the same have to stay two.
    """
    read = [(cell, cell.text, cleaned(cell.value)) for cell in cells]
    found = [each for each in read if each[2] and each[2] != each[1]]
    if found:
        rule = "without characters that nobody sees, and wrappers"
        readings.append(_reading(column, rule, found))


def _numbers_as_text(
    endpoint: Endpoint, column: str, cells: list[_Cell], readings: list[Reading]
) -> None:
    """Read whole numbers of cells as texts where no digit can have been lost."""
    is_whole = endpoint.whole_numbers.get(column)
    if is_whole is None:
        return
    numbers = [c for c in cells if isinstance(c.value, int) and not isinstance(c.value, bool)]
    changes = (
        (cell, (str(cell.value), "a number as the text that it shows"))
        for cell in numbers
        if re.fullmatch(is_whole, str(cell.value))
    )
    _change(column, changes, readings)


def told(readings: Mapping[str, Any]) -> str:
    """Word a reading for people."""
    count = readings["count"]
    if readings["row"] is None:
        return f"{readings['cell']!r} is {readings['column']} ({readings['rule']})"
    cells = "1 cell" if count == 1 else f"{count} cells"
    cell = f"{readings['cell']!r} " if readings["cell"] else ""
    return (
        f"{readings['column']}: {cells} read, {readings['rule']}; "
        f"row {readings['row']}: {cell}→ {readings['read_as']}"
    )
