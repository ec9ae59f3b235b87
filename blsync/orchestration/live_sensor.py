"""The sensor of events: what they told of is pulled and published in runs that Dagster shows."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from blsync.entity import Entity
from blsync.live.news import news_of
from blsync.orchestration.jobs import NIGHTLY, RAW, nightly
from blsync.orchestration.launches import by_sensor
from blsync.orchestration.location import COMPANIES, SETTINGS, days, range_tags
from blsync.orchestration.steps import ticking_clearly
from blsync.session import open_session
from blsync.settings import Company


@dg.sensor(
    name="live_events",
    job=nightly,
    minimum_interval_seconds=30,
    description="Pulls what stored events told of, then builds and publishes it. Leave it off "
    "where `blsync listen` does so itself (without --no-build).",
)
def live_events(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for a run of each company of which events told something, within their share."""
    with ticking_clearly(SETTINGS.data):
        waits = []
        for company in COMPANIES:
            with open_session(SETTINGS, is_live=True) as session:
                news = news_of(session, company)
                left = session.rate_limiter(company).left_for_events()
            if not news.entities:
                continue
            if left < news.requests:
                waits.append(company.name)
                continue
            yield _request(context, company, news.entities, news.up_to)
        if waits:
            yield dg.SkipReason(f"The events' share of the hour is used up: {', '.join(waits)}.")


def _request(
    context: dg.SensorEvaluationContext, company: Company, entities: list[Entity], up_to: int
) -> dg.RunRequest:
    today = str(days.get_last_partition_key())
    built: Any = (NIGHTLY - RAW).resolve(context.repository_def.asset_graph)  # type: ignore[union-attr]
    selection = [dg.AssetKey(["raw", entity.name]) for entity in entities]
    # Tried again each hour where it failed: the same key is asked for once.
    return dg.RunRequest(
        run_key=f"{company.name} {up_to} {datetime.now(UTC):%Y-%m-%dT%H}",
        asset_selection=[*selection, *sorted(built)],
        tags=range_tags(company.name, today, today)
        | by_sensor("live_events")
        | SETTINGS.build_tags,
        run_config={
            "ops": {
                "raw": {"config": {"again": False, "live": True}},
                "inputs": {"config": {"reports": False}},
            }
        },
    )
