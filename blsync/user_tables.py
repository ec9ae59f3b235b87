"""The user's own tables: files in BLSYNC_SEEDS, read here and nowhere else.

A push, the reconciliation and the marts all have what is read here: before each build it is written
as Parquet among the build's inputs (`marts.build`), and dbt reads that.

A CSV file is UTF-8, with or without a byte-order mark, with any line endings, quotes, blanks around
values, and commas, semicolons or tabs between them, with a line `sep=;` before its header or
without. A day is written like 2026-03-31 or 2026/03/31, or day first like 31/03/2026 and
31.3.2026; a month also like 2026-03 and 03/2026. How spreadsheets spell other values is told by
`blsync.text.spellings`. Whatever is wrong with a file is a ConfigError with the file, the line and
what to write; a sync looks through all of them before the marts are built.

- `account_roles.csv`: the role of an account where the derived one is wrong or missing.
- `fiscal_year.csv`: the month in which a company's fiscal year starts; January where absent.
- `period_close.csv`: when a month was closed, UTC unless the time names its offset.
- `tax_cycles.csv`: from which day on a company's taxable periods are how many months long, and
  whether service tax falls due with the `payment` or with the `invoice`.
- `tax_codes.csv`: which tax a tax code is, `sales` or `service`, and its tariff code.
- `budget.csv`: what was planned of a revenue or expense account in a month, positive on the
  account's normal side, under the name of a version (`budget` where it is empty).
- `dimensions.csv`: a value of a dimension (department, project), and the conditions, all of them,
  on which a line of the ledger or of an invoice counts for it. The first row of a dimension whose
  conditions hold decides.
- `exchange_rates.csv`: what one unit of a currency was worth in another on average in a month, and
  at its end; groups are presented by it.
- `group.toml`: groups of companies (`blsync.groups`), the one that is no CSV file.
- `accepted_exceptions.csv`: a record and the rule that it breaks, why that may be and who says so.
  It lets the build pass a law about single records; the marts go on to list the exception, as
  accepted. It holds until it is taken out, whatever the amount.
"""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from blsync import groups
from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.text.natural_keys import cleaned
from blsync.text.readings import POINT, amount_of
from blsync.text.spellings import Kind, OddSpelling, read_any, read_as, told_separator

T = TypeVar("T")

_ONE_DAY = timedelta(days=1)

ACCOUNT_ROLES = "account_roles.csv"
PERIOD_CLOSE = "period_close.csv"
FISCAL_YEAR = "fiscal_year.csv"
TAX_CYCLES = "tax_cycles.csv"
TAX_CODES = "tax_codes.csv"
ACCEPTED = "accepted_exceptions.csv"
BUDGET = "budget.csv"
DIMENSIONS = "dimensions.csv"
EXCHANGE_RATES = "exchange_rates.csv"
COLUMNS = {
    ACCOUNT_ROLES: ("company_id", "account_number", "account_role"),
    PERIOD_CLOSE: ("company_id", "period", "closed_at"),
    FISCAL_YEAR: ("company_id", "start_month"),
    TAX_CYCLES: ("company_id", "start", "cycle_months", "basis"),
    TAX_CODES: ("company_id", "tax_code", "tax_type", "tariff_code"),
    ACCEPTED: ("company_id", "record_id", "rule", "reason", "accepted_by"),
    BUDGET: ("company_id", "account_number", "period", "amount", "version"),
    DIMENSIONS: (
        *("company_id", "dimension", "value"),
        *("account_from", "account_to", "customer_tag", "item_category", "reference"),
    ),
    EXCHANGE_RATES: (
        *("currency", "presentation_currency", "period"),
        *("average_rate", "closing_rate"),
    ),
}
"""CSV file → its columns, in the order in which they stand in it."""
FILES = (*COLUMNS, groups.GROUP_FILE)
"""Every file that is read."""
NEEDED = (ACCOUNT_ROLES, PERIOD_CLOSE, FISCAL_YEAR)
"""Tables that have to be there, if only with their header."""
_TYPES = {
    "period": pa.date32(),
    "closed_at": pa.timestamp("us", "UTC"),
    "start_month": pa.int32(),
    "start": pa.date32(),
    "cycle_months": pa.int32(),
    "amount": pa.decimal128(18, 2),
    "average_rate": groups.RATE,
    "closing_rate": groups.RATE,
}
SCHEMAS = {
    table: pa.schema([(name, _TYPES.get(name, pa.string())) for name in columns])
    for table, columns in COLUMNS.items()
} | groups.SCHEMAS
"""Table → the types of its columns, as the marts read them: one of each CSV file, and those of
group.toml.
"""
SCHEMAS[DIMENSIONS] = SCHEMAS[DIMENSIONS].append(pa.field("line_no", pa.int32()))
_KEYS = (
    *("company_id", "account_number", "record_id", "tax_code", "tariff_code"),
    *("account_from", "account_to"),
)
_DAY_FIRST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4})")
_YEAR_FIRST = re.compile(r"([0-9]{4})[/.]([0-9]{1,2})[/.]([0-9]{1,2})")
_MONTH = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})|([0-9]{1,2})[-/.]([0-9]{4})")
_CLOCK = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
TAX_BASES = ("payment", "invoice")
TAX_TYPES = ("sales", "service")
_FIRST_VERSION = "budget"
_CENT = Decimal("0.01")
_MOST = Decimal(10) ** 16  # what the column of amounts has no room for
_HIGHEST_RATE = Decimal(10) ** 10
_CURRENCY = re.compile("[A-Z]{3}")
LAWS = {
    "every_journal_balances_and_equals_its_header": "unbalanced_entry",
    "no_journal_line_without_an_account": "unknown_account",
}
"""Law that stops a build → the rule by which it is accepted."""
RULES = (
    *LAWS.values(),
    "billed_more_than_received",
    "broken_bill_totals",
    "broken_invoice_totals",
    "broken_till_totals",
    "delivered_not_invoiced",
    "duplicate_einvoice_uuid",
    "duplicate_number",
    "duplicate_reference",
    "duplicate_supplier_invoice",
    "entry_in_closed_period",
    "entry_in_future",
    "guessed_role",
    "implausible_date",
    "invoiced_more_than_ordered",
    "late_till_transaction",
    "near_duplicate_bill",
    "number_gap",
    "order_status_differs",
    "quarantined_record",
    "quote_without_order",
    "received_more_than_ordered",
    "stale_draft",
    "till_variance",
    "transfer_quantities",
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


def make_missing(seeds: Path) -> list[Path]:
    """Make the tables that are missing, with their header alone; returns their files.

    What is there stays as it is. Raises OSError.
    """
    seeds.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    for name, columns in COLUMNS.items():
        with suppress(FileExistsError), (seeds / name).open("x", encoding="utf-8") as file:
            file.write(f"{','.join(columns)}\n")
            made.append(seeds / name)
    return made


def check(seeds: Path) -> None:
    """Raise ConfigError where a table is missing or cannot be used."""
    for name in NEEDED:
        if not (seeds / name).is_file():
            raise ConfigError(
                f"{seeds / name} is missing. Make it with the one line '{','.join(COLUMNS[name])}',"
                " or point BLSYNC_SEEDS to the folder that has it."
            )
    rows_of_tables(seeds)


def rows_of_tables(seeds: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables, typed as SCHEMAS has them; none of one that is not there.

    Raises ConfigError.
    """
    closes = [
        {"company_id": close.company_id, "period": close.month, "closed_at": close.closed_at}
        for close in period_closes(seeds)
    ]
    return {
        ACCOUNT_ROLES: [row for _, row in _rows(seeds / ACCOUNT_ROLES)],
        PERIOD_CLOSE: closes,
        FISCAL_YEAR: list(_fiscal_years(seeds / FISCAL_YEAR)),
        TAX_CYCLES: list(_tax_cycles(seeds / TAX_CYCLES)),
        TAX_CODES: list(_tax_codes(seeds / TAX_CODES)),
        ACCEPTED: [{**row} for row in accepted_exceptions(seeds)],
        BUDGET: list(_budget(seeds / BUDGET)),
        DIMENSIONS: list(_dimensions(seeds / DIMENSIONS)),
        EXCHANGE_RATES: list(_exchange_rates(seeds / EXCHANGE_RATES)),
        **groups.rows_of_groups(seeds / groups.GROUP_FILE),
    }


def _fiscal_years(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in _rows(path):
        month = row["start_month"]
        if not (re.fullmatch("[0-9]{1,2}", month) and 1 <= int(month) <= 12):
            raise _wrong(path, number, "start_month", row, "a number from 1 to 12")
        yield {**row, "start_month": int(month)}


def _tax_cycles(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in _rows(path):
        start = _read(path, number, "start", row, _month, "a month's first day like 2026-01-01")
        months = row["cycle_months"]
        if not (re.fullmatch("[0-9]{1,2}", months) and 1 <= int(months) <= 12):
            raise _wrong(path, number, "cycle_months", row, "a number from 1 to 12")
        basis = row["basis"].lower()
        if basis not in TAX_BASES:
            raise _wrong(path, number, "basis", row, " or ".join(TAX_BASES))
        yield {**row, "start": start, "cycle_months": int(months), "basis": basis}


def _tax_codes(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in _rows(path):
        kind = row["tax_type"].lower()
        if kind not in TAX_TYPES:
            raise _wrong(path, number, "tax_type", row, " or ".join(TAX_TYPES))
        yield {**row, "tax_type": kind, "tariff_code": row["tariff_code"] or None}


def _budget(path: Path) -> Iterator[dict[str, Any]]:
    seen: dict[tuple[Any, ...], int] = {}
    for number, row in _rows(path):
        month = _read(path, number, "period", row, _month, "a month like 2026-03")
        amount = _read(path, number, "amount", row, _amount, "an amount like 1200.00")
        version = row["version"] or _FIRST_VERSION
        key = (row["company_id"], row["account_number"], month, version)
        if key in seen:
            raise ConfigError(
                f"{path} line {number} plans again what line {seen[key]} plans: account "
                f"{row['account_number']}, {month:%Y-%m}, {version}; keep one of them."
            )
        seen[key] = number
        yield {**row, "period": month, "amount": amount, "version": version}


def _dimensions(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rules, each with its line in the file; a condition that is left out is None."""
    conditions = COLUMNS[DIMENSIONS][3:]
    seen: dict[tuple[Any, ...], int] = {}
    for number, row in _rows(path):
        for column in COLUMNS[DIMENSIONS][:3]:
            if not row[column]:
                raise ConfigError(f"{path} line {number} has no {column}; fill it in.")
        ends = (row["account_from"], row["account_to"])
        if bool(ends[0]) != bool(ends[1]):
            missing = "account_from" if ends[1] else "account_to"
            raise ConfigError(
                f"{path} line {number} has no {missing}; write both ends of the accounts, the same "
                f"number twice for one account, as in {ends[0] or ends[1]},{ends[0] or ends[1]}."
            )
        are_numbers = all(re.fullmatch("[0-9]+", end) for end in ends)
        if int(ends[0]) > int(ends[1]) if are_numbers else ends[0] > ends[1]:
            raise ConfigError(
                f"{path} line {number}: no account is from {ends[0]} to {ends[1]}; write the lower "
                "end as account_from."
            )
        key = (row["company_id"], row["dimension"], *(row[name] for name in conditions))
        if key in seen:
            raise ConfigError(
                f"{path} line {number} has the conditions of line {seen[key]}, which decides: "
                f"{row['dimension']} {row['value']}; keep one of them."
            )
        seen[key] = number
        yield {name: value or None for name, value in row.items()} | {"line_no": number}


def _exchange_rates(path: Path) -> Iterator[dict[str, Any]]:
    seen: dict[tuple[Any, ...], int] = {}
    for number, row in _rows(path):
        month = _read(path, number, "period", row, _month, "a month like 2026-03")
        found: dict[str, Any] = {"period": month}
        for name in ("currency", "presentation_currency"):
            found[name] = row[name].upper()
            if not _CURRENCY.fullmatch(found[name]):
                raise _wrong(path, number, name, row, "a code of three letters like MYR")
        for name in ("average_rate", "closing_rate"):
            found[name] = _read(path, number, name, row, _rate, "a rate like 3.4512")
        key = (found["currency"], found["presentation_currency"], month)
        if key in seen or key[0] == key[1]:
            why = f"says again what line {seen[key]} says" if key in seen else "is of one currency"
            raise ConfigError(
                f"{path} line {number} {why}: {key[0]} in {key[1]}, {month:%Y-%m}; take it out."
            )
        seen[key] = number
        yield found


def _rate(text: str) -> Decimal:
    """Return a rate. Raises ValueError for what is none, or has more than eight decimals."""
    rate = _number(text)
    if not 0 < rate < _HIGHEST_RATE or rate % Decimal("0.00000001"):
        raise ValueError(text)
    return rate


def _amount(text: str) -> Decimal:
    """Return an amount with its cents. Raises ValueError for what is none, and for one of more
    decimals.
    """
    amount = _number(text)
    if abs(amount) >= _MOST or amount % _CENT:
        raise ValueError(text)
    return amount.quantize(_CENT)


def _number(text: str) -> Decimal:
    """Return a number. Raises ValueError for what is none or may be two, as 1,200."""
    written = amount_of(text)
    if written is None or written.currency:
        raise ValueError(text)
    values = {written.readings[POINT]} if written.is_plain else written.values
    if len(values) != 1:
        raise ValueError(text)
    return values.pop()


def period_closes(seeds: Path) -> list[PeriodClose]:
    """Return the lines of period_close.csv; none where there is no file. Raises ConfigError."""
    path, found = seeds / PERIOD_CLOSE, []
    for number, row in _rows(path):
        form = "a day like 2026-03-01, or a month like 2026-03"
        month = _read(path, number, "period", row, _month, form)
        told, at = row["closed_at"], None
        if told:
            form = "a time like 2026-04-05T10:00:00Z"
            at = _read(path, number, "closed_at", row, _instant, form)
            if _DAY_FIRST.match(told) and at.date() < month:
                told_month = f"{month:%Y-%m}"
                raise ConfigError(
                    f"{path} line {number}: closed_at {told!r}, read day first, is before the month"
                    f" {told_month} that it closes; write {form}."
                )
        found.append(PeriodClose(row["company_id"], month, at, told))
    return found


def month_end(first: date) -> date:
    """Return the last day of a month, by its first."""
    return (first + timedelta(days=31)).replace(day=1) - _ONE_DAY


def _month(text: str) -> date:
    """Return the first day of the month that a text names.

    A day in the order of day, month and year has to be its month's first or last one: 09/01/2026
    would be January, and its writer may have meant September.
    """
    if found := _MONTH.fullmatch(text):
        year, month = (found[1], found[2]) if found[1] else (found[4], found[3])
        return date(int(year), int(month), 1)
    day = _day(text)
    if _DAY_FIRST.fullmatch(text) and day.day != 1 and (day + _ONE_DAY).day != 1:
        raise ValueError(text)
    return day.replace(day=1)


def _day(text: str) -> date:
    if found := _DAY_FIRST.fullmatch(text):
        return date(int(found[4]), int(found[3]), int(found[1]))
    if found := _YEAR_FIRST.fullmatch(text):
        return date(*map(int, found.groups()))
    return date.fromisoformat(text)


def _instant(text: str) -> datetime:
    """Return a time in UTC; one that names no offset is in UTC."""
    day, _, clock = text.partition(" ")
    if _DAY_FIRST.fullmatch(day):
        return datetime.combine(_day(day), _clock(clock.strip()), UTC)
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _clock(text: str) -> time:
    if not text:
        return time()
    for form in _CLOCK:
        try:
            return datetime.strptime(text, form).time()
        except ValueError:
            continue
    raise ValueError(text)


def add_close(seeds: Path, company_id: str, month: date, at: datetime) -> None:
    """Add a line to period_close.csv, which keeps its form. Raises ConfigError, StorageError."""
    path = seeds / PERIOD_CLOSE
    period_closes(seeds)  # what cannot be read is not written on
    text = _text(path) or ",".join(COLUMNS[PERIOD_CLOSE]) + "\n"
    header = next(line for line in text.splitlines() if not told_separator(line))
    delimiter = told_separator(text) or max(",;\t", key=header.count)
    ending = "\r\n" if "\r\n" in text else "\n"
    values = (company_id, f"{month}", f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    row = io.StringIO()
    csv.writer(row, delimiter=delimiter, lineterminator=ending).writerow(values)
    mark = "\ufeff" if path.exists() and path.read_bytes().startswith(BOM_UTF8) else ""
    with storage_errors(path), atomic_write(path) as draft:
        whole = text if text.endswith("\n") else text + ending
        draft.write_bytes(f"{mark}{whole}{row.getvalue()}".encode())


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
    header = [cleaned(name) for name in header]
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
        given = zip(header, cells, strict=True)
        yield number, {name: _cell(path, number, name, cell) for name, cell in given}


def _cell(path: Path, number: int, column: str, cell: str) -> str:
    try:
        text = read_any(cell) or ""
        return str(read_as(Kind.KEY, cleaned(text))) if column in _KEYS else text
    except OddSpelling as error:
        raise ConfigError(f"{path} line {number}: {column} {cell[:40]!r}: {error}.") from None


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
    """Yield the lines that hold something, each with its number in the file.

    Empty cells behind the last named column are a spreadsheet's, and left out.
    """
    delimiter = told_separator(text)
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter or max(",;\t", key=first.count),
        strict=True,
    )
    width = 0
    try:
        for cells in reader:
            found = [cell.strip() for cell in cells]
            if not any(found):
                continue
            if delimiter and not width and told_separator(delimiter.join(cells)):
                continue
            while len(found) > width and not found[-1]:
                found.pop()
            width = width or len(found)
            yield reader.line_num, found
    except csv.Error as error:
        raise ConfigError(
            f"{path} line {reader.line_num} is not well-formed csv ({error}); every quoted value "
            'needs a closing ", and a " inside one is written "".'
        ) from None
