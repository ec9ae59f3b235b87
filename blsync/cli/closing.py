"""The command `blsync close`. No logic of its own."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from blsync import settings
from blsync.cli.screen import Json, print_json, say, tell
from blsync.errors import ConfigError
from blsync.session import open_session


def close(
    month: Annotated[str, typer.Argument(help="The month, like 2026-10.")],
    company: Annotated[
        str | None, typer.Option(help="Whose month, where there are several companies.")
    ] = None,
    is_checked: Annotated[
        bool, typer.Option("--check", help="Only tell what stands in the way; close nothing.")
    ] = False,
    is_verified: Annotated[
        bool,
        typer.Option("--verify", help="Tell what has changed a closed month since; exit 1 if any."),
    ] = False,
    allow: Annotated[
        bool, typer.Option("--allow", help="Close it all the same; the certificate says so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Close a month: check that nothing stands in its way, then write the close and a certificate.

    In the way are: drafts, figures that differ from BigLedger's, e-invoices that are missing,
    errors, an earlier month that is open. BigLedger is asked for its trial balance of the month's
    end. The certificate (its trial balance, with a hash) is written beside period_close.csv.

    Examples: `blsync close 2026-10 --check`, `blsync close 2026-10`, `blsync close 2026-10
    --verify`
    """
    from blsync import closing

    if is_checked + is_verified + allow > 1:
        raise ConfigError("Choose one of --check, --verify and --allow.")
    first = month_of(month)
    current = settings.load()
    chosen = current.chosen(company)
    if is_verified:
        changed = closing.verify(current, chosen, first)
        if as_json:
            print_json({"period": f"{first:%Y-%m}", "changed": changed})
        else:
            for line in changed or [f"{first:%Y-%m} is as it was when it was closed."]:
                tell(line)
        raise typer.Exit(1 if changed else 0)
    with open_session(current, say=say) as session:
        if is_checked:
            found = closing.examine(session, chosen, first)
            if as_json:
                print_json({"period": f"{first:%Y-%m}", "blockers": [asdict(b) for b in found]})
            else:
                for line in map(str, found):
                    tell(line)
                tell(f"{len(found)} things stand in the way of closing {first:%Y-%m}.")
            raise typer.Exit(4 if found else 0)
        certificate = closing.close(session, chosen, first, allow=allow)
        path = closing.certificate_file(current.seeds, chosen, first)
    if as_json:
        print_json({**certificate, "file": str(path)})
        return
    tell(f"{first:%Y-%m} of {chosen.name} is closed. Its certificate: {path}")


def month_of(text: str) -> date:
    """Return a month's first day. Raises ConfigError for a text that is none."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ConfigError(f"{text!r} is no month; write it like 2026-10.") from None
