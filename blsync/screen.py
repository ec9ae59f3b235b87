"""What people and programs see of a command: tables and JSON on stdout, the rest on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from blsync.redaction import redact

_ENCODER = msgspec.json.Encoder(decimal_format="number")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


class _Screen(Console):
    """Redacts each text before colours are put into it and a narrow column takes it apart."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(redact(text), **how)


out = _Screen()
err = _Screen(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print a line for people on stderr, where it never mixes with the answer."""
    err.print(text, markup=False, soft_wrap=True)


def print_json(document: object) -> None:
    """Print one JSON document on stdout; a Decimal becomes a number with just its own digits."""
    sys.stdout.write(_ENCODER.encode(document).decode() + "\n")


def print_table(title: str | None, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout; columns of numbers are aligned to the right."""
    if title:
        out.print(f"\n{title}", style="bold", markup=False, highlight=False, soft_wrap=True)
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        is_number = any(
            isinstance(row[index], int | float) or _is_decimal(row[index]) for row in rows
        )
        table.add_column(header, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    out.print(table, markup=False)


def _is_decimal(value: object) -> bool:
    return type(value).__name__ == "Decimal"
