"""What Dagster loads: every asset, job, schedule and sensor of the house, put together.

Loading needs no credentials; a run without them fails with what is missing.
"""

import dagster as dg

from blsync.orchestration.alert_sensors import (
    alerts_sensor,
    night_ended_well,
    night_failed,
)
from blsync.orchestration.jobs import (
    backfill,
    build,
    compact,
    daily_pruning,
    nightly,
    nightly_sync,
    prune,
    weekly_compaction,
)
from blsync.orchestration.live_sensor import live_events
from blsync.orchestration.location import OWNERS, SETTINGS, run_of_caller
from blsync.orchestration.night_sensor import nightly_build
from blsync.orchestration.push_assets import push_definitions
from blsync.orchestration.raw import raw
from blsync.orchestration.warehouse import inputs, published, report_page, warehouse

proposals = [key for key in warehouse.keys if key.path[0] == "proposals"]
of_workers = [nightly_build] if SETTINGS.night_on_workers else []
defs = dg.Definitions.merge(
    dg.Definitions(
        assets=[raw, inputs, warehouse, published, report_page],
        jobs=[nightly, backfill, build, compact, prune],
        schedules=[nightly_sync, weekly_compaction, daily_pruning],
        sensors=[live_events, alerts_sensor, night_ended_well, night_failed, *of_workers],
        executor=dg.in_process_executor,
        resources={
            "watch": run_of_caller,
        },
    ),
    push_definitions(SETTINGS, proposals, OWNERS),
)
