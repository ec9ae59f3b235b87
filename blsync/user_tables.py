"""What the user has accepted of the books' exceptions: accepted_exceptions.csv in BLSYNC_SEEDS.

A line names a record and the rule that it breaks, why that may be and who says so. It lets the
build pass a law about single records; the marts go on to list the exception, as accepted. It holds
for the record and the rule until it is taken out, whatever the amount.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from blsync.errors import ConfigError

HEADERS = {
    "account_roles.csv": "company_id,account_number,account_role",
    "period_close.csv": "company_id,period,closed_at",
    "fiscal_year.csv": "company_id,start_month",
}
"""Tables that have to be there → their header."""
FILE = "accepted_exceptions.csv"
COLUMNS = ("company_id", "record_id", "rule", "reason", "accepted_by")
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
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
    "implausible_date",
    "number_gap",
    "quarantined_record",
    "stale_draft",
    "void_without_reversal",
)
"""Every rule of finance.exceptions."""


def read(seeds: Path) -> list[dict[str, str]]:
    """Return the lines; none where there is no file.

    It may have a byte-order mark, any line endings, quotes, blanks around values, and commas,
    semicolons or tabs between them. Raises ConfigError, with the line and the column.
    """
    path = seeds / FILE
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} line {line} is not UTF-8; save it as 'CSV UTF-8'.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from None
    return list(_checked(path, text))


def _checked(path: Path, text: str) -> Iterator[dict[str, str]]:
    lines = _lines(path, text)
    number, header = next(lines, (1, []))
    if header and sorted(header) != sorted(COLUMNS):
        raise ConfigError(
            f"{path} line {number} names the columns {', '.join(header)}; they are "
            f"{','.join(COLUMNS)}."
        )
    seen: dict[tuple[str, ...], int] = {}
    for number, cells in lines:
        if len(cells) != len(header):
            raise ConfigError(
                f"{path} line {number} has {len(cells)} values where the header names "
                f"{len(header)}; put a text that holds the separator into double quotes."
            )
        row = dict(zip(header, cells, strict=True))
        _check_row(path, number, row)
        key = (row["company_id"], row["record_id"], row["rule"])
        if key in seen:
            raise ConfigError(
                f"{path} line {number} says again what line {seen[key]} says: {', '.join(key)}; "
                "keep one of them."
            )
        seen[key] = number
        yield row


def _check_row(path: Path, number: int, row: dict[str, str]) -> None:
    for column in COLUMNS:
        if not row[column]:
            raise ConfigError(f"{path} line {number} has no {column}; fill it in.")
    if row["rule"] not in RULES:
        raise ConfigError(
            f"{path} line {number}: rule {row['rule']!r} is none; they are {', '.join(RULES)}."
        )


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
