"""The user's own tables: CSV files in BLSYNC_SEEDS, read here and, where dbt needs them, by dbt.

A file is UTF-8, with or without a byte-order mark, with any line endings, quotes, blanks around
values, and commas, semicolons or tabs between them. Whatever is wrong with one is a ConfigError
with the file, the line and what to write; a sync looks through all of them before dbt does.

- `account_roles.csv`: the role of an account where the derived one is wrong or missing.
- `fiscal_year.csv`: the month in which a company's fiscal year starts; January where absent.
- `period_close.csv`: when a month was closed, UTC unless the time names its offset.
- `accepted_exceptions.csv`: a record and the rule that it breaks, why that may be and who says so.
  It lets the build pass a law about single records; the marts go on to list the exception, as
  accepted. It holds until it is taken out, whatever the amount.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from blsync.errors import ConfigError

T = TypeVar("T")

ACCOUNT_ROLES = "account_roles.csv"
PERIOD_CLOSE = "period_close.csv"
FISCAL_YEAR = "fiscal_year.csv"
ACCEPTED = "accepted_exceptions.csv"
COLUMNS = {
    ACCOUNT_ROLES: ("company_id", "account_number", "account_role"),
    PERIOD_CLOSE: ("company_id", "period", "closed_at"),
    FISCAL_YEAR: ("company_id", "start_month"),
    ACCEPTED: ("company_id", "record_id", "rule", "reason", "accepted_by"),
}
"""Table → its columns. dbt takes those of the first three by their place."""
NEEDED = (ACCOUNT_ROLES, PERIOD_CLOSE, FISCAL_YEAR)
"""Tables that have to be there, if only with their header."""
ACCEPTED_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS[ACCEPTED]])
LAWS = {
    "every_journal_balances_and_equals_its_header": "unbalanced_entry",
    "no_journal_line_without_an_account": "unknown_account",
}
"""Law that stops a build → the rule by which it is accepted."""
RULES = (
    *LAWS.values(),
    "broken_invoice_totals",
    "duplicate_number",
    "duplicate_reference",
    "entry_in_closed_period",
    "entry_in_future",
    "guessed_role",
    "implausible_date",
    "number_gap",
    "quarantined_record",
    "stale_draft",
    "void_without_reversal",
)
"""Every rule of finance.exceptions."""


@dataclass(frozen=True)
class PeriodClose:
    """A line of period_close.csv: a month by its first day, and when it was closed, UTC; None where
    it is to be. `told` is that time as the file has it.
    """

    company_id: str
    month: date
    closed_at: datetime | None
    told: str


def check(seeds: Path) -> None:
    """Raise ConfigError where a table is missing or cannot be used."""
    for name in NEEDED:
        if not (seeds / name).is_file():
            raise ConfigError(
                f"{seeds / name} is missing. Make it with the one line '{','.join(COLUMNS[name])}',"
                " or point BLSYNC_SEEDS to the folder that has it."
            )
    list(_rows(seeds / ACCOUNT_ROLES))
    for number, row in _rows(seeds / FISCAL_YEAR):
        if row["start_month"] not in map(str, range(1, 13)):
            raise _wrong(seeds / FISCAL_YEAR, number, "start_month", row, "a number from 1 to 12")
    period_closes(seeds)
    accepted_exceptions(seeds)


def period_closes(seeds: Path) -> list[PeriodClose]:
    """Return the lines of period_close.csv; none where there is no file. Raises ConfigError."""
    path, found = seeds / PERIOD_CLOSE, []
    for number, row in _rows(path):
        day = _read(path, number, "period", row, date.fromisoformat, "a day like 2026-03-01")
        told, at = row["closed_at"], None
        if told:
            form = "a time like 2026-04-05T10:00:00Z"
            at = _read(path, number, "closed_at", row, datetime.fromisoformat, form)
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        found.append(PeriodClose(row["company_id"], day.replace(day=1), at, told))
    return found


def closed_months(seeds: Path, company_id: str, now: datetime) -> dict[date, str]:
    """Return the first days of a company's closed months → when each was closed, as written.

    A close in the future has not happened yet. Raises ConfigError.
    """
    return {
        close.month: close.told
        for close in period_closes(seeds)
        if close.company_id == company_id and close.closed_at and close.closed_at <= now
    }


def accepted_exceptions(seeds: Path) -> list[dict[str, str]]:
    """Return the lines of accepted_exceptions.csv; none where there is no file.

    Raises ConfigError, also for a rule that is none and for a line that is there twice.
    """
    path, found = seeds / ACCEPTED, []
    seen: dict[tuple[str, ...], int] = {}
    for number, row in _rows(path):
        for column in COLUMNS[ACCEPTED]:
            if not row[column]:
                raise ConfigError(f"{path} line {number} has no {column}; fill it in.")
        if row["rule"] not in RULES:
            raise ConfigError(
                f"{path} line {number}: rule {row['rule']!r} is none; they are {', '.join(RULES)}."
            )
        key = (row["company_id"], row["record_id"], row["rule"])
        if key in seen:
            raise ConfigError(
                f"{path} line {number} says again what line {seen[key]} says: {', '.join(key)}; "
                "keep one of them."
            )
        seen[key] = number
        found.append(row)
    return found


def _read(
    path: Path, number: int, column: str, row: dict[str, str], parse: Callable[[str], T], form: str
) -> T:
    try:
        return parse(row[column])
    except ValueError:
        raise _wrong(path, number, column, row, form) from None


def _wrong(path: Path, number: int, column: str, row: dict[str, str], form: str) -> ConfigError:
    return ConfigError(f"{path} line {number}: {column} {row[column]!r} is none; write {form}.")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines below the header, each with its number in the file; none without a file."""
    columns = COLUMNS[path.name]
    lines = _lines(path, _text(path))
    number, header = next(lines, (1, list(columns)))
    is_known = header == list(columns) or (
        path.name == ACCEPTED and sorted(header) == sorted(columns)
    )
    if not is_known:
        raise ConfigError(
            f"{path} line {number} names the columns {', '.join(header)}; they are "
            f"{','.join(columns)}."
        )
    for number, cells in lines:
        if len(cells) != len(header):
            raise ConfigError(
                f"{path} line {number} has {len(cells)} values where the header names "
                f"{len(header)}; put a text that holds the separator into double quotes."
            )
        yield number, dict(zip(header, cells, strict=True))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} line {line} is not UTF-8; save it as 'CSV UTF-8'.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from None


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that hold something, each with its number in the file."""
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ConfigError(
            f"{path} line {reader.line_num} is not well-formed csv ({error}); every quoted value "
            'needs a closing ", and a " inside one is written "".'
        ) from None
