"""Pages of the lists: order, place, totals (bigledger-api.md, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.store import DOCUMENT, NULLABLE, Store
from blsync.sandbox.faults.faults import Faults
from blsync.sandbox.http.cursors import write_cursor
from blsync.sandbox.http.query import Listing, expression

TOTALS_KEPT = 1000


@dataclass(frozen=True)
class Page:
    """The records' JSON in UTF-8, and what `pagination` says of them."""

    documents: list[bytes]
    total: int
    limit: int
    next_cursor: str | None
    has_more: bool


class Lists:
    """Answers list requests from a store; totals are kept until records of the kind change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._totals: dict[str, tuple[int, dict[tuple[Any, ...], int]]] = {}

    def page(self, listing: Listing, faults: Faults) -> Page:
        """Fetch one page, with the faults that lists may have."""
        total = self._total(listing.entity.name, listing.where, tuple(listing.parameters))
        total = min(total, faults["cap-total"] or total)
        documents: list[bytes] = []
        if listing.empties < faults["empty-pages"]:
            about = (listing.signature, listing.walked + 1, listing.after, listing.empties + 1)
            cursor: str | None = write_cursor(*about)
        else:
            documents, cursor = self._records(listing, faults["twins"])
        if 0 < faults["repeat-cursor"] <= listing.walked:
            cursor = listing.cursor
        if listing.walked + 1 == faults["lose-cursor"]:
            return Page(documents, total, listing.limit, None, True)
        return Page(documents, total, listing.limit, cursor, cursor is not None)

    def _records(self, listing: Listing, twins: float) -> tuple[list[bytes], str | None]:
        """Fetch a page's records, and one more to see whether another page follows.

        The next page begins with so large a share of this one's records again.
        """
        keys = [(_sort_key(listing.entity, name), down) for name, down in listing.order]
        keys.append(("id", bool(keys) and keys[-1][1]))
        skipped = listing.after[0] if listing.is_offset and listing.after else 0
        place, placed = _after(keys, [] if listing.is_offset else listing.after)
        columns = ", ".join([DOCUMENT, *(key for key, _ in keys)])
        order = ", ".join(f"{key} {'desc' if down else 'asc'}" for key, down in keys)
        rows = self.store.query(
            f"select {columns} from {listing.entity.name}"  # noqa: S608 - known names
            f" where {listing.where}{place} order by {order} limit {listing.limit + 1} offset ?",
            *(*listing.parameters, *placed, skipped),
        )
        shown, cursor = rows[: listing.limit], None
        if len(rows) > listing.limit:
            last = max(0, len(shown) - 1 - math.ceil(twins * len(shown)))
            after = [skipped + last + 1] if listing.is_offset else shown[last][1:]
            cursor = write_cursor(listing.signature, listing.walked + 1, after)
        return [row[0] for row in shown], cursor

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
