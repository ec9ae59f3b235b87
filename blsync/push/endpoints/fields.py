"""Kinds of value that rows hold, each with its rule in words."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_EMAIL = re.compile(r"[^@\s<>;]+@(?:[^@\s.,;<>]+\.)+[^@\s.,;<>]{2,}")
CENT = Decimal("0.01")


def plain_number(value: Any) -> Any:
    """Refuse what Python would read as a number and no bookkeeper would: 1_000, true, 1e3."""
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value.strip())):
        raise PydanticCustomError("number", "not a plain number")
    return value


def _cents(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def _day(value: Any) -> Any:
    """Take 2026-03-31 alone: what 3/4/2026 means, nobody can tell."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise PydanticCustomError("day", "not a date like 2026-03-31")
    return value


def _code(value: Any) -> Any:
    """Take 1000 for "1000": a spreadsheet makes numbers of codes that are all digits."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise PydanticCustomError("email", "not an email address")
    return value


Email = Annotated[
    str,
    Field(max_length=254, description="one email address like name@company.my"),
    AfterValidator(_email),
]
Id = Annotated[str, Field(min_length=1, max_length=128, description="an id as BigLedger gave it")]
Code = Annotated[
    str,
    BeforeValidator(_code),
    Field(min_length=1, max_length=60, description="a code or number as BigLedger has it"),
]
Text = Annotated[
    str,
    Field(
        max_length=500,
        description="a text of at most 500 characters (in a spreadsheet, format the column as "
        "text)",
    ),
]
ReferenceText = Annotated[
    str,
    BeforeValidator(_code),
    Field(
        min_length=1,
        max_length=80,
        description="a text of 1 to 80 characters that names the document",
    ),
]
Day = Annotated[
    date, BeforeValidator(_day), Field(description="a day that exists, written like 2026-03-31")
]
Amount = Annotated[
    Decimal,
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
    BeforeValidator(plain_number),
    Field(
        ge=0,
        le=100,
        decimal_places=4,
        description="a percentage from 0 to 100, written like 6 or 12.5",
    ),
]
