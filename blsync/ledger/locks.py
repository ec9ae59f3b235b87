"""Locks that all machines on one ledger see.

On a machine a lock file is enough, and a SQLite ledger is one machine's. A ledger on PostgreSQL may
serve several, so whoever holds a lock file holds the ledger's lock of the same name as well: an
advisory lock of a connection that is kept for it, which ends with the process or its machine.

A process that was stopped, or cut off from the server, is waited for no longer than LEASE. Its lock
has a token then that another has counted up, and nothing that it writes into the ledger afterwards
is committed: what it still believes to be its own, somebody else has taken over.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from blsync.errors import LockLost
from blsync.files.locks import own_command
from blsync.ledger.tables import holds

LEASE = 120.0
"""Seconds after which a lock is another's whose holder has not shown that it lives."""
_KEY = "hashtextextended(current_schema() || '/' || :name, 0)"
_TRY = text(f"select pg_try_advisory_lock({_KEY})")
_GIVE = text(f"select pg_advisory_unlock({_KEY})")
_END = text(
    "select pg_terminate_backend(pid) from pg_locks "  # noqa: S608
    "where locktype = 'advisory' and granted and objsubid = 1 and database = "
    "(select oid from pg_database where datname = current_database()) "
    f"and (classid::bigint << 32) | objid::bigint = {_KEY}"
)
_RENEW = (
    update(holds)
    .where(holds.c.name == bindparam("of"), holds.c.token == bindparam("by"))
    .values(renewed_at=func.now())
)


class Locks:
    """The locks that a ledger on PostgreSQL holds for this process, all of one connection."""

    def __init__(self, engine: Engine, *, lease: float = LEASE) -> None:
        """Nothing is asked of the server before the first lock is tried."""
        self._engine = engine
        self._lease = lease
        self._tokens: dict[str, int] = {}
        self._connection: Connection | None = None
        self._alone = threading.RLock()
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None

    def try_lock(self, name: str) -> bool:
        """Take a lock unless another process has it. Raises sqlalchemy's SQLAlchemyError."""
        with self._alone:
            db = self._connected()
            if not db.scalar(_TRY, {"name": name}):
                if not self._is_left(db, name):
                    return False
                db.execute(_END, {"name": name})
                if not db.scalar(_TRY, {"name": name}):  # the server is still ending it
                    return False
            self._tokens[name] = _taken(db, name)
            self._keep_renewing()
            return True

    def unlock(self, name: str) -> None:
        """Give a lock back; one that was lost is gone anyhow."""
        with self._alone:
            self._tokens.pop(name, None)
            if self._connection is not None:
                with suppress(SQLAlchemyError):
                    self._connection.execute(_GIVE, {"name": name})

    def holder(self, name: str) -> str:
        """Word who holds a lock; empty where nobody is known."""
        with self._alone:
            row = self._connected().execute(select(holds).where(holds.c.name == name)).first()
        if row is None:
            return ""
        return f" It is {row.holder}, at it since {row.taken_at:%Y-%m-%d %H:%M:%S} UTC."

    def check(self, db: Connection) -> None:
        """Keep every lock that is held from being taken over until this transaction ends.

        Raises LockLost where one of them was.
        """
        tokens = dict(self._tokens)
        if not tokens:
            return
        query = select(holds.c.name, holds.c.token).where(holds.c.name.in_(sorted(tokens)))
        # So weak a lock waits for no renewal, and none waits for it; whoever takes over does.
        rows = db.execute(query.with_for_update(read=True, key_share=True))
        found = {row.name: row.token for row in rows}
        if lost := sorted(name for name, token in tokens.items() if found.get(name) != token):
            raise LockLost(
                f"Another process has taken over {', '.join(lost)}: this one was stopped, or cut "
                f"off from the ledger, for more than {self._lease:g} seconds. Nothing that it read "
                "since was written. Run the same command again: it goes on where the other one is."
            )

    def close(self) -> None:
        """Give all locks back."""
        self._ended.set()
        with self._alone:
            self._tokens.clear()
            if self._connection is not None:
                with suppress(SQLAlchemyError):
                    self._connection.close()
                self._connection = None

    def _connected(self) -> Connection:
        """Return the connection; after a cut a new one, with the locks that are still ours."""
        if self._connection is not None:
            try:
                self._connection.execute(text("select 1"))
                return self._connection
            except SQLAlchemyError:
                with suppress(SQLAlchemyError):
                    self._connection.close()
                self._connection = None
        options = {"isolation_level": "AUTOCOMMIT"}
        self._connection = self._engine.connect().execution_options(**options)
        for name in self._tokens:  # whoever was quicker has counted the token up
            self._connection.scalar(_TRY, {"name": name})
        return self._connection

    def _is_left(self, db: Connection, name: str) -> bool:
        """Tell whether a lock's holder has shown no life for so long that it is ours to take."""
        since = func.now() - timedelta(seconds=self._lease)
        query = select(holds.c.name).where(holds.c.name == name, holds.c.renewed_at < since)
        return db.execute(query).first() is not None

    def _keep_renewing(self) -> None:
        if self._renewing is None:
            self._renewing = threading.Thread(target=self._renew, name="locks", daemon=True)
            self._renewing.start()

    def _renew(self) -> None:
        while not self._ended.wait(self._lease / 6):
            with self._alone, suppress(SQLAlchemyError):
                if self._tokens:
                    shown = [{"of": name, "by": token} for name, token in self._tokens.items()]
                    self._connected().execute(_RENEW, shown)


def _taken(db: Connection, name: str) -> int:
    """Note that this process holds a lock; return its token."""
    about = {
        "holder": f"process {os.getpid()} on {socket.gethostname()} ({own_command()})",
        "taken_at": func.now(),
        "renewed_at": func.now(),
    }
    token = holds.c.token + 1
    alone = select(holds.c.name).where(holds.c.name == name).with_for_update()
    renewed = update(holds).where(holds.c.name.in_(alone)).values(token=token, **about)
    found = db.scalar(renewed.returning(holds.c.token))
    if found is None:
        db.execute(insert(holds).values(name=name, token=1, **about))
        return 1
    return int(found)
