"""Whether a table that was made keeps its contract: columns, types, and what holds of each row.

dbt has DuckDB keep constraints while a table is written. We write a table as it comes and look at
it afterwards, in the same transaction: one pass over the columns that are never null, which their
statistics answer, and over those that a check is about.
"""

from __future__ import annotations

import duckdb

from blsync.marts.compiled import Contract


class Broken(Exception):
    """A table is not what its contract says."""


def check(cursor: duckdb.DuckDBPyConnection, relation: str, contract: Contract) -> None:
    """Raise Broken, with all that is not as the contract says, where a table does not keep it."""
    described = cursor.execute(f"describe {relation}").fetchall()
    wrong = _wrong_columns({name: kind for name, kind, *_ in described}, contract.types)
    if not wrong:
        wrong = _wrong_rows(cursor, relation, contract)
    if wrong:
        raise Broken(f"the contract in its yml is broken: {'; '.join(wrong)}")


def _wrong_columns(made: dict[str, str], promised: dict[str, str]) -> list[str]:
    wrong = [f"there is no column {name}" for name in promised if name not in made]
    wrong += [f"the column {name} is not in it" for name in made if name not in promised]
    return wrong + [
        f"{name} is {made[name]} instead of {kind}"
        for name, kind in promised.items()
        if name in made and _plain(made[name]) != _plain(kind)
    ]


def _plain(kind: str) -> str:
    return kind.replace(" ", "").upper()


def _wrong_rows(cursor: duckdb.DuckDBPyConnection, relation: str, contract: Contract) -> list[str]:
    rules = [(f"{name} is null", f'"{name}" is null') for name in contract.never_null]
    rules += [(f"not {expression}", f"not ({expression})") for expression in contract.holds]
    if not rules:
        return []
    counts = ", ".join(f"count(*) filter (where {condition})" for _, condition in rules)
    found = cursor.execute(f"select {counts} from {relation}").fetchone() or ()  # noqa: S608
    return [
        f"{what} in {count:,} rows" for (what, _), count in zip(rules, found, strict=True) if count
    ]
