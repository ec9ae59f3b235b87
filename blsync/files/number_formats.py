"""What a spreadsheet shows of a number: its number format decides, and a person sees no more.

100 in the format `0000` is the code 0100, and 6 in the format `0"%"` is six percent, as 0.06 is in
`0%`. Where a format shows another number than the cell holds, nobody can tell which is meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

from openpyxl.styles.numbers import BUILTIN_FORMATS

from blsync.text.readings import RINGGIT

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<space>.)|\*(?P<fill>.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General)|(?P<power>[eE][+-])|(?P<digit>[0#?])|(?P<sign>.)",
    re.DOTALL | re.IGNORECASE,
)
_CURRENCIES = frozenset(
    (
        *("RM", "MYR", "USD", "US", "SGD", "EUR", "GBP", "JPY", "CNY", "RMB", "IDR", "RP", "THB"),
        *("AUD", "NZD", "HKD", "INR", "CHF", "KRW", "TWD", "PHP", "VND", "BND", "AED", "SAR"),
    )
)
"""Words beside a number that name its currency, and no part of a code."""
_OF_THE_READER = frozenset(
    code for number, code in BUILTIN_FORMATS.items() if number in (5, 6, 7, 8, 42, 44)
)
"""Formats whose sign of a currency is that of whoever opens the file, whatever stands there."""
_LONGEST = 10**15
"""From here on a spreadsheet does not keep all digits of a number, and none is looked for."""
_DASHES = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2212")


@dataclass(frozen=True)
class Display:
    """A number as a sheet shows it: the number, or a text such as 0100 or 6%.

    `doubt` is what the sheet shows where that is another number than the cell holds, or nothing.
    """

    value: int | Decimal | str
    doubt: str | None = None


@dataclass
class _Section:
    """A part of a format: its signs in order, as (kind, text)."""

    signs: list[tuple[str, str]] = field(default_factory=list)
    is_conditional: bool = False

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.signs]

    def literals(self) -> str:
        return "".join(text for kind, text in self.signs if kind == "literal")

    def before_number(self) -> str:
        found = ""
        for kind, text in self.signs:
            if kind in ("digit", "general"):
                break
            found += text if kind == "literal" else ""
        return found

    def has_no_zero(self) -> bool:
        """Tell whether a nil shows as blanks alone: no place of the format has to be filled."""
        return "0" not in [text for kind, text in self.signs if kind == "digit"]

    def foreign_currency(self) -> str:
        """Return the currency that stands beside the digits, empty where it is none or ringgit."""
        told = [text for kind, text in self.signs if kind == "currency"]
        told += [self.before_number(), self.literals().removeprefix(self.before_number())]
        words = [word.strip(" .()").upper() for word in told]
        return next((w for w in words if _is_currency(w) and w not in RINGGIT), "")

    def whole_digits(self) -> list[str]:
        kinds = self.kinds()
        end = kinds.index("point") if "point" in kinds else len(kinds)
        return [text for kind, text in self.signs[:end] if kind == "digit"]

    def decimals(self) -> int:
        kinds = self.kinds()
        return kinds[kinds.index("point") :].count("digit") if "point" in kinds else 0

    def thousands(self) -> int:
        """Return by how many thousands the number is divided, once for each comma behind it."""
        kinds = self.kinds()
        end = kinds.index("point") if "point" in kinds else len(kinds)
        last = max((n for n, kind in enumerate(kinds[:end]) if kind == "digit"), default=end)
        count = 0
        for kind in kinds[last + 1 : end]:
            if kind != "comma":
                break
            count += 1
        return count

    def is_grouped(self) -> bool:
        kinds = self.kinds()
        return any(pair == ("comma", "digit") for pair in pairwise(kinds))


def displayed(number: int | Decimal, number_format: str) -> Display:
    """Return what a number shows as in a number format of a spreadsheet."""
    sections = list(_sections(number_format))
    if Decimal(number).copy_abs() >= _LONGEST or any(
        section.is_conditional for section in sections
    ):
        return Display(number)
    section, shown = _section_of(sections, number)
    kinds = section.kinds()
    if not {"digit", "general"} & set(kinds):
        return _without_digits(section, number)
    if {"power", "fraction", "text"} & set(kinds):
        return Display(number)
    if number == 0 and set(section.literals()) & _DASHES and section.has_no_zero():
        return Display(number)  # a dash with blanks, as bookkeepers show nil
    if "general" in kinds:
        found = Display(_worded(section, number, plain(shown)) or number)
    else:
        found = _in_digits(section, number, shown)
    foreign = section.foreign_currency()
    if foreign and number_format not in _OF_THE_READER and isinstance(found.value, int | Decimal):
        return Display(f"{foreign} {plain(found.value)}", found.doubt)
    return found


def hides_day(number_format: str) -> bool:
    """Tell whether a format shows the month or the year of a day, and not which day it is."""
    signs = {found["sign"].lower() for found in _TOKEN.finditer(number_format) if found["sign"]}
    return bool(signs & {"m", "y"}) and not signs & {"d", "h", "s"}


def plain(number: int | Decimal) -> str:
    """Write a number with all its digits and none more."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sections(number_format: str) -> Iterator[_Section]:
    section = _Section()
    for found in _TOKEN.finditer(number_format):
        if found["sign"] == ";":
            yield section
            section = _Section()
        elif (bracket := found["bracket"]) is not None:
            section.is_conditional |= bracket[:1] in ("<", ">", "=")
            if bracket.startswith("$"):
                section.signs.append(("currency", bracket[1:].partition("-")[0]))
        elif sign := _sign(found):
            section.signs.append(sign)
    yield section


_SIGNS = {".": "point", ",": "comma", "%": "percent", "/": "fraction", "@": "text"}


def _sign(found: re.Match[str]) -> tuple[str, str] | None:
    kind, text = str(found.lastgroup), str(found[found.lastgroup or 0])
    if kind in ("space", "fill"):
        return None
    if kind == "sign":
        return (_SIGNS.get(text, "literal"), text)
    return ("literal" if kind in ("quoted", "escaped") else kind, text)


def _section_of(sections: list[_Section], number: int | Decimal) -> tuple[_Section, int | Decimal]:
    """Return the section for a number, and the number as that section has it: without its sign
    where the section is for negative ones alone.
    """
    numeric = sections[:3]
    if number < 0 and len(numeric) > 1:
        return numeric[1], -number
    if number == 0 and len(numeric) > 2:
        return numeric[2], number
    return numeric[0], number


def _without_digits(section: _Section, number: int | Decimal) -> Display:
    literals = section.literals().strip()
    if {"text"} & set(section.kinds()) or (number == 0 and set(literals) <= _DASHES and literals):
        return Display(number)
    return Display(number, literals)


def _in_digits(section: _Section, number: int | Decimal, shown: int | Decimal) -> Display:
    percent = section.kinds().count("percent")
    scaled = Decimal(shown) * 100**percent / 1000 ** section.thousands()
    rounded = scaled.quantize(Decimal(1).scaleb(-section.decimals()), ROUND_HALF_UP)
    ending = "%" * percent
    if rounded != scaled or section.thousands():
        return Display(number, f"{plain(rounded)}{ending}")
    if percent:
        sign = "-" if number < 0 and shown > 0 else ""
        return Display(f"{sign}{plain(scaled)}{ending}")
    is_code = not section.decimals() and not section.is_grouped()
    zeros = section.whole_digits().count("0")
    if is_code and (zeros > 1 or _is_split(section)):
        return Display(_filled(section, int(shown)))
    filled = _filled(section, int(shown)) if is_code else plain(shown)
    return Display(_worded(section, number, plain(shown), filled) or number)


def _is_split(section: _Section) -> bool:
    """Tell whether something stands between the digits, as in 000-0000."""
    kinds = section.kinds()
    digits = [n for n, kind in enumerate(kinds) if kind == "digit"]
    return any(kinds[n] == "literal" for n in range(digits[0], digits[-1]))


def _worded(
    section: _Section, number: int | Decimal, shown: str, filled: str | None = None
) -> str | None:
    """Return a number with the words that its format puts to it, where they belong to its value: a
    percent sign, or the beginning of a code. A currency or a unit does not.
    """
    if "%" in section.literals():
        sign = "-" if number < 0 and not shown.startswith("-") else ""
        return f"{sign}{shown}%"
    before = section.before_number().strip()
    is_code = any(c.isalnum() for c in before)
    if not is_code or _is_currency(before.upper().strip(" .")):
        return None
    if filled is not None and section.decimals() == 0 and not section.is_grouped():
        return filled
    return _joined(section.signs, shown)


def _joined(signs: Iterable[tuple[str, str]], shown: str) -> str:
    """Return the words of a format around a number, which stands where its first digit is."""
    parts, is_written = [], False
    for kind, text in signs:
        if kind == "literal":
            parts.append(text)
        elif kind in ("digit", "general") and not is_written:
            parts.append(shown)
            is_written = True
    return "".join(parts).strip()


def _is_currency(word: str) -> bool:
    """Tell whether a word, in capital letters, names a currency."""
    signs = {c for c in word if unicodedata.category(c) == "Sc"}
    return bool(signs) or word in _CURRENCIES


def _filled(section: _Section, number: int) -> str:
    """Write a whole number digit by digit into a format without decimals."""
    digits = list(str(abs(number)))
    places = sum(kind == "digit" for kind in section.kinds())
    parts: list[str] = []
    for kind, text in reversed(section.signs):
        if kind == "literal":
            parts.append(text)
        elif kind == "digit":
            places -= 1
            if not places:
                parts.append("".join(digits) or ("0" if text == "0" else ""))
            elif digits:
                parts.append(digits.pop())
            else:
                parts.append("0" if text == "0" else "")
    return ("-" if number < 0 else "") + "".join(reversed(parts)).strip()
