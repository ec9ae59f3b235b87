"""How a sheet is read for an endpoint: what its columns may be called, and what was said of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from blsync.errors import ConfigError, InputFileError
from blsync.push.endpoint import Endpoint
from blsync.text.natural_keys import cleaned
from blsync.text.synonyms import EITHER, HEADERS, letters, without_explanation, without_unit

BASIS = ("base_updated_at", "updatedAt")
"""Columns that say which version of the record the row was based on: its `updatedAt`, in ISO 8601
(UTC where it names no zone)."""
INDEX = re.compile(r"\[\d+\]|\.\d+(?=\.)")
"""What a column of a line has between the lines' field and its own: `items[0].quantity`."""
_NEAR = 0.75
_SLIP = 0.9
"""How much of a name is right of which a letter or two were mistyped."""
"""How like another a name has to be to be taken for a slip of the pen."""


class DateOrder(StrEnum):
    """In which order a sheet writes days: 27/11/2026, 11/27/2026, 2026/11/27."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


class Decimals(StrEnum):
    """What stands before the decimals of a sheet's numbers: 1,234.50 or 1.234,50."""

    POINT = "point"
    COMMA = "comma"


@dataclass(frozen=True)
class Header:
    """A column of a sheet as its header calls it, and the endpoint's column that it is.

    `column` is None where it is none; `rule` says by what it was known, empty where it has the
    column's own letters. `twins` are the columns that its name fits alike.
    """

    name: str
    column: str | None = None
    rule: str = ""
    twins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """How a sheet is read for an endpoint.

    `maps` are headers and the columns that they are, as somebody said; an empty one is left out.
    `remembered` are those of earlier plans of the same headers. `sheet` is the worksheet to read,
    None: the one whose header fits. With `is_strict`, a column that is not known refuses the file.
    """

    endpoint: Endpoint
    maps: Mapping[str, str] = field(default_factory=dict)
    remembered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Set of headers, as `header_set` writes it → the maps said with it."""
    sheet: str | None = None
    dates: DateOrder | None = None
    decimals: Decimals | None = None
    is_strict: bool = False

    def known(self) -> list[str]:
        """Return every column that a sheet for the endpoint may have, in the reader's order."""
        own = [name for name in self.endpoint.identifiers if name not in self.endpoint.rules]
        return [*own, *self.endpoint.rules, *BASIS]

    def headers(self, names: Sequence[str]) -> list[Header]:
        """Return what each name of a header is; one column is what only one of them is."""
        found = [self._header(name, names) for name in names]
        taken = {h.column for h in found if h.column and not h.rule}
        # What has a column's own letters is that column, whatever else could be.
        return [
            Header(h.name, None, "", (h.column,)) if h.rule and h.column in taken else h
            for h in found
        ]

    def _header(self, name: str, names: Sequence[str]) -> Header:
        name = cleaned(name)
        if not name or name.startswith("_"):
            return Header(name, name or None)
        said = {letters(header): column for header, column in self.maps.items()}
        before = self.remembered.get(header_set(names), {})
        if self.is_known(name) and letters(name) not in said:
            return Header(name, name)
        if (column := said.get(letters(name))) is not None:
            return Header(name, column or None, "as --map says")
        if (column := before.get(letters(name))) is not None:
            return Header(name, column or None, "as --map said before")
        spellings = dict.fromkeys((name, without_unit(name)))
        if whole := next(filter(None, map(self._by_letters, spellings)), None):
            return Header(name, whole)
        for spelled in spellings:
            if header := self._fitting(name, spelled):
                return header
        bare = without_explanation(name)
        if bare == name:
            return Header(name)
        column = self._by_letters(bare)
        header = Header(name, column) if column else self._fitting(name, bare)
        if header is None or header.column is None:
            return header or Header(name)
        rules = (header.rule, "without what its brackets say")
        return replace(header, rule=", ".join(filter(None, rules)))

    def _fitting(self, name: str, spelled: str) -> Header | None:
        wanted = letters(spelled)
        if not wanted:
            return None
        ends = [c for c in self.known() if letters(c.rpartition(".")[2]) == wanted and "." in c]
        if len(ends) == 1:
            return Header(name, ends[0], "the last part of its name")
        for column, names in HEADERS.get(self.endpoint.name, {}).items():
            if wanted in map(letters, names):
                return Header(name, column, "another name for it")
        for columns, names in EITHER.get(self.endpoint.name, {}).items():
            if wanted in map(letters, names):
                return Header(name, None, "", columns)
        return Header(name, None, "", tuple(ends)) if ends else None

    def _by_letters(self, name: str) -> str | None:
        """Return the column that has a name's letters, with the index of its line."""
        wanted = letters(name)
        own = next((c for c in (*self.known(), self.endpoint.lines or "") if c and
                    letters(c) == wanted), None)  # fmt: skip
        if own:
            return own
        head, dot, rest = name.partition(".")
        for field_ in self.endpoint.open_ended:
            if dot and rest and letters(head) == letters(field_):
                return f"{field_}.{rest}"
        index = INDEX.search(name)
        if index and (column := self._by_letters(INDEX.sub("", name))):
            first, _, last = column.partition(".")
            return f"{first}{index[0]}.{last}"
        return None

    def is_known(self, name: str) -> bool:
        """Tell whether a name is a column's, sign for sign."""
        own = (*self.endpoint.identifiers, *BASIS)
        return name.startswith("_") or name in own or self.endpoint.is_writable(INDEX.sub("", name))

    def told(self, header: Header) -> str:
        """Say why a column is none of the endpoint's, and what it may have been meant as."""
        name, endpoint = header.name, self.endpoint
        if header.rule:
            return f"column {name!r}, {header.rule}"
        if name in endpoint.read_only:
            return f"column {name!r} is read-only: BigLedger works it out itself"
        parts = [column for column in endpoint.rules if column.startswith(f"{name}.")]
        if parts:
            return f"column {name!r} has parts, each in a column of its own, as {parts[0]!r}"
        if len(header.twins) == 1:
            return f"column {name!r} would be {header.twins[0]!r}, which another column is already"
        if header.twins:
            either = " or ".join(map(repr, header.twins))
            return f"column {name!r} may be {either}; say which with --map '{name}=…'"
        near = nearest(name, self.known(), cutoff=0.6)
        return f"column {name!r} is unknown" + (f" (did you mean {near!r}?)" if near else "")

    def check(self, path_name: str, headers: Iterable[Header]) -> list[Header]:
        """Return the columns that are left out.

        Raises InputFileError where two columns are the same, where one that is not known is nearly
        one without which nothing is created, where none names the records, and where any is unknown
        and the form is strict.
        """
        headers = list(headers)
        self._check_withheld(path_name, headers)
        self._check_twins(path_name, headers)
        out = [h for h in headers if h.column is None and h.name]
        there = {INDEX.sub("", h.column).partition(".")[0] for h in headers if h.column}
        there |= {INDEX.sub("", h.column) for h in headers if h.column}
        asked = [] if self.is_strict else self._asked(out, there)
        either = EITHER.get(self.endpoint.name, {})
        if unclear := [h for h in out if h.twins in either and not there & set(h.twins)]:
            told = "; ".join(map(self.told, unclear))
            names = {c for r in self.endpoint.references for c in r.columns}
            by_name = (
                " No record is known by its name alone." if names & {*unclear[0].twins} else ""
            )
            raise InputFileError(
                f"{path_name} cannot be used: {told}, or with --map '{unclear[0].name}=' that it "
                f"is left out.{by_name}"
            )
        known = f"Known: {', '.join(self.known()[:-1])}."
        if self.is_strict and (odd := [h for h in out if not h.rule]):
            told = "; ".join(map(self.told, odd))
            raise InputFileError(
                f"{path_name} cannot be used: {told}. Rename or delete the column and plan again, "
                f"or plan without --strict, which leaves it out. {known}"
            )
        if asked:
            told = "; ".join(
                f"column {name!r} is unknown (did you mean {column!r}?): if it is, plan with "
                f"--map '{name}={column}', else with --map '{name}='"
                for name, column in asked
            )
            raise InputFileError(f"{path_name} cannot be used: {told}. {known}")
        if not any(name in there for name in self.endpoint.identifiers):
            told = "; ".join(map(self.told, out))
            raise InputFileError(
                f"{path_name} has no column that names each {self.endpoint.record}: add "
                f"{' or '.join(map(repr, reversed(self.endpoint.identifiers)))}"
                + (f", or say with --map which one it is: {told}. {known}" if told else ".")
            )
        return out

    def _check_withheld(self, path_name: str, headers: Iterable[Header]) -> None:
        """Raise InputFileError for a column that no file may have."""
        kept_out = {letters(name): why for name, why in self.endpoint.withheld.items()}
        for header in headers:
            if why := kept_out.get(letters(header.name.partition(".")[0])):
                raise InputFileError(
                    f"{path_name} cannot be used: {why}. Delete the column {header.name!r} from "
                    "the file and plan again; nothing of it was read into a plan."
                )

    def _check_twins(self, path_name: str, headers: list[Header]) -> None:
        first: dict[str, Header] = {}
        for header in headers:
            if not header.column:
                continue
            other = first.setdefault(header.column, header)
            if other is not header:
                if other.name == header.name:
                    raise InputFileError(
                        f"{path_name} has the column {header.name!r} more than once; keep one of "
                        "them."
                    )
                raise InputFileError(
                    f"{path_name} has two columns that are {header.column!r}: column "
                    f"{other.name!r} and column {header.name!r}; delete one, or leave it out with "
                    f"--map '{header.name}='."
                )

    def _asked(self, out: list[Header], there: set[str]) -> list[tuple[str, str]]:
        """Return the columns left out that are nearly one that is needed and not there, or are
        another one's name with a slip in it: whoever typed it wants it sent.
        """
        needed = self._needed(there)
        absent = [column for column in self.known() if column not in there]
        return [
            (h.name, column)
            for h in out
            if not (h.rule or h.twins or h.name in self.endpoint.read_only)
            if (
                column := nearest(h.name, needed, cutoff=_NEAR)
                or nearest(h.name, absent, cutoff=_SLIP)
            )
        ]

    def _needed(self, there: set[str]) -> list[str]:
        endpoint = self.endpoint
        ways = {r.field: list(r.columns) for r in endpoint.references if not r.in_lines}
        found = []
        for name in dict.fromkeys((*endpoint.required, endpoint.natural_key)):
            if name == endpoint.lines:
                continue
            names = ways.get(name, [name])
            if not there & set(names):
                found += names
        return found


def nearest(name: str, known: Iterable[str], *, cutoff: float) -> str | None:
    """Return the column that a name is most like, by its letters; None where it is like none."""
    by_letters = {letters(column): column for column in reversed(list(known))}
    near = difflib.get_close_matches(letters(name), by_letters, n=1, cutoff=cutoff)
    return by_letters[near[0]] if near else None


def header_set(names: Iterable[str]) -> str:
    """Return a sheet's headers in the form in which they are the same set, in any order."""
    return "|".join(sorted({letters(name) for name in names if not name.startswith("_")} - {""}))


def maps_of(endpoint: Endpoint, told: Iterable[str]) -> dict[str, str]:
    """Read what `--map 'Cust Email=email'` says. Raises ConfigError."""
    form, found = Form(endpoint), {}
    for each in told:
        header, is_, column = each.rpartition("=")
        if not is_ or not letters(header):
            raise ConfigError(
                f"--map {each!r} says nothing; write the sheet's header, = and the column, as "
                "'Cust Email=email', or nothing behind the = to leave a column out."
            )
        column = column.strip()
        if column and not form.is_known(column):
            near = nearest(column, form.known(), cutoff=0.5)
            guess = f" (did you mean {near!r}?)" if near else ""
            raise ConfigError(
                f"--map {each!r}: {endpoint.name} have no column {column!r}{guess}. Known: "
                f"{', '.join(form.known())}."
            )
        found[header.strip()] = column
    return found
