"""Moving aside what is damaged, or stands in the way of a file of ours.

What can be made anew is kept a few times; what cannot, a ledger or a plan, is never thrown away.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

MARK = ".damaged-"
"""Between a name and the time (UTC) at which what had it was moved aside."""
MOST_KEPT = 3
"""Of what was moved aside from one name, so many are kept unless told otherwise."""


def move_aside(
    path: Path, *, companions: Iterable[str] = (), most_kept: int | None = MOST_KEPT
) -> Path:
    """Rename a file or folder to its name, `.damaged-` and the time; return where it is now.

    `companions` are the ends of the names of files that belong to it: they go first, so that
    whatever takes its place never meets one of them. Only the latest `most_kept` of one name are
    kept; None: all are. Raises OSError.
    """
    at = datetime.now(UTC)
    target = path.with_name(f"{path.name}{MARK}{at:%Y%m%dT%H%M%S%f}Z")
    for end in companions:
        companion = path.with_name(f"{path.name}{end}")
        if companion.exists():
            companion.rename(target.with_name(f"{target.name}{end}"))
    path.rename(target)
    if most_kept is None:
        return target
    for old in moved_from(path)[:-most_kept]:
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
