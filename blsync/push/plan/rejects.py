"""The rejected rows, written out to be mended and planned again."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.cells import guarded
from blsync.ledger.plans import Operation
from blsync.ledger.states import Action, OperationState
from blsync.push.compare import to_text
from blsync.push.source.sheet import Sheet

NOTES = ("_row", "_reason")


def check_target(path: Path, planned: Path) -> None:
    """Raise ConfigError where rejects cannot be written to `path` and planned from there."""
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise ConfigError(
            f"--rejects {path.name}: rejected rows are written as csv or xlsx; name it .csv or "
            ".xlsx."
        )
    if path.resolve() == planned.resolve():
        raise ConfigError("--rejects names the file that is planned; give another name.")


def write_rejects(path: Path, sheet: Sheet, operations: Iterable[Operation]) -> None:
    """Write the rejected rows under the file's own columns, with `_row` and `_reason`.

    Cells are written as they were read, `_row` is the row's number in the file as a spreadsheet
    shows it. A document is written with all its rows; the reason stands in the first. A plan
    ignores columns whose name begins with an underscore, apart from `_row`, which keeps documents
    apart, so the file can be mended and planned as it is; in csv, what a spreadsheet would take for
    a formula has an apostrophe before it, which reading takes off. Raises StorageError, and
    ConfigError where an xlsx file has no room for a cell's text.
    """
    reasons = {
        o.row: (o.error or {}).get("message")
        for o in operations
        if o.action == Action.REJECT or o.state == OperationState.REJECTED
    }
    columns = [name for name in sheet.columns if name not in NOTES]
    header = [sheet.headers.get(name, name) for name in columns]
    rows = _rows(sheet, columns, reasons)
    with storage_errors(path), atomic_write(path) as draft:
        if path.suffix.lower() == ".xlsx":
            # Here: few ask for a workbook, and what writes it loads slowly.
            from blsync.files.spreadsheet import write_table

            write_table(draft, "rejects", [*header, *NOTES], rows)
            return
        with draft.open("w", encoding="utf-8-sig", newline="") as file:  # the BOM is for Excel
            writer = csv.writer(file, delimiter=sheet.delimiter)
            writer.writerow([*header, *NOTES])
            writer.writerows(["" if v is None else guarded(_text(v)) for v in row] for row in rows)


def _rows(sheet: Sheet, columns: list[str], reasons: dict[int, Any]) -> Iterator[list[Any]]:
    for row in sheet.rows:
        if row.number not in reasons:
            continue
        reason = reasons[row.number]
        for source in row.source or (row.cells,):
            yield [*(_cell(source.get(name)) for name in columns), row.place, reason]
            reason = None


def _cell(value: Any) -> Any:
    """Return lines as JSON, by which they are read again, and other lists as they are in csv."""
    if isinstance(value, list):
        is_lines = any(isinstance(each, dict) for each in value)
        return to_text(value) if is_lines else ";".join(map(_text, value))
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else to_text(value)
