"""What people and programs see of a command: tables and JSON on stdout, the rest on stderr."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, TextIO, cast

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from blsync.redaction import redact

_ENCODER = msgspec.json.Encoder(decimal_format="number")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


_UNSEEN = ("Cc", "Cs")
_TURNING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of writing, so that a text reads as another."""


def shown(text: str, keep: str = "") -> str:
    r"""Return a text of which a terminal obeys nothing: an escape sequence reads as `\x1b[31m`.

    `keep` are control characters that are meant.
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(letter)[1:-1]
        if letter not in keep and (unicodedata.category(letter) in _UNSEEN or letter in _TURNING)
        else letter
        for letter in text
    )


class _Screen(Console):
    """Prints what is stored: no word in it is markup, an emoji's name or worth a colour.

    Each text is redacted before a narrow column takes it apart.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **how)

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(redact(text), **how)


out = _Screen()
err = _Screen(stderr=True)


def _text(text: str, keep: str = "", style: str = "") -> Text:
    return Text(shown(redact(text), keep), style=style)


def say(text: str) -> None:
    """Print a line for people on stderr, where it never mixes with the answer."""
    err.print(_text(text, keep="\n"), soft_wrap=True)


def tell(text: str) -> None:
    """Print a line for people on stdout."""
    out.print(_text(text, keep="\n"), soft_wrap=True)


def print_json(document: object) -> None:
    """Print one JSON document on stdout; a Decimal becomes a number with just its own digits."""
    stdout().write(_ENCODER.encode(document).decode() + "\n")


def stdout() -> TextIO:
    """Return where an answer is written: exactly, but to a terminal with `shown`."""
    return cast(TextIO, _Shown(sys.stdout) if sys.stdout.isatty() else sys.stdout)


class _Shown(io.TextIOBase):
    """Writes lines to a terminal; what it would obey in them is shown instead."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal.write(shown(text, keep="\n"))


def print_table(title: str | None, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout; columns of numbers are aligned to the right."""
    if title:
        out.print(_text(f"\n{title}", keep="\n", style="bold"), soft_wrap=True)
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        is_number = any(
            isinstance(row[index], int | float) or _is_decimal(row[index]) for row in rows
        )
        table.add_column(_text(header), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text("" if value is None else str(value)) for value in row))
    out.print(table)


def _is_decimal(value: object) -> bool:
    return type(value).__name__ == "Decimal"
