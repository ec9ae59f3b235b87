"""Telling somebody, from the command line: after each command that may have changed what holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from blsync import alerts, settings
from blsync.cli.screen import Json, print_json, print_table, say, tell
from blsync.errors import BlsyncError, ConfigError, PartlyFailed
from blsync.settings import Settings

app = typer.Typer(
    help="Who is told of what is off (BLSYNC_ALERTS).\n\nExample: `blsync alerts try`"
)


@contextmanager
def told_afterwards(current: Settings, *, is_night: bool = False) -> Iterator[None]:
    """Tell somebody, after a command, what holds that they should know. `is_night`: the command is
    a whole night, of which it is kept how it ended.
    """
    began_at = datetime.now(UTC)
    error = None
    try:
        yield
    except BlsyncError as caught:
        error = caught
        raise
    except KeyboardInterrupt:  # whoever pressed it knows
        is_night = False
        raise
    finally:
        if is_night:
            alerts.after_night(current, say, error, began_at)
        else:
            alerts.after_run(current, say)


@app.command("try")
def try_command(as_json: Json = False) -> None:
    """Send a message to each address of BLSYNC_ALERTS, and say which took it.

    Example: `blsync alerts try`
    """
    found = alerts.collectors(settings.load())
    if not found:
        raise ConfigError(
            "BLSYNC_ALERTS names nobody. Put an address of Apprise's into .env, such as "
            "BLSYNC_ALERTS=mailto://USER:PASSWORD@HOST"
        )
    text = "This is a message to see whether messages arrive. Nothing is off."
    rows = [(one, one.send("blsync: a message to try", text, "info")) for one in found]
    if as_json:
        print_json(
            {
                "addresses": [
                    {"place": one.place, "service": one.name.partition(" ")[0], "is_taken": taken}
                    for one, taken in rows
                ]
            }
        )
    else:
        shown = [
            (one.place, one.name.partition(" ")[0], "taken" if taken else _why_not(one))
            for one, taken in rows
        ]
        print_table(None, ("address", "service", "message"), shown)
    if not all(taken for _, taken in rows):
        raise PartlyFailed(
            "Not every address of BLSYNC_ALERTS took the message. Look at how Apprise writes its "
            "address, and whether this machine reaches it."
        )


def _why_not(one: alerts.Collector) -> str:
    return "not taken" if one.is_known else "no address that Apprise knows"


@app.command(hidden=True)
def deliver(
    pings: Annotated[bool, typer.Option("--ping", help="Ask for the heartbeat, too.")] = False,
) -> None:
    """Send each address what it was not told yet; a run starts it, and waits for it not."""
    if down := alerts.deliver(settings.load(), pings=pings):
        tell(f"Not taken by {', '.join(down)}.")
