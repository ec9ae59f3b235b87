"""Folders that are exchanged for others in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blsync.errors import StorageError
from blsync.files.atomic import storage_errors

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV, errno.EPERM)
"""What a system or a file system says that has no such exchange, or no links."""


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders in one step: at no moment is either of them missing.

    Raises StorageError where the system or the file system cannot do it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, _EXCHANGE)
        else:
            failed = libc.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE)
        number = ctypes.get_errno() if failed else 0
    except AttributeError:  # a C library without it
        number = errno.ENOSYS
    with able(other):
        if number:
            raise OSError(number, os.strerror(number), str(other))


@contextmanager
def able(folder: Path) -> Iterator[None]:
    """Turn what the system says into StorageError, telling what it has to be able to do."""
    with storage_errors(folder):
        try:
            yield
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            raise StorageError(
                f"{folder} cannot be exchanged for a new folder in one step: {error.strerror}. "
                "Nothing was changed. Put BLSYNC_DATA as a whole on one local file system that "
                "can (ext4, xfs, btrfs, APFS)."
            ) from error
