"""The command `blsync pack`. No logic of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blsync import settings
from blsync.cli.closing import month_of
from blsync.cli.screen import Json, print_json, tell


def pack(
    month: Annotated[str, typer.Argument(help="The month, like 2026-10.")],
    output: Annotated[Path, typer.Option(help="The workbook (xlsx) to write.")],
    company: Annotated[
        str | None, typer.Option(help="Whose month, where there are several companies.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a month's statements and lists into one workbook, with formulas that add them up.

    Trial balance, profit and loss by account, balance sheet, cash flow, ageing, revenue, margin,
    stock, tax, e-invoices to mend, restatements, exceptions and the journal. The cover compares
    what the workbook adds up with the marts, and tells how they tie out with BigLedger's reports.

    Example: `blsync pack 2026-10 --output pack.xlsx`
    """
    from blsync import pack as room

    first = month_of(month)
    current = settings.load()
    chosen = current.chosen(company)
    sheets = room.write(current, chosen, first, output)
    if as_json:
        print_json({"file": str(output), "period": f"{first:%Y-%m}", "sheets": sheets})
    else:
        tell(f"{first:%Y-%m} of {chosen.name}: {len(sheets)} sheets written to {output}")
