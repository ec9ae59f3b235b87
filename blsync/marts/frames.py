"""The published marts in Python: `blsync.open()`.

    import blsync

    marts = blsync.open()
    debtors = marts.df("ar_aging")
    rent = marts.sql("from finance.general_ledger where account_number = $n", n="6010").df()

Each question opens the file anew, read-only, so that it has the latest night, and nothing of it is
held while a night is published.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from blsync import settings
from blsync.errors import BuildError, ConfigError
from blsync.marts import queries
from blsync.marts.published import MARTS, published_file

if TYPE_CHECKING:
    import pandas as pd

FIRST_SCHEMA = "finance"
"""Where a table is looked for first that is named without its schema."""
_NAMES = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Marts:
    """A file of published marts."""

    path: Path
    held: queries.Connection | None = None
    """The file, opened for several questions; without it each opens it anew."""

    @contextmanager
    def of_one_night(self) -> Iterator[Marts]:
        """Yield the marts as they are now: what is published meanwhile changes no answer."""
        with self._opened() as db:
            yield replace(self, held=db)

    def tables(self) -> list[str]:
        """Return the names of all tables and views, `schema.table`, in order.

        Raises BuildError where nothing is published, StorageError where the file cannot be read.
        """
        with self._opened() as db:
            return [".".join(relation) for relation in queries.relations(db)]

    def df(self, table: str) -> pd.DataFrame:
        """Return a table or view, as `sql` gives it: `ar_aging`, or `history.customers`."""
        return self._relation(table).df()

    def arrow(self, table: str) -> pa.Table:
        """Return a table or view as Arrow has it, for polars and others."""
        return self._relation(table).arrow()

    def sql(self, query: str, **values: Any) -> Question:
        """Return a question to the marts: one select, with `values` for its `$names`.

        It is asked when its `df`, `arrow` or `rows` is called, which raise ConfigError where it is
        no select, or not one that DuckDB takes, and what `tables` raises.
        """
        return Question(self, query, values)

    def rows(self, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a select, which need not name all of the `values`."""
        named = {*_NAMES.findall(query)} & values.keys()
        return self.sql(query, **{name: values[name] for name in named}).rows()

    def _relation(self, name: str) -> Question:
        known = self.tables()
        wanted = name if "." in name else f"{FIRST_SCHEMA}.{name}"
        found = [one for one in known if one == wanted or one.partition(".")[2] == name]
        if not found:
            near = difflib.get_close_matches(wanted, known, 3) or known[:3]
            raise ConfigError(
                f"The marts have no table {name!r}. Near it are {', '.join(near)}; `tables()` has "
                "them all, and `sql()` takes a query."
            )
        schema, _, table = (wanted if wanted in found else found[0]).partition(".")
        return Question(self, f'from "{schema}"."{table}"', {})

    @contextmanager
    def _opened(self) -> Iterator[queries.Connection]:
        if self.held:
            yield self.held
            return
        if not self.path.exists():
            raise BuildError(f"Nothing is published at {self.path} yet. Run `blsync sync` first.")
        with queries.opened(self.path) as db:
            yield db


@dataclass(frozen=True)
class Question:
    """A select on the marts, asked anew each time its answer is wanted."""

    marts: Marts
    query: str
    values: dict[str, Any]

    def df(self) -> pd.DataFrame:
        """Return the answer: money as exact decimals (pandas' Arrow type), which add up exactly,
        days and times as datetime64, times in UTC.
        """
        import pandas as pd  # half a second and 60 MB, for who asks alone

        def type_of(kind: pa.DataType) -> Any:
            return pd.ArrowDtype(kind) if pa.types.is_decimal(kind) else None

        frame: pd.DataFrame = self.arrow().to_pandas(types_mapper=type_of, date_as_object=False)
        return frame

    def arrow(self) -> pa.Table:
        """Return the answer as an Arrow table."""
        with self.marts._opened() as db:
            return queries.ask(db, self.query, self.values).reader.read_all()

    def rows(self) -> list[dict[str, Any]]:
        """Return the answer as one dict for each row."""
        rows: list[dict[str, Any]] = self.arrow().to_pylist()
        return rows


def open_marts(path: str | os.PathLike[str] | None = None) -> Marts:
    """Return the published marts: those of the settings, or of a file or folder that has them.

    Raises ConfigError where settings are wrong.
    """
    if path is None:
        return Marts(published_file(settings.load()))
    given = Path(path)
    return Marts(given / MARTS if given.is_dir() else given)
