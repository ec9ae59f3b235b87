"""What was done: loads and their coverage, the quota, plans and every attempt to apply them.

One database for all processes on one data folder: a SQLite file, or PostgreSQL. Every transaction
takes SQLite's write lock when it begins, so that a decision made on what was read still holds when
it is written; on PostgreSQL whoever decides locks the rows that it decides on.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from blsync.errors import ConfigError, LedgerDamaged, StorageError
from blsync.files.locks import blocking_file_lock, file_lock, pauses
from blsync.files.permissions import close
from blsync.ledger.backup import PlanBackup
from blsync.ledger.locks import LEASE, Locks
from blsync.ledger.versions import bring_up_to_date

LONGEST_WAIT = 60
"""Seconds for which a transaction waits for another's lock, and for which one may lie idle before
PostgreSQL ends it: a machine that lost its power holds a key no longer."""


EXACT = "blsync_exact"
"""Execution option of the ledger's engine: what it is given is written as it is."""
_OWN = {EXACT: True}


class Ledger:
    """The open ledger; `begin` gives a transaction."""

    def __init__(
        self,
        url: str,
        *,
        plans: Path | None = None,
        is_mended: bool = False,
        lease: float = LEASE,
    ) -> None:
        """Open the ledger, making its tables, and what an earlier version of them lacks.

        `plans` is the folder of the plans' backups; without it none are kept. Tables that were
        lost are made again only where it `is_mended`. `lease` are the seconds after which a lock is
        another machine's whose holder shows no life. Raises ConfigError where the URL cannot be
        used, StorageError where the database cannot, or where a newer version of the program has
        made it, LedgerDamaged where it is damaged.
        """
        self._url = _address(url)
        self.lake_id: str | None = None
        """The lake that it belongs to, where `blsync.session.binding` has opened it."""
        self.backup = PlanBackup(plans) if plans else None
        self._locks: Locks | None = None
        try:
            self._engine = _engine(self._url)
            if self.is_shared:
                own = create_engine(self._url, poolclass=NullPool, execution_options=_OWN)
                self._locks = Locks(own, lease=lease)
            self._durable = self._engine.execution_options(durable=True)
            with _one_at_a_time(self._url), self.begin(durable=True) as db:
                bring_up_to_date(db, is_mended=is_mended)
        except (ModuleNotFoundError, SQLAlchemyError):
            raise ConfigError(_UNUSABLE) from None
        except (TypeError, ValueError):
            if not self._url.query:
                raise
            # The driver does not know an option, or not its value.
            raise ConfigError(f"{_UNUSABLE} What stands behind its `?` is no option.") from None
        except OSError as error:
            raise StorageError(_explain(self._url, error)) from None

    @contextmanager
    def begin(self, durable: bool = False) -> Iterator[Connection]:
        """Yield a connection in a transaction: committed at the end, or not at all.

        What was committed survives the process's end at any moment. Only a `durable` transaction
        surely survives the machine's: after a power cut SQLite's file is whole, but the latest of
        the others may be missing. A pull can bear that, because a page whose place is missing is
        asked for again, and a file in the lake whose load is still open is found again; so can the
        quota, because the server tells what is left. A push cannot: what it has sent must be known.
        PostgreSQL commits as its server is configured. Raises StorageError, and LockLost where
        another process has taken over what this one holds.
        """
        try:
            with (self._durable if durable else self._engine).begin() as connection:
                if self._locks is not None:
                    self._locks.check(connection)
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            if _is_damage(error):
                raise LedgerDamaged(_damaged(self._url, error)) from None
            raise StorageError(_explain(self._url, error)) from None

    @asynccontextmanager
    async def lock(self, path: Path, say: Callable[[str], None], busy: str) -> AsyncIterator[None]:
        """Hold a lock file as `file_lock` does, and against all machines that share the ledger.

        What they call the same is what lies in the same place of their data folders. Raises
        StorageError.
        """
        async with file_lock(path, say, busy):
            for pause in self._tries(path, say, busy):
                await asyncio.sleep(pause)
            try:
                yield
            finally:
                self._unlock(path)

    @contextmanager
    def blocking_lock(self, path: Path, say: Callable[[str], None], busy: str) -> Iterator[None]:
        """As `lock`, where no event loop runs."""
        with blocking_file_lock(path, say, busy):
            for pause in self._tries(path, say, busy):
                time.sleep(pause)
            try:
                yield
            finally:
                self._unlock(path)

    def _tries(self, path: Path, say: Callable[[str], None], busy: str) -> Iterator[float]:
        if self._locks is None:
            return
        name = _name_of(path)
        try:
            yield from pauses(
                partial(self._locks.try_lock, name), partial(self._locks.holder, name), say, busy
            )
        except SQLAlchemyError as error:
            raise StorageError(_explain(self._url, error)) from None

    def _unlock(self, path: Path) -> None:
        if self._locks is not None:
            self._locks.unlock(_name_of(path))

    @property
    def is_shared(self) -> bool:
        """Whether several machines may have it: a server's, not a file."""
        return self._url.get_backend_name() == "postgresql"

    @property
    def address(self) -> str:
        """Where it is, for messages: without its password."""
        return _written(self._url)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None on a server."""
        return sqlite_file(self._url)

    def check(self) -> None:
        """Look through all of a SQLite file. Raises LedgerDamaged."""
        if self.file is None:
            return
        with self.begin() as db:
            found = db.exec_driver_sql("pragma integrity_check(1)").scalar()
        if found != "ok":
            raise LedgerDamaged(_damaged(self._url, ValueError(str(found))))

    def close(self) -> None:
        """Give the connections back, and every lock."""
        if self._locks is not None:
            self._locks.close()
        self._engine.dispose()


_UNUSABLE = (
    "BLSYNC_LEDGER_URL is not a SQLAlchemy URL that works here. Write sqlite:///PATH or "
    "postgresql://USER:PASSWORD@HOST/DATABASE."
)


def _name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg2")
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(_UNUSABLE) from None
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(_UNUSABLE)
    return address


def _engine(url: URL) -> Engine:
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)


def _postgresql(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, execution_options=_OWN)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"set lock_timeout = '{LONGEST_WAIT}s'")
            cursor.execute(f"set idle_in_transaction_session_timeout = '{LONGEST_WAIT}s'")
        connection.commit()

    return engine


def _sqlite(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for suffix in ("", "-wal", "-shm", ".lock"):  # of an earlier version, perhaps
            close(Path(f"{url.database}{suffix}"))
    engine = create_engine(url, connect_args={"timeout": LONGEST_WAIT}, execution_options=_OWN)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own implicit transactions come too late
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma foreign_keys = on")
        record.info["durable"] = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        durable = connection.get_execution_options().get("durable", False)
        if connection.info["durable"] != durable:
            connection.exec_driver_sql(f"pragma synchronous = {'full' if durable else 'normal'}")
            connection.info["durable"] = durable
        # Past SQLAlchemy, whose own way takes ten times as long: a pull does it three times a page.
        connection.connection.cursor().execute("begin immediate")

    return engine


@contextmanager
def _one_at_a_time(url: URL) -> Iterator[None]:
    """Hold the making of a SQLite file: turning its WAL on waits for nobody, and fails."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        yield
        return
    with Path(f"{url.database}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _written(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MISSING = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")
"""What SQLite and PostgreSQL say of a table that was there when the ledger was opened, or made."""


def sqlite_file(url: URL | str) -> Path | None:
    """Return the file of a ledger in SQLite; None for one on a server. Raises ConfigError."""
    address = _address(url) if isinstance(url, str) else url
    is_file = address.get_backend_name() == "sqlite" and address.database not in (None, ":memory:")
    return Path(str(address.database)) if is_file and address.database else None


def _is_damage(error: Exception) -> bool:
    origin = getattr(error, "orig", None) or error
    code = getattr(origin, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _DAMAGE:
        return True
    told = f"{type(origin).__name__} {origin}"
    return any(text in told for text in _MISSING)


def _damaged(url: URL, error: Exception) -> str:
    reason = " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".")
    return (
        f"The ledger {_written(url)} is damaged: {reason}. Nothing is pulled or pushed with it. "
        "Restore it from a backup, or run `blsync repair`: it makes a new one, brings loads back "
        "from the lake and plans from their backups."
    )


def _explain(url: URL, error: Exception) -> str:
    reason = " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".")
    cure = "that the folder can be written and the disk has room"
    if url.get_backend_name() != "sqlite":
        cure = "that the server runs and lets this user make and write tables"
    return f"The ledger {_written(url)} cannot be used: {reason}. Check {cure}; nothing was lost."
