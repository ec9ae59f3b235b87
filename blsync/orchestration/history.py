"""Dagster's own history on the disk: how it is written, whether it is damaged, how it begins anew.

What was pulled is in the ledger and the lake. The history only shows it, so it stops nothing.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from blsync.files.aside import move_aside

KEPT = "ui_token"
"""The file in Dagster's home that is no part of its history: the token of the UI, which stays."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MISSING = ("no such table", "no such column")
_HEADER = b"SQLite format 3\0"

_STORAGES: tuple[Any, ...] = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)
_MOST_ENGINES = 16
"""Each run has a database of its own."""
_engines: dict[str, Engine] = {}
"""By address; the latest used last."""


def keep_connections() -> None:
    """Have Dagster keep its connections to the history (`bench/recording.py` tells what it saves).

    Of itself it opens each database anew for each event: each time all statements are compiled, the
    log is written back when the connection closes, and the disk is waited for. A history that loses
    its latest events when the power fails loses nothing that counts.
    """
    for storage in _STORAGES:
        storage.create_engine = _kept_engine


def _kept_engine(url: str, **options: Any) -> Engine:
    engine = _engines.pop(url, None)
    if engine is None:
        kept = {name: value for name, value in options.items() if name != "poolclass"}
        engine = create_engine(url, **kept)
        event.listen(engine, "connect", _wait_for_no_disk)
        event.listen(engine, "checkin", partial(_tell_watchers, Path(engine.url.database or "")))
        engine.dispose = lambda close=True: None  # type: ignore[method-assign]
    _engines[url] = engine
    while len(_engines) > _MOST_ENGINES:
        _close(next(iter(_engines)))
    return engine


def _wait_for_no_disk(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("pragma synchronous = normal")


def _tell_watchers(
    file: Path, connection: sqlite3.Connection | None, record: ConnectionPoolEntry
) -> None:
    """Touch a database that was written to: Dagster's pages watch the file for new events, and what
    is committed stays in the log beside it while a connection is open.
    """
    if connection is not None and connection.total_changes != record.info.get("changes", 0):
        record.info["changes"] = connection.total_changes
        with suppress(OSError):  # the history may just be moved aside
            os.utime(file)


def forget_run(database: Path) -> None:
    """Delete the database of a run, which nobody asks for any more. Raises OSError."""
    for url, engine in [*_engines.items()]:
        if engine.url.database == str(database):
            _close(url)
    for suffix in ("", "-wal", "-shm"):
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)


def _close(url: str) -> None:
    if engine := _engines.pop(url, None):
        Engine.dispose(engine)


def begin_anew(home: Path) -> Path:
    """Move a damaged history aside, but for the UI's token; return where it is now.

    Raises OSError.
    """
    for url in list(_engines):
        _close(url)
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
