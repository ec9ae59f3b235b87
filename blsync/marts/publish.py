"""Publishing: a whole build becomes the analysts' file by one rename; reading what is published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import duckdb

from blsync import user_tables
from blsync.errors import BuildError
from blsync.files.aside import move_aside
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.permissions import make_published_folder
from blsync.marts import collapse, queries
from blsync.marts.build import build_lock, quoted, tables_in, whole_marker
from blsync.marts.compiled import PUBLIC_SCHEMAS
from blsync.marts.database import is_locked, open_elsewhere, reason_of
from blsync.marts.published import MARTS_BEFORE, PUBLISHED, accepted_exceptions, published_file
from blsync.settings import Settings


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
    with build_lock(settings, say), storage_errors(target):
        make_published_folder(settings.publish_to, settings.publish_mode)
        if not whole_marker(settings).exists():
            raise BuildError(
                "The latest build did not come to its end, so it is not published; the marts stay "
                "as they were. Mend what it said, then run `blsync build`."
            )
        try:
            collapse.check(settings.data / "build.duckdb", target, allowed)
            with atomic_write(target) as draft:
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
            f"{user_tables.ACCEPTED} accepts {'them' if accepted > 1 else 'it'}."
        )
    return rows


def _unpublished(settings: Settings, error: duckdb.Error) -> str:
    file = published_file(settings)
    if str(file) not in str(error):
        file = settings.data / "build.duckdb"
    return (
        f"The marts are not published, and the published ones stay. {open_elsewhere(file, error)}"
    )


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
        db.execute(f"attach '{quoted(draft)}' as build")
        _make_tables_of_views(db)
        schemas = db.execute(
            "select schema_name from duckdb_schemas() where database_name = 'build' "
            "and not internal and schema_name <> 'main'"
        ).fetchall()
        for (schema,) in schemas:
            if schema not in PUBLIC_SCHEMAS:
                db.execute(f'drop schema build."{schema}" cascade')
        rows = {name: table.rows for name, table in tables_in(db, "build").items()}
        db.execute("detach build")
    return rows


def _make_tables_of_views(db: duckdb.DuckDBPyConnection) -> None:
    """Make tables of the public views: a view's text names the build, which no analyst has."""
    views = db.execute(
        "select schema_name, view_name, comment from duckdb_views() "
        "where database_name = 'build' and not internal"
    ).fetchall()
    public = [view for view in views if view[0] in PUBLIC_SCHEMAS]
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
        db.execute(f"comment on table {full_name} is '{quoted(comment or '')}'")
        for column, meaning in columns:
            text = quoted(meaning or "")
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
    with atomic_write(target.with_name(MARTS_BEFORE)) as draft:
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
