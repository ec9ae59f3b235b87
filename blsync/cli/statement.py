"""The command `blsync statement`. No logic of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blsync import settings
from blsync.cli.closing import month_of
from blsync.cli.screen import Json, print_json, say, tell
from blsync.errors import ConfigError, PartlyFailed


def statement(
    customer: Annotated[
        str | None, typer.Argument(help="The customer: its number, id or whole name.")
    ] = None,
    is_all: Annotated[
        bool,
        typer.Option("--all", help="Every customer who owes something or moved in the month."),
    ] = False,
    month: Annotated[
        str | None, typer.Option(help="The month, like 2026-10; else the running one, up to today.")
    ] = None,
    company: Annotated[
        str | None, typer.Option(help="Whose customers, where there are several companies.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The folder; of one customer also a file (pdf or xlsx). Else `statements`."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write statements of account as PDF and xlsx; nothing is sent.

    Opening balance, each document and payment, closing balance, and what is open by age. Each is
    compared with the open items and the ageing of its day before it is written; one that differs by
    a cent is an error that names the figures.

    Examples: `blsync statement C-00012 --month 2026-10`, `blsync statement --all --output letters`
    """
    from blsync import statements as room

    if is_all == (customer is not None):
        raise ConfigError("Name one customer, or say --all.")
    current = settings.load()
    order = room.Order(current.chosen(company), customer, month_of(month) if month else None)
    written = []
    failed: PartlyFailed | None = None
    try:
        for one in room.write(current, order, output, say):
            written.append(one)
            if not as_json:
                tell("\n".join(map(str, one.files)))
    except PartlyFailed as error:  # the others are written, and told
        failed = error
    if as_json:
        print_json({"statements": [one.to_json() for one in written]})
    elif not written and not failed:
        tell("Nobody owes anything or moved in that month; nothing was written.")
    if failed:
        raise failed
