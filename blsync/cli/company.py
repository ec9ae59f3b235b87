"""The commands of `blsync company`. No logic of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from blsync import settings
from blsync.cli.screen import Json, out, print_json, print_table, say

app = typer.Typer(
    no_args_is_help=True,
    help="Leave a company.\n\nExample: `blsync company drop acme`",
)


@app.callback()
def company() -> None:
    """Leave a company."""


@app.command()
def drop(
    name: Annotated[str, typer.Argument(help="The company's name or its company id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only tell.")] = False,
    allow: Annotated[
        bool, typer.Option("--allow", help="Also where pushed rows are still unanswered.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove all that is held of a company: files, coverage, plans, and its part of the marts.

    Without --yes it only tells what would go. The company may be one that the settings no longer
    list. BigLedger is asked nothing, and nothing is removed there.

    Examples: `blsync company drop acme`, `blsync company drop acme --yes`
    """
    from blsync.orchestration import dropping

    current = settings.load()
    if yes:
        found = dropping.drop(current, name, allow=allow, say=say)
    else:
        found = dropping.survey(current, name)
    if as_json:
        print_json(found.to_json())
        return
    headers = ("entity", "files", "rows", "bytes")
    rows = [(entity, h.files, h.rows, h.size) for entity, h in found.entities.items()]
    print_table(f"{found.name} ({found.company_id})", headers, rows)
    out.print(
        f"{len(found.loads)} loads, {len(found.plans)} plans of pushes, {found.inputs} rows for "
        "the marts.",
        soft_wrap=True,
    )
    if found.unanswered:
        out.print(
            f"{found.unanswered} rows that were pushed are not answered yet: settle them first "
            "(`blsync push settle`), or what became of them is never known here.",
            soft_wrap=True,
        )
    if found.left:
        out.print(
            f"Left alone, and may hold something of it: {', '.join(found.left)}. Look there, and "
            "delete what you need no more.",
            soft_wrap=True,
        )
    if found.is_dropped:
        out.print("All else is removed." if found.left else "All of it is removed.")
    else:
        out.print(
            f"Nothing was changed. `blsync company drop {found.company_id} --yes` removes it.",
            soft_wrap=True,
        )
