"""How much a file of changes may hold: a small one may inflate to gigabytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blsync.errors import InputFileError

MOST_FILE = 32 * 2**20
"""Bytes of the file."""
MOST_ROWS = 100_000
"""Rows that hold something."""
MOST_CELLS = 1_000_000
"""Values of all rows together."""
MOST_COLUMNS = 5_000
"""Columns that a header names."""
MOST_TEXT = 64 * 2**20
"""Characters of all values together."""


@dataclass
class Intake:
    """What was read of a file so far."""

    path: Path
    rows: int = 0
    cells: int = 0
    text: int = 0

    def take(self, *, rows: int = 0, cells: int = 0, text: int = 0) -> None:
        """Count what is to be read next. Raises InputFileError where it is more than a file may
        hold.
        """
        self.rows += rows
        self.cells += cells
        self.text += text
        if self.rows > MOST_ROWS:
            raise too_large(self.path, f"more than {MOST_ROWS:,} rows")
        if self.cells > MOST_CELLS:
            raise too_large(self.path, f"more than {MOST_CELLS:,} cells")
        if self.text > MOST_TEXT:
            raise too_large(self.path, f"more than {MOST_TEXT >> 20} million characters")


def too_large(
    path: Path, what: str, cure: str = "split it into several and plan each"
) -> InputFileError:
    """Word that a file holds more than one may."""
    return InputFileError(
        f"{path.name} has {what}, which is the most that a file of changes may; {cure}."
    )


def check_size(path: Path) -> None:
    """Raise InputFileError where the file itself is too large; OSError as it comes."""
    if path.stat().st_size > MOST_FILE:
        raise too_large(path, f"more than {MOST_FILE >> 20} MiB")
