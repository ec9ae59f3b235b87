"""Kinds of value that rows hold, each with its rule in words.

Nothing is coerced that a person would not read so: a number is no day and no text, and how
spreadsheets spell values is told by one table (`blsync.text.spellings`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, ValidationInfo
from pydantic_core import PydanticCustomError

from blsync.push.endpoint import TakesNumber
from blsync.text.natural_keys import cleaned
from blsync.text.spellings import ERROR_TYPE, Kind, NumberStyle, OddSpelling, read_as

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_EMAIL = re.compile(r"[^@\s<>;]+@(?:[^@\s.,;<>]+\.)+[^@\s.,;<>]{2,}")
CENT = Decimal("0.01")


def spelled(kind: Kind) -> Callable[[Any], Any]:
    """Return what reads the spellings of a kind; one that is not read is an error of its own."""

    def read(value: Any) -> Any:
        try:
            return read_as(kind, value)
        except OddSpelling as error:
            raise PydanticCustomError(ERROR_TYPE, "{told}", {"told": str(error)}) from None

    return read


def _number(kind: Kind) -> Callable[[Any, ValidationInfo], Any]:
    """Return what refuses what Python would read as a number and no bookkeeper would.

    The context of a validation is how the file writes its numbers (`NumberStyle`).
    """
    read = spelled(kind)

    def plain(value: Any, info: ValidationInfo) -> Any:
        value = read(value)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise PydanticCustomError("number", "not a plain number")
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            raise PydanticCustomError("number", "not a plain number")
        style = info.context
        try:
            if isinstance(style, NumberStyle):
                style.check(value)
        except OddSpelling as error:
            raise PydanticCustomError(ERROR_TYPE, "{told}", {"told": str(error)}) from None
        return value

    return plain


plain_number = _number(Kind.NUMBER)
_percentage = _number(Kind.PERCENT)
_read_day, _read_key, _read_email = map(spelled, (Kind.DAY, Kind.KEY, Kind.EMAIL))
no_number = spelled(Kind.TEXT)
"""Refuses a text that a spreadsheet made a number of."""


def _cents(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def _day(value: Any) -> Any:
    """Take 2026-03-31 alone: what 3/4/2026 means, nobody can tell, and a number is no day."""
    value = _read_day(value)
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("day", "not a day like 2026-03-31")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("day", "not a day like 2026-03-31") from None


def key_text(value: Any) -> Any:
    """Return the text of a key as it is meant; numbers have lost zeros or a plus, and stay."""
    return _read_key(cleaned(value) if isinstance(value, str) else value)


def _code(value: Any) -> Any:
    """Take 1000 for "1000": a spreadsheet makes numbers of codes that are all digits."""
    value = key_text(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _reference(value: Any) -> Any:
    """Take a reference in Unicode's plain letters, in which it is found again."""
    return _code(unicodedata.normalize("NFKC", value) if isinstance(value, str) else value)


def _address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    address = unicodedata.normalize("NFKC", cleaned(value))
    if address.startswith("<") and address.endswith(">"):
        address = cleaned(address[1:-1])
    return _read_email(address)


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise PydanticCustomError("email", "not an email address")
    return value


Email = Annotated[
    str,
    Kind.EMAIL,
    BeforeValidator(_address),
    Field(max_length=254, description="one email address like name@company.my"),
    AfterValidator(_email),
]
Id = Annotated[
    str,
    Kind.KEY,
    BeforeValidator(key_text),
    Field(min_length=1, max_length=128, description="an id as BigLedger gave it"),
]
Code = Annotated[
    str,
    Kind.KEY,
    BeforeValidator(_code),
    Field(min_length=1, max_length=60, description="a code or number as BigLedger has it"),
]
Text = Annotated[
    str,
    TakesNumber("[0-9]{1,15}"),
    BeforeValidator(no_number),
    Field(
        max_length=500,
        description="a text of at most 500 characters (in a spreadsheet, format the column as "
        "text)",
    ),
]
ReferenceText = Annotated[
    str,
    Kind.KEY,
    BeforeValidator(_reference),
    Field(
        min_length=1,
        max_length=80,
        description="a text of 1 to 80 characters that names the document",
    ),
]
Day = Annotated[
    date,
    Kind.DAY,
    Field(strict=True, description="a day that exists, written like 2026-03-31"),
    BeforeValidator(_day),
]
Amount = Annotated[
    Decimal,
    Kind.NUMBER,
    BeforeValidator(plain_number),
    Field(
        ge=0,
        max_digits=15,
        decimal_places=2,
        description="an amount of 0 or more with at most 2 decimals, written like 5000.00",
    ),
    AfterValidator(_cents),
]
AmountAboveZero = Annotated[
    Decimal,
    Kind.NUMBER,
    BeforeValidator(plain_number),
    Field(
        gt=0,
        max_digits=15,
        decimal_places=2,
        description="an amount above 0 with at most 2 decimals, written like 5000.00",
    ),
    AfterValidator(_cents),
]
Quantity = Annotated[
    Decimal,
    Kind.NUMBER,
    BeforeValidator(plain_number),
    Field(
        gt=0,
        max_digits=15,
        decimal_places=4,
        description="a quantity above 0 with at most 4 decimals, written like 12.5",
    ),
]
UnitCost = Annotated[
    Decimal,
    Kind.NUMBER,
    BeforeValidator(plain_number),
    Field(
        ge=0,
        max_digits=15,
        decimal_places=4,
        description="a cost of one unit, 0 or more, with at most 4 decimals",
    ),
]
Percent = Annotated[
    Decimal,
    Kind.PERCENT,
    BeforeValidator(_percentage),
    Field(
        ge=0,
        le=100,
        decimal_places=4,
        description="a percentage from 0 to 100, written like 6, 12.5 or 0.5%",
    ),
]


def split_words(value: Any) -> Any:
    """Read `a;b` as two words."""
    return value.split(";") if isinstance(value, str) else value


def each_once(words: list[str]) -> list[str]:
    """Leave out words that stand there already, and empty ones."""
    return list(dict.fromkeys(word for word in words if word))


Word = Annotated[StrictStr, BeforeValidator(no_number)]
Part = Annotated[
    str | None,
    BeforeValidator(no_number),
    Field(max_length=200, description="a text of at most 200 characters"),
]
PostalCode = Annotated[
    str | None,
    Kind.KEY,
    TakesNumber("[0-9]{5}"),
    BeforeValidator(key_text),
    Field(
        max_length=200,
        description="a text of at most 200 characters (in a spreadsheet, format the column as "
        "text)",
    ),
]
TaxNumber = Annotated[
    str,
    Kind.KEY,
    BeforeValidator(key_text),
    Field(
        max_length=500,
        description="a text of at most 500 characters (in a spreadsheet, format the column as "
        "text)",
    ),
]
Phone = Annotated[
    str,
    Kind.KEY,
    TakesNumber("60[0-9]{8,10}"),
    BeforeValidator(key_text),
    Field(
        max_length=40,
        description="a text of at most 40 characters like +60 3-1234 5678 "
        "(in a spreadsheet, format the column as text)",
    ),
]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="three capital letters like MYR")]
Days = Annotated[
    int,
    Kind.NUMBER,
    BeforeValidator(plain_number),
    Field(ge=0, le=365, description="a whole number of days from 0 to 365"),
]
TaxCode = Annotated[
    str,
    BeforeValidator(key_text),
    Field(max_length=20, description="a tax code like SST"),
]
Count = Annotated[
    Decimal,
    Kind.NUMBER,
    BeforeValidator(plain_number),
    Field(
        ge=0,
        max_digits=15,
        decimal_places=4,
        description="a quantity of 0 or more with at most 4 decimals, written like 12.5",
    ),
]
