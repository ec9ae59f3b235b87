"""Dagster's history within its term: runs that are older leave it, and what they hold on the disk.

`delete_run` is Dagster's own. It leaves the run's database behind, emptied and as large as it was,
what its checks came to, and snapshots of jobs. Those go here. The latest materialization of each
asset and partition stays, and the latest result of each check: which days were pulled, and how the
marts stand, is shown without the run that did it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunsTable, SnapshotsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import Connection, delete, func, select, update

from blsync.orchestration.history import forget_run

AT_ONCE = 500
"""Ids that are named in one statement."""
SPARE_BYTES = 16 * 2**20
"""A database is written anew where so much of it, and more than half, is empty."""
SECONDS_TO_LOCK = 5.0

_events, _checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c


@dataclass(frozen=True)
class Pruned:
    """Runs that left the history, and the bytes that it is smaller by."""

    runs: int
    freed: int


def prune_history(
    instance: dg.DagsterInstance, home: Path, before: datetime, say: Callable[[str], None]
) -> Pruned:
    """Take the runs that were created before that time (UTC) out of the history in `home`.

    Whatever became of a run, it has ended by then. Raises what Dagster's storage raises.
    """
    size = _size_of(home)
    doomed = instance.get_runs(filters=dg.RunsFilter(created_before=before))
    if doomed:
        if len(doomed) > 1:
            say(f"Taking {len(doomed)} runs out of Dagster's history …")
        events = _event_storage(instance)
        ids = [run.run_id for run in doomed]
        with events.index_connection() as db:
            _keep_latest(db, ids)
        for run_id in ids:
            instance.delete_run(run_id)
            _delete_files(instance, events, run_id)
        _drop_snapshots(instance, doomed)
    for state in instance.all_instigator_state():
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before.timestamp())
    if doomed:
        for file in sorted(home.glob("history/**/*.db")):
            if file.stem in ("index", "runs"):
                _give_back(file)
    return Pruned(len(doomed), max(0, size - _size_of(home)) if doomed else 0)


def _event_storage(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    storage: Any = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # noqa: S101 (as dagster.yaml says)
    return storage


def _keep_latest(db: Connection, run_ids: Collection[str]) -> None:
    """Have what the runs were the last to record belong to no run, and delete their other checks:
    Dagster deletes what belongs to a run, but for its checks.
    """
    latest = (
        select(func.max(_events.id))
        .where(_events.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value)
        .group_by(_events.asset_key, _events.partition)
    )
    kept: set[int] = set(db.execute(latest).scalars())
    last_results = select(func.max(_checks.id)).group_by(_checks.asset_key, _checks.check_name)
    results: set[int] = set(db.execute(last_results).scalars())
    for ids in _in_parts(run_ids):
        of_runs = select(_events.id).where(_events.run_id.in_(ids))
        recorded: set[int] = set(db.execute(of_runs).scalars())
        own = kept & recorded
        for some in _in_parts(own):
            db.execute(
                update(SqlEventLogStorageTable)
                .where(_events.id.in_(some))
                .values(run_id=RUNLESS_RUN_ID)
            )
        of_checks = select(_checks.id).where(_checks.run_id.in_(ids))
        checked: set[int] = set(db.execute(of_checks).scalars())
        for some in _in_parts(checked - results):
            db.execute(delete(AssetCheckExecutionsTable).where(_checks.id.in_(some)))


def _delete_files(instance: dg.DagsterInstance, events: SqlEventLogStorage, run_id: str) -> None:
    """Delete the run's database and logs; what is left is found by nobody, and goes the next time
    its folder is looked at.
    """
    with suppress(OSError):
        if isinstance(events, SqliteEventLogStorage):
            forget_run(Path(events.path_for_shard(run_id)))
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)


def _drop_snapshots(instance: dg.DagsterInstance, runs: Collection[dg.DagsterRun]) -> None:
    """Delete what Dagster knows of the jobs that these runs were of, where no other run is of them.

    A whole job's snapshot stays, because those of its parts refer to it.
    """
    storage: Any = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return
    ids = {run.job_snapshot_id for run in runs} | {run.execution_plan_snapshot_id for run in runs}
    with storage.connect() as db:
        for one in sorted(filter(None, ids)):
            is_used = select(RunsTable.c.run_id).where(RunsTable.c.run_body.contains(one)).limit(1)
            if db.execute(is_used).first() is None and not _is_whole_job(instance, one):
                db.execute(delete(SnapshotsTable).where(SnapshotsTable.c.snapshot_id == one))


def _is_whole_job(instance: dg.DagsterInstance, snapshot_id: str) -> bool:
    if not instance.run_storage.has_job_snapshot(snapshot_id):
        return False
    try:
        return instance.get_job_snapshot(snapshot_id).lineage_snapshot is None
    except Exception:  # it is of another kind, which nothing else refers to
        return False


def _give_back(file: Path) -> None:
    """Write a database anew where much of it is empty; where another process uses it, later."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(file, timeout=SECONDS_TO_LOCK)) as db:
        pages, free, page_size = (
            db.execute(f"pragma {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if free * 2 > pages and free * page_size > SPARE_BYTES:
            db.execute("vacuum")


def _size_of(home: Path) -> int:
    size = 0
    for path in home.rglob("*"):
        with suppress(OSError):  # it is gone since it was listed
            size += path.stat().st_size
    return size


def _in_parts(ids: Collection[Any]) -> Iterator[list[Any]]:
    listed = list(ids)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]
