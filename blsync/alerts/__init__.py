"""Somebody is told: what holds after a run that a person should know, once, and once when it ends.

What holds is decided in one place (`decide`), from the ledger and what is published. Whatever has
run, by cron or in Dagster, then calls `after_run`; the ledger keeps what holds and who was told.
Messages are sent by a process of its own, so that an address that does not answer delays nothing;
what it did not take is tried again after the next run. No message has anything of a customer:
kinds, companies as the settings name them, entities, checks, plans and counts are all there is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blsync.alerts.collectors import HEARTBEAT, Collector, collectors, ping
from blsync.alerts.decide import MAX_AGE, conditions_of, unexplained
from blsync.alerts.messages import FOUND, LATE, LOST, Message, messages_for, titled
from blsync.errors import BlsyncError
from blsync.files.locks import blocking_file_lock
from blsync.ledger import Ledger, conditions, outcomes
from blsync.ledger.conditions import Condition, Kept
from blsync.ledger.outcomes import ALL
from blsync.ledger.states import ConditionKind, Step
from blsync.session.binding import open_ledger
from blsync.settings import Settings, paths_in_environment

__all__ = [
    "HEARTBEAT",
    "LATE",
    "MAX_AGE",
    "Collector",
    "Condition",
    "Message",
    "after_night",
    "after_run",
    "collectors",
    "conditions_of",
    "deliver",
    "titled",
]

Say = Callable[[str], None]
SAID = "stderr"
"""The name under which it is noted that a person was told here of an address that is down."""


def after_night(
    settings: Settings, say: Say, error: BlsyncError | None, began_at: datetime
) -> None:
    """Note how a whole night ended, tell what is to be told, and ping where it ended well.

    `error` is what it failed with, None where it did not; what an entity or a step has noted since
    `began_at` (UTC) already is not noted twice. Raises nothing of ours.
    """
    try:
        with closing(open_ledger(settings)) as ledger:
            now = datetime.now(UTC)
            if error is None:
                outcomes.succeeded(ledger, ALL, Step.NIGHT, now)
            elif not any(o.failed_at and o.failed_at >= began_at for o in outcomes.of_all(ledger)):
                outcomes.failed(ledger, ALL, Step.NIGHT, error, now)
            _tell(settings, ledger, say, now, is_night=error is None)
    except BlsyncError:
        _start_without_ledger(settings)


def after_run(settings: Settings, say: Say, max_age: timedelta = MAX_AGE) -> None:
    """Tell what is to be told now; what is older than `max_age` is late. Raises nothing of ours."""
    if not settings.alerts:
        return
    try:
        with closing(open_ledger(settings)) as ledger:
            _tell(settings, ledger, say, datetime.now(UTC), max_age)
    except BlsyncError:
        _start_without_ledger(settings)


def _tell(
    settings: Settings,
    ledger: Ledger,
    say: Say,
    now: datetime,
    max_age: timedelta = MAX_AGE,
    *,
    is_night: bool = False,
) -> None:
    """Keep what holds, and start who sends the messages where there are any."""
    if not settings.alerts and not settings.heartbeat_url:
        return
    known = {one.condition.key for one in conditions.kept(ledger) if one.ended_at is None}
    found = unexplained(conditions_of(settings, ledger, now, max_age), known)
    names = {one.name for one in collectors(settings)}
    conditions.forget_others(ledger, {*names, SAID, HEARTBEAT})
    held = conditions.observe(ledger, found, now)
    _say_what_is_down(settings, ledger, say, held)
    is_well = is_night and not any(one.kind in _FAILED for one in found)
    pings = bool(settings.heartbeat_url) and is_well
    is_back = _mark_of(settings).exists()
    if pings or is_back or any(messages_for(held, name, settings) for name in names):
        _start(settings, pings=pings)


_FAILED = (ConditionKind.NIGHT, ConditionKind.BUILD)


def _say_what_is_down(settings: Settings, ledger: Ledger, say: Say, held: list[Kept]) -> None:
    """Say once of each address that it took no message."""
    for one in held:
        condition = one.condition
        if condition.kind != ConditionKind.COLLECTOR or one.ended_at or SAID in one.told:
            continue
        say(f"{titled(condition, settings)}; what it was not told is tried again after each run.")
        conditions.mark_told(ledger, [condition], SAID)


def _start_without_ledger(settings: Settings) -> None:
    """Have it told that the ledger cannot be used, which the command that ran has said already."""
    if settings.alerts:
        _start(settings, pings=False)


def _mark_of(settings: Settings) -> Path:
    """Return the file that names who was told that the ledger cannot be used."""
    return settings.data / "alerts.lost"


def _start(settings: Settings, *, pings: bool) -> None:
    """Start the process that sends: nobody waits for it, and it ends with nobody."""
    words = ["alerts", "deliver", *(["--ping"] if pings else [])]
    subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "blsync.cli", *words],
        env={**os.environ, **paths_in_environment(settings)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def deliver(settings: Settings, *, pings: bool = False) -> list[str]:
    """Send each address what it was not told yet; return the names of those that took it not.

    With `pings` the heartbeat's address is asked for, too. One process at a time does it. Raises
    StorageError.
    """
    busy = "Another process is sending messages; waiting for it."
    with blocking_file_lock(settings.data / "alerts.lock", lambda _: None, busy):
        try:
            ledger = open_ledger(settings)
        except BlsyncError:
            return _deliver_lost(settings)
        with closing(ledger):
            _deliver_found(settings)
            return _deliver_kept(settings, ledger, pings=pings)


def _deliver_lost(settings: Settings) -> list[str]:
    """Tell each address once that the ledger cannot be used: nothing else can be known then."""
    mark = _mark_of(settings)
    told = set(mark.read_text().split("\n")) if mark.exists() else set()
    found = [one for one in collectors(settings) if one.name not in told]
    down = [one.name for one in found if not one.send(*LOST)]
    told |= {one.name for one in found} - {*down}
    with suppress(OSError):  # then it is told again
        mark.write_text("\n".join(sorted(told)))
    return down


def _deliver_found(settings: Settings) -> None:
    """Tell who knew that the ledger could not be used that it can."""
    mark = _mark_of(settings)
    if not mark.exists():
        return
    told = set(mark.read_text().split("\n"))
    for one in collectors(settings):
        if one.name in told:
            one.send(*FOUND)
    mark.unlink(missing_ok=True)


def _deliver_kept(settings: Settings, ledger: Ledger, *, pings: bool) -> list[str]:
    """Tell each address what of the ledger's conditions it was not told yet, and ping."""
    down = []
    if pings and settings.heartbeat_url:
        is_taken = ping(settings.heartbeat_url.get_secret_value())
        down += [] if is_taken else [HEARTBEAT]
        conditions.observe_collector(ledger, HEARTBEAT, datetime.now(UTC), is_down=not is_taken)
    for collector in collectors(settings):
        if not _deliver_to(settings, ledger, collector):
            down.append(collector.name)
    return down


def _deliver_to(settings: Settings, ledger: Ledger, collector: Collector) -> bool:
    """Send an address what it was not told yet; tell whether it took all of it."""
    name, has_taken = collector.name, True
    for message in messages_for(conditions.kept(ledger), name, settings):
        if message.title:
            has_taken = collector.send(message.title, message.body, message.weight)
            conditions.observe_collector(ledger, name, datetime.now(UTC), is_down=not has_taken)
        if not has_taken:
            return False
        conditions.mark_told(ledger, message.begun, name)
        conditions.mark_told_end(ledger, message.ended, name)
    return has_taken
