"""Moving aside what is damaged, or stands in the way of a file of ours: nothing is thrown away."""

from __future__ import annotations

import glob
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

MARK = ".damaged-"
"""Between a name and the time (UTC) at which what had it was moved aside."""
MOST_KEPT = 3
"""Of what was moved aside from one name, so many are kept: the oldest go."""


def move_aside(path: Path) -> Path:
    """Rename a file or folder to its name, `.damaged-` and the time; return where it is now.

    Only the latest few of one name are kept. Raises OSError.
    """
    at = datetime.now(UTC)
    target = path.with_name(f"{path.name}{MARK}{at:%Y%m%dT%H%M%S%f}Z")
    path.rename(target)
    for old in moved_from(path)[:-MOST_KEPT]:
        with suppress(OSError):
            remove(old)
    return target


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, if there is one. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def moved_from(path: Path) -> list[Path]:
    """Return what was moved aside from a name, the oldest first."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}{MARK}*Z"))


def clear(path: Path) -> None:
    """Take a file away, and move a folder that stands in its place aside. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        move_aside(path)
    else:
        path.unlink(missing_ok=True)
