"""What stopped a build, law by law, with the records that break it.

Records are named by ids, numbers and amounts alone: no names, addresses or free text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from blsync import user_tables
from blsync.marts.compiled import Compiled
from blsync.marts.running import Result

ROLES_LAW = "every_needed_role_has_an_account"
MOST_NAMED = 5
"""Records that a message names of each law."""
SEE_ALL = "blsync query --unpublished \"from finance.exceptions where severity = 'error'\""
_IDENTITY = re.compile(r"(\w+_)?(id|key|number|no|measure|report|rule|entity|file)")


def told(
    compiled: Compiled, results: Iterable[Result], build: Path, project: Path | None = None
) -> str:
    """Return what went wrong in a build, model by model and law by law; of what is the user's own,
    the file in the folder `project`.
    """
    failed = list(_failed(compiled, results, project))
    undecided = roles_to_decide(build) if any(name == ROLES_LAW for name, *_ in failed) else ""
    parts = [undecided] if undecided else []
    for name, message, sql in failed:
        if name == ROLES_LAW and undecided:
            continue
        records = _records(build, sql) if sql else []
        parts.append(f"{name}: {'; '.join(records) or message}")
    parts += _ways_out([name for name, *_ in failed])
    return (
        "The marts could not be built, so the published ones stay as they were. "
        + (
            ". ".join(p.rstrip(".") for p in parts)
            or "See the run's log in Dagster's UI (`make ui`)"
        )
        + "."
    )


def _failed(
    compiled: Compiled, results: Iterable[Result], project: Path | None
) -> Iterator[tuple[str, str, str | None]]:
    """Yield name, message, and of a broken law the SQL that finds the records."""
    for result in results:
        if result.status in ("error", "fail"):
            sql = result.compiled_code if result.status == "fail" else None
            node = compiled.nodes[result.unique_id]
            where = f" ({project / node.file})" if project and node.file else ""
            yield f"{node.name}{where}", result.message, sql


def _ways_out(laws: list[str]) -> list[str]:
    rules = [user_tables.LAWS[law] for law in laws if law in user_tables.LAWS]
    if not rules:
        return []
    return [
        f"All of them: {SEE_ALL}",
        "Mend them in BigLedger and sync, or accept one by a line in "
        f"{user_tables.ACCEPTED} (in BLSYNC_SEEDS): "
        f"company_id,record_id,{rules[0]},reason,accepted_by",
    ]


def _records(build: Path, sql: str) -> list[str]:
    """Return the first records that a law finds, in words, and how many more there are."""
    try:
        with duckdb.connect(str(build), read_only=True) as db:
            answer = db.execute(f"from ({sql}\n) limit {MOST_NAMED}")
            names = [column[0] for column in answer.description or []]
            rows = answer.fetchall()
            total = db.execute(f"select count(*) from ({sql}\n)").fetchone()  # noqa: S608
    except (duckdb.Error, ValueError, OverflowError):
        return []
    found = [_in_words(names, row) for row in rows]
    more = (total[0] if total else 0) - len(rows)
    return [*found, *([f"and {more} more"] if more > 0 else [])]


def _in_words(names: list[str], row: tuple[Any, ...]) -> str:
    pairs = zip(names, row, strict=True)
    return " ".join(f"{name} {value}" for name, value in pairs if _may_be_told(name, value))


def _may_be_told(name: str, value: Any) -> bool:
    """Tell whether a value is an amount, a day, or names a record; texts may be of persons."""
    if isinstance(value, bool) or value is None:
        return False
    is_figure = isinstance(value, int | Decimal | date) and not isinstance(value, datetime)
    return is_figure or _IDENTITY.fullmatch(name) is not None


def roles_to_decide(build: Path) -> str:
    """Return which roles lack an account, the accounts in question, and what to write where."""
    try:
        with duckdb.connect(str(build), read_only=True) as db:
            rows = db.execute(
                "select company_id, account_role, any_value(needed_for), min(account_number), "
                "string_agg(concat_ws(' ', account_number, account_name, "
                "'(' || account_type || ')'), ', ' order by account_number) "
                "from intermediate.int_missing_roles group by company_id, account_role order by all"
            ).fetchall()
    except duckdb.Error:
        return ""
    return " ".join(
        f"{company} has no account of the role {role}, which {needed_for} stands on, and neither "
        f"items nor names tell which it is. In question: {accounts}. Decide in account_roles.csv "
        f"(in BLSYNC_SEEDS), for example with the line {company},{number},{role} - or give the "
        "accounts in question any other role, where none of them is meant."
        for company, role, needed_for, number, accounts in rows
    )
