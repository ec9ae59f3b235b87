"""The published marts in a PostgreSQL database, exchanged in one transaction.

The tables stay and their rows are replaced, so what people built on them stays too: views, rights,
dashboards. Who reads meanwhile sees the night before, whole, until the transaction ends, and a
killed export leaves it as it is. Only a table whose columns changed is made anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import psycopg2
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import connection, cursor, make_dsn, parse_dsn

from blsync import marts, redaction
from blsync.errors import ConfigError, StorageError
from blsync.marts import queries
from blsync.settings import Settings

ONE_AT_A_TIME = 0x626C7379
"""Number of the advisory lock that exports to one database take turns with."""
LOCAL = ("", "localhost", "127.0.0.1", "::1")
MARK = "Written by blsync export; its rows are replaced."
"""Comment of a table that is ours."""
_NULL = "\\N"
_NUL = re.compile(r"((?:^|[^\\])(?:\\\\)*)\\u0000")
"""A character of JSON that PostgreSQL has no place for, as its text does not."""
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": ""})


def write_postgres(settings: Settings) -> int:
    """Write all that is published to the database that BLSYNC_EXPORT_URL names, in schemas of the
    same names; returns the number of tables.

    Raises ConfigError where the address is missing or wrong, or a view of somebody's stands on a
    column that is gone; StorageError where the database cannot be reached or breaks off; BuildError
    where nothing is published.
    """
    address = _address(settings)
    with (
        marts.open_published(settings) as db,
        _told(address),
        _transaction(address) as server,
        server.cursor() as asked,
    ):
        asked.execute("select pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        tables = queries.relations(db)
        for schema, table in tables:
            _write_table(asked, db, schema, table)
        _drop_others(asked, tables)
    return len(tables)


def _address(settings: Settings) -> dict[str, Any]:
    if settings.export_url is None:
        raise ConfigError(
            "BLSYNC_EXPORT_URL is not set; it names the database, like "
            "postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    try:
        parts: dict[str, Any] = parse_dsn(settings.export_url.get_secret_value())
    except psycopg2.ProgrammingError:
        raise ConfigError(
            "BLSYNC_EXPORT_URL is no address of a database; write it like "
            "postgresql://USER:PASSWORD@HOST/DATABASE."
        ) from None
    host = parts.get("host", "")
    if host not in LOCAL and not host.startswith("/"):
        parts.setdefault("sslmode", "require")
        if parts["sslmode"] in ("disable", "allow", "prefer"):
            raise ConfigError(
                f"BLSYNC_EXPORT_URL lets the connection to {host} be read on its way "
                f"(sslmode={parts['sslmode']}); write sslmode=require or verify-full."
            )
    return parts


@contextmanager
def _transaction(address: dict[str, Any]) -> Iterator[connection]:
    server = psycopg2.connect(make_dsn(**address), application_name="blsync export")
    try:
        with server:  # commits, or rolls back where there was an error
            yield server
    finally:
        server.close()


@contextmanager
def _told(address: dict[str, Any]) -> Iterator[None]:
    """Turn what the database says into errors of ours, which repeat no password."""
    place = f"{address.get('host') or 'this machine'}/{address.get('dbname') or ''}"
    try:
        yield
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise ConfigError(
            f"A table's columns changed, and something in {place} stands on it: "
            f"{redaction.redact(error.diag.message_detail or str(error))}. Take that away, export, "
            "and make it anew; nothing was changed."
        ) from None
    except psycopg2.Error as error:
        raise StorageError(
            f"The marts could not be written to the database {place}: "
            f"{redaction.redact(' '.join(str(error).split()))}. Nothing was changed there; mend "
            "that and run the same command again."
        ) from None


def _write_table(asked: cursor, db: queries.Connection, schema: str, table: str) -> None:
    reader = queries.read(db, schema, table)
    name = sql.Identifier(schema, table)
    wanted = [(field.name, type_of(field.type)) for field in reader.schema]
    found = _columns(asked, schema, table)
    if found and not _is_ours(asked, schema, table):
        raise ConfigError(
            f"The database has a {schema}.{table} that no export of blsync has made. Rename it, or "
            "export to a database of its own; nothing was changed."
        )
    if found != wanted:
        asked.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        asked.execute(sql.SQL("drop table if exists {}").format(name))
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
            for column, kind in wanted
        )
        asked.execute(sql.SQL("create table {} ({})").format(name, columns))
        asked.execute(sql.SQL("comment on table {} is %s").format(name), [MARK])
    else:
        asked.execute(sql.SQL("delete from {}").format(name))
    asked.copy_expert(
        sql.SQL("copy {} from stdin").format(name), cast(TextIO, _Rows(queries.Answer(reader)))
    )


def _columns(asked: cursor, schema: str, table: str) -> list[tuple[str, str]]:
    asked.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute "
        "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
        [f'"{schema}"."{table}"'],
    )
    return list(asked.fetchall())


def _is_ours(asked: cursor, schema: str, table: str) -> bool:
    asked.execute("select obj_description(to_regclass(%s))", [f'"{schema}"."{table}"'])
    return bool(asked.fetchone() == (MARK,))


def _drop_others(asked: cursor, tables: list[tuple[str, str]]) -> None:
    """Take away what an earlier version published and this one does not."""
    for schema in sorted({schema for schema, _ in tables}):
        asked.execute("select tablename from pg_tables where schemaname = %s", [schema])
        for (table,) in asked.fetchall():
            if (schema, table) not in tables and _is_ours(asked, schema, table):
                asked.execute(sql.SQL("drop table {}").format(sql.Identifier(schema, table)))


def type_of(kind: pa.DataType) -> str:
    """Return PostgreSQL's name of an Arrow type, as `format_type` writes it."""
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return f"timestamp {'with' if kind.tz else 'without'} time zone"
    if pa.types.is_nested(kind):
        return "jsonb"
    if pa.types.is_unsigned_integer(kind) or pa.types.is_integer(kind):
        return (
            "bigint" if kind.bit_width > 32 or not pa.types.is_signed_integer(kind) else "integer"
        )
    known = {pa.bool_(): "boolean", pa.date32(): "date", pa.float64(): "double precision"}
    return known.get(kind, "text")


class _Rows:
    """A query's rows as PostgreSQL's text form, read piece by piece."""

    def __init__(self, answer: queries.Answer) -> None:
        self._lines = ("\t".join(map(_cell, row)) + "\n" for row in answer.rows())
        self._rest = ""

    def read(self, size: int = -1) -> str:
        parts, held = [self._rest], len(self._rest)
        while held < size or size < 0:
            line = next(self._lines, None)
            if line is None:
                break
            parts.append(line)
            held += len(line)
        text = "".join(parts)
        taken = text if size < 0 else text[:size]
        self._rest = text[len(taken) :]
        return taken


def _cell(value: Any) -> str:
    if value is None:
        return _NULL
    text = queries.text_of(value)
    if isinstance(value, list | dict):
        text = _NUL.sub(r"\1", text)
    return text.translate(_ESCAPES)
