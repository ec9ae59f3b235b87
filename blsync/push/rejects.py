"""The rejected rows, written out to be mended and planned again."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blsync.errors import ConfigError
from blsync.lake import storage
from blsync.ledger.plans import Operation
from blsync.push.compare import to_text
from blsync.push.read import Sheet


def check_target(path: Path, planned: Path) -> None:
    """Raise ConfigError where rejects cannot be written to `path` and planned from there."""
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"--rejects {path.name}: rejected rows are written as csv; name it .csv.")
    if path.resolve() == planned.resolve():
        raise ConfigError("--rejects names the file that is planned; give another name.")


def write_rejects(path: Path, sheet: Sheet, operations: Iterable[Operation]) -> None:
    """Write the rejected rows as csv under the file's own columns, with `_row` and `_reason`.

    A plan ignores columns whose name begins with an underscore, so the file can be mended and
    planned as it is. Raises StorageError.
    """
    reasons = {o.row: o.error for o in operations if o.action == "reject"}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    kept = [name for name in sheet.columns if name not in ("_row", "_reason")]
    with storage(path):
        try:
            with draft.open("w", encoding="utf-8-sig", newline="") as file:  # the BOM is for Excel
                writer = csv.writer(file, delimiter=sheet.delimiter)
                writer.writerow([*kept, "_row", "_reason"])
                for row in sheet.rows:
                    if row.number in reasons:
                        cells = [_cell(row.cells.get(name)) for name in kept]
                        reason = (reasons[row.number] or {}).get("message")
                        writer.writerow([*cells, row.number, reason])
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return ";".join(map(str, value))
    return to_text(value)
