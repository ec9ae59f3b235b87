"""Layouts: which rows a profit and loss and a balance sheet have, and which accounts are in each.

A layout is a TOML file; those that come with the program are in `layouts/`. Each statement is a
list of rows. A row takes accounts (by ranges of numbers, sections, categories, roles), or adds up
rows above it, or is a heading.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from blsync.errors import ConfigError

DEFAULT = "mpers"
LANGUAGES = ("en", "ms")
REQUIRED = {
    "profit_and_loss": ("net_profit",),
    "balance_sheet": ("assets", "liabilities", "equity"),
}
"""The statements, and the rows that each must have: they are compared with the marts."""
SIDES = ("debit", "credit")
_LISTS = ("accounts", "sections", "categories", "not_categories", "roles", "not_roles")
_KEYS = {"name", *LANGUAGES, "side", "formula", *_LISTS}
_TERM = re.compile(r"\s*([+-])\s*(\w+)")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Account:
    """What a layout looks at of an account; lines that no account holds have a category
    `computed` and no number. `side` is the one on which its figures are positive.
    """

    account_id: str
    number: str
    name: str
    section: str
    category: str
    role: str
    side: str

    def __str__(self) -> str:
        return f"{self.number} {self.name}".strip()


@dataclass(frozen=True)
class Row:
    """A row: `conditions` are the lists of the file that it has, `terms` signs and names of a
    formula; a heading has neither.
    """

    name: str
    labels: Mapping[str, str]
    side: str
    conditions: Mapping[str, Sequence[str]]
    terms: Sequence[tuple[str, str]]

    def takes(self, account: Account) -> bool:
        """Tell whether an account meets all conditions of the row."""
        if not self.conditions:
            return False
        has = {"sections": account.section, "categories": account.category, "roles": account.role}
        for name, listed in self.conditions.items():
            if name == "accounts":
                if not any(_is_in(account.number, each) for each in listed):
                    return False
            elif (has[name.removeprefix("not_")] in listed) == name.startswith("not_"):
                return False
        return True


@dataclass(frozen=True)
class Layout:
    """The rows of each statement, by the names in REQUIRED."""

    name: str
    statements: Mapping[str, Sequence[Row]]

    def placed(
        self, statement: str, accounts: Sequence[Account]
    ) -> tuple[dict[str, list[Account]], list[Account]]:
        """Return the accounts of each row, and those that are in none, both in the order given.

        Raises ConfigError where accounts are in more than one row, naming them.
        """
        found: dict[str, list[Account]] = {}
        missing, double = [], []
        for account in accounts:
            rows = [row.name for row in self.statements[statement] if row.takes(account)]
            if len(rows) > 1:
                double.append(f"{account} ({', '.join(rows)})")
            elif rows:
                found.setdefault(rows[0], []).append(account)
            else:
                missing.append(account)
        if double:
            raise ConfigError(
                f"The layout {self.name} has {len(double)} accounts in more than one row of "
                f"{statement}: {'; '.join(double[:_MOST_NAMED])}. Narrow one of the rows."
            )
        return found, missing


def shipped() -> list[str]:
    """Return the names of the layouts that come with the program."""
    folder = resources.files("blsync.pack") / "layouts"
    return sorted(
        each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml")
    )


def read(named: str) -> Layout:
    """Read a layout: one that comes with the program, or a file.

    Raises ConfigError, naming file, row and what is wrong with it.
    """
    if named in shipped():
        text = (resources.files("blsync.pack") / "layouts" / f"{named}.toml").read_text("utf-8")
    else:
        try:
            text = Path(named).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise ConfigError(
                f"The layout {named} cannot be read: {reason}. Name a file, or one of "
                f"{', '.join(shipped())}."
            ) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The layout {named} is no TOML: {error}.") from None
    wrong = f"The layout {named}: "
    if unknown := document.keys() - REQUIRED.keys():
        raise ConfigError(
            f"{wrong}{sorted(unknown)[0]!r} is no statement; there are {' and '.join(REQUIRED)}."
        )
    return Layout(named, {name: _statement(document.get(name), name, wrong) for name in REQUIRED})


def _statement(given: Any, statement: str, wrong: str) -> list[Row]:
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise ConfigError(f"{wrong}write the rows of {statement} as [[{statement}]].")
    rows: list[Row] = []
    for number, each in enumerate(given, start=1):
        row = _row(each, f"{wrong}row {each.get('name') or number} of {statement}")
        above = {one.name for one in rows if one.name}
        place = f"{wrong}row {row.name or number} of {statement}"
        if row.name in above:
            raise ConfigError(f"{place} is there twice.")
        for _, name in row.terms:
            if name not in above:
                raise ConfigError(f"{place} adds up {name!r}, which is no row above it.")
        rows.append(row)
    summing = {row.name for row in rows if row.terms or row.conditions}
    if missing := [name for name in REQUIRED[statement] if name not in summing]:
        raise ConfigError(f"{wrong}{statement} needs a row {missing[0]!r}: it is compared.")
    return rows


def _row(given: Mapping[str, Any], place: str) -> Row:
    if unknown := given.keys() - _KEYS:
        raise ConfigError(
            f"{place}: {sorted(unknown)[0]!r} is unknown; a row has {', '.join(sorted(_KEYS))}."
        )
    for name, value in given.items():
        kind = list if name in _LISTS else str
        if not isinstance(value, kind) or (kind is list and not all(map(_is_text, value))):
            raise ConfigError(
                f"{place}: {name} must be {'a list of texts' if kind is list else 'a text'}."
            )
    labels = {language: given[language] for language in LANGUAGES if language in given}
    conditions = {name: given[name] for name in _LISTS if name in given}
    terms = _terms(given.get("formula", ""), place)
    if not labels:
        raise ConfigError(f"{place} has no label; write en or ms.")
    if terms and conditions:
        raise ConfigError(f"{place} has a formula and takes accounts; it can do one of both.")
    if (terms or conditions) and not given.get("name"):
        raise ConfigError(f"{place} needs a name.")
    if conditions and given.get("side") not in SIDES:
        raise ConfigError(f"{place} needs a side, debit or credit: on which it is positive.")
    return Row(given.get("name", ""), labels, given.get("side", ""), conditions, terms)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _terms(formula: str, place: str) -> list[tuple[str, str]]:
    """Return signs and names of `revenue - cost_of_sales + other_income`."""
    text = formula.strip()
    if not text:
        return []
    if text[0] not in "+-":
        text = f"+{text}"
    found = list(_TERM.finditer(text))
    if "".join(match.group() for match in found) != text:
        raise ConfigError(f"{place}: write the formula as names with + and - between them.")
    return [(match[1], match[2]) for match in found]


def _is_in(number: str, listed: str) -> bool:
    """Tell whether an account's number is the one that is listed, or in a range `6000..6099`."""
    first, dots, last = (part.strip() for part in listed.partition(".."))
    if not dots:
        return number == first
    if all(part.isdecimal() for part in (number, first, last)):
        return int(first) <= int(number) <= int(last)
    return bool(number) and first <= number <= last
