"""The command `blsync pack`. No logic of its own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blsync import settings
from blsync.cli.closing import month_of
from blsync.cli.screen import Json, print_json, tell
from blsync.errors import ConfigError, PartlyFailed

if TYPE_CHECKING:
    from blsync import pack as room


class Language(StrEnum):
    """Languages of the statements."""

    en = "en"
    ms = "ms"


def pack(
    month: Annotated[str, typer.Argument(help="The month, like 2026-10.")],
    output: Annotated[
        Path, typer.Option(help="The workbook (xlsx) to write; of several companies a folder.")
    ],
    pdf: Annotated[
        Path | None,
        typer.Option(help="Write cover and statements as PDF, too; of several companies a folder."),
    ] = None,
    company: Annotated[
        list[str] | None, typer.Option(help="Whose month, where there are several companies.")
    ] = None,
    all_companies: Annotated[
        bool, typer.Option("--all-companies", help="A pack of each company.")
    ] = False,
    layout: Annotated[
        str, typer.Option(help="Rows of the statements: a layout that ships, or a TOML file.")
    ] = "mpers",
    language: Annotated[
        Language, typer.Option(help="Language of the statements: English or Malay.")
    ] = Language.en,
    as_json: Json = False,
) -> None:
    """Write a month's statements and lists into one workbook, with formulas that add them up.

    Trial balance, profit and loss by account, balance sheet, cash flow, ageing, revenue, margin,
    stock, tax, e-invoices to mend, restatements, exceptions and the journal. The cover compares
    what the workbook adds up with the marts, and tells how they tie out with BigLedger's reports.

    Examples: `blsync pack 2026-10 --output pack.xlsx --pdf pack.pdf`, `blsync pack 2026-10
    --all-companies --output packs --language ms`
    """
    from blsync import pack as room

    if company and all_companies:
        raise ConfigError("Name companies, or say --all-companies.")
    first = month_of(month)
    current = settings.load()
    wanted = room.Wanted(output, pdf, layout, language.value)
    if not all_companies and len(company or []) < 2:
        chosen = current.chosen(company[0] if company else None)
        sheets = room.write(current, chosen, first, wanted)
        if as_json:
            told = {"file": str(output), "period": f"{first:%Y-%m}", "sheets": sheets}
            print_json(told | {"pdf": str(pdf) if pdf else None})
        else:
            _tell(chosen.name, first.strftime("%Y-%m"), room.Written(output, pdf, sheets))
        return
    names = [one.name for one in current.companies()] if all_companies else company or []
    companies = [current.company(name) for name in dict.fromkeys(names)]
    written = {}
    failed: PartlyFailed | None = None
    try:
        for each, one in room.write_each(current, companies, first, wanted):
            written[each.name] = one
            if not as_json:
                _tell(each.name, f"{first:%Y-%m}", one)
    except PartlyFailed as error:  # the others are written, and told
        failed = error
    if as_json:
        packs = {
            name: {"file": str(w.output), "pdf": str(w.pdf) if w.pdf else None, "sheets": w.sheets}
            for name, w in written.items()
        }
        print_json({"period": f"{first:%Y-%m}", "packs": packs})
    if failed:
        raise failed


def _tell(name: str, month: str, written: room.Written) -> None:
    pdf = f", the statements to {written.pdf}" if written.pdf else ""
    tell(f"{month} of {name}: {len(written.sheets)} sheets written to {written.output}{pdf}")
