"""SQLite underneath: each record as its JSON text, beside it the columns to look it up by.

Records that change within one request or one stretch of generated history are held as
dicts and written once, by `Store.flush`. The movement tables hold integers only, so that
SQL adds them up exactly.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.values import Record, dumps, loads, parse_instant

MOVEMENTS = """
create table if not exists journal_lines (
    entry_id text, account_id text, date text, debit_cents integer, credit_cents integer);
create table if not exists stock_moves (
    document_id text, item_id text, location_id text, date text,
    quantity integer, value_cents integer);
create table if not exists receivable_moves (
    invoice_id text, customer_id text, date text, entry_id text, cents integer);
create table if not exists payable_moves (
    bill_id text, supplier_id text, date text, entry_id text, cents integer);
create table if not exists meta (name text primary key, value text);
create index if not exists stock_moves_by_document on stock_moves (document_id);
create index if not exists receivable_moves_by_invoice on receivable_moves (invoice_id);
create index if not exists payable_moves_by_bill on payable_moves (bill_id);
"""
MOVEMENT_INDEXES = """
create index if not exists journal_lines_by_date on journal_lines
    (date, account_id, debit_cents, credit_cents);
create index if not exists journal_lines_by_account on journal_lines (account_id, date);
create index if not exists stock_moves_by_item on stock_moves (item_id);
"""
KEPT = 5000
"""So many records of the other kinds are kept after a flush: what was written changes soon."""
COLUMN_TYPES = {"instant": "integer not null", "number": "real not null"}
NULLABLE = (
    *("email", "reference", "reversesId", "purchaseOrderId", "uuid", "supplierInvoiceNumber"),
    *("sessionId", "salesOrderId"),
)
"""Columns that may be empty; the others sort by themselves."""
DOCUMENT = "cast(doc as blob)"
"""A record's JSON as the bytes it is stored in, without a detour through text."""
HELD = frozenset(entity.name for entity in ENTITIES.values() if entity.is_in_memory)


def column_name(field: str) -> str:
    """Quote a field for use as a column."""
    return f'"{field}"'


class Store:
    """Records and movements of one company. Not safe for threads: one loop owns it."""

    def __init__(self, database: Path | str | None) -> None:
        self.connection = sqlite3.connect(
            str(database) if database else ":memory:", isolation_level=None, check_same_thread=False
        )
        self.connection.create_function("instant_us", 1, _instant_us, deterministic=True)
        for pragma in ("journal_mode = memory", "synchronous = off", "cache_size = -65536"):
            self.connection.execute(f"pragma {pragma}")
        self.connection.execute("pragma temp_store = memory")
        self.connection.executescript(MOVEMENTS)
        for entity in ENTITIES.values():
            self.connection.execute(_create_table(entity))
            self._index(entity, entity.looked_up)
        self.watch: Callable[[str, Record | None, Record], None] = lambda *_: None
        """Hears of each record that was written: its entity, as it was before, as it is."""
        self.is_watched: Callable[[], bool] = lambda: False
        """Tells whether anybody wants to hear."""
        self.versions: Counter[str] = Counter()
        self._records: dict[str, dict[str, Record]] = {name: {} for name in ENTITIES}
        self._complete: set[str] = set()
        self._aside: set[str] = set()
        self._changed: dict[str, dict[str, None]] = {name: {} for name in ENTITIES}
        self._moves: dict[str, list[tuple[Any, ...]]] = {
            "journal_lines": [],
            "stock_moves": [],
            "receivable_moves": [],
            "payable_moves": [],
        }

    def index(self) -> None:
        """Create the indexes: after the history is in, that is twice as fast."""
        self.connection.executescript(MOVEMENT_INDEXES)
        for entity in ENTITIES.values():
            self._index(entity, entity.columns)
        self.connection.execute("analyze")

    def _index(self, entity: Entity, columns: tuple[str, ...]) -> None:
        for field in columns:
            name = f"{entity.name}_by_{field}"
            self.connection.execute(
                f"create index if not exists {name} on {entity.name} ({column_name(field)}, id)"
            )

    def clear(self) -> None:
        """Empty the tables, of a history that was broken off, say."""
        for table in (*ENTITIES, *self._moves, "meta"):
            self.connection.execute(f"delete from {table}")  # noqa: S608 - names of our own

    def get(self, entity: str, record_id: str) -> Record | None:
        """Return the record as a dict. A changed one must be handed to `put`."""
        record = self._held(entity).get(record_id)
        if record is None and entity not in HELD:
            row = self.connection.execute(
                f"select doc from {entity} where id = ?",  # noqa: S608 - a name of our own
                (record_id,),
            ).fetchone()
            if row is None:
                return None
            record = loads(row[0])
            self._records[entity][record_id] = record
        return record

    def _held(self, entity: str) -> dict[str, Record]:
        """Return what is in memory, which for the held kinds is everything."""
        if entity in HELD and entity not in self._complete:
            self._complete.add(entity)
            rows = self.query(f"select id, doc from {entity} order by id")  # noqa: S608
            self._records[entity] = {key: loads(doc) for key, doc in rows if key not in self._aside}
        return self._records[entity]

    def put(self, entity: str, record_id: str, record: Record) -> None:
        """Keep a new or changed record for the next flush."""
        self._held(entity)[record_id] = record
        self._changed[entity][record_id] = None

    def put_aside(self, entity: str, record_id: str, record: Record) -> None:
        """Write a record for the lists to show, of which the books know nothing."""
        self._aside.add(record_id)
        self._insert(entity, [_row(ENTITIES[entity], record_id, record)])
        self.versions[entity] += 1

    def delete(self, entity: str, record_id: str) -> None:
        """Remove a record for good; nothing remembers it (contract: hard deletes)."""
        self.flush()
        self._held(entity).pop(record_id, None)
        self.connection.execute(f"delete from {entity} where id = ?", (record_id,))  # noqa: S608
        self.versions[entity] += 1

    def all(self, entity: str) -> list[Record]:
        """Return every record of a kind that is held in memory (accounts, items, …)."""
        return list(self._held(entity).values())

    def move(self, table: str, *row: Any) -> None:
        """Append a movement row."""
        self._moves[table].append(row)

    @property
    def waiting(self) -> int:
        """How many changed records wait for the flush."""
        return sum(map(len, self._changed.values()))

    def flush(self) -> None:
        """Write all that changed, in one transaction."""
        if not self.waiting and not any(self._moves.values()):
            return
        told: list[tuple[str, Record | None, Record]] = []
        self.connection.execute("savepoint flush")
        for name, changed in self._changed.items():
            if changed:
                entity, records = ENTITIES[name], self._records[name]
                told += self._told(name, [*changed])
                self._insert(name, [_row(entity, key, records[key]) for key in changed])
                changed.clear()
                self.versions[name] += 1
            if name not in HELD and len(self._records[name]) > KEPT:
                self._records[name].clear()
        self._insert_moves()
        self.connection.execute("release flush")
        for one in told:
            self.watch(*one)

    def _told(self, name: str, keys: list[str]) -> list[tuple[str, Record | None, Record]]:
        """Return what is to be told of records that are written now."""
        if not self.is_watched():
            return []
        told = []
        for key in keys:
            rows = self.query(f"select doc from {name} where id = ?", key)  # noqa: S608
            told.append((name, loads(rows[0][0]) if rows else None, self._records[name][key]))
        return told

    def begin_trial(self) -> None:
        """Begin what `end_trial` may take back, whatever is flushed or deleted until then."""
        self.flush()
        self.connection.execute("savepoint trial")

    def end_trial(self, *, is_kept: bool) -> None:
        """Keep all that was written since `begin_trial`, or take it back."""
        if is_kept:
            self.flush()
        else:
            self.discard()
            self.connection.execute("rollback to trial")
            self.versions.update([*ENTITIES])
        self.connection.execute("release trial")

    def discard(self) -> None:
        """Forget all that has not been flushed, changes inside records included."""
        for changed in self._changed.values():
            changed.clear()
        for rows in self._moves.values():
            rows.clear()
        self._records = {name: {} for name in ENTITIES}
        self._complete.clear()

    def flush_moves(self) -> None:
        """Write the movement rows only."""
        self.connection.execute("begin")
        self._insert_moves()
        self.connection.execute("commit")

    def _insert_moves(self) -> None:
        for table, rows in self._moves.items():
            if rows:
                self._insert(table, rows)
                rows.clear()

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        sql = f"insert or replace into {table} values ({marks})"  # noqa: S608 - a name of our own
        self.connection.executemany(sql, rows)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a select on what has been flushed."""
        return self.connection.execute(sql, parameters).fetchall()

    def remember(self, name: str, value: object) -> None:
        """Keep a fact about the books themselves."""
        self.connection.execute("insert or replace into meta values (?, ?)", (name, dumps(value)))

    def recall(self, name: str) -> Any:
        """Return a fact kept by `remember`, else None."""
        rows = self.query("select value from meta where name = ?", name)
        return loads(rows[0][0]) if rows else None

    def close(self) -> None:
        """Let go of the database."""
        self.connection.close()


def _create_table(entity: Entity) -> str:
    columns = "".join(
        f", {column_name(field)} "
        + COLUMN_TYPES.get(entity.fields[field], "text")
        + (" collate nocase" if field == "email" else "")
        for field in entity.columns
    )
    return f"create table if not exists {entity.name} (id text primary key, doc text{columns})"


def _row(entity: Entity, key: str, record: Record) -> tuple[Any, ...]:
    values = (_column(entity.fields[field], record.get(field)) for field in entity.columns)
    return key, dumps(record), *values


def _column(kind: str, value: Any) -> Any:
    if kind == "instant":
        return _instant_us(value)
    return float(value) if kind == "number" else value


def _instant_us(text: str | None) -> int:
    """Give -1 for no instant, so that SQL needs no special case for null when sorting."""
    try:
        return parse_instant(text) if text else -1
    except ValueError:
        return -1
