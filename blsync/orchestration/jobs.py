"""Jobs and schedules."""

from collections.abc import Iterator

import dagster as dg

from blsync import maintenance
from blsync.entities import ENTITIES, pulled
from blsync.errors import PartlyFailed
from blsync.orchestration import steps, upkeep
from blsync.orchestration.launches import COMPANY, NIGHT, by_schedule
from blsync.orchestration.location import (
    COMPANIES,
    SETTINGS,
    RunContext,
    days,
    failing_clearly,
    range_tags,
)
from blsync.orchestration.push_assets import GROUP
from blsync.session import open_session

RAW = dg.AssetSelection.groups("raw")
NIGHTLY = dg.AssetSelection.all() - dg.AssetSelection.groups(GROUP)
BUILD = NIGHTLY - RAW - dg.AssetSelection.groups("inputs")
nightly = dg.define_asset_job(
    "nightly",
    selection=NIGHTLY,
    description="Pull what is missing, build, check, publish.",
)
backfill = dg.define_asset_job(
    "backfill",
    selection=RAW,
    description="Pull the chosen days again; the next build takes them up.",
)
build = dg.define_asset_job(
    "build",
    selection=BUILD,
    tags=SETTINGS.build_tags,
    description="Build, check and publish from what has landed, without asking BigLedger.",
)


@dg.op(description="Merge the files of many nights into few.")
def merge_loads(context: dg.OpExecutionContext, watch: dg.ResourceParam[RunContext]) -> None:
    """Compact all entities of all companies."""
    with failing_clearly(watch):
        say = watch.say or context.log.info
        with open_session(SETTINGS, say=say) as session:
            done = maintenance.compact(session, COMPANIES, ENTITIES.values())
        for one in done:
            context.log.info(f"{one.company} {one.entity}: {one.files_before} → {one.files_after}")


@dg.job(description="Merge the files of many nights into few, so that builds read them fast.")
def compact() -> None:
    """Compact the landing."""
    merge_loads()


@dg.op(description="Take out what is past its term: old runs, what pushed rows held of persons.")
def prune_old(context: dg.OpExecutionContext, watch: dg.ResourceParam[RunContext]) -> None:
    """Prune what grows with each night."""
    with failing_clearly(watch):
        done = upkeep.prune(SETTINGS, watch.say or context.log.info, companies=COMPANIES)
        context.log.info(
            f"{done.runs} runs left the history ({done.freed:,} bytes), {len(done.emptied.plans)} "
            f"plans were emptied, the files of {len(done.merged)} entities merged."
        )
        if done.failed:
            raise PartlyFailed(" ".join(f"{name}: {e}" for name, e in done.failed.items()))


@dg.job(
    description="Keep within their terms Dagster's runs (BLSYNC_RETENTION_DAYS), what pushed rows "
    "held (BLSYNC_PUSH_RETENTION_DAYS), and the number of landed files."
)
def prune() -> None:
    """Prune what grows with each night."""
    prune_old()


daily_pruning = dg.ScheduleDefinition(
    name="daily_pruning",
    job=prune,
    tags=by_schedule("daily_pruning"),
    cron_schedule="0 6 * * *",
    execution_timezone=SETTINGS.timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="After the night, what is past its term is taken out. On from the start: it asks "
    "BigLedger nothing, and sends nothing.",
)
weekly_compaction = dg.ScheduleDefinition(
    name="weekly_compaction",
    job=compact,
    tags=by_schedule("weekly_compaction"),
    cron_schedule="0 4 * * 0",
    execution_timezone=SETTINGS.timezone,
    description="Compact early on Sunday, after the night's sync.",
)


def missing_days(instance: dg.DagsterInstance, company: str, today: str) -> tuple[str, str]:
    """Return the first day that a raw asset of the company lacks, and today, as partition keys."""
    first = today
    for entity in pulled(SETTINGS.entities):
        done = instance.get_materialized_partitions(dg.AssetKey(["raw", entity.name]))
        for day in days.get_partition_keys():
            if day >= first:
                break
            if dg.MultiPartitionKey({"company": company, "day": day}) not in done:
                first = day
    return first, today


@dg.schedule(
    job=nightly,
    cron_schedule="30 2 * * *",
    execution_timezone=SETTINGS.timezone,
    description="Pulls what is missing at 02:30, builds, checks and publishes: a run a company; "
    "with BLSYNC_NIGHT_ON_WORKERS these pull alone, and `nightly_build` builds.",
)
def nightly_sync(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for every missing day, in one run a company."""
    with steps.ticking_clearly(SETTINGS.data):
        at = context.scheduled_execution_time.astimezone(SETTINGS.zone)
        for company in COMPANIES:
            first, last = missing_days(context.instance, company.name, at.date().isoformat())
            tags = range_tags(company.name, first, last) | by_schedule("nightly_sync")
            if SETTINGS.night_on_workers:
                selection = [dg.AssetKey(["raw", one.name]) for one in pulled(SETTINGS.entities)]
                tags |= {NIGHT: at.date().isoformat(), COMPANY: company.name}
            else:
                selection = None
                tags |= SETTINGS.build_tags
            yield dg.RunRequest(
                run_key=f"{company.name} {at:%Y-%m-%d}", asset_selection=selection, tags=tags
            )
