"""A night that is spread over workers: when it is built, and what is told of who is missing."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from blsync import settings
from blsync.errors import ConfigError
from blsync.orchestration.launches import BUILD_OF, COMPANY, NIGHT
from blsync.orchestration.nights import (
    Build,
    Night,
    Pull,
    State,
    failure_of,
    is_due,
    latest_build_at,
    nights,
    told,
)
from blsync.settings import Settings

DAY = "2026-11-30"
BEGUN = datetime(2026, 11, 29, 18, 30, tzinfo=UTC)  # 02:30 in Kuala Lumpur
LATEST = BEGUN + timedelta(hours=3, minutes=30)
COMPANIES = ("alpha", "beta", "gamma")


@pytest.fixture
def current(monkeypatch) -> Settings:
    monkeypatch.setenv("BLSYNC_ENV_FILE", os.devnull)
    return settings.load()


def after(minutes: float) -> datetime:
    return BEGUN + timedelta(minutes=minutes)


def night(*pulls: Pull, builds: tuple[Build, ...] = ()) -> Night:
    return Night(DAY, BEGUN, dict(zip(COMPANIES, pulls, strict=True)), builds)


def well(minutes: float) -> Pull:
    return Pull(State.WELL, after(minutes))


FAILED = Pull(State.FAILED, BEGUN)
RUNNING, WAITING, NOT_ASKED = (
    Pull(state) for state in (State.RUNNING, State.WAITING, State.NOT_ASKED)
)


def built(minutes: float, has_ended: bool = True) -> tuple[Build, ...]:
    return (Build(after(minutes), has_ended),)


@pytest.mark.parametrize(
    ("found", "minutes", "is_now"),
    [
        (night(well(5), well(6), well(7)), 8, True),
        (night(well(5), FAILED, well(7)), 8, True),
        (night(well(5), well(6), RUNNING), 8, False),
        (night(well(5), WAITING, well(7)), 8, False),
        (night(well(5), well(6), NOT_ASKED), 8, False),
        (night(well(5), WAITING, RUNNING), 210, True),
        (night(WAITING, WAITING, WAITING), 210, False),
        (night(FAILED, FAILED, FAILED), 8, False),
        (night(well(5), well(6), well(7), builds=built(8)), 9, False),
        # At its latest without the last company, and once more when that has come.
        (night(well(5), well(6), RUNNING, builds=built(210)), 400, False),
        (night(well(5), well(6), well(300), builds=built(210, has_ended=False)), 301, False),
        (night(well(5), well(6), well(300), builds=built(210)), 301, True),
        (night(well(5), well(6), FAILED, builds=built(210)), 301, False),
    ],
)
def test_a_night_is_built_when_all_have_ended_or_it_is_late_and_once_more_for_who_came_later(
    found, minutes, is_now
):
    assert is_due(found, after(minutes), LATEST) is is_now


@pytest.mark.parametrize(
    ("until", "latest"),
    [("06:00", LATEST), ("23:00", BEGUN + timedelta(hours=20, minutes=30)),
     ("02:00", BEGUN + timedelta(hours=23, minutes=30))],
)  # fmt: skip
def test_a_night_is_built_by_the_hour_until_which_nights_are_tried_again(
    monkeypatch, current, until, latest
):
    monkeypatch.setenv("BLSYNC_RETRY_UNTIL", until)
    assert latest_build_at(settings.load(), BEGUN) == latest


def test_who_is_missing_is_told_and_how_each_stands(current):
    text = told(current, night(well(5), WAITING, RUNNING))
    assert "1 of 3 companies are pulled; beta waits for a worker; gamma is being pulled." in text
    assert "built at 06:00 (Asia/Kuala_Lumpur) at the latest" in text
    assert "Nothing is built" in told(current, night(FAILED, FAILED, FAILED))
    error = failure_of(night(well(5), WAITING, FAILED))
    assert "without 2 of 3 companies: beta waits for a worker; gamma failed" in str(error)
    assert failure_of(night(well(5), well(6), well(7))) is None


def test_a_company_stands_as_its_last_run_does_and_one_whose_worker_was_lost_is_waited_for():
    @dg.op(config_schema={"fails": bool})
    def work(context) -> None:
        assert not context.op_config["fails"]

    @dg.job
    def job() -> None:
        work()

    with dg.DagsterInstance.ephemeral() as instance:

        def run(fails: bool, **tags: str) -> dg.ExecuteInProcessResult:
            return job.execute_in_process(
                instance=instance,
                tags={name.replace("__", "/"): value for name, value in tags.items()},
                run_config={"ops": {"work": {"config": {"fails": fails}}}},
                raise_on_error=False,
            )

        named = {"blsync__night": DAY}
        run(True, **named, blsync__company="alpha")
        run(False, **named, blsync__company="alpha")
        run(True, **named, blsync__company="beta", dagster__will_retry="true")
        run(False, blsync__night="2026-11-29", blsync__company="gamma")
        run(False, blsync__build_of=DAY)
        assert (NIGHT, COMPANY, BUILD_OF) == ("blsync/night", "blsync/company", "blsync/build_of")
        (found,) = nights(instance, [DAY], COMPANIES)
    assert [pull.state for pull in found.pulls.values()] == [
        State.WELL,
        State.WAITING,
        State.NOT_ASKED,
    ]
    assert found.begun_at < found.pulls["alpha"].ended_at < datetime.now(UTC)
    (build,) = found.builds
    assert build.has_ended
    assert build.asked_at > found.begun_at


@pytest.mark.parametrize("given", ["{", "[]", '{"dagster-celery/queue": 1}', "queue=build"])
def test_tags_of_builds_that_are_no_texts_are_refused(monkeypatch, current, given):
    monkeypatch.setenv("BLSYNC_BUILD_TAGS", given)
    with pytest.raises(ConfigError, match="BLSYNC_BUILD_TAGS: must be a JSON object of texts"):
        settings.load()
