"""`blsync sync --retry`: what may pass by itself is tried again, and the last try decides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rig.warm import PYTHON
from test_alerts import Collector, collecting, told
from test_cli import call, environment, said_once  # noqa: F401
from test_pull import control, requests_at

from blsync.errors import BlsyncError, Unanswered, Unauthorized
from blsync.orchestration.retries import until_well
from blsync.sandbox import Handle
from blsync.settings import Settings, load

RUN = (
    "from blsync import cli\n"
    "from blsync.api import client\n"
    "from blsync.orchestration import retries\n"
    "client.TRIES, retries.MOST_RETRIES = 1, 2\n"
    "cli.main()\n"
)
"""The command; a request is sent once, and a sync is tried again twice at most."""


@dataclass
class Tried:
    """What a try came to."""

    error: BlsyncError | None = None


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("BLSYNC_ENV_FILE", os.devnull)
    return load()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def env(module_sandbox: Handle, tmp_path: Path) -> Iterator[dict[str, str]]:
    ahead = 12 - datetime.now(UTC).hour  # it is about noon there, so the set hour is far
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/UTC"
    retry = {"BLSYNC_RETRY_SECONDS": "0.01", "BLSYNC_RETRY_UNTIL": "23:59:59"}
    base_url = module_sandbox.base_url
    yield environment(tmp_path / "data", base_url, BLSYNC_TIMEZONE=zone, **retry)
    control(module_sandbox, "faults", faults="")


def sync(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-c", RUN, "sync", "customers", "--no-build", "--retry", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def played(
    night: Settings, outcomes: list[BlsyncError | None], began: str
) -> tuple[list[float], list[str], BlsyncError | None]:
    """Try with a clock that only the pauses move; return them, what was said, and the end."""
    now = datetime.fromisoformat(f"2026-11-29T{began}:00").replace(tzinfo=night.zone)
    pauses: list[float] = []
    said: list[str] = []
    last = until_well(
        night,
        lambda: Tried(outcomes[len(pauses)]),
        said.append,
        clock=lambda: now.astimezone(UTC) + timedelta(seconds=sum(pauses)),
        sleep=pauses.append,
    )
    return pauses, said, last.error


def test_a_sync_is_tried_again_with_growing_pauses_until_it_is_well(night):
    down = Unanswered("BigLedger answered 503.", status=503)
    pauses, said, error = played(night, [down, down, None], "02:30")
    assert (pauses, error) == ([300, 600], None)
    assert said == [
        f"BigLedger answered 503. It is tried again at {at} (Asia/Kuala_Lumpur)."
        for at in ("02:35:00", "02:45:00")
    ]


def test_the_last_try_begins_before_the_set_hour_and_its_outcome_counts(night):
    outcomes = [Unanswered(f"503, number {number}") for number in range(9)]
    pauses, _, error = played(night, [*outcomes], "02:30")
    assert pauses == [300, 600, 1200, 2400, 3600, 3600]  # 05:45; an hour later is too late
    assert error is outcomes[6]
    assert played(night, [*outcomes], "05:58")[0] == []


def test_what_a_person_has_to_mend_ends_a_sync_that_was_tried_again(night):
    pauses, _, error = played(night, [Unanswered("503"), Unauthorized("401")], "02:30")
    assert pauses == [300]
    assert isinstance(error, Unauthorized)


def test_what_is_said_of_a_try_quotes_no_value(night):
    outcomes = [Unanswered("no answer about 'Kedai Aman' of a@b.example"), None]
    [line] = played(night, outcomes, "02:30")[1]
    assert "Kedai" not in line
    assert "a@b.example" not in line


def test_a_server_that_answers_503_twice_and_then_well_makes_a_good_sync(env, module_sandbox):
    control(module_sandbox, "faults", faults="error=1,times=2")
    done = sync(env, "--json", "--log-format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entities"]["customers"]["rows"] == 15
    events = [json.loads(line) for line in done.stderr.splitlines()]
    told = [e for e in events if "It is tried again at" in e.get("message", "")]
    assert [e["event"] for e in told] == ["note", "note"]


@pytest.mark.deep
def test_a_key_that_is_refused_is_not_tried_again(env, module_sandbox):
    control(module_sandbox, "reset-stats")
    done = sync(env | {"BIGLEDGER_API_KEY": "blg_test_sk_another_key"})
    assert done.returncode == 2
    assert "tried again" not in done.stderr
    assert requests_at(module_sandbox) <= 1


@pytest.mark.deep
def test_a_sync_that_fails_at_every_try_is_told_once(
    call: Callable[..., object],  # noqa: F811
    env,
    module_sandbox,
    collector,
):
    env |= {"BLSYNC_ALERTS": collector.address}
    control(module_sandbox, "faults", faults="error=1")
    done = sync(env)
    assert done.returncode == 1
    assert done.stderr.count("It is tried again at") == 2
    assert "503" in said_once(done)
    told(call, env)
    assert collector.titles == ["the night failed"]


@pytest.mark.deep
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_pause_and_nothing_is_held_meanwhile(env, module_sandbox, number):
    control(module_sandbox, "faults", faults="error=1")
    env |= {"BLSYNC_RETRY_SECONDS": "600"}
    process = subprocess.Popen(
        [PYTHON, "-c", RUN, "sync", "customers", "--no-build", "--retry"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr
    assert any("It is tried again at" in line for line in process.stderr)
    if number == signal.SIGINT:
        control(module_sandbox, "faults", faults="")
        other = subprocess.run(
            [PYTHON, "-m", "blsync.cli", "sync", "customers", "--no-build"],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert other.returncode == 0, other.stderr
        assert "waiting" not in other.stderr
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "Error: Interrupted." in said
    assert "Traceback" not in said
