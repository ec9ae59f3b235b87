"""Nights that are spread over workers: a run a company pulls, then one run builds what came.

Each company's run goes where Dagster's run launcher sends it. The build waits for all of them, but
no longer than nights are tried again (BLSYNC_RETRY_UNTIL): one worker that is gone must not keep
the others' figures back. Who comes later is built once more when all have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import dagster as dg

from blsync.errors import BlsyncError
from blsync.orchestration.launches import BUILD_OF, COMPANY, NIGHT
from blsync.settings import Settings


class State(StrEnum):
    """How a company's pull of a night stands, in words that follow its name."""

    NOT_ASKED = "was not asked for"
    WAITING = "waits for a worker"
    RUNNING = "is being pulled"
    FAILED = "failed"
    WELL = "was pulled"


ENDED = (State.FAILED, State.WELL)
_STATES = {
    dg.DagsterRunStatus.SUCCESS: State.WELL,
    dg.DagsterRunStatus.FAILURE: State.FAILED,
    dg.DagsterRunStatus.CANCELED: State.FAILED,
    dg.DagsterRunStatus.STARTED: State.RUNNING,
    dg.DagsterRunStatus.CANCELING: State.RUNNING,
}
_WILL_RETRY, _RETRIED = "dagster/will_retry", "dagster/auto_retry_run_id"
"""Dagster's tags of a failed run that it starts again, and of one that it has."""


@dataclass(frozen=True)
class Pull:
    """How a company's pull stands; `ended_at` (UTC) is None until it has ended."""

    state: State
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Build:
    """A run that builds a night; `asked_at` in UTC."""

    asked_at: datetime
    has_ended: bool


@dataclass(frozen=True)
class Night:
    """The runs of a night: `day` names it (ISO), `begun_at` (UTC) is when the first was asked for,
    `pulls` has the last of each company that is set, `builds` the first first.
    """

    day: str
    begun_at: datetime
    pulls: dict[str, Pull]
    builds: Sequence[Build] = ()

    def those(self, *states: State) -> list[str]:
        """Return the companies whose pulls stand so."""
        return [name for name, pull in self.pulls.items() if pull.state in states]

    @property
    def missing(self) -> list[str]:
        """The companies that are not pulled, failed ones too."""
        return [name for name, pull in self.pulls.items() if pull.state != State.WELL]


def nights(
    instance: dg.DagsterInstance, days: Collection[str], companies: Sequence[str]
) -> list[Night]:
    """Return the nights of these days (ISO) that were begun, the earliest first."""
    pulls: dict[str, list[dg.RunRecord]] = {}
    builds: dict[str, list[dg.RunRecord]] = {}
    for tag, found in ((NIGHT, pulls), (BUILD_OF, builds)):
        filters = dg.RunsFilter(tags={tag: sorted(days)})
        for record in instance.get_run_records(filters, ascending=True):
            found.setdefault(record.dagster_run.tags[tag], []).append(record)
    return [
        Night(
            day,
            min(record.create_timestamp for record in pulls[day]),
            {name: _last_pull(name, pulls[day]) for name in companies},
            [Build(r.create_timestamp, r.dagster_run.is_finished) for r in builds.get(day, [])],
        )
        for day in sorted(pulls)
    ]


def _last_pull(company: str, records: Sequence[dg.RunRecord]) -> Pull:
    own = [record for record in records if record.dagster_run.tags.get(COMPANY) == company]
    if not own:
        return Pull(State.NOT_ASKED)
    run = own[-1].dagster_run
    if will_be_tried_again(run):
        return Pull(State.WAITING)
    state = _STATES.get(run.status, State.WAITING)
    end = own[-1].end_time or own[-1].update_timestamp.timestamp()
    return Pull(state, datetime.fromtimestamp(end, UTC) if state in ENDED else None)


def will_be_tried_again(run: dg.DagsterRun) -> bool:
    """Tell whether a run failed and Dagster is about to start it again, as its worker was lost."""
    is_failed = run.status == dg.DagsterRunStatus.FAILURE
    return is_failed and run.tags.get(_WILL_RETRY) == "true" and _RETRIED not in run.tags


def latest_build_at(settings: Settings, begun_at: datetime) -> datetime:
    """Return when (UTC) a night that began then (UTC) is built, whoever is missing: the next time
    that it is BLSYNC_RETRY_UNTIL.
    """
    local = begun_at.astimezone(settings.zone)
    until = datetime.combine(local.date(), settings.retry_until, settings.zone)
    if until <= local:
        tomorrow = local.date() + timedelta(days=1)
        until = datetime.combine(tomorrow, settings.retry_until, settings.zone)
    return until.astimezone(UTC)


def is_due(night: Night, now: datetime, latest: datetime) -> bool:
    """Tell whether a night is to be built now (UTC): when all companies have ended, or it is
    `latest`, and some were pulled; and once more when the last have ended after that.
    """
    well = [pull.ended_at for pull in night.pulls.values() if pull.state == State.WELL]
    have_all_ended = not night.those(State.NOT_ASKED, State.WAITING, State.RUNNING)
    if not night.builds:
        return bool(well) and (have_all_ended or now >= latest)
    last = night.builds[-1]
    is_newer = any(ended_at and ended_at > last.asked_at for ended_at in well)
    return last.has_ended and have_all_ended and is_newer


def told(settings: Settings, night: Night) -> str:
    """Say how a night stands, for whoever looks at the sensor."""
    count = f"{len(night.pulls) - len(night.missing)} of {len(night.pulls)} companies are pulled"
    stands = [f"{name} {night.pulls[name].state}" for name in night.missing]
    text = f"The night of {night.day}: {'; '.join([count, *stands])}."
    if not night.builds and night.those(State.NOT_ASKED, State.WAITING, State.RUNNING):
        at = latest_build_at(settings, night.begun_at).astimezone(settings.zone)
        text += f" It is built at {at:%H:%M} ({settings.timezone}) at the latest."
    elif not night.builds:
        text += " Nothing is built, as nothing is new."
    elif not night.builds[-1].has_ended:
        text += " It is being built."
    return text


def failure_of(night: Night) -> BlsyncError | None:
    """Return what a night failed with as a whole, None where every company was pulled."""
    if not night.missing:
        return None
    stands = "; ".join(f"{name} {night.pulls[name].state}" for name in night.missing)
    return BlsyncError(
        f"The night of {night.day} is without {len(night.missing)} of {len(night.pulls)} "
        f"companies: {stands}. Their runs in Dagster's UI tell why; one that waits needs a worker "
        "that runs."
    )
