"""Reading what is published, and what of it does not tie out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from blsync.errors import BuildError, ConfigError, StorageError
from blsync.marts import queries
from blsync.marts.build import build_lock
from blsync.settings import Settings

MARTS, MARTS_BEFORE = "blsync.duckdb", "blsync.previous.duckdb"
REPORT = "report.html"
PUBLISHED = (MARTS, MARTS_BEFORE, REPORT)
"""What stands in the folder in which is published."""
CHECKS = (
    "account_balance",
    "aged_payables",
    "aged_receivables",
    "balance_sheet",
    "cash_flow",
    "customer_balance",
    "list_totals",
    "past_receivables",
    "pos_daily",
    "profit_and_loss",
    "stock_valuation",
    "supplier_balance",
    "trial_balance",
)


def published_file(settings: Settings) -> Path:
    """Return where analysts find the marts."""
    return settings.publish_to / MARTS


def accepted_exceptions(settings: Settings) -> dict[str, int]:
    """Return, by company id, how many exceptions of the published marts are accepted.

    Empty where nothing is published, or by an earlier version.
    """
    try:
        _, rows = fetch_rows(
            settings,
            "select company_id, count(*) from finance.exceptions where is_accepted group by all",
        )
    except (BuildError, ConfigError, StorageError):
        return {}
    return dict(rows)


@contextmanager
def open_published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published marts, read-only. Raises BuildError where there are none yet, ConfigError
    where DuckDB refuses what it is asked, StorageError where the file cannot be read.
    """
    path = published_file(settings)
    if not path.exists():
        raise BuildError(f"Nothing is published at {path} yet. Run `blsync sync` first.")
    with queries.opened(path) as db:
        yield db


@contextmanager
def open_unpublished(
    settings: Settings, say: Callable[[str], None] = lambda _: None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open what the latest build made, read-only, whether it was published or failed.

    Builds wait meanwhile. Raises BuildError where nothing was ever built, and as `open_published`.
    """
    path = settings.data / "build.duckdb"
    with build_lock(settings, say):
        if not path.exists():
            raise BuildError(f"There is no build at {path} yet. Run `blsync build` first.")
        with queries.opened(path) as db:
            yield db


def fetch_rows(settings: Settings, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and rows of a query on the published marts.

    Raises ConfigError where DuckDB refuses the statement.
    """
    with open_published(settings) as db:
        queries.check(db, sql)
        answer = db.execute(sql)
        return [column[0] for column in answer.description or []], answer.fetchall()


def tie_out(settings: Settings) -> dict[str, Any]:
    """Return, for each comparison with BigLedger's reports, the sum of absolute differences.

    None stands for a check that could not be made.
    """
    _, rows = fetch_rows(
        settings,
        "select check_name, sum(abs(difference)) filter (where status <> 'not_comparable') as off "
        "from finance.reconciliation group by check_name order by check_name",
    )
    return dict.fromkeys(CHECKS) | dict(rows)
