"""What every asset stands on: settings, companies, partitions, and how a run is followed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from blsync import marts, redaction, settings
from blsync.alerts import MAX_AGE
from blsync.errors import (
    BlsyncError,
)
from blsync.files import permissions
from blsync.files.atomic import storage_errors
from blsync.ledger import outcomes
from blsync.ledger.outcomes import ALL
from blsync.ledger.states import Step
from blsync.orchestration import history, steps
from blsync.orchestration.launches import BUILD_OF, note_launcher
from blsync.orchestration.parallel import INTERRUPTED
from blsync.orchestration.retries import pause_before_retry
from blsync.pull import Result
from blsync.session.binding import open_ledger

OWNERS = ["team:finance-data"]
PARTITION = "dagster/partition"
FIRST_PARTITION = "dagster/asset_partition_range_start"
LAST_PARTITION = "dagster/asset_partition_range_end"
"""Tags of a run: its partition, or the ends of its range of them."""
SCHEDULED = "dagster/schedule_name"
"""The tag of runs that nobody waits for."""
FRESH = dg.FreshnessPolicy.time_window(fail_window=MAX_AGE, warn_window=timedelta(hours=25))
"""What is pulled and published each night is stale when `status --check` says so, too."""
# Dagster's processes load this module first of all that is ours.
permissions.keep_private()
redaction.guard_streams()
steps.guard_databases()
history.keep_connections()
SETTINGS = settings.load()
COMPANIES = SETTINGS.companies()
with storage_errors(SETTINGS.data):
    permissions.close_data_folder(SETTINGS.data)

days = dg.DailyPartitionsDefinition(
    start_date=min(company.start for company in COMPANIES).isoformat(),
    timezone=SETTINGS.timezone,
    end_offset=1,  # today counts: what it has so far can be pulled
)
partitions = dg.MultiPartitionsDefinition(
    {"company": dg.StaticPartitionsDefinition([c.name for c in COMPANIES]), "day": days}
)


@dataclass
class RunContext:
    """What a caller in the same process hears of a run, and what the run found."""

    wait: bool = True
    is_live: bool = False
    """Whether it runs because of events, with their share of the hour."""
    allowed: frozenset[str] = frozenset()
    """Companies of which what a safety bound holds back is let through, this once."""
    progress: Any = None
    say: Any = None
    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    pulled: dict[str, dict[str, Result] | BlsyncError] = field(default_factory=dict)
    """What `pull_ahead` brought, by company."""
    other_requests: int = 0
    other_throttled_ms: int = 0
    held_back: dict[str, BlsyncError] = field(default_factory=dict)
    """What a comparison with BigLedger would not let through, by company; the build goes on."""
    failure: BlsyncError | None = None
    builds_all_news: bool = False
    """Whether the build is of all that has news, whatever of it the run records; else it is of what
    the run was asked for."""
    has_told_strays: bool = False

    def tell_strays(self, say: Callable[[str], None]) -> None:
        """Say once what strayed into the data folder."""
        if not self.has_told_strays:
            marts.tell_strays(SETTINGS, say)
        self.has_told_strays = True


RUN: ContextVar[RunContext | None] = ContextVar("watch", default=None)


class AllowConfig(dg.Config):
    """`allow`: let through, in this run alone and of its companies alone (all of them in a run that
    has no partitions), what a safety bound holds back: deletes above BLSYNC_DELETE_SHARE, a
    collapsed reconciliation.
    """

    allow: bool = False


def allowed_companies(
    context: dg.AssetExecutionContext, config: AllowConfig, watch: RunContext
) -> frozenset[str]:
    """Return the companies of which what a safety bound holds back is let through."""
    return frozenset(_companies_of_run(context.run.tags)) if config.allow else watch.allowed


def _companies_of_run(tags: Mapping[str, str]) -> list[str]:
    """Return the companies whose partitions a run has, all of them where it has none."""
    names = [company.name for company in COMPANIES]
    one = tags.get(PARTITION)
    ends = tags.get(FIRST_PARTITION, one), tags.get(LAST_PARTITION, one)
    keys = [partitions.get_partition_key_from_str(end) for end in ends if end]
    if not keys:
        return names
    places = [names.index(key.keys_by_dimension["company"]) for key in keys]
    return names[min(places) : max(places) + 1]


@contextmanager
def failing_clearly(watch: RunContext) -> Iterator[None]:
    """Fail a step with one message, which the caller of the run hears too; the ledger keeps how the
    steps of a build ended.
    """

    def hear(error: BlsyncError) -> None:
        watch.failure = error
        _note(error)

    step = dg.OpExecutionContext.get().op_execution_context

    def pause(error: BlsyncError) -> float | None:
        if not {SCHEDULED, BUILD_OF} & step.run.tags.keys():
            return None  # whoever started it sees that it failed
        return pause_before_retry(SETTINGS, error, step.retry_number, datetime.now(UTC))

    try:
        with steps.failing_clearly(SETTINGS.data, hear=hear, pause=pause):
            note_launcher(step)
            yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        watch.failure = BlsyncError(INTERRUPTED)
        raise
    _note(None)


_STEPS = {
    "inputs": Step.REPORTS,
    "warehouse": Step.BUILD,
    "published__finance": Step.PUBLISH,
    "published__report": Step.PAGE,
}
"""The steps by their names in Dagster, but for the pull, which notes by itself how it ended."""


def _note(error: BlsyncError | None) -> None:
    """Keep how the step that runs has ended, where the ledger can be opened."""
    step = _STEPS.get(dg.OpExecutionContext.get().op_execution_context.op.name)
    if step is None:
        return
    with suppress(BlsyncError), closing(open_ledger(SETTINGS)) as ledger:
        if error is None:
            outcomes.succeeded(ledger, ALL, step, datetime.now(UTC))
        else:
            outcomes.failed(ledger, ALL, step, error, datetime.now(UTC))


def range_tags(company: str, first: str, last: str) -> dict[str, str]:
    """Return the tags of one run over a company's days, both ends included."""
    keys = [dg.MultiPartitionKey({"company": company, "day": day}) for day in (first, last)]
    return {
        FIRST_PARTITION: keys[0],
        LAST_PARTITION: keys[1],
    }


@dg.resource(description="How a run is followed from the process that started it, if any does.")
def run_of_caller() -> RunContext:
    """Return the watch of the process that started the run, or one that nobody looks at."""
    return RUN.get() or RunContext()
