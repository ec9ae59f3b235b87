"""What people and programs see of a command: tables and JSON on stdout, the rest on stderr."""

from __future__ import annotations

import io
import os
import re
import sys
import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import zip_longest
from typing import Annotated, Any, TextIO, cast

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from blsync import logs
from blsync.errors import BlsyncError
from blsync.personal_data import without_addresses, without_quoted
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


class LogFormat(StrEnum):
    """How what happens is told on stderr."""

    text = "text"
    json = "json"


@dataclass
class _Voice:
    """How much is told on stderr, and in which form; answers on stdout are the same for all."""

    form: LogFormat = LogFormat.text
    is_quiet: bool = False
    is_verbose: bool = False
    command: str = ""
    run: str = ""


_voice = _Voice()


def speak(form: LogFormat, *, is_quiet: bool, is_verbose: bool, command: str) -> None:
    """Decide how this process tells on stderr what happens.

    `is_quiet` leaves warnings and errors alone, `is_verbose` adds each request.
    """
    _voice.form, _voice.is_quiet, _voice.is_verbose = form, is_quiet, is_verbose
    _voice.command, _voice.run = command, str(uuid.uuid4())
    logs.hear(_heard)


def spoken() -> list[str]:
    """Return the options by which another process of ours tells as this one does."""
    quiet, verbose = ["--quiet"] * _voice.is_quiet, ["--verbose"] * _voice.is_verbose
    return ["--log-format", _voice.form.value, *quiet, *verbose]


def is_terse() -> bool:
    """Tell whether bars would be out of place: a log is written, or nothing is wanted."""
    return _voice.is_quiet or _voice.form is LogFormat.json


def _heard(event: str, facts: Mapping[str, Any]) -> bool:
    level = facts["level"]
    if level == "debug" and not _voice.is_verbose:
        return True
    if level == "info" and _voice.is_quiet:
        return True
    if _voice.form is LogFormat.json:
        _write_log(event, facts)
        return True
    if level == "debug":
        what = " ".join(str(facts[name]) for name in ("method", "path", "status"))
        _print_err(f"{what} in {facts['ms']} ms, request {facts['request_id']}")
        return True
    return False


def _write_log(event: str, facts: Mapping[str, Any]) -> None:
    """Write one line: what happened, when (UTC), to which company and entity, in which run and
    request. No mail address gets there, nor a value that an error quotes.
    """
    message = facts.get("message")
    if message is not None:
        is_error = facts["level"] == "error"
        message = without_addresses(without_quoted(message) if is_error else message)
    line = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": facts["level"],
        "command": _voice.command,
        "event": event,
        **{name: facts.get(name) for name in ("company", "entity", "request_id")},
        # A command that Dagster records no run of has an id of its own.
        "run": facts.get("run") or _voice.run,
        **({} if message is None else {"message": redact(message)}),
    }
    line |= {name: value for name, value in facts.items() if name not in line}
    sys.stderr.write(_ENCODER.encode(line).decode() + "\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """Tell people something on stderr, where it never mixes with the answer."""
    if not logs.tell("note", message=text):
        _print_err(text)


def complain(error: BlsyncError) -> None:
    """Tell what a command ended with, however little else is told."""
    facts = {"message": str(error), "exit_code": error.exit_code}
    request_id = getattr(error, "request_id", "") or None
    if not logs.tell("error", level="error", request_id=request_id, **facts):
        _print_err(f"Error: {error}")


def _print_err(text: str) -> None:
    err.print(_text(text, keep="\n"), soft_wrap=True)
    sys.stderr.flush()


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


_BETWEEN = "   "
"""What stands between two columns of a table."""
_RULE = "─"
_NARROWEST = 12
"""A column of text is not made narrower, unless all of it is."""
_NAMING = ("id", "number", "no", "row", "year", "code", "port")
"""Last words of the headers of whole numbers that name something and count nothing."""


def print_table(title: str | None, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout: numbers to the right, with separators of thousands.

    Words stay whole. Where a terminal is too narrow for that, each row is printed as a record; what
    goes to a file or another program is as wide as it is.
    """
    if title:
        out.print(_text(f"\n{title}", keep="\n", style="bold"), soft_wrap=True)
    columns = [
        _Column(_shown_line(header), [row[index] for row in rows])
        for index, header in enumerate(headers)
    ]
    widths = _widths(columns, _width())
    if widths is None:
        _print_records(columns, len(rows))
        return
    if not title:
        out.print()
    headers = [column.header for column in columns]
    for line in _lines(columns, headers, widths):
        out.print(Text(line, style="bold"), soft_wrap=True)
    out.print(Text(" " + _RULE * (sum(widths) + len(_BETWEEN) * (len(widths) - 1))), soft_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        for line in _lines(columns, cells, widths):
            out.print(Text(line), soft_wrap=True)
    out.print()


def _lines(
    columns: Sequence[_Column], cells: Sequence[str], widths: Sequence[int]
) -> Iterator[str]:
    """Yield the lines of a row; a line ends with its last word."""
    pairs = zip(cells, widths, strict=True)
    for parts in zip_longest(*(_wrapped(cell, width) for cell, width in pairs), fillvalue=""):
        padded = []
        for part, column, width in zip(parts, columns, widths, strict=True):
            blanks = " " * (width - cell_len(part))
            padded.append(blanks + part if column.is_number else part + blanks)
        yield (" " + _BETWEEN.join(padded)).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text's lines, broken between words alone."""
    lines: list[str] = []
    for part in text.split("\n"):
        line = ""
        for word in re.findall(r"\S+\s*", part) or [""]:
            if line and cell_len(line + word.rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += word
        lines.append(line.rstrip())
    return lines


class _Column:
    """A column: its header and its cells as they are shown."""

    def __init__(self, header: str, values: Sequence[Any]) -> None:
        self.header = header
        self.is_number = any(map(_is_number, values))
        is_name = header.replace("_", " ").lower().split()[-1:] in [[name] for name in _NAMING]
        self.cells = [_cell(value, is_name=is_name) for value in values]
        texts = [header, *self.cells]
        self.natural = max(map(_longest_line, texts))
        words = max((cell_len(word) for text in texts for word in text.split()), default=0)
        self.least = self.natural if self.is_number else max(words, min(self.natural, _NARROWEST))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _cell(value: Any, *, is_name: bool) -> str:
    if value is None:
        return ""
    if not _is_number(value) or (is_name and isinstance(value, int)):
        return _shown_line(str(value))
    # In scientific notation there are no thousands to separate.
    return f"{value:,}" if re.fullmatch(r"-?[0-9.]+", str(value)) else str(value)


def _shown_line(text: str) -> str:
    return shown(redact(text), keep="\n")


def _longest_line(text: str) -> int:
    return max((cell_len(line) for line in text.split("\n")), default=0)


def _width() -> int | None:
    """Return how many columns there are to print into; None: as many as it takes."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal():
        return int(told)
    return out.width if out.is_terminal else None


def _widths(columns: Sequence[_Column], room: int | None) -> list[int] | None:
    """Return how wide each column is; None where not all words have room."""
    natural = [column.natural for column in columns]
    widths = [column.least for column in columns]
    if room is None:
        return natural
    left = room - 1 - len(_BETWEEN) * (len(columns) - 1) - sum(widths)
    if left < 0:
        return None
    # Those that miss least have what they want first.
    for index in sorted(range(len(columns)), key=lambda i: natural[i] - widths[i]):
        behind = sum(n > w for n, w in zip(natural, widths, strict=True))
        more = min(natural[index] - widths[index], left // max(behind, 1))
        widths[index] += more
        left -= more
    return widths


def _print_records(columns: Sequence[_Column], count: int) -> None:
    """Print each row as lines of a header and a value."""
    margin = max(cell_len(column.header) for column in columns) + 2
    room = max((_width() or 0) - margin, 1)
    for number in range(count):
        out.print()
        for column in columns:
            if value := column.cells[number]:
                header = column.header + " " * (margin - cell_len(column.header))
                first, *others = _wrapped(value, room)
                out.print(Text.assemble((header, "bold"), first), soft_wrap=True)
                for line in others:
                    out.print(Text(" " * margin + line), soft_wrap=True)
    out.print()
