"""Pages of the lists: order, place, totals (contract, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blsync.sandbox.cursors import write_cursor
from blsync.sandbox.fields import Entity
from blsync.sandbox.query import Listing, expression
from blsync.sandbox.store import NULLABLE, Store

TOTALS_KEPT = 1000


@dataclass(frozen=True)
class Page:
    """The records' JSON texts, and what `pagination` says of them."""

    documents: list[str]
    total: int
    limit: int
    next_cursor: str | None


class Lists:
    """Answers list requests from a store; totals are kept until records of the kind change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._totals: dict[str, tuple[int, dict[tuple[Any, ...], int]]] = {}

    def page(self, listing: Listing) -> Page:
        """Fetch one page, and one record more to see whether another follows."""
        table = listing.entity.name
        where = " and ".join(listing.conditions) or "1"
        keys = [(_sort_key(listing.entity, name), down) for name, down in listing.order]
        keys.append(("id", bool(keys) and keys[-1][1]))
        place, placed = _after(keys, listing.after)
        columns = ", ".join(["doc", *(key for key, _ in keys)])
        order = ", ".join(f"{key} {'desc' if down else 'asc'}" for key, down in keys)
        rows = self.store.query(
            f"select {columns} from {table} where {where}{place}"  # noqa: S608 - known names
            f" order by {order} limit {listing.limit + 1}",
            *(*listing.parameters, *placed),
        )
        total = self._total(table, where, tuple(listing.parameters))
        shown, cursor = rows[: listing.limit], None
        if len(rows) > listing.limit:
            cursor = write_cursor(listing.signature, listing.walked + 1, shown[-1][1:])
        return Page([row[0] for row in shown], total, listing.limit, cursor)

    def _total(self, table: str, where: str, parameters: tuple[Any, ...]) -> int:
        version, totals = self._totals.get(table, (-1, {}))
        if version != self.store.versions[table] or len(totals) > TOTALS_KEPT:
            totals = {}
            self._totals[table] = self.store.versions[table], totals
        key = (where, *parameters)
        if key not in totals:
            sql = f"select count(*) from {table} where {where}"  # noqa: S608 - known names
            totals[key] = self.store.query(sql, *parameters)[0][0]
        return totals[key]


def _sort_key(entity: Entity, name: str) -> str:
    """Give the SQL to sort by: a field without a value comes before all others."""
    sql, kind = expression(entity, name), entity.fields[name]
    if name == "id" or kind == "instant" or (name in entity.columns and name not in NULLABLE):
        return sql
    return f"ifnull({sql}, {'-9e99' if kind in ('number', 'bool') else repr('')})"


def _after(keys: list[tuple[str, bool]], values: list[Any]) -> tuple[str, list[Any]]:
    """Give the condition for "behind this place" in the order of the keys."""
    if not values:
        return "", []
    alternatives, parameters = [], []
    for index, (key, down) in enumerate(keys):
        equal = [f"{before} = ?" for before, _ in keys[:index]]
        alternatives.append(" and ".join([*equal, f"{key} {'<' if down else '>'} ?"]))
        parameters += values[: index + 1]
    first, down = keys[0]
    bound = f"{first} {'<=' if down else '>='} ?"  # lets SQLite begin there in the index
    return f" and {bound} and ({' or '.join(alternatives)})", [values[0], *parameters]
