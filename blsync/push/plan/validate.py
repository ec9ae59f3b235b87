"""Rows against their model, before anything is asked of BigLedger: the whole row or nothing."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from blsync.errors import InputFileError
from blsync.ledger.plans import Problem
from blsync.push.endpoint import Endpoint, Json
from blsync.push.source.form import BASIS, INDEX
from blsync.push.source.read import CLEAR, Sheet, SheetRow
from blsync.text.natural_keys import cleaned, normal_form
from blsync.text.spellings import (
    ERROR_TYPE,
    Kind,
    NumberStyle,
    OddSpelling,
    number_style,
    read_as,
)

_WHOLE = {"line": "", "dates": "dueDate", "balance": "lines"}
"""Errors of our models that concern several fields at once, and whose text says all that is wrong →
the field that they are listed under; empty: the line in which they are."""
_CODES = {
    "email": "INVALID_EMAIL_FORMAT",
    "literal_error": "INVALID_CHOICE",
    "greater_than_equal": "MIN_VALUE",
    "string_too_short": "MIN_VALUE",
    "less_than_equal": "MAX_VALUE",
    "string_too_long": "MAX_VALUE",
    "decimal_max_digits": "MAX_VALUE",
    "greater_than": "MIN_VALUE",
    "too_short": "MIN_VALUE",
    "missing": "REQUIRED_FIELD",
    "dates": "DATE_CONSTRAINT",
    "balance": "INVALID_JOURNAL_ENTRY",
}
"""Pydantic's error type → the API's own field code (bigledger-api.md, section 2)."""


@dataclass(frozen=True)
class ParsedRow:
    """What a row asks for.

    `key` is the natural key as the file gave it (else another identifier), with the parts that
    belong to it; `named` the identifiers that are given; `data` the fields under the API's names,
    typed, None where one is to be cleared; `based_on` the version the row was based on; `found` the
    records that it refers to, by field; `filled` what each line says where the file does not;
    `problems` why it is rejected; `blocked` why it has to wait for another plan; `cells` what the
    file said; `place` the row's number in its sheet, `lines_at` those of its lines; `names` what
    the records are called whose ids it has, by field.
    """

    row: int
    key: str
    named: Mapping[str, str]
    data: dict[str, Any]
    based_on: datetime | None = None
    found: Mapping[str, Json] = field(default_factory=dict)
    filled: tuple[Json, ...] = ()
    problems: tuple[Problem, ...] = ()
    blocked: Problem | None = None
    cells: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0
    lines_at: tuple[int, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def values(self, name: str) -> str:
        """Return a field as text, to tell rows apart by."""
        return str(self.data.get(name) or "")


def problem(code: str, field: str | None, message: str) -> Problem:
    """Word what is wrong with a row. The message names no person."""
    return {"code": code, "field": field, "message": message}


def validate(endpoint: Endpoint, sheet: Sheet) -> list[ParsedRow]:
    """Check every row on its own.

    Raises InputFileError where a column is unknown or none names the records.
    """
    _check_columns(endpoint, sheet)
    style = sheet.style or number_style(_numbers(endpoint, sheet), sheet.delimiter)
    return [_checked(endpoint, row, style) for row in sheet.rows]


def _numbers(endpoint: Endpoint, sheet: Sheet) -> Iterator[object]:
    """Yield what the file has in its columns of numbers."""
    kinds = (Kind.NUMBER, Kind.PERCENT)
    columns = {name for name, kind in endpoint.kinds.items() if kind in kinds}
    for row in sheet.rows:
        for name, value in row.cells.items():
            if name in columns:
                yield value
            elif name == endpoint.lines and isinstance(value, list):
                parts = (part for line in value if isinstance(line, dict) for part in line.items())
                yield from (inner for part, inner in parts if f"{name}.{part}" in columns)


def _check_columns(endpoint: Endpoint, sheet: Sheet) -> None:
    own = (*endpoint.identifiers, *BASIS)
    odd = [
        name
        for name in sheet.columns
        if not (name.startswith("_") or name in own or endpoint.is_writable(INDEX.sub("", name)))
    ]
    known = [*(n for n in endpoint.identifiers if n not in endpoint.rules), *endpoint.rules]
    if odd:
        told = "; ".join(_told(endpoint, name, [*known, *BASIS]) for name in odd)
        raise InputFileError(
            f"{sheet.path.name} cannot be used: {told}. Rename or delete the column and plan "
            f"again. Known: {', '.join(known)}, {BASIS[0]}."
        )
    if not set(endpoint.identifiers) & set(sheet.columns):
        raise InputFileError(
            f"{sheet.path.name} has no column that names each {endpoint.record}: add "
            f"{' or '.join(map(repr, reversed(endpoint.identifiers)))}."
        )


def _told(endpoint: Endpoint, name: str, known: list[str]) -> str:
    if name in endpoint.read_only:
        return f"column {name!r} is read-only: BigLedger works it out itself"
    parts = [column for column in endpoint.rules if column.startswith(f"{name}.")]
    if parts:
        return f"column {name!r} has parts, each in a column of its own, as {parts[0]!r}"
    by_lower = {column.lower(): column for column in reversed(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    guess = f" (did you mean {by_lower[near[0]]!r}?)" if near else ""
    return f"column {name!r} is unknown{guess}"


def _checked(endpoint: Endpoint, row: SheetRow, style: NumberStyle) -> ParsedRow:
    given = {n: value for n, value in row.cells.items() if endpoint.is_writable(n)}
    cleared = [n for n, value in given.items() if value == CLEAR]
    problems = [p for name in cleared if (p := _clear_problem(endpoint, name))]
    data: dict[str, Any] = {}
    kept = {n: value for n, value in given.items() if n not in cleared}
    try:
        model = endpoint.model.model_validate(_nested(kept), context=style)
        data = model.model_dump(by_alias=True, exclude_unset=True)
    except ValidationError as error:
        told = [_worded(endpoint, e, given, row) for e in error.errors(include_url=False)]
        problems += {p["message"]: p for p in told}.values()  # a union tells one mistake often
        data = _sound_part(endpoint, kept, style)
    named, told = _named_by(endpoint, row, data)
    problems += told
    for name in cleared:
        _put(data, name, endpoint.cleared.get(name))
    problems += [problem("INVALID_FORMAT", endpoint.lines, told) for told in row.problems]
    based_on, basis_problem = _basis(row)
    if basis_problem:
        problems.append(basis_problem)
    if not named:
        need = f"{endpoint.natural_key} is empty; fill it in, it says which {endpoint.record} it is"
        problems.append(problem("REQUIRED_FIELD", endpoint.natural_key, need))
    key = named.get(endpoint.natural_key) or next(iter(named.values()), "")
    return ParsedRow(
        row.number,
        key,
        named,
        data,
        based_on,
        problems=tuple(problems),
        cells=row.cells,
        place=row.place,
        lines_at=row.lines_at,
    )


def _sound_part(endpoint: Endpoint, kept: Mapping[str, Any], style: NumberStyle) -> dict[str, Any]:
    """Return of a row that cannot be used the day and the names of other records that can be read,
    so that whatever else is wrong with those is told at once.
    """
    own = [c for r in endpoint.references if not r.in_lines for c in r.columns]
    data: dict[str, Any] = {}
    for name in dict.fromkeys((endpoint.date_field or "", *endpoint.parts, *own)):
        if name in kept and (value := _read_alone(endpoint, name, kept[name], style)) is not None:
            _put(data, name, value)
    columns = [c for r in endpoint.references if r.in_lines for c in r.columns]
    lines = kept.get(endpoint.lines or "")
    if endpoint.lines and isinstance(lines, list):
        data[endpoint.lines] = [
            {
                name: value
                for name in columns
                if isinstance(line, dict)
                and name in line
                and (value := _read_alone(endpoint, f"{endpoint.lines}.{name}", line[name], style))
            }
            for line in lines
        ]
    return data


def _read_alone(endpoint: Endpoint, column: str, value: Any, style: NumberStyle) -> Any:
    try:
        return endpoint.readers[column].validate_python(value, context=style)
    except ValidationError:
        return None


def _named_by(
    endpoint: Endpoint, row: SheetRow, data: Mapping[str, Any]
) -> tuple[dict[str, str], list[Problem]]:
    """Return the identifiers that a row gives, as they are meant, and what is odd with those that
    are no fields of its model.
    """
    named: dict[str, str] = {}
    problems: list[Problem] = []
    for name in endpoint.identifiers:
        if name not in row.cells:
            continue
        value = row.cells[name]
        named[name] = str(data.get(name) or cleaned(str(value)))
        if name in endpoint.rules:
            continue
        try:
            read_as(Kind.KEY, named[name])
        except OddSpelling as error:
            shown = "" if name in endpoint.personal else f" {str(value)[:40]!r}"
            problems.append(problem("INVALID_FORMAT", name, f"{name}{shown} {error}"))
    return named, problems


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        _put(nested, name, value)
    return nested


def _put(data: dict[str, Any], name: str, value: object) -> None:
    head, dot, rest = name.partition(".")
    if dot:
        data.setdefault(head, {})[rest] = value
    else:
        data[head] = value


def _clear_problem(endpoint: Endpoint, name: str) -> Problem | None:
    if name.partition(".")[0] in endpoint.cleared:
        return None
    message = f"{name} cannot be emptied; it must be {endpoint.rule(name)}"
    return problem("INVALID_FORMAT", name, message)


def line_told(name: str, index: int, lines_at: Sequence[int]) -> str:
    """Say which row of the sheet a line is, behind the name of its column."""
    return f"{name} (row {lines_at[index]})" if index < len(lines_at) else name


def _worded(
    endpoint: Endpoint, error: ErrorDetails, given: Mapping[str, Any], row: SheetRow
) -> Problem:
    found = _problem(endpoint, error, given)
    place, name = error["loc"], found["field"]
    if name and len(place) > 1 and isinstance(place[1], int) and place[0] == endpoint.lines:
        named = line_told(name, place[1], row.lines_at)
        return {**found, "message": str(found["message"]).replace(name, named, 1)}
    return found


def _problem(endpoint: Endpoint, error: ErrorDetails, given: Mapping[str, Any]) -> Problem:
    name, plain = _named(error["loc"], given)
    code = _CODES.get(error["type"], "INVALID_FORMAT")
    if error["type"] in _WHOLE:
        told = f"{name} {error['msg']}" if name else error["msg"]
        return problem(code, name or _WHOLE[error["type"]], told)
    shown = ""
    if plain.partition(".")[0] not in endpoint.personal:
        value = given.get(name, error["input"])
        is_shown = error["type"] != "missing" and not isinstance(value, list | dict)
        shown = f" {str(value)[:40]!r}" if is_shown else ""
    if error["type"] == "missing":
        return problem(code, name, f"{name} is missing; it must be {endpoint.rule(plain)}")
    rule = endpoint.rule(plain) or "a single value"
    if error["type"] == ERROR_TYPE:
        return problem(code, name, f"{name}{shown} must be {rule}: it {error['msg']}")
    return problem(code, name, f"{name}{shown} must be {rule}")


def _named(place: tuple[int | str, ...], given: Mapping[str, Any]) -> tuple[str, str]:
    """Return the column of an error, `items[0].quantity`, and it without the line's number.

    A union's error is placed at its kinds too; only the columns there are count.
    """
    if len(place) > 1 and isinstance(place[1], int):
        rest = "".join(f".{part}" for part in place[2:])
        return f"{place[0]}[{place[1]}]{rest}", f"{place[0]}{rest}"
    parts = [str(part) for part in place if isinstance(part, str)]
    if not parts:
        return "", ""
    known = (".".join(parts), ".".join(parts[:2]), parts[0])
    name = next((n for n in known if n in given), parts[0])
    return name, name


def _basis(row: SheetRow) -> tuple[datetime | None, Problem | None]:
    name = next((name for name in BASIS if name in row.cells), None)
    if name is None:
        return None, None
    try:
        at = datetime.fromisoformat(str(row.cells[name]))
    except ValueError:
        rule = "the updatedAt that BigLedger gave, like 2026-11-09T04:54:32Z"
        shown = str(row.cells[name])[:40]
        return None, problem("INVALID_FORMAT", name, f"{name} {shown!r} must be {rule}")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)), None


def unique(endpoint: Endpoint, rows: list[ParsedRow]) -> list[ParsedRow]:
    """Reject all rows that name the same record, because nobody can tell which one is meant.

    A row of which a part of its key could not be read is the same as no other: what is wrong with
    that part is told already.
    """
    twins: dict[int, list[Problem]] = defaultdict(list)
    for name in endpoint.identifiers:
        parts = endpoint.parts if name == endpoint.natural_key else ()
        holders: dict[tuple[str, ...], list[ParsedRow]] = defaultdict(list)
        for row in rows:
            values = tuple(map(row.values, parts))
            if name in row.named and (all(values) or not row.problems):
                holders[normal_form(row.named[name]), *values].append(row)
        for same in holders.values():
            together = {row.row: row.place for row in same}
            for number, told in twin_problems(", ".join((name, *parts)), together):
                twins[number].append(told)
    return [replace(row, problems=(*row.problems, *twins[row.row])) for row in rows]


def twin_problems(name: str, together: Mapping[int, int]) -> Iterator[tuple[int, Problem]]:
    """Yield for each of several rows with the same `name` which the others are: `together` are
    rows, each with its number in the sheet.
    """
    for number in together:
        others = [str(place) for n, place in together.items() if n != number]
        if others:
            rows = f"row {others[0]}" if len(others) == 1 else f"rows {', '.join(others)}"
            message = f"{name}: the same as in {rows} of the file; keep one of them"
            yield number, problem("DUPLICATE_VALUE", name.partition(",")[0], message)
