"""Dagster's own history on the disk: told whether it is damaged, and moved out of the way then.

What was pulled is in the ledger and the lake. The history only shows it, so it stops nothing.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from blsync.files.aside import move_aside

KEPT = "ui_token"
"""The file in Dagster's home that is no part of its history: the token of the UI, which stays."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MISSING = ("no such table", "no such column")
_HEADER = b"SQLite format 3\0"


def begin_anew(home: Path) -> Path:
    """Move a damaged history aside, but for the UI's token; return where it is now.

    Raises OSError.
    """
    aside = move_aside(home)
    token = aside / KEPT
    if token.is_file():
        home.mkdir(mode=0o700, exist_ok=True)
        token.replace(home / KEPT)
    return aside


def damage_of(home: Path, error: BaseException) -> str | None:
    """Return what is wrong with the history where an error comes from that, else None.

    A database that another process has locked is not damaged.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, sqlite3.Error) and _is_damage(link):
            return " ".join(str(link).split())
        link = link.__cause__ or link.__context__
    return next(filter(None, map(_wrong_with, sorted(home.rglob("*.db")))), None)


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    is_damage = code is not None and code & 0xFF in _DAMAGE
    return is_damage or any(text in str(error) for text in _MISSING)


def _wrong_with(path: Path) -> str | None:
    if not path.is_file():
        return f"{path.name} is no file"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path.name} cannot be written"
    with path.open("rb") as file:
        begin = file.read(len(_HEADER))
    return f"{path.name} is no database" if begin and begin != _HEADER else None
