"""What launched a run, as one tag that runs can be filtered by, whatever it was."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

LAUNCHED_BY = "blsync/launched_by"
"""The tag: `cli`, `schedule NAME`, `sensor NAME`, `backfill`, `retry` or `ui`."""
CLI = {LAUNCHED_BY: "cli"}
NIGHT, COMPANY = "blsync/night", "blsync/company"
"""Tags of a run that pulls a company's part of a night: the night's day (ISO), and whose."""
BUILD_OF, WITHOUT = "blsync/build_of", "blsync/without"
"""Tags of the run that builds a night: its day, and the companies that were not pulled by then."""
_DAGSTERS = (
    ("dagster/parent_run_id", "retry", False),
    ("dagster/backfill", "backfill", False),
    ("dagster/schedule_name", "schedule", True),
    ("dagster/sensor_name", "sensor", True),
)
"""Dagster's own tags of a run, the one that tells most first: what it stands for, and whether its
value is a name that belongs to it."""


def by_schedule(name: str) -> dict[str, str]:
    """Return the tag of a run that a schedule asks for."""
    return {LAUNCHED_BY: f"schedule {name}"}


def by_sensor(name: str) -> dict[str, str]:
    """Return the tag of a run that a sensor asks for."""
    return {LAUNCHED_BY: f"sensor {name}"}


def launcher_of(tags: Mapping[str, str]) -> str:
    """Return what launched a run with these tags; a run that nothing else launched is a person's
    who clicked.
    """
    for tag, word, is_named in _DAGSTERS:
        if tag in tags:
            return f"{word} {tags[tag]}" if is_named else word
    return tags.get(LAUNCHED_BY, "ui")


def note_launcher(context: dg.OpExecutionContext) -> None:
    """Tag the run of a step with what launched it, where it is not tagged with that already."""
    run = context.run
    launcher = launcher_of(run.tags)
    if run.tags.get(LAUNCHED_BY) != launcher:
        context.instance.add_run_tags(run.run_id, {LAUNCHED_BY: launcher})
