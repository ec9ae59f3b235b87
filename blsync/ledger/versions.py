"""A ledger over the versions of the program: what an earlier one left out is added on opening."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Inspector, insert, inspect, literal, select, text, update
from sqlalchemy.schema import CreateColumn, CreateTable
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from blsync.errors import LedgerDamaged, StorageError
from blsync.ledger.tables import VERSION, meta, metadata, quota_requests

_LOCK = 0x626C73796E63
"""PostgreSQL's advisory lock for whoever changes the tables; any number, the same for all."""


def hold(db: Connection) -> None:
    """Let one transaction at a time decide what the ledger is and belongs to, until it ends."""
    if db.dialect.name == "postgresql":  # on SQLite every transaction is alone
        db.execute(text(f"select pg_advisory_xact_lock({_LOCK})"))


def bring_up_to_date(db: Connection, *, is_mended: bool = False) -> None:
    """Make the tables, columns and indexes that are missing. What there is stays as it is.

    Raises StorageError where a newer version of the program has made the ledger, and LedgerDamaged
    where a table is missing that this version made, unless it `is_mended`.
    """
    hold(db)
    version = _version(db)
    if version > VERSION:
        raise StorageError(
            f"A newer blsync made this ledger: it is of version {version}, and this program knows "
            f"those up to {VERSION}. Install the newer program again, or set BLSYNC_LEDGER_URL to "
            "another ledger. Nothing was changed."
        )
    lost = sorted(metadata.tables.keys() - set(inspect(db).get_table_names()))
    if lost and version == VERSION and not is_mended:
        raise LedgerDamaged(
            f"The ledger has lost its tables {', '.join(lost)}, so it is damaged. Nothing is "
            "pulled or pushed with it. Restore it from a backup, or run `blsync repair`: it brings "
            "loads back from the lake and plans from their backups."
        )
    if version == 1 and db.dialect.name == "sqlite":
        _number_slots_anew(db)
    metadata.create_all(db)
    _add_what_is_missing(db, inspect(db))
    if version <= 1:
        db.execute(insert(meta).values(version=VERSION))
    elif version < VERSION:
        db.execute(update(meta).values(version=VERSION))


def _version(db: Connection) -> int:
    """Return the version of the ledger; 0: there is none yet."""
    tables = inspect(db)
    if tables.has_table(meta.name):
        # A table that was emptied is of this version: what else it lacks is told.
        return db.execute(select(meta.c.version)).scalar() or VERSION
    return 1 if tables.has_table("loads") else 0


def _number_slots_anew(db: Connection) -> None:
    """Let SQLite never use a slot's number again, which only a new table does."""
    db.execute(text("alter table quota_requests rename to quota_requests_1"))
    db.execute(CreateTable(quota_requests))
    names = "slot, key_id, sent_at, answered_at"
    db.execute(
        text(f"insert into quota_requests ({names}) select {names} from quota_requests_1")  # noqa: S608
    )
    db.execute(text("drop table quota_requests_1"))


def _add_what_is_missing(db: Connection, found: Inspector) -> None:
    columns, indexes = found.get_multi_columns(), found.get_multi_indexes()
    for table in metadata.sorted_tables:
        held = {column["name"] for column in columns[None, table.name]}
        for column in table.columns:
            if column.name not in held:
                db.execute(text(f"alter table {table.name} add column {_definition(db, column)}"))
        known = {index["name"] for index in indexes[None, table.name]}
        for index in table.indexes:
            if index.name not in known:
                index.create(db)


def _definition(db: Connection, column: Column[Any]) -> str:
    """Write a column with its default: rows that are there already need a value."""
    default: Any = column.server_default
    if isinstance(column.default, ScalarElementColumnDefault) and default is None:
        value = literal(column.default.arg, column.type)
        worded = value.compile(dialect=db.dialect, compile_kwargs={"literal_binds": True})
        default = text(str(worded))
    added: Column[Any] = Column(
        column.name, column.type, nullable=column.nullable, server_default=default
    )
    return str(CreateColumn(added).compile(dialect=db.dialect))
