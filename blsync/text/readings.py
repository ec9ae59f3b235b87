"""What numbers and days of a column mean, where a cell alone does not tell: its column may.

A number or a day is read otherwise than it stands there only where one reading of it is possible:
because of its own signs (1,234.50; 27/11/2026), because of the rest of its column (1,234 above
1,234.50), or because whoever plans the sheet says so. Else it stays, with all its readings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

POINT, COMMA = "point", "comma"
_CURRENCY = r"(?P<{0}>[A-Za-z]{{2,3}}|[$€£¥])"
_MONEY = re.compile(
    rf"(?P<sign>[-+])?\s*(?:{_CURRENCY.format('before')}\.?\s*)?(?P<inner>[-+])?"
    rf"(?P<core>[0-9][0-9.,' ]*[0-9]|[0-9]|[.,][0-9]+)"
    rf"(?:\s*{_CURRENCY.format('behind')}\.?)?(?P<trailing>-)?"
)
_BRACKETS = re.compile(r"\(\s*(.+?)\s*\)|([A-Za-z]{2,3}\s*)\((.+)\)")
_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?P<sep>[.,' ])[0-9]{3})(?:(?P=sep)[0-9]{3})*")
_MAY_GROUP = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_SEPARATORS = {POINT: (".", ","), COMMA: (",", ".")}
"""Style → what stands before decimals, and what between thousands."""
RINGGIT = frozenset(("RM", "MYR"))
SIGNS = {
    "$": frozenset(("USD", "SGD", "AUD", "NZD", "HKD", "BND", "CAD", "TWD")),
    "€": frozenset(("EUR",)),
    "£": frozenset(("GBP",)),
    "¥": frozenset(("JPY", "CNY")),
}
"""Sign of a currency → the currencies that it may stand for."""


def without_odd_blanks(text: str) -> str:
    """Return a text with plain blanks for all others, and a plain minus sign."""
    spaced = "".join(" " if c.isspace() or unicodedata.category(c) == "Zs" else c for c in text)
    return spaced.replace("\u2212", "-").replace("\u2019", "'").strip()


@dataclass(frozen=True)
class Amount:
    """A number as it is written: its digits with their separators, its sign, what stands around it.

    `readings` are what it can be: style → number; `proves` is the style that it shows, if one.
    """

    text: str
    readings: Mapping[str, Decimal]
    proves: str | None
    currency: str = ""
    rules: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is written as the API writes numbers."""
        return bool(_PLAIN.fullmatch(self.text))

    @property
    def values(self) -> set[Decimal]:
        """What it can be."""
        return {*self.readings.values()}


def amount_of(text: str) -> Amount | None:
    """Take a number apart; None for what is none."""
    given = without_odd_blanks(text)
    rules: list[str] = []
    sign = ""
    inner = given
    if brackets := _BRACKETS.fullmatch(given):
        inner, sign = brackets[1] or f"{brackets[2]}{brackets[3]}", "-"
        rules.append("brackets for a minus")
    found = _MONEY.fullmatch(inner)
    if found is None:
        return None
    signs = [s for s in (sign, found["sign"], found["inner"], found["trailing"]) if s]
    if len(signs) > 1 or (found["before"] and found["behind"]):
        return None
    if found["trailing"]:
        rules.append("a minus behind the number")
    currency = (found["before"] or found["behind"] or "").upper()
    if currency:
        rules.append(f"the currency {currency} left out")
    negative = "-" in signs
    core = found["core"]
    blank = _blanks_taken(core)
    if blank is None:
        return None
    if blank != core:
        rules.append("blanks or apostrophes between thousands")
    readings, proves = _readings(blank)
    if not readings:
        return None
    signed = {style: -number if negative else number for style, number in readings.items()}
    return Amount(given, signed, proves, currency, tuple(rules))


def _blanks_taken(core: str) -> str | None:
    """Return digits without blanks or apostrophes between thousands; None where others stay."""
    whole = re.match(r"[0-9' ]*", core)
    part = whole[0] if whole else ""
    if not set(part) & {" ", "'"}:
        return None if set(core) & {" ", "'"} else core
    grouped = _GROUPED.fullmatch(part)
    if not grouped or set(core[len(part) :]) & {" ", "'"}:
        return None
    return part.replace(" ", "").replace("'", "") + core[len(part) :]


def _readings(core: str) -> tuple[dict[str, Decimal], str | None]:
    found = {}
    for style, (point, between) in _SEPARATORS.items():
        number = _number(core, point, between)
        if number is not None:
            found[style] = number
    if len(found) == 1:
        return found, next(iter(found))
    return found, None


def _number(core: str, point: str, between: str) -> Decimal | None:
    """Return the number that digits are with these separators; None where they are none."""
    whole, dot, decimals = core.partition(point)
    if dot and not (decimals.isdigit()):
        return None
    if between in whole:
        if not _GROUPED.fullmatch(whole) or whole[0] == "0":
            return None
        whole = whole.replace(between, "")
    if not whole and dot:
        whole = "0"
    return Decimal(f"{whole}.{decimals}" if dot else whole) if whole.isdigit() else None


def style_of(amounts: Iterable[Amount]) -> set[str]:
    """Return the styles that numbers show."""
    return {amount.proves for amount in amounts if amount.proves}


MONTHS = {
    word: number
    for number, words in enumerate(
        (
            *("jan january januari", "feb february februari", "mar march mac"),
            *("apr april", "may mei", "jun june", "jul july julai", "aug august ogos ogo"),
            *("sep sept september", "oct october okt oktober", "nov november"),
            *("dec december dis disember",),
        ),
        start=1,
    )
    for word in words.split()
}
_DAY_FIRST = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th|hb)?[-/ .,]*([A-Za-z]{3,9})\.?[-/ .,]*(\d{4}|\d{2})"
)
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.?[-/ .]*(\d{1,2})(?:st|nd|rd|th)?[-/ .,]+(\d{4})")
_YEAR_FIRST = re.compile(r"(\d{4})[-/ .,]*([A-Za-z]{3,9})\.?[-/ .,]*(\d{1,2})")
_NUMERIC = re.compile(r"(\d{1,4})([-/. ])\s*(\d{1,2})\2\s*(\d{1,4})")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"(.+?)(?:T| +|, *)(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(\s*[AaPp]\.?[Mm]\.?)?")
_WEEKDAY = re.compile(
    r"(?:mon|tue|wed|thu|fri|sat|sun|isnin|selasa|rabu|khamis|jumaat|sabtu|ahad)[a-z]*\.?,?\s+",
    re.IGNORECASE,
)
FIRST_YEAR, LAST_YEAR = 1980, 2099


@dataclass(frozen=True)
class Written:
    """A day as it is written; `readings` are what it can be: order (dmy, mdy, ymd) → day.

    Of one whose month is a word, or that is written 2026-11-27, every order says the same.
    """

    text: str
    readings: Mapping[str, date]
    rules: tuple[str, ...] = ()
    is_numeric: bool = False

    @property
    def values(self) -> set[date]:
        """What it can be."""
        return {*self.readings.values()}


_ORDERS = ("dmy", "mdy", "ymd")


def day_of(text: str) -> Written | None:
    """Take a day apart; None for what is none, or lies where no books are."""
    given = without_odd_blanks(text)
    rules: list[str] = []
    if timed := _TIME.fullmatch(given):
        given = timed[1].rstrip(" ,")
        rules.append("the time of day left out")
    if day := _WEEKDAY.match(given):
        given = given[day.end() :]
        rules.append("the day of the week left out")
    if _ISO.fullmatch(given):
        exact = _day(*given.split("-"))
        return Written(text, dict.fromkeys(_ORDERS, exact), tuple(rules)) if exact else None
    if named := _named(given):
        return Written(text, dict.fromkeys(_ORDERS, named), ("the month as a word", *rules))
    found = _NUMERIC.fullmatch(given)
    if not found:
        return None
    readings = _in_orders(found[1], found[3], found[4])
    return Written(text, readings, tuple(rules), is_numeric=True) if readings else None


def is_no_day(text: str) -> bool:
    """Tell whether a text is made like a day in numbers, and no calendar has it."""
    given = without_odd_blanks(text)
    return bool(_NUMERIC.fullmatch(given)) and day_of(given) is None


def _named(text: str) -> date | None:
    for pattern, order in ((_DAY_FIRST, "dmy"), (_MONTH_FIRST, "mdy"), (_YEAR_FIRST, "ymd")):
        if found := pattern.fullmatch(text):
            parts = dict(zip(order, found.groups(), strict=True))
            month = MONTHS.get(parts["m"].lower())
            return _day(parts["y"], str(month), parts["d"]) if month else None
    return None


def _in_orders(first: str, second: str, third: str) -> dict[str, date]:
    found = {}
    for order in _ORDERS:
        parts = dict(zip(order, (first, second, third), strict=True))
        if len(parts["y"]) not in (2, 4) or len(parts["d"]) > 2 or len(parts["m"]) > 2:
            continue
        if day := _day(parts["y"], parts["m"], parts["d"]):
            found[order] = day
    return found


def _day(year: str, month: str, day: str) -> date | None:
    full = int(year) + 2000 if len(year) == 2 else int(year)
    if not FIRST_YEAR <= full <= LAST_YEAR:
        return None
    try:
        return date(full, int(month), int(day))
    except ValueError:
        return None


def orders_of(days: Sequence[Written]) -> set[str]:
    """Return the orders in which all the days of a column that are numbers can be read."""
    numeric = [day for day in days if day.is_numeric]
    return {order for order in _ORDERS if all(order in day.readings for day in numeric)}


READINGS: tuple[tuple[str, str, Mapping[str, tuple[str | None, ...]]], ...] = (
    (
        "a number with signs between thousands",
        "number",
        {
            "1,234.50": ("1234.50",),
            "1.234,50": ("1234.50",),
            "2,50": ("2.50",),
            "1,234,567": ("1234567",),
            "1 234.50": ("1234.50",),
        },
    ),
    (
        "a number whose sign the column proves",
        "number",
        {
            "105,000 | 1,250.50": ("105000", "1250.50"),
            "1.500 | 2,50": ("1500", "2.50"),
            "1,234 | 12.75": ("1234", "12.75"),
        },
    ),
    (
        "a number whose sign nothing proves",
        "number",
        {"1,234": (None,), "105,000 | 20,000": (None, None), "1,234 | 500": (None, "500")},
    ),
    (
        "columns that prove both",
        "number",
        {"1,234 | 1,234.50 | 2,50": (None, None, None)},
    ),
    (
        "a number in brackets, with a minus behind it, with ringgit",
        "number",
        {
            "RM 1,234.50": ("1234.50",),
            "RM5.00": ("5.00",),
            "5.00 MYR": ("5.00",),
            "(1,234.50)": ("-1234.50",),
            "5.00-": ("-5.00",),
        },
    ),
    (
        "a day whose own signs tell the order",
        "day",
        {
            "27/11/2026": ("2026-11-27",),
            "11/27/2026": ("2026-11-27",),
            "31.3.2026": ("2026-03-31",),
            "05/05/2026": ("2026-05-05",),
            "2026/11/7": ("2026-11-07",),
        },
    ),
    (
        "a day whose order the column proves",
        "day",
        {
            "03/04/2026 | 27/11/2026": ("2026-04-03", "2026-11-27"),
            "03/04/2026 | 11/27/2026": ("2026-03-04", "2026-11-27"),
        },
    ),
    (
        "a day whose order nothing proves",
        "day",
        {
            "03/04/2026": (None,),
            "03/04/2026 | 05/06/2026": (None, None),
            "03/04/2026 | 27/11/2026 | 11/27/2026": (None, "2026-11-27", "2026-11-27"),
            "27/11/26": (None,),
        },
    ),
    (
        "a day with its month as a word",
        "day",
        {
            "27-Nov-26": ("2026-11-27",),
            "27 November 2026": ("2026-11-27",),
            "Nov 27, 2026": ("2026-11-27",),
            "3 Ogos 2026": ("2026-08-03",),
            "27hb November 2026": ("2026-11-27",),
        },
    ),
    (
        "a day with a time that names no zone",
        "day",
        {"2026-03-31 08:30": ("2026-03-31",), "27/11/2026 5:30 PM": ("2026-11-27",)},
    ),
)
"""The name of a kind of columns, what they hold, and examples: the cells of a column, with |
between them → what each is read as, None where it is asked about."""


def rows_of_readings() -> Iterable[tuple[str, str, str]]:
    """Yield the table as documents show it: what, a column, what becomes of each cell."""
    for name, kind, examples in READINGS:
        for cells, read in examples.items():
            told = ", ".join(f"`{each}`" if each is not None else "asked about" for each in read)
            column = ", ".join(f"`{cell}`" for cell in cells.split(" | "))
            yield f"{name} ({kind})", column, told
