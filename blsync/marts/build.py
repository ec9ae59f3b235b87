"""One build at a time: its file, begun anew where the models changed, and what stopped it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from blsync import user_tables
from blsync.entities import ENTITIES
from blsync.errors import BuildError
from blsync.files.aside import clear
from blsync.files.atomic import storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.files.places import PROJECT
from blsync.lake.landed import OF_A_LOAD, damage_of, damaged
from blsync.lake.store import Lake
from blsync.marts import failures, spark
from blsync.marts.compiled import Compiled, compiled_project, entities_of_project
from blsync.marts.database import STORAGE_VERSION, is_locked, open_elsewhere, reason_of
from blsync.marts.figures import COMPANIES
from blsync.marts.files import companies_known, lake_files, no_quarantine, write_files_of_build
from blsync.marts.running import Result, news_of, run
from blsync.session.binding import open_ledger
from blsync.settings import Settings

MOST_MEMORY = 3 * 2**30
"""Bytes: a build of a million invoices stays below 4 GB with it."""


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that the dbt project reads; its paths have to be absolute.

    No other setting reaches dbt (`settings.environment_for_a_child`).
    """
    return {
        "BLSYNC_DATA": str(settings.data),
        "BLSYNC_BUILD_MEMORY": f"{_build_memory() // 2**20}MiB",
        "DBT_ENTITIES": " ".join(entities_of_project(settings.project)),
        "DBT_LOG_LEVEL_FILE": "none",  # Dagster keeps the log of each run
        "DBT_LOG_PATH": str(settings.data / "dbt"),  # dbt makes the folder all the same
    }


def _build_memory() -> int:
    """Return the bytes that DuckDB may use before it spills; what dbt needs comes on top."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MOST_MEMORY, installed * 6 // 10)


def dbt_executable() -> str:
    """Return the dbt that belongs to this Python; the one on PATH may be another's."""
    places = [Path(sys.executable).parent, *map(Path, _script_folders())]
    return next((str(p / "dbt") for p in places if (p / "dbt").is_file()), "dbt")


def _script_folders() -> list[str]:
    """Return where installers put this Python's commands: for everybody, and for this user."""
    of_user = sysconfig.get_preferred_scheme("user")
    return [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", of_user)]


def run_build(
    settings: Settings, say: Callable[[str], None], chosen: Collection[str] | None = None
) -> tuple[list[Result], BuildError | None]:
    """Build the marts from the landing and check their laws; returns how each node went, and what
    stopped the build if anything did.

    Of `chosen` node ids the others stay as they are; Spark makes all in any case. Raises what
    `building` does.
    """
    if is_on_spark(settings):
        spark.ensure_there(settings)
    compiled = compiled_project(settings.data, settings.project)
    results: list[Result] = []
    try:
        with building(settings, say):
            if is_on_spark(settings):
                say(f"Spark ({settings.spark}) builds all marts and checks their laws …")
                landed = sum(Path(path).stat().st_size for _, _, path in lake_files(settings))
                results = spark.run(settings, compiled, _build_memory(), landed)
            else:
                say("Building the marts and checking their laws …")
                with _build_errors(settings.data / "build.duckdb"):
                    results = run(compiled, settings.data, _build_memory(), chosen)
            if any(result.status in ("error", "fail") for result in results):
                raise _failure_of(settings, compiled, results)
    except BuildError as error:
        return results, error
    made = [result for result in results if result.has_news]
    kinds = Counter(compiled.nodes[result.unique_id].is_law for result in made)
    left = len(results) - len(made)
    say(
        f"Built {kinds[False]:,} tables and views; all {kinds[True]:,} checks passed."
        + (f" {left:,} others have no news and stay as they are." if left else "")
    )
    return results, None


def is_on_spark(settings: Settings) -> bool:
    """Tell whether Spark builds, and not DuckDB."""
    return settings.engine == "spark"


def news(settings: Settings) -> set[str] | None:
    """Return the ids of the models and laws that a build would make now; None where it would make
    all, or that cannot be told.
    """
    lake, built_by = Lake(settings.data), settings.data / "build.models"
    if (
        is_on_spark(settings)
        or lake.full_build_marker.exists()
        or not whole_marker(settings).exists()
    ):
        return None
    if not built_by.is_file() or built_by.read_text() != _fingerprint_of_sources(settings):
        return None
    try:
        compiled = compiled_project(settings.data, settings.project)
        return news_of(compiled, settings.data, lake_files(settings))
    except duckdb.Error:  # whoever builds finds out, and says so
        return None


@contextmanager
def building(settings: Settings, say: Callable[[str], None]) -> Iterator[None]:
    """Hold `build.duckdb` for one build.

    The build counts as whole only when the block ends without an error: `publish` takes no other.
    The user's tables are read first, so that a change of one counts without a sync. Raises
    ConfigError where one cannot be read, or the folder holds what the settings do not say
    (`blsync.binding`). Where the models changed, or `ask_for_full_build` was called, it begins with
    an empty file.
    """
    with build_lock(settings, say):
        open_ledger(settings).close()
        whole, files = whole_marker(settings), Lake(settings.data).build_files
        with storage_errors(settings.data):
            for path in (whole, files, no_quarantine(files)):  # of a build that was killed
                clear(path)
            write_user_tables(Lake(settings.data), settings.seeds)
            _ensure_schemas(settings)
            if not is_on_spark(settings):  # which never writes into what is there
                _begin_anew_if_needed(settings, say)
        write_files_of_build(settings, files)
        try:
            yield
        finally:
            for path in (files, no_quarantine(files)):
                path.unlink(missing_ok=True)
        with storage_errors(whole):
            if is_on_spark(settings):
                clear(Lake(settings.data).full_build_marker)
            whole.touch()


def _ensure_schemas(settings: Settings) -> None:
    """Have all fields of all entities be there to be read, those that are new in this version too.

    Raises StorageError.
    """
    lake = Lake(settings.data)
    for company_id in companies_known(settings):
        for entity in ENTITIES.values():
            lake.ensure_schema(entity, company_id)


def write_user_tables(lake: Lake, seeds: Path) -> None:
    """Write what was read of the user's tables, for dbt. Raises ConfigError before anything is
    written where one cannot be used; StorageError.
    """
    for name, rows in user_tables.rows_of_tables(seeds).items():
        lake.write_input(Path(name).stem, rows, user_tables.SCHEMAS[name])


def ask_for_full_build(settings: Settings) -> None:
    """Have the next build start from the landing alone, also after it was killed on the way."""
    marker = Lake(settings.data).full_build_marker
    with storage_errors(marker):
        marker.touch()


def _begin_anew_if_needed(settings: Settings, say: Callable[[str], None]) -> None:
    file, marker = settings.data / "build.duckdb", Lake(settings.data).full_build_marker
    built_by, models = settings.data / "build.models", _fingerprint_of_sources(settings).encode()
    is_known = built_by.is_file() and built_by.read_bytes() == models
    why = damage_of_database(file) if file.exists() else None
    if not marker.exists() and file.exists() and is_known and not why:
        return
    if why:
        say(f"{file} is damaged: {why}.")
    if file.exists():
        say("Everything is built anew from the landing; nights after this one are shorter.")
    # The file goes first and the marks last: killed in between, the next build does the same again.
    for path in (file, file.with_name("build.duckdb.wal")):
        clear(path)
    # Spark's Parquet, of which the file that has just gone was made.
    shutil.rmtree(settings.data / "builds", ignore_errors=True)
    with _build_errors(file), duckdb.connect() as db:
        db.execute(f"attach '{quoted(file)}' as build (storage_version '{STORAGE_VERSION}')")
    clear(built_by)
    built_by.write_bytes(models)
    clear(marker)


@contextmanager
def _build_errors(path: Path) -> Iterator[None]:
    """Turn what DuckDB says of a build's file into BuildError."""
    try:
        yield
    except duckdb.Error as error:
        if is_locked(error):
            raise BuildError(open_elsewhere(path, error)) from None
        raise BuildError(
            f"{path} cannot be used: {reason_of(error)}. Check that the folder can be written and "
            "the disk has room, then run the same command again; nothing was published."
        ) from None


def damage_of_database(path: Path, *, is_thorough: bool = False) -> str | None:
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
    return file.exists() and bool(damage_of_database(file, is_thorough=True))


def _failure_of(settings: Settings, compiled: Compiled, results: list[Result]) -> BuildError:
    """Return what stopped a build; a damaged file of the lake is named, with its cure.

    The files are looked through only then: DuckDB reads them in any case, and would say no more
    than that one is no Parquet.
    """
    if any(result.status == "error" for result in results):
        files = [Path(path) for _, _, path in lake_files(settings)]
        for is_thorough in (False, True):
            for file in files:
                if why := damage_of(file, is_thorough=is_thorough):
                    return BuildError(
                        "The marts could not be built, so the published ones stay as they were. "
                        f"{damaged(file, why)}"
                    )
    return BuildError(
        failures.told(compiled, results, settings.data / "build.duckdb", settings.project)
    )


def _fingerprint_of_sources(settings: Settings) -> str:
    """Return what changes with any model or macro, with the user's own tables, with the companies,
    with any landed file that is not a load's, and at New Year, when the plausible dates move.

    What an incremental build holds would differ from what a full one builds then.
    """
    files = [path for part in ("models", "macros") for path in (PROJECT / part).rglob("*.sql")]
    files += [path for name in user_tables.FILES if (path := settings.seeds / name).is_file()]
    parts = [(PROJECT / "dbt_project.yml").read_bytes(), *map(Path.read_bytes, sorted(files))]
    if settings.project:
        parts += _added_to_by_the_user(compiled_project(settings.data, settings.project))
    for row in Lake(settings.data).read_input("companies", COMPANIES):
        parts.append(f"{row['company_id']} {row['currency']} {row['timezone']}".encode())
        parts.append(str(row["today"].year).encode())
    landed = [Path(place) for layer, _, place in lake_files(settings) if layer == "landing"]
    for path in landed:
        if not OF_A_LOAD.fullmatch(path.name):
            about = path.stat()
            parts.append(f"{path.name} {about.st_size} {about.st_mtime_ns}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _added_to_by_the_user(compiled: Compiled) -> list[bytes]:
    """Return tables of the user's own that a night adds to, with their SQL.

    Any other of them is made anew by itself as soon as its SQL is another.
    """
    own = [node for node in compiled.nodes.values() if node.file]
    added_to = [node for node in own if node.materialized == "incremental"]
    ordered = sorted(added_to, key=lambda node: node.relation)
    return [f"{node.relation} {node.whole}".encode() for node in ordered]


@dataclass(frozen=True)
class Table:
    """A table of the build; `columns` are (name, type, meaning)."""

    rows: int
    comment: str | None
    columns: list[tuple[str, str, str | None]]


def tables_of_build(settings: Settings) -> dict[str, Table]:
    """Return the build's tables by `schema.name`."""
    file = settings.data / "build.duckdb"
    with _build_errors(file), duckdb.connect(str(file), read_only=True) as db:
        return tables_in(db, "build")


def tables_in(db: duckdb.DuckDBPyConnection, database: str) -> dict[str, Table]:
    """Return the tables of an attached database by schema.name."""
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


def build_lock(settings: Settings, say: Callable[[str], None]) -> AbstractContextManager[None]:
    """Hold the build for this process; `say` hears whom it waits for. Raises StorageError."""
    busy = "Another build is running; waiting for it."
    return blocking_file_lock(Lake(settings.data).build_lock, say, busy)


def whole_marker(settings: Settings) -> Path:
    """Return the file that stands beside a build as long as that is whole."""
    return settings.data / "build.whole"


def quoted(text: object) -> str:
    """Return text as it is written between single quotes in SQL."""
    return str(text).replace("'", "''")
