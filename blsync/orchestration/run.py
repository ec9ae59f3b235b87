"""Running a job in this process, recorded where Dagster's UI shows it."""

import os
import uuid
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from blsync import logs
from blsync.entities import ENTITIES
from blsync.errors import (
    BlsyncError,
    StorageError,
)
from blsync.files.atomic import storage_errors
from blsync.files.unexpected import unexpected_of
from blsync.orchestration import database
from blsync.orchestration.definitions import defs
from blsync.orchestration.history import begin_anew, damage_of
from blsync.orchestration.home import instance_home, own_home
from blsync.orchestration.jobs import BUILD, NIGHTLY, RAW, missing_days
from blsync.orchestration.launches import CLI
from blsync.orchestration.location import RUN, SETTINGS, RunContext, days, range_tags
from blsync.orchestration.raw import pull_companies, window_of_days
from blsync.orchestration.warehouse import without_news
from blsync.pull import Window

MANY_DAYS = 31
EVENT_SECONDS = 0.008
"""What Dagster takes to record one raw asset's day on SQLite; the other assets have no days."""


def _begin_history_anew(home: Path, why: str, say: Callable[[str], None]) -> None:
    """Move a damaged history aside. Raises StorageError where it is not in the data folder."""
    if home != own_home():
        raise StorageError(
            f"Dagster's history in {home} is damaged: {why}. DAGSTER_HOME names that folder, so it "
            "was left as it is; nothing that was pulled is lost. Mend it or move it elsewhere, "
            "and run the same command again."
        )
    with storage_errors(home):
        aside = begin_anew(home)
    say(
        f"Dagster's history was damaged ({why}) and is now {aside}; delete it when you need it no "
        "more. A new one is begun; what is pulled is told by the ledger alone. Where `make ui` "
        "runs, start it again."
    )


def pull_ahead(
    companies: Iterable[str],
    watch: RunContext,
    entities: Iterable[str],
    days_range: tuple[str, str] | None,
) -> None:
    """Pull companies side by side; a run of each then records what is in `watch.pulled`.

    Two runs at once in one process would wait for each other: each sets up logging anew.
    """
    windows = {
        name: window_of_days(list(days_range)) if days_range else Window() for name in companies
    }
    chosen = [ENTITIES[name] for name in entities]
    say = watch.say or (lambda _: None)
    is_again = days_range is not None
    pulled, failed = pull_companies(watch, chosen, windows, is_again, say, watch.allowed)
    watch.pulled = {**pulled, **failed}


def run(
    company: str | None,
    watch: RunContext,
    *,
    entities: Iterable[str] = (),
    days_range: tuple[str, str] | None = None,
    has_inputs: bool = True,
    has_build: bool = True,
) -> None:
    """Run the nightly job in this process, recorded where Dagster's UI shows it.

    `company` None leaves the pull out, `has_inputs` off BigLedger's reports. `days_range` (first
    and last day, ISO) pulls those days again instead of what is missing. What was found is in
    `watch`. Raises the BlsyncError that made the run fail. Damaged files of Dagster's history are
    begun anew: they stop nothing. A database of Dagster's that cannot be used is a StorageError.
    """
    job = partial(_run, company, watch, list(entities), days_range, has_inputs, has_build)
    home = instance_home()
    try:
        job(home)
    except BlsyncError:
        raise
    except Exception as error:
        if lost := database.failed(SETTINGS, error):
            raise lost from None
        if (why := damage_of(home, error)) is None:
            raise
        _begin_history_anew(home, why, watch.say or (lambda _: None))
        job(instance_home())


def _run(
    company: str | None,
    watch: RunContext,
    entities: list[str],
    days_range: tuple[str, str] | None,
    has_inputs: bool,
    has_build: bool,
    home: Path,
) -> None:
    selection = [dg.AssetKey(["raw", name]) for name in entities] if company else []
    if has_build:
        chosen = NIGHTLY - RAW if has_inputs else BUILD
        keys = chosen.resolve(defs.resolve_asset_graph())
        # Inputs that are still to be written may be news to any model.
        selection += sorted(keys if has_inputs else keys - without_news(watch))
    watch.builds_all_news = has_build
    os.environ["DAGSTER_HOME"] = str(home)
    run_id = str(uuid.uuid4())
    named = {"company": company} if company else {}
    with logs.about(run=run_id, **named), dg.DagsterInstance.get() as instance:
        tags = dict(CLI)
        if company:
            today = days.get_last_partition_key()
            first, last = days_range or missing_days(instance, company, str(today))
            tags |= range_tags(company, first, last)
            count = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
            if watch.say and count > MANY_DAYS:
                seconds = count * len(entities) * EVENT_SECONDS
                watch.say(
                    f"Recording {count} days in Dagster's history, once: about {seconds:.0f} s "
                    "beside the pull."
                )
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if company:
            config["ops"] = {"raw": {"config": {"again": days_range is not None}}}
        watch.failure = None
        RUN.set(watch)
        result = defs.resolve_job_def("nightly").execute_in_process(
            instance=instance,
            run_config=config,
            asset_selection=selection,
            run_id=run_id,
            tags=tags,
            raise_on_error=False,
        )
    if watch.failure:
        raise watch.failure
    if not result.success:
        raise _failure_of(result)


def _failure_of(result: dg.ExecuteInProcessResult) -> BlsyncError:
    """Return what failed a run outside our steps, the first thing that Dagster recorded of it."""
    failed = (event.event_specific_data for event in result.all_events if event.is_failure)
    error = next((e for data in failed if (e := getattr(data, "error", None))), None)
    if error is None:
        return unexpected_of("Dagster", f"run {result.run_id} failed", "", SETTINGS.data)
    cause = error
    while cause.cause:
        cause = cause.cause
    kind = (cause.cls_name or "error").rpartition(".")[2]
    message = cause.message.removeprefix(cause.cls_name or "").lstrip(":. ")
    return unexpected_of(kind, message, error.to_string(), SETTINGS.data)
