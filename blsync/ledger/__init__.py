"""What was done: loads and their coverage, the quota, plans and every attempt to apply them.

One database for all processes: a SQLite file, or PostgreSQL where several machines share it. Every
transaction takes SQLite's write lock when it begins, so that a decision made on what was read still
holds when it is written.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from blsync.errors import ConfigError, StorageError
from blsync.ledger.tables import metadata


class Ledger:
    """The open ledger; `begin` gives a transaction."""

    def __init__(self, url: str) -> None:
        """Open the ledger, making its tables where they are missing.

        Raises ConfigError where the URL cannot be used, StorageError where the database cannot.
        """
        try:
            self._engine = _engine(url)
            with _one_at_a_time(url):
                metadata.create_all(self._engine)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
            raise ConfigError(
                "BLSYNC_LEDGER_URL is not a SQLAlchemy URL that works here."
            ) from None
        except (DBAPIError, OSError) as error:
            raise StorageError(_explain(url, error)) from None
        self._url = url

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection in a transaction: committed at the end, or not at all."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StorageError(_explain(self._url, error)) from None

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own implicit transactions come too late
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("begin immediate")

    return engine


@contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """Hold the making of a SQLite file: turning its WAL on waits for nobody, and fails."""
    database = make_url(url).database
    if make_url(url).get_backend_name() != "sqlite" or not database or database == ":memory:":
        yield
        return
    with Path(f"{database}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _explain(url: str, error: Exception) -> str:
    reason = str(getattr(error, "orig", None) or error)
    where = make_url(url).render_as_string(hide_password=True)
    return (
        f"The ledger {where} cannot be used: {reason}. "
        "Check that the folder can be written and the disk has room; nothing was lost."
    )
