"""The published marts as Apache Iceberg tables: in a folder with a catalog of its own, or where
pyiceberg's default catalog has them.

Each table is exchanged in one commit, so that a reader sees one night of it. Iceberg has no commit
of several tables: the summary of each snapshot names the export that wrote it (`blsync.export`).
"""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from blsync import marts, redaction
from blsync.errors import BlsyncError, ConfigError, StorageError
from blsync.files.atomic import storage_errors
from blsync.marts import queries
from blsync.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

CATALOG = "catalog.db"
"""The folder's own catalog, in SQLite; its name is blsync."""
MARK = "blsync.export"
"""Property of a table that is ours, and of each of its snapshots: the export that wrote it."""
KEPT = timedelta(days=7)
"""For how long a folder keeps what an export took the place of, for whoever still reads it."""

_SECRET = re.compile("token|credential|secret|password|key")
"""What properties of catalogs and object stores that hold one are called."""
_TIDY = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "2",
}


def write_iceberg(settings: Settings, output: Path | None) -> int:
    """Write all that is published as Iceberg tables `SCHEMA.TABLE` into a folder, or, without one,
    to pyiceberg's default catalog; returns the number of tables.

    Raises ConfigError where the extra is not installed, no catalog is configured, or a table is
    there that no export made; StorageError where the folder or the catalog cannot be written;
    BuildError where nothing is published.
    """
    export = uuid.uuid4().hex
    with marts.open_published(settings) as db:
        tables = queries.relations(db)
        with _told(output or "pyiceberg's catalog"):
            catalog = _catalog(output)
            for name in tables:
                table = _write(catalog, db, name, export)
                if output:
                    _forget(table)
            _drop_others(catalog, tables)
    return len(tables)


@contextmanager
def _told(place: object) -> Iterator[None]:
    """Turn what pyiceberg and its catalogs say into errors of ours: its own have no base class, and
    a catalog's library may raise anything.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a first export deletes nothing
            yield
    except BlsyncError:
        raise
    except Exception as error:
        said = redaction.redact(" ".join(str(error).split()))[:300]
        raise StorageError(
            f"The marts could not be written as Iceberg tables to {place}: "
            f"{said or 'no reason told'} ({type(error).__name__}). Each table is as it was or "
            "whole; mend that and run the same command again."
        ) from None


def _catalog(output: Path | None) -> Catalog:
    try:
        from pyiceberg.catalog import load_catalog
    except ImportError:
        raise ConfigError("Iceberg tables need the extra: pip install 'blsync[iceberg]'.") from None
    if output is None:
        _keep_secrets()
        try:
            return load_catalog()
        except ValueError:  # its text may repeat the whole configuration
            raise ConfigError(
                "`blsync export iceberg` needs --output FOLDER, or a catalog that pyiceberg knows: "
                "its file .pyiceberg.yaml, or PYICEBERG_CATALOG__DEFAULT__URI and what belongs to "
                "that kind of catalog."
            ) from None
    folder = output.absolute()
    if not folder.parent.is_dir():
        raise ConfigError(f"The folder {folder.parent} does not exist.")
    file = folder / CATALOG
    if folder.exists() and not file.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{output} exists, and no export of blsync has written it. Name a folder that does not "
            "exist yet, or take that one away."
        )
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
    place = {"uri": f"sqlite:///{file}", "warehouse": folder.as_uri()}
    return load_catalog("blsync", type="sql", **place)


def _keep_secrets() -> None:
    """Have what pyiceberg's configuration holds of credentials replaced in messages."""
    from pyiceberg.utils.config import Config

    config = Config()
    for name, value in (config.get_catalog_config(config.get_default_catalog_name()) or {}).items():
        if _SECRET.search(name):
            redaction.register(str(value))
        elif password := urlparse(str(value)).password:
            redaction.register(unquote(password))


def _write(catalog: Catalog, db: queries.Connection, name: tuple[str, str], export: str) -> Table:
    reader = queries.read(db, *name)
    catalog.create_namespace_if_not_exists(name[0], {MARK: "its tables are replaced"})
    if catalog.table_exists(name):
        table = catalog.load_table(name)
        if MARK not in table.properties:
            raise ConfigError(
                f"The catalog has a table {'.'.join(name)} that no export of blsync has made. "
                "Rename it, or export to a catalog of its own."
            )
        if table.properties.get(f"{MARK}.columns") != str(reader.schema):
            catalog.drop_table(name)
    properties = {MARK: "its rows are replaced", f"{MARK}.columns": str(reader.schema), **_TIDY}
    table = catalog.create_table_if_not_exists(name, reader.schema, properties=properties)
    table.overwrite(reader, snapshot_properties={MARK: export})
    return table


def _drop_others(catalog: Catalog, tables: list[tuple[str, str]]) -> None:
    """Drop tables of ours that are published no longer."""
    spaces = {(schema,) for schema, _ in tables}
    known = catalog.list_namespaces()
    for schema in spaces | {s for s in known if MARK in catalog.load_namespace_properties(s)}:
        for name in catalog.list_tables(schema):
            if name not in tables and MARK in catalog.load_table(name).properties:
                catalog.purge_table(name)


def _forget(table: Table) -> None:
    """Forget snapshots that are older than KEPT, and delete what files only they had.

    In a catalog of somebody else's that is the work of whoever looks after it.
    """
    ends = datetime.now(UTC) - KEPT
    table.maintenance.expire_snapshots().older_than(ends).commit()
    table.refresh()
    needed = {table.metadata_location, *(log.metadata_file for log in table.metadata.metadata_log)}
    for snapshot in table.metadata.snapshots:
        needed.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            needed.add(manifest.manifest_path)
            files = manifest.fetch_manifest_entry(table.io)
            needed |= {entry.data_file.file_path for entry in files}
    kept = {_path(place) for place in needed}
    folder = _path(table.location())
    for path in [*folder.glob("data/*"), *folder.glob("metadata/*")]:
        if path not in kept and path.stat().st_mtime < ends.timestamp():
            path.unlink()


def _path(place: str) -> Path:
    return Path(unquote(urlparse(place).path))
