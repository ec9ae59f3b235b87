"""Raw assets: one for each kind of record, partitioned by company and day."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg

from blsync.alerts import lineage
from blsync.entities import ENTITIES, pulled
from blsync.entity import Entity
from blsync.errors import (
    BlsyncError,
    joined,
)
from blsync.orchestration.descriptions import column_texts
from blsync.orchestration.location import (
    FRESH,
    OWNERS,
    SETTINGS,
    AllowConfig,
    RunContext,
    allowed_companies,
    failing_clearly,
    partitions,
)
from blsync.orchestration.parallel import run_in_parallel
from blsync.pull import FINDINGS, Result, Window, pull, raise_failures, window_of
from blsync.session import Progress, open_session


class PullConfig(AllowConfig):
    """`again`: pull the partitions' windows again, even where they are covered.

    Where it is not given, the job `nightly` pulls what is missing and every other run pulls again.
    `live`: the run is because of events, and has their share of the hour.
    """

    again: bool | None = None
    live: bool = False


def _raw_spec(entity: Entity) -> dg.AssetSpec:
    texts = column_texts(entity)
    columns = [
        dg.TableColumn(
            f.name, str(f.type), texts.get(f.name), dg.TableColumnConstraints(f.nullable)
        )
        for f in entity.schema
    ]
    return dg.AssetSpec(
        ["raw", entity.name],
        group_name="raw",
        description=f"{entity.description} Append-only Parquet: every version that was pulled.",
        skippable=True,
        freshness_policy=FRESH,
        owners=OWNERS,
        kinds={"python", "parquet"},
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
    )


@dg.multi_asset(
    name="raw",
    specs=[_raw_spec(entity) for entity in pulled(SETTINGS.entities)],
    partitions_def=partitions,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def raw(
    context: dg.AssetExecutionContext, config: PullConfig, watch: dg.ResourceParam[RunContext]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Pull the selected entities for the partitions' companies and days."""
    with failing_clearly(watch):
        selected = [ENTITIES[key.path[-1]] for key in sorted(context.selected_asset_keys)]
        again = context.job_name != "nightly" if config.again is None else config.again
        windows = {
            name: window_of_days(names) if again else Window()
            for name, names in _days_by_company(context).items()
        }
        say = watch.say or context.log.info
        watch.tell_strays(say)
        watch.is_live = watch.is_live or config.live
        allowed = allowed_companies(context, config, watch)
        began = time.monotonic()
        began_at = datetime.now(UTC)

        def tell_lineage(ended: Mapping[str, dict[str, Result] | BlsyncError]) -> None:
            pulls = partial(lineage.pulls_of, SETTINGS, selected, ended, began_at)
            lineage.tell(SETTINGS, say, context.run_id, pulls)

        try:
            brought, failed = pull_companies(watch, selected, windows, again, say, allowed)
        except BlsyncError as error:
            tell_lineage(dict.fromkeys(windows, error))
            raise
        tell_lineage({**brought, **failed})
        seconds = round(time.monotonic() - began, 3)  # entities are pulled side by side
        watch.results |= brought
        for entity in selected if not failed else []:
            results = [of_company[entity.name] for of_company in brought.values()]
            if not any(result.error for result in results):
                yield dg.MaterializeResult(
                    asset_key=["raw", entity.name],
                    metadata={"seconds": seconds, **_load_metadata(results)},
                )
        if failed:
            told = {f"{name} failed": error for name, error in failed.items()}
            raise joined(told, len(windows))
        raise_failures(
            {
                f"{entity} of {name}": result
                for name, of_company in brought.items()
                for entity, result in of_company.items()
            }
        )


def pull_companies(
    watch: RunContext,
    entities: list[Entity],
    windows: Mapping[str, Window],
    again: bool,
    say: Callable[[str], None],
    allowed: frozenset[str],
) -> tuple[dict[str, dict[str, Result]], dict[str, BlsyncError]]:
    """Pull the companies side by side; return what each brought, and which failed as a whole."""

    def pull_one(name: str, progress: Progress, say: Callable[[str], None]) -> dict[str, Result]:
        if isinstance(known := watch.pulled.get(name), BlsyncError):
            raise known
        if known is not None:
            return known
        opened = open_session(
            SETTINGS,
            say=say,
            progress=progress,
            waits=watch.wait,
            allowed=allowed,
            is_live=watch.is_live,
        )
        with opened as session:
            company = SETTINGS.company(name)
            return pull(session, company, entities, windows[name], again=again)

    progress = watch.progress or (lambda *_: None)
    if len(windows) == 1:
        return {name: pull_one(name, progress, say) for name in windows}, {}
    outcomes = run_in_parallel(
        windows,
        lambda name, worker: pull_one(name, worker.progress, worker.say),
        progress,
        say,
        data=SETTINGS.data,
    )
    return (
        {name: found for name, found in outcomes.items() if not isinstance(found, BlsyncError)},
        {name: found for name, found in outcomes.items() if isinstance(found, BlsyncError)},
    )


def _days_by_company(context: dg.AssetExecutionContext) -> dict[str, list[str]]:
    """Return the run's days by company: Dagster may put several companies into one run."""
    found: dict[str, list[str]] = {}
    for key in context.partition_keys:
        assert isinstance(key, dg.MultiPartitionKey)  # noqa: S101 (as the definition above says)
        part = key.keys_by_dimension
        found.setdefault(part["company"], []).append(part["day"])
    return found


def window_of_days(names: list[str]) -> Window:
    """Return the window of change time that day partitions (ISO) cover together."""
    return window_of(SETTINGS, date.fromisoformat(min(names)), date.fromisoformat(max(names)))


def _load_metadata(results: list[Result]) -> Mapping[str, Any]:
    windows = [
        f"{r.window[0] or 'beginning'} … {r.window[1] or 'covered already'}" for r in results
    ]
    drifts = [result.drift for result in results if result.drift is not None]
    absent = sorted({result.unavailable for result in results if result.unavailable})
    found = {
        name: sorted({field for result in results for field in getattr(result, name)})
        for name in FINDINGS
    }
    return {
        "dagster/partition_row_count": sum(result.rows for result in results),
        "deleted": sum(result.deleted for result in results),
        "quarantined": sum(result.quarantined for result in results),
        "requests": sum(result.requests for result in results),
        "throttled_s": round(max(result.throttled_ms for result in results) / 1000, 1),
        "window": "; ".join(windows),
        **({"drift": sum(drifts)} if drifts else {}),
        **({"unavailable": "; ".join(absent)} if absent else {}),
        **{name: fields for name, fields in found.items() if fields},
    }
