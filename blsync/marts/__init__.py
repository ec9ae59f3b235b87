"""The marts' files: inputs of a build, one build at a time, publishing, queries.

Only one process may write a DuckDB file and an open reader blocks it. So dbt writes `build.duckdb`;
what is published is a copy under another name, renamed onto `blsync.duckdb` once it is whole.
Readers keep the file that they opened.

The build file holds what earlier nights built: history and staging grow by new loads alone. Without
it, everything is built from the landing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from blsync import user_tables
from blsync.clock import is_ahead
from blsync.entities import ENTITIES
from blsync.errors import BuildError, ConfigError, StorageError
from blsync.files.aside import clear, move_aside
from blsync.files.permissions import make_published_folder
from blsync.lake.landed import OF_A_LOAD, damage_of, damaged, files_of_build, strays, told
from blsync.lake.store import Lake, alone_blocking, appearing, storage
from blsync.ledger import loads, plans
from blsync.marts import collapse, failures, queries
from blsync.marts.database import is_locked, open_elsewhere, reason_of
from blsync.marts.figures import COMPANIES, FIGURES, LIST_TOTALS, CompanyFacts, marked, totals
from blsync.session.binding import open_ledger
from blsync.settings import ROOT, Company, Settings, environment_for_a_child

PROJECT = ROOT / "warehouse"
MARTS, MARTS_BEFORE = "blsync.duckdb", "blsync.previous.duckdb"
REPORT = "report.html"
PUBLISHED = (MARTS, MARTS_BEFORE, REPORT)
"""What stands in the folder in which is published."""
SCHEMAS = ("finance", "history", "proposals")
STORAGE_VERSION = "v1.0.0"
"""Of the build, and so of the published copy: DuckDB 1.0 and later open it."""
CHECKS = (
    "account_balance",
    "aged_receivables",
    "balance_sheet",
    "customer_balance",
    "list_totals",
    "profit_and_loss",
    "stock_valuation",
    "trial_balance",
)
USER_TABLES = {
    "account_roles.csv": "company_id,account_number,account_role",
    "period_close.csv": "company_id,period,closed_at",
    "fiscal_year.csv": "company_id,start_month",
}
MOST_MEMORY = 3 * 2**30
"""Bytes: a build of a million invoices stays below 4 GB with it."""
_INSTANT = pa.timestamp("us", "UTC")
LOADS = pa.schema(
    [
        ("company_id", pa.string()),
        ("load_id", pa.string()),
        ("entity", pa.string()),
        ("window_start", _INSTANT),
        ("window_end", _INSTANT),
        ("rows", pa.int64()),
        ("deleted", pa.int64()),
        ("quarantined", pa.int64()),
        ("requests", pa.int64()),
        ("throttled_ms", pa.int64()),
        ("started_at", _INSTANT),
        ("committed_at", _INSTANT),
    ]
)
PUSH_LOG = pa.schema(
    [
        ("company_id", pa.string()),
        ("plan_id", pa.string()),
        ("row", pa.int64()),
        ("attempt_no", pa.int64()),
        ("entity", pa.string()),
        ("action", pa.string()),
        ("natural_key", pa.string()),
        ("state", pa.string()),
        ("outcome", pa.string()),
        ("remote_id", pa.string()),
        ("batch_id", pa.string()),
        ("request_id", pa.string()),
        ("error_code", pa.string()),
        ("error", pa.string()),
        ("is_verified", pa.bool_()),
        ("planned_at", _INSTANT),
        ("sent_at", _INSTANT),
        ("answered_at", _INSTANT),
    ]
)
ADDRESS = re.compile(r"([^\s@'\"<>()`:,;])[^\s@'\"<>()`:,;]*@(?=[\w-]+\.)")
"""A mail address up to its domain, which stays; so does the first letter."""


def published_file(settings: Settings) -> Path:
    """Return where analysts find the marts."""
    return settings.publish_to / MARTS


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that the dbt project reads; its paths have to be absolute.

    No other setting reaches dbt (`settings.environment_for_a_child`).
    """
    return {
        "BLSYNC_DATA": str(settings.data),
        "BLSYNC_SEEDS": str(settings.seeds),
        "BLSYNC_BUILD_MEMORY": f"{_build_memory() // 2**20}MiB",
        "DBT_LOG_LEVEL_FILE": "none",  # Dagster keeps the log of each run
    }


def _build_memory() -> int:
    """Return the bytes that DuckDB may use before it spills; what dbt needs comes on top."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MOST_MEMORY, installed * 6 // 10)


def dbt_executable() -> str:
    """Return the dbt that belongs to this Python; the one on PATH may be another's."""
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else "dbt"


def write_inputs(
    settings: Settings,
    companies: Iterable[tuple[Company, CompanyFacts]],
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Write what a build reads beside the landing; returns the rows of each input.

    Companies that are not given keep what is known of them. Raises StorageError, and ConfigError
    where one of the user's tables is missing.
    """
    lake = Lake(settings.data)
    _check_user_tables(settings)
    with _build_lock(settings, say):  # another process may be reading what this one adds to
        return _write_inputs(settings, lake, companies)


def _write_inputs(
    settings: Settings, lake: Lake, companies: Iterable[tuple[Company, CompanyFacts]]
) -> dict[str, int]:
    built_at = datetime.now(UTC)
    about = {row["company_id"]: row for row in lake.read_input("companies", COMPANIES)}
    before = [row["built_at"] for row in about.values() if row.get("built_at")]
    if any(is_ahead(at, built_at) for at in before):
        # The build before was of a day that is still to come: what it took for past is not known.
        ask_for_full_build(settings)
    figures = lake.read_input("report_figures", FIGURES)
    for company, facts in companies:
        for entity in ENTITIES.values():
            lake.ensure_schema(entity, company.company_id)
        about[company.company_id] = {
            "company_id": company.company_id,
            "company_name": facts.name,
            "currency": facts.currency,
        }
        figures = [row for row in figures if row["company_id"] != company.company_id]
        figures += facts.figures
    for row in about.values():
        row["timezone"] = settings.timezone
        row["today"] = built_at.astimezone(settings.zone).date()
        row["built_at"] = built_at
    ledger = open_ledger(settings)
    try:
        done = loads.history(ledger)
        figures = [row for row in figures if row["report"] != LIST_TOTALS]
        figures += [row for name in about for row in totals(settings, ledger, name)]
        pushed = [_without_addresses(row) for row in plans.history(ledger)]
    finally:
        ledger.close()
    lake.write_input("companies", list(about.values()), COMPANIES)
    figures = marked(figures, _compared_before(settings))
    lake.write_input("report_figures", figures, FIGURES)
    lake.write_input("loads", done, LOADS)
    lake.write_input("push_log", pushed, PUSH_LOG)
    return {
        "companies": len(about),
        "report_figures": len(figures),
        "loads": len(done),
        "push_log": len(pushed),
    }


def _without_addresses(row: dict[str, Any]) -> dict[str, Any]:
    """Mask mail addresses: a customer's is its key, and the server repeats it in its messages.

    What stands in the key's place where it is none may be a name, and is left out.
    """
    key, error = (ADDRESS.sub(r"\1***@", row[name] or "") for name in ("natural_key", "error"))
    if row["entity"] == "customers" and "@" in key:
        key = f"{key[:1]}***@{key.rpartition('@')[2]}"
    elif row["entity"] == "customers" and row["action"] == "reject":
        key = "***"
    return row | {"natural_key": key or None, "error": error or None}


def _compared_before(settings: Settings) -> list[dict[str, Any]]:
    """Return what did not tie out at the last published build, or had not at the one before."""
    try:
        names, rows = fetch_rows(
            settings, "from finance.reconciliation where status = 'fail' or failed_before"
        )
    except (BuildError, ConfigError, StorageError):  # nothing published, or by an earlier version
        return []
    return [dict(zip(names, row, strict=True)) for row in rows]


def mend_inputs(settings: Settings, say: Callable[[str], None]) -> None:
    """Take damaged inputs away, so that BigLedger is asked for what they held. Raises StorageError.

    What they held of a company that the settings no longer name is lost with them.
    """
    lake = Lake(settings.data)
    for name, schema in (("companies", COMPANIES), ("report_figures", FIGURES)):
        try:
            lake.read_input(name, schema)
        except StorageError as error:
            say(f"{error} Doing so now.")
            with storage(lake.input_file(name)):
                clear(lake.input_file(name))


def companies_known(settings: Settings) -> set[str]:
    """Return the ids of the companies whose folders a build reads: those of the settings, and those
    that were synced before. Raises StorageError.
    """
    synced = Lake(settings.data).read_input("companies", COMPANIES)
    set_now = {company.company_id for company in settings.companies()}
    return {row["company_id"] for row in synced} | set_now - {""}


def strays_of(settings: Settings) -> list[str]:
    """Return what lies among the lake's files and is none of them. Raises StorageError."""
    with storage(settings.data):
        return strays(settings.data, companies_known(settings))


def strays_told(settings: Settings) -> str:
    """Return one line on what strayed into the data folder; empty where nothing did.

    Raises StorageError.
    """
    return told(strays_of(settings))


def tell_strays(settings: Settings, say: Callable[[str], None]) -> None:
    """Say that line, if there is one."""
    with contextlib.suppress(StorageError):  # told by whoever needs what cannot be read
        if line := strays_told(settings):
            say(line)


def _files_of_build(settings: Settings) -> list[tuple[str, str, str]]:
    with storage(settings.data):
        return files_of_build(settings.data, companies_known(settings))


def write_files_of_build(settings: Settings, target: Path) -> None:
    """Write which files of the lake dbt reads, for as long as it runs: (layer, entity, path).

    By a pattern it would read strays too. Raises StorageError.
    """
    names = ("layer", "entity", "path")
    rows = [dict(zip(names, row, strict=True)) for row in _files_of_build(settings)]
    schema = pa.schema([(name, pa.string()) for name in names])
    with storage(target), appearing(target) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema), draft)


def refresh_inputs(settings: Settings) -> None:
    """Bring the inputs up to date without asking BigLedger: the day, and the ledger's loads.

    Raises BuildError where nothing was ever pulled.
    """
    if not (settings.data / "inputs" / "companies.parquet").exists():
        raise BuildError("There is nothing to build from yet. Run `blsync sync` first.")
    write_inputs(settings, [])


def _check_user_tables(settings: Settings) -> None:
    for name, header in USER_TABLES.items():
        path = settings.seeds / name
        if not path.is_file():
            raise ConfigError(
                f"{path} is missing. Make it with the one line '{header}', or point BLSYNC_SEEDS "
                "to the folder that has it."
            )
    user_tables.read(settings.seeds)


@contextmanager
def building(settings: Settings, say: Callable[[str], None]) -> Iterator[Path]:
    """Hold `build.duckdb` for one build; yields a folder for dbt's artifacts.

    The build counts as whole only when the block ends without an error: `publish` takes no other.
    What the user has accepted is read first, so that a change of it counts without a sync. Raises
    ConfigError where that cannot be read, or the folder holds what the settings do not say
    (`blsync.binding`). Where the models changed, or `ask_for_full_build` was called, it begins with
    an empty file.
    """
    with _build_lock(settings, say):
        open_ledger(settings).close()
        whole, files = _whole_marker(settings), Lake(settings.data).build_files
        artifacts = settings.data / "dbt"
        with storage(artifacts):
            clear(whole)
            clear(files)  # of a build that was killed
            artifacts.mkdir(parents=True, exist_ok=True)
            accepted = user_tables.read(settings.seeds)
            Lake(settings.data).write_input("accepted_exceptions", accepted, user_tables.SCHEMA)
            (artifacts / "run_results.json").unlink(missing_ok=True)
            _begin_anew_if_needed(settings, say)
        write_files_of_build(settings, files)
        try:
            yield artifacts
        finally:
            files.unlink(missing_ok=True)
        with storage(whole):
            whole.touch()


def ask_for_full_build(settings: Settings) -> None:
    """Have the next build start from the landing alone, also after it was killed on the way."""
    marker = Lake(settings.data).full_build_marker
    with storage(marker):
        marker.touch()


def _begin_anew_if_needed(settings: Settings, say: Callable[[str], None]) -> None:
    file, marker = settings.data / "build.duckdb", Lake(settings.data).full_build_marker
    built_by, models = settings.data / "build.models", _fingerprint_of_sources(settings).encode()
    is_known = built_by.is_file() and built_by.read_bytes() == models
    why = _damage_of_database(file) if file.exists() else None
    if not marker.exists() and file.exists() and is_known and not why:
        return
    if why:
        say(f"{file} is damaged: {why}.")
    if file.exists():
        say("Everything is built anew from the landing; nights after this one are shorter.")
    # The file goes first and the marks last: killed in between, the next build does the same again.
    for path in (file, file.with_name("build.duckdb.wal")):
        clear(path)
    with duckdb.connect() as db:
        db.execute(f"attach '{_quoted(file)}' as build (storage_version '{STORAGE_VERSION}')")
    clear(built_by)
    built_by.write_bytes(models)
    clear(marker)


def _damage_of_database(path: Path, *, is_thorough: bool = False) -> str | None:
    """Return why a DuckDB file, or the log beside it, cannot be read; None where it can.

    Where `is_thorough`, all that it holds is read. Raises BuildError where another program has it
    open.
    """
    try:
        with duckdb.connect(str(path)) as db:
            for name in _names_of_tables(db) if is_thorough else ():
                db.execute(f"select bit_xor(hash(t)) from {name} as t")  # noqa: S608
    except duckdb.Error as error:
        if is_locked(error):
            raise BuildError(open_elsewhere(path, error)) from None
        return reason_of(error)
    return None


def _names_of_tables(db: duckdb.DuckDBPyConnection) -> list[str]:
    found = db.execute("select database_name, schema_name, table_name from duckdb_tables()")
    return [".".join(f'"{part}"' for part in row) for row in found.fetchall()]


def is_build_damaged(settings: Settings) -> bool:
    """Tell whether what the build holds cannot be read, reading all of it."""
    file = settings.data / "build.duckdb"
    return file.exists() and bool(_damage_of_database(file, is_thorough=True))


def failure_of(settings: Settings, artifacts: Path) -> BuildError:
    """Return what dbt's latest run failed with; a damaged file of the lake is named, with its cure.

    The files are looked through only then: DuckDB reads them in any case, and would say no more
    than that one is no Parquet.
    """
    if _has_errors(artifacts):
        files = [Path(path) for _, _, path in _files_of_build(settings)]
        for is_thorough in (False, True):
            for file in files:
                if why := damage_of(file, is_thorough=is_thorough):
                    return BuildError(
                        "The marts could not be built, so the published ones stay as they were. "
                        f"{damaged(file, why)}"
                    )
    return BuildError(_explain_failure(settings, artifacts))


def _has_errors(artifacts: Path) -> bool:
    """Tell whether dbt stopped at anything but a broken law."""
    try:
        results = json.loads((artifacts / "run_results.json").read_text())["results"]
    except (OSError, ValueError, KeyError):
        return True
    return any(result["status"] in ("error", "runtime error") for result in results)


def _fingerprint_of_sources(settings: Settings) -> str:
    """Return what changes with any model or macro, with the user's own tables, with the companies,
    with any landed file that is not a load's, and at New Year, when the plausible dates move.

    What an incremental build holds would differ from what a full one builds then.
    """
    files = [path for part in ("models", "macros") for path in (PROJECT / part).rglob("*.sql")]
    files += [
        path
        for name in (*USER_TABLES, user_tables.FILE)
        if (path := settings.seeds / name).is_file()
    ]
    parts = [(PROJECT / "dbt_project.yml").read_bytes(), *map(Path.read_bytes, sorted(files))]
    for row in Lake(settings.data).read_input("companies", COMPANIES):
        parts.append(f"{row['company_id']} {row['currency']} {row['timezone']}".encode())
        parts.append(str(row["today"].year).encode())
    landed = [Path(place) for layer, _, place in _files_of_build(settings) if layer == "landing"]
    for path in landed:
        if not OF_A_LOAD.fullmatch(path.name):
            about = path.stat()
            parts.append(f"{path.name} {about.st_size} {about.st_mtime_ns}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@dataclass(frozen=True)
class Table:
    """A table of the build; `columns` are (name, type, meaning)."""

    rows: int
    comment: str | None
    columns: list[tuple[str, str, str | None]]


def tables_of_build(settings: Settings) -> dict[str, Table]:
    """Return the build's tables by `schema.name`."""
    with duckdb.connect(str(settings.data / "build.duckdb"), read_only=True) as db:
        return _tables(db, "build")


def _tables(db: duckdb.DuckDBPyConnection, database: str) -> dict[str, Table]:
    tables = db.execute(
        "select schema_name, table_name, comment from duckdb_tables() "
        "where database_name = ? order by all",
        [database],
    ).fetchall()
    columns: dict[tuple[str, str], list[tuple[str, str, str | None]]] = {}
    for schema, table, *column in db.execute(
        "select schema_name, table_name, column_name, data_type, comment from duckdb_columns() "
        "where database_name = ? order by schema_name, table_name, column_index",
        [database],
    ).fetchall():
        columns.setdefault((schema, table), []).append(tuple(column))
    found = {}
    for schema, table, comment in tables:
        name = f'"{database}"."{schema}"."{table}"'
        count = db.execute(f"select count(*) from {name}").fetchone()  # noqa: S608
        rows = count[0] if count else 0
        found[f"{schema}.{table}"] = Table(rows, comment, columns[schema, table])
    return found


def _explain_failure(settings: Settings, artifacts: Path) -> str:
    """Return what stopped dbt's latest run, with the records that did.

    Where it was records, `exceptions` is built all the same, for whoever asks the build which; what
    comes after a broken law would else not be there. To be called while the build is held.
    """
    build = settings.data / "build.duckdb"
    message = failures.told(artifacts, build)
    if failures.breaks_a_law_of_records(artifacts):
        command = [dbt_executable(), "--quiet", "--no-use-colors", "run", "--select", "+exceptions"]
        places = {"project-dir": PROJECT, "profiles-dir": PROJECT, "target-path": artifacts}
        command += [f"--{name}={path}" for name, path in places.items()]
        environment = environment_for_a_child(dbt_environment(settings))
        subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
    return message


def publish(
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    *,
    allowed: Collection[str] = (),
) -> dict[str, int]:
    """Publish the latest whole build by one rename; returns the rows of each table.

    The file is in a storage version that DuckDB 1.0 and later open. Raises BuildError where the
    latest build is not whole, and SafetyLimit where the reconciliation of a company collapsed whose
    id is not `allowed`; what is published then stays.
    """
    target = published_file(settings)
    with _build_lock(settings, say), storage(target):
        make_published_folder(settings.publish_to, settings.publish_mode)
        if not _whole_marker(settings).exists():
            raise BuildError(
                "The latest build did not come to its end, so it is not published; the marts stay "
                "as they were. Mend what it said, then run `blsync build`."
            )
        try:
            collapse.check(settings.data / "build.duckdb", target, allowed)
            with appearing(target) as draft:
                rows = _copy(settings.data / "build.duckdb", draft)
                _keep_previous(target, settings.publish_mode, say)
                draft.chmod(settings.publish_mode)
        except duckdb.Error as error:
            if is_locked(error):
                raise BuildError(_unpublished(settings, error)) from None
            raise BuildError(
                f"The marts could not be copied for publishing: {reason_of(error)}. The published "
                "ones stay."
            ) from None
    if left := left_behind(settings):
        say(left)
    if accepted := sum(accepted_exceptions(settings).values()):
        say(
            f"{accepted} exception{'s are' if accepted > 1 else ' is'} in the marts because "
            f"{user_tables.FILE} accepts {'them' if accepted > 1 else 'it'}."
        )
    return rows


def _unpublished(settings: Settings, error: duckdb.Error) -> str:
    file = published_file(settings)
    if str(file) not in str(error):
        file = settings.data / "build.duckdb"
    return (
        f"The marts are not published, and the published ones stay. {open_elsewhere(file, error)}"
    )


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


def left_behind(settings: Settings) -> str | None:
    """Return what to say of what was published before BLSYNC_PUBLISH_TO named a folder."""
    if settings.publish_to == settings.data:
        return None
    left = [name for name in PUBLISHED if (settings.data / name).exists()]
    if not left:
        return None
    return (
        f"{', '.join(left)} in {settings.data} are from before BLSYNC_PUBLISH_TO was set and no "
        f"longer change. Point whoever reads them to {settings.publish_to}, then delete them."
    )


def _copy(build: Path, draft: Path) -> dict[str, int]:
    """Copy the file as it is and drop what is not public: less work than copying the tables."""
    if build.with_name(f"{build.name}.wal").exists():
        duckdb.connect(str(build)).close()  # brings what the log holds into the file
    shutil.copyfile(build, draft)
    with duckdb.connect() as db:
        # Under the name of the build, because its views say it.
        db.execute(f"attach '{_quoted(draft)}' as build")
        _make_tables_of_views(db)
        schemas = db.execute(
            "select schema_name from duckdb_schemas() where database_name = 'build' "
            "and not internal and schema_name <> 'main'"
        ).fetchall()
        for (schema,) in schemas:
            if schema not in SCHEMAS:
                db.execute(f'drop schema build."{schema}" cascade')
        rows = {name: table.rows for name, table in _tables(db, "build").items()}
        db.execute("detach build")
    return rows


def _make_tables_of_views(db: duckdb.DuckDBPyConnection) -> None:
    """Make tables of the public views: a view's text names the build, which no analyst has."""
    views = db.execute(
        "select schema_name, view_name, comment from duckdb_views() "
        "where database_name = 'build' and not internal"
    ).fetchall()
    public = [view for view in views if view[0] in SCHEMAS]
    for schema, name, _ in public:  # one may read from another: all are read before any goes
        db.execute(f'create table build."{schema}"."{name} made" as from build."{schema}"."{name}"')
    for schema, name, comment in public:
        columns = db.execute(
            "select column_name, comment from duckdb_columns() "
            "where database_name = 'build' and schema_name = ? and table_name = ?",
            [schema, name],
        ).fetchall()
        full_name = f'build."{schema}"."{name}"'
        db.execute(f"drop view {full_name}")
        db.execute(f'alter table build."{schema}"."{name} made" rename to "{name}"')
        db.execute(f"comment on table {full_name} is '{_quoted(comment or '')}'")
        for column, meaning in columns:
            text = _quoted(meaning or "")
            db.execute(f"comment on column {full_name}.\"{column}\" is '{text}'")


def _keep_previous(target: Path, mode: int, say: Callable[[str], None]) -> None:
    """Keep what is published under another name, unless it is damaged."""
    if not target.exists():
        return
    if target.is_dir() or (why := _damage_of_published(target)):
        aside = move_aside(target)
        what = "a folder" if aside.is_dir() else f"damaged ({why})"
        say(f"{target} was {what} and is now {aside.name}; it is published anew.")
        return
    with appearing(target.with_name(MARTS_BEFORE)) as draft:
        try:
            os.link(target, draft)
        except OSError:  # a file system without hard links
            shutil.copy2(target, draft)
        draft.chmod(mode)


def _damage_of_published(path: Path) -> str | None:
    """Return why published marts cannot be read; None where another program just has them open."""
    try:
        # As readers in this process open it: DuckDB opens a file in one way at a time.
        duckdb.connect(str(path), read_only=True, config=queries.LOCKED).close()
    except duckdb.Error as error:
        return None if is_locked(error) else reason_of(error)
    return None


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
    with _build_lock(settings, say):
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


def _build_lock(settings: Settings, say: Callable[[str], None]) -> AbstractContextManager[None]:
    busy = "Another build is running; waiting for it."
    return alone_blocking(Lake(settings.data).build_lock, say, busy)


def _whole_marker(settings: Settings) -> Path:
    return settings.data / "build.whole"


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")
