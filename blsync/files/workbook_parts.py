"""What the parts of a workbook say that the library does not: what is hidden, and their dialect."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openpyxl.xml.constants import SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

Source = Path | io.BytesIO
"""A workbook: its file, or what was made of it."""

_STRICT = b"http://purl.oclc.org/ooxml/"
_TRANSITIONAL = {
    b"spreadsheetml/": b"http://schemas.openxmlformats.org/spreadsheetml/2006/",
    b"officeDocument/": b"http://schemas.openxmlformats.org/officeDocument/2006/",
    b"drawingml/": b"http://schemas.openxmlformats.org/drawingml/2006/",
}
"""Namespaces of Strict Open XML (ISO/IEC 29500) → those of the transitional kind, which the library
reads. The names below them are the same."""
_TAG = f"{{{SHEET_MAIN_NS}}}"
_HINTS = re.compile(rb"""hidden\s*=|\s(?:ht|width)\s*=\s*["']0""")
_MERGES = re.compile(rb"<(?:\w+:)?mergeCell ")
_PIECE = 2**20
_YES = ("1", "true", "on")


@dataclass(frozen=True)
class HiddenParts:
    """Rows (numbers from 1) and columns (from 0) of a worksheet that nobody sees."""

    rows: frozenset[int] = frozenset()
    columns: tuple[tuple[int, int], ...] = ()
    """First and last of each range."""

    def has_column(self, column: int) -> bool:
        """Tell whether a column is hidden."""
        return any(first <= column <= last for first, last in self.columns)


@dataclass(frozen=True)
class Merged:
    """Cells that are one: their first and last row (from 1) and column (from 0)."""

    rows: tuple[int, int]
    columns: tuple[int, int]


_RANGE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7}):\$?([A-Z]{1,3})\$?(\d{1,7})")


def merged_cells(source: Source, part: str) -> list[Merged]:
    """Return the merged cells of a worksheet, in the file's order."""
    with zipfile.ZipFile(source) as archive:
        if not _mentions(archive, part, _MERGES):
            return []
        found = []
        with archive.open(part) as content:
            for _, element in iterparse(content):
                if element.tag == f"{_TAG}row":
                    element.clear()
                elif element.tag == f"{_TAG}mergeCell":
                    place = _RANGE.fullmatch(element.get("ref") or "")
                    if place:
                        columns = _column(place[1]), _column(place[3])
                        found.append(Merged((int(place[2]), int(place[4])), columns))
        return found


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def transitional(path: Path) -> Source:
    """Return a workbook in the dialect that the library reads.

    One that was saved as Strict Open XML differs in its namespaces alone. Raises
    zipfile.BadZipFile and OSError.
    """
    with zipfile.ZipFile(path) as archive:
        texts = {name for name in archive.namelist() if name.endswith((".xml", ".rels"))}
        if not any(_STRICT in _start(archive, name) for name in texts):
            return path
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as copy:
            for name in archive.namelist():
                content = archive.read(name)
                copy.writestr(name, _translated(content) if name in texts else content)
    made.seek(0)
    return made


def _start(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as part:
        return part.read(4096)


def _translated(content: bytes) -> bytes:
    for strict, other in _TRANSITIONAL.items():
        content = content.replace(_STRICT + strict, other)
    return content


def hidden_parts(source: Source, part: str) -> HiddenParts:
    """Return what is hidden of a worksheet, by a filter or by hand, or has no height or width."""
    with zipfile.ZipFile(source) as archive:
        if not _mentions(archive, part, _HINTS):
            return HiddenParts()
        rows: set[int] = set()
        columns: list[tuple[int, int]] = []
        number = 0
        with archive.open(part) as content:
            for event, element in iterparse(content, events=("start", "end")):
                if event == "end":
                    if element.tag in (f"{_TAG}row", f"{_TAG}cols"):
                        element.clear()
                elif element.tag == f"{_TAG}row":
                    number = int(element.get("r") or number + 1)
                    if _is_hidden(element.attrib, "ht"):
                        rows.add(number)
                elif element.tag == f"{_TAG}col" and _is_hidden(element.attrib, "width"):
                    first, last = (int(element.get(name) or 1) - 1 for name in ("min", "max"))
                    columns.append((first, last))
    return HiddenParts(frozenset(rows), tuple(columns))


def _is_hidden(about: Mapping[str, str], size: str) -> bool:
    return about.get("hidden", "").lower() in _YES or float(about.get(size) or 1) == 0


def _mentions(archive: zipfile.ZipFile, part: str, hints: re.Pattern[bytes]) -> bool:
    """Tell whether a part may say something; few do, and parsing one takes long."""
    rest = b""
    with archive.open(part) as content:
        while piece := content.read(_PIECE):
            if hints.search(rest + piece):
                return True
            rest = piece[-64:]
    return False
