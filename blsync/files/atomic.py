"""Files that appear under their names whole or not at all; what the disk says of others."""

from __future__ import annotations

import errno
import glob
import os
import uuid
from collections.abc import (
    Iterator,
)
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blsync.clock import has_passed
from blsync.errors import StorageError

STALE = timedelta(hours=1)
"""Age of a draft that no process is writing any more."""
_CURES = {
    errno.ENOTDIR: "Move away the file that stands in a folder's place",
    errno.EEXIST: "Move away what stands in a folder's place",
    errno.EISDIR: "Move away the folder that stands in a file's place",
    errno.ELOOP: "Move away the link that leads back to itself",
}
"""What to do about what the system says; about anything else, both that helps most often."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says into StorageError, with the path and what to do."""
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, "Free some room or mend the folder's permissions")
        raise StorageError(
            f"{path} cannot be written or read: {error.strerror or error}. {cure} (BLSYNC_DATA "
            "names it) and run the same command again; nothing was half written."
        ) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a draft's path; the draft gets its name once it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.draft"):  # of a killed process
        written_at = datetime.fromtimestamp(left.stat().st_mtime, UTC)
        if has_passed(STALE, written_at, datetime.now(UTC)):
            left.unlink(missing_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.draft")
    try:
        yield draft
        if draft.exists():
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(path)
            sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the disk keep which files a folder has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
