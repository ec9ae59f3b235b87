"""What the published marts know of the records that a sheet may name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blsync import marts
from blsync.errors import BuildError, ConfigError, StorageError
from blsync.settings import Settings

MOST_NEAR = 3
"""Names that are offered in the place of one that nobody has."""


@dataclass(frozen=True)
class KnownList:
    """A list of records: how its sheet is called, the column that names each (as a file of changes
    does), the names of all its columns, and the query of one company's.
    """

    sheet: str
    header: tuple[str, ...]
    sql: str


LISTS: Mapping[str, KnownList] = {
    "customer.email": KnownList(
        "_customers",
        ("email", "number", "name"),
        "select email, customer_number, customer_name from finance.customers where company_id = {0}"
        " and not is_deleted and email is not null order by customer_name, email",
    ),
    "itemCode": KnownList(
        "_items",
        ("code", "name", "unit", "price"),
        "select item_code, item_name, unit, selling_price from finance.items where company_id = {0}"
        " and not is_deleted and is_active and item_code is not null order by item_code",
    ),
    "accountNumber": KnownList(
        "_accounts",
        ("number", "name"),
        "select account_number, account_name from finance.accounts where company_id = {0}"
        " and is_active and account_number is not null order by account_number",
    ),
    "locationId": KnownList(
        "_locations",
        ("location", "items with stock"),
        "select location_id, count(*) from finance.stock_on_hand where company_id = {0}"
        " group by location_id order by location_id",
    ),
    "invoiceNumber": KnownList(
        "_invoices",
        ("number", "customer", "due"),
        "select invoice_number, customer_name, amount_due from finance.invoices"
        " where company_id = {0} and amount_due > 0 order by invoice_number",
    ),
}
"""Column (its last part, or all of it) → the list of what it may hold."""


def list_of(column: str) -> KnownList | None:
    """Return the list of what a column may hold, None for a column that names no record."""
    return LISTS.get(column) or LISTS.get(column.rpartition(".")[2])


def rows_of(settings: Settings, company_id: str, known: KnownList) -> list[tuple[Any, ...]]:
    """Return the records of a list, each with what its header names.

    Raises BuildError where nothing is published, ConfigError, StorageError.
    """
    own = "'" + company_id.replace("'", "''") + "'"
    return marts.fetch_rows(settings, known.sql.format(own))[1]


@dataclass(frozen=True)
class Known:
    """A company's records by their names, read where one is asked for."""

    settings: Settings
    company_id: str
    _names: dict[str, list[str]] = field(default_factory=dict)

    def near(self, column: str, value: str) -> list[str]:
        """Return the known names that are most like one which nobody has, the nearest first.

        None where nothing is published.
        """
        known = list_of(column)
        if known is None:
            return []
        if known.sheet not in self._names:
            try:
                rows = rows_of(self.settings, self.company_id, known)
            except (BuildError, ConfigError, StorageError):
                rows = []  # only a hint is lost
            self._names[known.sheet] = [str(row[0]) for row in rows]
        by_lower = {name.casefold(): name for name in self._names[known.sheet]}
        near = difflib.get_close_matches(value.casefold(), by_lower, n=MOST_NEAR, cutoff=0.6)
        return [by_lower[name] for name in near]
