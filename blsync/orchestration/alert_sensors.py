"""The sensors by which somebody is told in Dagster what cron's commands tell by themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from blsync import alerts
from blsync.errors import BlsyncError
from blsync.orchestration.jobs import nightly
from blsync.orchestration.launches import BUILD_OF, NIGHT
from blsync.orchestration.location import COMPANIES, SETTINGS
from blsync.orchestration.nights import failure_of, nights, will_be_tried_again
from blsync.orchestration.steps import ticking_clearly

_IS_SET = bool(SETTINGS.alerts or SETTINGS.heartbeat_url)
_STATUS = dg.DefaultSensorStatus.RUNNING if _IS_SET else dg.DefaultSensorStatus.STOPPED


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=300,
    default_status=_STATUS,
    description="Tells BLSYNC_ALERTS what is late, failed or off: each of it once, and its end.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.SkipReason]:
    """Tell what holds now."""
    with ticking_clearly(SETTINGS.data):
        alerts.after_run(SETTINGS, context.log.warning)
    yield dg.SkipReason("Whatever was to be told is told.")


@dg.run_status_sensor(
    name="night_ended_well",
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[nightly],
    default_status=_STATUS,
    description="Pings BLSYNC_HEARTBEAT_URL after a night that ended well.",
)
def night_ended_well(context: dg.RunStatusSensorContext) -> None:
    """Note that a night ended well; what events had pulled is no night, nor is one company's part
    of one that is spread over workers.
    """
    run = context.dagster_run
    if is_live(run) or NIGHT in run.tags:
        return
    if BUILD_OF not in run.tags:
        _note(context, None)
        return
    names = [company.name for company in COMPANIES]
    for night in nights(context.instance, [run.tags[BUILD_OF]], names):
        with ticking_clearly(SETTINGS.data):
            alerts.after_night(SETTINGS, context.log.warning, failure_of(night), night.begun_at)


@dg.run_status_sensor(
    name="night_failed",
    run_status=dg.DagsterRunStatus.FAILURE,
    monitored_jobs=[nightly],
    default_status=_STATUS,
    description="Tells BLSYNC_ALERTS of a night that failed, however it ended.",
)
def night_failed(context: dg.RunStatusSensorContext) -> None:
    """Note that a night failed, where none of its steps did."""
    if not is_live(context.dagster_run) and not will_be_tried_again(context.dagster_run):
        run_id = context.dagster_run.run_id
        _note(context, BlsyncError(f"The run {run_id} failed; Dagster's UI has its log."))


def is_live(run: dg.DagsterRun) -> bool:
    """Tell whether a run was because of events."""
    config: Any = run.run_config
    return bool(config.get("ops", {}).get("raw", {}).get("config", {}).get("live"))


def _note(context: dg.RunStatusSensorContext, error: BlsyncError | None) -> None:
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    began_at = datetime.fromtimestamp(record.start_time if record and record.start_time else 0, UTC)
    with ticking_clearly(SETTINGS.data):
        alerts.after_night(SETTINGS, context.log.warning, error, began_at)
