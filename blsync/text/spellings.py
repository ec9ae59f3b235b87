"""How spreadsheets and programs spell values: what is read, what is refused, what is asked about.

One table for every source: csv, xlsx, json, jsonl, parquet and views. A spelling that could mean
two things is asked about: its row is rejected with both, and whoever wrote it says which. Nothing
is guessed. What is told here of a cell alone, its column may prove (`blsync.text.readings`).
`docs/reference/spreadsheets.md` is made of this table, and a test runs its examples over each kind
of file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from re import Match, Pattern
from typing import Any

from blsync.text.natural_keys import stripped


class Kind(StrEnum):
    """What a field holds."""

    ANY = "any"
    KEY = "an id, code, reference, phone number or postal code"
    EMAIL = "an email address"
    TEXT = "a text"
    NUMBER = "a number"
    PERCENT = "a percentage"
    DAY = "a day"


class Verdict(StrEnum):
    """What becomes of a spelling. What is refused or asked about rejects its row."""

    READ = "read"
    REFUSED = "refused"
    ASKED = "asked about"


@dataclass(frozen=True)
class Spelling:
    """A spelling of values in fields of some kinds.

    `told` follows the field's name and value in a message, or says of a spelling that is read as
    what. `read` makes the value of what the pattern matched, None where there is none. `examples`
    are cells → what is read of them, None where nothing is; of what is not read, the cells alone.
    """

    name: str
    kinds: tuple[Kind, ...]
    pattern: Pattern[str]
    verdict: Verdict
    told: str
    read: Callable[[Match[str]], str | None] | None
    examples: dict[Any, str | None]


def _nothing(_: Match[str]) -> None:
    return None


def _inside(found: Match[str]) -> str:
    return found[1]


_ESCAPE = re.compile(r"_x(000[9AaDd]|005[Ff])_")
_ESCAPED = {"0009": "\t", "000A": "\n", "000D": "\r", "005F": "_"}
_E_NOTATION = r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE]"
_NUMBER_KINDS = (Kind.NUMBER, Kind.PERCENT)


def _unescaped(found: Match[str]) -> str:
    text = _ESCAPE.sub(lambda code: _ESCAPED[code[1].upper()], found[0])
    return text.replace("\r\n", "\n").replace("\r", "\n")


DASHES = "\\-\u2010-\u2015\u2212"
"""Dashes, as a set of a regular expression has them."""
DASH = "a dash where a number belongs"
ASKED_COMMA = (
    "has a comma, which may stand before decimals or between thousands; write a plain number "
    "with a decimal point, like 1234.50"
)
ASKED_DAY = "may be two different days"

SPELLINGS = (
    Spelling(
        "a missing value, as a program writes it",
        (Kind.ANY,),
        re.compile(
            r"[+-]?(?:nan|NaN|NAN)|NaT|<NA>|None|NULL|null|[(<\[](?:null|NULL)[)>\]]"
            r"|\\N|undefined|\(blank\)"
        ),
        Verdict.READ,
        "nothing, as an empty cell",
        _nothing,
        dict.fromkeys(("nan", "NaN", "NaT", "<NA>", "None", "NULL", "null", "(null)", "\\N")),
    ),
    Spelling(
        "a missing value, as people write it",
        (Kind.ANY,),
        re.compile(r"NA|[Nn]/[Aa]"),
        Verdict.ASKED,
        "which may stand for a missing value; empty the cell, or write in words what is meant",
        None,
        dict.fromkeys(("NA", "N/A", "n/a")),
    ),
    Spelling(
        "the error of a formula",
        (Kind.ANY,),
        re.compile(
            r"#(?:NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A|GETTING_DATA|SPILL!|CALC!|FIELD!"
            r"|BLOCKED!|CONNECT!|UNKNOWN!|BUSY!|PYTHON!|EXTERNAL!)|Err:[0-9]{3}"
        ),
        Verdict.REFUSED,
        "the error of a formula; mend the formula, or write the value",
        None,
        dict.fromkeys(("#REF!", "#N/A", "#DIV/0!", "#NAME?", "Err:502")),
    ),
    Spelling(
        "what a column that is too narrow shows",
        (Kind.ANY,),
        re.compile(r"#{2,}"),
        Verdict.REFUSED,
        "which a column shows that is too narrow for its value; widen it and save again",
        None,
        dict.fromkeys(("###", "########")),
    ),
    Spelling(
        "a formula that keeps zeros before a number",
        (Kind.ANY,),
        re.compile(r'="([^"]*)"'),
        Verdict.READ,
        "the text in its quotes",
        _inside,
        {'="0123"': "0123", '="PO-0042"': "PO-0042"},
    ),
    Spelling(
        "an apostrophe before a number, which keeps it as text",
        (Kind.ANY,),
        re.compile(r"'([0-9][0-9 .,/:-]*)"),
        Verdict.READ,
        "what stands behind it",
        _inside,
        {"'0123": "0123", "'00-45": "00-45"},
    ),
    Spelling(
        "characters as a workbook's file writes them",
        (Kind.ANY,),
        re.compile(rf"[\s\S]*{_ESCAPE.pattern}[\s\S]*"),
        Verdict.READ,
        "the line ends, tabs and underscores that they stand for",
        _unescaped,
        {"Unit 4_x000D_\nJalan Ampang": "Unit 4\nJalan Ampang", "A-77_x000D_": "A-77"},
    ),
    Spelling(
        "a number in E-notation where a text belongs",
        (Kind.KEY, Kind.EMAIL),
        re.compile(rf"{_E_NOTATION}[+-]?[0-9]+"),
        Verdict.REFUSED,
        "is in E-notation: a spreadsheet made a number of it and its digits are lost; format the "
        "column as text and write it anew",
        None,
        dict.fromkeys(("9.55501E+12", "2,01901E+11", "6.0123e10", "1E+15", "12E5")),
    ),
    Spelling(
        "a number in E-notation in a text",
        (Kind.TEXT,),
        re.compile(rf"{_E_NOTATION}\+[0-9]+|[+-]?[0-9]+[.,][0-9]+[eE]-?[0-9]+"),
        Verdict.REFUSED,
        "is in E-notation: a spreadsheet made a number of it and its digits are lost; format the "
        "column as text and write it anew",
        None,
        dict.fromkeys(("9.55501E+12", "2,01901E+11", "6.0123e10", "1E+15")),
    ),
    Spelling(
        "a code with a decimal that it never had",
        (Kind.KEY,),
        re.compile(r"[0-9]{3,}\.0"),
        Verdict.ASKED,
        "looks like a code that a program made a number of; write it without the .0",
        None,
        dict.fromkeys(("1010.0", "201901000005.0")),
    ),
    Spelling(
        "a code or reference in wrappers, or with characters that nobody sees",
        (Kind.KEY,),
        re.compile(r"(?!)"),  # natural_keys.cleaned reads them, which looks at the whole
        Verdict.READ,
        "the key alone: without zero-width characters, direction marks, soft hyphens, quotes or an "
        "apostrophe around it, and with plain blanks for no-break ones",
        None,
        {"\u200bPO-0777": "PO-0777", "P\u00adO-0778\u200e": "PO-0778", "'PO-0779'": "PO-0779"},
    ),
    Spelling(
        "an address in wrappers, or with characters that nobody sees",
        (Kind.EMAIL,),
        re.compile(r"(?!)"),
        Verdict.READ,
        "the address alone, without `mailto:` as well",
        None,
        {
            "mailto:aina@kedai.my": "aina@kedai.my",
            "'aina@kedai.my'": "aina@kedai.my",
            "<aina@kedai.my>": "aina@kedai.my",
            "aina\u200b@kedai.my\u00a0": "aina@kedai.my",
        },
    ),
    Spelling(
        "a plain number",
        _NUMBER_KINDS,
        re.compile(r"(?!)"),
        Verdict.READ,
        "the number",
        None,
        {"5": "5", "12.5": "12.5", "2.50": "2.50"},
    ),
    Spelling(
        "a decimal comma, or a comma between thousands",
        _NUMBER_KINDS,
        re.compile(r"[+-]?[0-9.' ]*[0-9],[0-9][0-9.,]*"),
        Verdict.ASKED,
        ASKED_COMMA,
        None,
        dict.fromkeys(("1,234", "105,000")),
    ),
    Spelling(
        DASH,
        _NUMBER_KINDS,
        re.compile(rf"(?:[A-Za-z]{{2,3}}|[$€£¥])?\s*[{DASHES}]+"),
        Verdict.ASKED,
        "is a dash, which may stand for 0 or for nothing; write 0, or empty the cell",
        None,
        dict.fromkeys(("-", "RM -", "\u2014")),
    ),
    Spelling(
        "a number that is dressed up",
        _NUMBER_KINDS,
        re.compile(
            r"(?:[A-Z]{1,3}|[$€£¥])\s?[0-9].*|\([0-9][^)]*\)|[0-9][0-9.]*-|[0-9]+(?:[ '_][0-9]{3})+"
            r"(?:\.[0-9]+)?"
        ),
        Verdict.REFUSED,
        "is no plain number; write one without another currency or signs, like 1234.50",
        None,
        dict.fromkeys(("USD 5.00", "$5.00", "1_000")),
    ),
    Spelling(
        "a number in E-notation",
        _NUMBER_KINDS,
        re.compile(rf"{_E_NOTATION}[+-]?[0-9]+"),
        Verdict.REFUSED,
        "is in E-notation, in which digits are lost; write all of them, like 1234.50",
        None,
        dict.fromkeys(("1.5E+3", "1e3")),
    ),
    Spelling(
        "a percentage with its sign",
        (Kind.PERCENT,),
        re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?%"),
        Verdict.READ,
        "the number before the sign",
        _inside,
        {"6%": "6", "6 %": "6", "12.5%": "12.5", "0.5%": "0.5"},
    ),
    Spelling(
        "a fraction where a percentage belongs",
        (Kind.PERCENT,),
        re.compile(r"0?\.0*[1-9][0-9]*"),
        Verdict.ASKED,
        "may be a fraction or a percentage below one; write 6 or 6% for six percent, and 0.06% "
        "with its sign where that is meant",
        None,
        dict.fromkeys(("0.06", "0.5")),
    ),
    Spelling(
        "a day that no books have",
        (Kind.DAY,),
        re.compile(r"(?!19[89]|20)[0-9]{4}-[0-9]{2}-[0-9]{2}.*"),
        Verdict.REFUSED,
        "lies centuries or decades off, as a 0 does that became a day",
        None,
        dict.fromkeys(("1899-12-30", "1900-01-01", "1970-01-01", "0226-03-01", "9999-12-31")),
    ),
    Spelling(
        "a day",
        (Kind.DAY,),
        re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?"),
        Verdict.READ,
        "the day; midnight without a time zone belongs to it",
        _inside,
        {"2026-03-31": "2026-03-31", "2026-03-31T00:00:00.000": "2026-03-31"},
    ),
    Spelling(
        "a day in another order",
        (Kind.DAY,),
        re.compile(r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}"),
        Verdict.ASKED,
        ASKED_DAY,
        None,
        dict.fromkeys(("03/04/2026", "3.4.2026", "3-4-26")),
    ),
    Spelling(
        "a number where a day belongs",
        (Kind.DAY,),
        re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?|(?i:true|false)"),
        Verdict.REFUSED,
        "is a number and no day: a spreadsheet counts days since 1900 and programs milliseconds "
        "since 1970",
        None,
        dict.fromkeys((0, 86400, 46327, 20260401, 1793491200000, "0", "46327", "20260401", True)),
    ),
    Spelling(
        "a time where a day belongs",
        (Kind.DAY,),
        re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?[0-9]{1,2}:[0-9]{2}.*"),
        Verdict.REFUSED,
        "is a time, which is another day elsewhere",
        None,
        dict.fromkeys(("2026-03-31T08:30:00+08:00", "2026-03-31T00:00:00Z", "00:00:00")),
    ),
)
"""The first that fits counts, of any kind before those of the field's own."""

DOUBTFUL_POINT = (
    "has three digits behind its point, in a file whose numbers may have decimal commas: it may be "
    "in thousands; write it without the point, or with other than three decimals"
)
"""Why 1.500 is asked about: which it is the whole file tells, not the cell."""


ERROR_TYPE = "spelling"
"""Type of a validation's errors whose text is that of an OddSpelling."""


class OddSpelling(ValueError):
    """A spelling that is not read; the text follows the field's name and value."""


class Unclear(str):
    """A cell's text that may mean two things; `told` follows the field's name and value."""

    told: str

    def __new__(cls, text: str, told: str) -> Unclear:
        """Keep why a text is not read beside it."""
        made = super().__new__(cls, text)
        made.told = told
        return made


def spelling_of(kind: Kind, text: str) -> Spelling | None:
    """Return the spelling of a field's kind that a text has, None where it is as it stands."""
    return next((each for each in _BY_KIND[kind] if each.pattern.fullmatch(text)), None)


def read_any(text: str) -> str | None:
    """Return what a cell's text says whatever its field is, None where it says nothing.

    Raises OddSpelling.
    """
    if isinstance(text, Unclear):
        return text
    text = stripped(text)
    return _read(Kind.ANY, text) if text else None


def read_as(kind: Kind, value: Any) -> Any:
    """Return a value as a field of this kind has it; what no spelling fits stays as it is.

    Raises OddSpelling.
    """
    if isinstance(value, Unclear):
        raise OddSpelling(value.told)
    if not isinstance(value, str | int | Decimal):
        return value
    read = _read(kind, _as_text(value))
    return read if isinstance(value, str) else value


def _read(kind: Kind, text: str) -> str | None:
    if not _ANY_OF_KIND[kind].fullmatch(text):
        return text
    for spelling in _BY_KIND[kind]:
        if found := spelling.pattern.fullmatch(text):
            if spelling.read is None:
                raise OddSpelling(spelling.told)
            read = spelling.read(found)
            return None if read is None else stripped(read)
    return text


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_BY_KIND = {kind: [spelling for spelling in SPELLINGS if kind in spelling.kinds] for kind in Kind}

_ANY_OF_KIND = {
    kind: re.compile("|".join(f"(?:{each.pattern.pattern})" for each in spellings))
    for kind, spellings in _BY_KIND.items()
}
"""What any of a kind's spellings fits: few values do, and most are done with at once."""

_POINT = re.compile(r"[+-]?(?:[0-9]+\.(?:[0-9]{1,2}|[0-9]{4,})|0\.[0-9]+|[0-9,]+,[0-9]{3}\.[0-9]+)")
_COMMA = re.compile(r"[+-]?[0-9.]*[0-9],[0-9.,]*[0-9]")
_THOUSANDS_BY_COMMA = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_THREE_BEHIND_POINT = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")


@dataclass(frozen=True)
class NumberStyle:
    """How a file writes its numbers, as far as it shows."""

    has_decimal_commas: bool = False
    has_commas: bool = False
    has_decimal_points: bool = False
    is_semicolon_separated: bool = False

    @property
    def is_point_doubtful(self) -> bool:
        """Whether a point may stand between thousands.

        Programs that write decimal commas put semicolons between cells.
        """
        is_hinted = self.has_commas or self.is_semicolon_separated
        return self.has_decimal_commas or (is_hinted and not self.has_decimal_points)

    def check(self, value: object) -> None:
        """Raise OddSpelling where a number of the file may mean two things."""
        is_unclear = isinstance(value, str) and _THREE_BEHIND_POINT.fullmatch(value)
        if is_unclear and self.is_point_doubtful:
            raise OddSpelling(DOUBTFUL_POINT)


def number_style(values: Iterable[object], delimiter: str) -> NumberStyle:
    """Tell how a file writes numbers from the texts of all its numbers together."""
    texts = [value.strip() for value in values if isinstance(value, str)]
    commas = [text for text in texts if _COMMA.fullmatch(text)]
    return NumberStyle(
        any(not _THOUSANDS_BY_COMMA.fullmatch(text) for text in commas),
        bool(commas),
        any(_POINT.fullmatch(text) for text in texts),
        delimiter == ";",
    )


_SEPARATOR = re.compile(r'"?sep=([^"\w\s]|\t)"?[,;\t]*', re.IGNORECASE)


def told_separator(text: str) -> str | None:
    """Return the separator of cells that the line `sep=;` before a csv file's header names.

    Spreadsheet programs write and read that line. None where the first line is another.
    """
    first = text.lstrip(" \r\n\ufeff").partition("\n")[0].rstrip("\r")
    found = _SEPARATOR.fullmatch(first)
    return found[1] if found else None


def rows_of_table() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the table as documents show it: spelling, fields, examples, verdict, what is told."""
    for each in SPELLINGS:
        fields = "any field" if Kind.ANY in each.kinds else ", ".join(each.kinds)
        yield (
            each.name,
            fields,
            ", ".join(dict.fromkeys(map(_example, each.examples))),
            each.verdict,
            each.told,
        )


def _example(cell: object) -> str:
    text = "".join(c if c.isprintable() else _named(c) for c in _as_text(cell))
    return f"`{text}`"


def _named(character: str) -> str:
    return "\\n" if character == "\n" else f"\\u{ord(character):04x}"
