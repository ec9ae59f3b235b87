"""The token that opens the UI: one for each Dagster home, the same over restarts."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from blsync.errors import ConfigError
from blsync.files import permissions
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.orchestration.history import KEPT

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def token_of(home: Path, say: Callable[[str], None]) -> str:
    """Return the token kept in a Dagster home; made where there is none that can be trusted.

    One that others could read or write is replaced, which is said. Raises StorageError.
    """
    file = home / KEPT
    busy = "Another process is making the UI's token; waiting for it."
    with blocking_file_lock(home / f"{KEPT}.lock", say, busy), storage_errors(file):
        token, is_private = _read(file)
        if token and is_private:
            return token
        if token:
            say(
                f"Others could read or change {file}: a new token takes its place. Bookmarks and "
                "scripts need the new address."
            )
        token = secrets.token_urlsafe(32)
        with atomic_write(file) as draft:
            draft.touch(mode=0o600, exist_ok=False)
            draft.write_text(token, encoding="ascii")
        return token


def token_in(file: Path) -> str:
    """Return the token in a file that somebody else keeps, such as a container's secret.

    Raises ConfigError where there is none, or others could change it.
    """
    try:
        permissions.refuse_writable(file, "--token-file")
        token = file.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"--token-file: {file} cannot be read: {error.strerror}.") from None
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"--token-file: {file} holds no token: 43 letters, digits, `-` and `_` on one line. "
            "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


def secret_path(token: str) -> str:
    """Return the path below which the UI is served.

    A browser sends a cookie to every port of a host. Bound to a path that nobody can guess, the
    cookie never reaches a server that another user of the machine runs on another port.
    """
    digest = hmac.new(token.encode(), b"path of the UI", hashlib.sha256).hexdigest()
    return f"/ui-{digest[:24]}"


def _read(file: Path) -> tuple[str, bool]:
    """Return the token that a file holds (empty: none), and whether it is ours alone."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return "", False
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as opened:
        facts = os.fstat(opened.fileno())
        token = opened.read(100).strip()
    is_private = facts.st_uid == os.geteuid() and not stat.S_IMODE(facts.st_mode) & 0o077
    return (token if _TOKEN.fullmatch(token) else ""), is_private
