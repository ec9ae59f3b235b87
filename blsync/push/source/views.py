"""Proposals: views of the published marts whose rows are changes to be pushed."""

from __future__ import annotations

from pathlib import Path

from blsync import marts
from blsync.errors import ConfigError
from blsync.push.endpoints import endpoint_named
from blsync.push.source.read import plain, sheet_of
from blsync.push.source.sheet import Sheet
from blsync.settings import Company, Settings

COMPANY = ("_company_id", "company_id")
"""Columns that may say whose row it is."""


def read_view(
    settings: Settings, name: str, endpoint: str, company_id: str, *, lines: str | None = None
) -> Sheet:
    """Read the company's rows of a view in the schema `proposals` of the published marts.

    The view is called `push_` and the endpoint, with underscores, and what it proposes:
    `push_customers_credit_limit`. A row is a record; its columns are the API's own names, quoted
    where they have capitals (`"creditLimit"`, `"billingAddress.city"`, or a struct), lines are a
    list of structs. `base_updated_at` is the version that the proposal is based on; columns that
    begin with `_` are for the reader; null leaves a field alone. `_company_id` says whose row it
    is. The rows are in the order of their values, so that the same proposals are the same plan.

    No rows are no error: there may be nothing to propose. Raises ConfigError where there is no such
    view for the endpoint, BuildError where nothing is published, StorageError.
    """
    name = name.removeprefix("proposals.")
    columns = _columns_of(settings, name, endpoint)
    owner = next((column for column in COMPANY if column in columns), None)
    if owner is None:
        raise ConfigError(
            f"The view proposals.{name} has no column _company_id, which says whose rows they are; "
            "add it to the model and build again."
        )
    own = company_id.replace("'", "''")
    left_out = "exclude (company_id) " if "company_id" in columns else ""
    names, rows = marts.fetch_rows(
        settings,
        f"select * {left_out}from proposals.\"{name}\" where {owner} = '{own}' order by all",
    )
    table = plain(names, [dict(zip(names, row, strict=True)) for row in rows])
    return sheet_of(Path(f"proposals.{name}"), table, lines=lines, key="")


def source_of(
    settings: Settings, company: Company, endpoint: str, file: Path | None, view: str | None
) -> Path | Sheet:
    """Return a file, or the company's rows of a view. Raises ConfigError for both or none."""
    if (file is None) == (view is None):
        raise ConfigError("Name a file of changes or a view of proposals, one of the two.")
    if file:
        return file.expanduser()
    lines = endpoint_named(endpoint).lines
    return read_view(settings, str(view), endpoint, company.company_id, lines=lines)


def _columns_of(settings: Settings, name: str, endpoint: str) -> list[str]:
    _, found = marts.fetch_rows(
        settings,
        "select table_name, column_name from duckdb_columns() where schema_name = 'proposals' "
        "order by all",
    )
    prefix = f"push_{endpoint.replace('-', '_')}_"
    fitting = sorted({view for view, _ in found if view.startswith(prefix)})
    if name not in fitting:
        there = ", ".join(fitting) or f"none; a model proposals/{prefix}….sql would be one"
        raise ConfigError(
            f"There is no view proposals.{name} that can be pushed to {endpoint}. Published for "
            f"it: {there}."
        )
    return [column for view, column in found if view == name]
