"""The sensor that builds a night which is spread over workers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from blsync import alerts
from blsync.orchestration.jobs import NIGHTLY, RAW, nightly
from blsync.orchestration.launches import BUILD_OF, WITHOUT, by_sensor
from blsync.orchestration.location import COMPANIES, SETTINGS
from blsync.orchestration.nights import (
    Night,
    State,
    failure_of,
    is_due,
    latest_build_at,
    nights,
    told,
)
from blsync.orchestration.steps import ticking_clearly


@dg.sensor(
    name="nightly_build",
    job=nightly,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Builds and publishes a night in one run when every company's run has ended, at "
    "BLSYNC_RETRY_UNTIL at the latest. On from the start: without a night it does nothing.",
)
def nightly_build(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the build of each night that is due; say for what the others wait."""
    with ticking_clearly(SETTINGS.data):
        now = datetime.now(UTC)
        today = now.astimezone(SETTINGS.zone).date()
        days = [(today - timedelta(days=n)).isoformat() for n in range(3)]
        found = nights(context.instance, days, [company.name for company in COMPANIES])
        asked = []
        for night in found:
            latest = latest_build_at(SETTINGS, night.begun_at)
            if is_due(night, now, latest):
                asked.append(_request(context, night))
            elif (
                now >= latest and not night.those(State.WELL) and night.day > (context.cursor or "")
            ):
                _tell_that_nobody_came(context, night)
        yield from asked
        if found and not asked:
            yield dg.SkipReason(told(SETTINGS, found[-1]))


def _request(context: dg.SensorEvaluationContext, night: Night) -> dg.RunRequest:
    graph = context.repository_def.asset_graph  # type: ignore[union-attr]
    without = {WITHOUT: ", ".join(night.missing)} if night.missing else {}
    return dg.RunRequest(
        run_key=f"{night.day} {len(night.builds) + 1}",
        asset_selection=sorted((NIGHTLY - RAW).resolve(graph)),
        tags={BUILD_OF: night.day, **without, **by_sensor("nightly_build"), **SETTINGS.build_tags},
    )


def _tell_that_nobody_came(context: dg.SensorEvaluationContext, night: Night) -> None:
    """Have it told, once, that none of a night's companies was pulled by the time of its build."""
    alerts.after_night(SETTINGS, context.log.warning, failure_of(night), night.begun_at)
    context.update_cursor(night.day)
