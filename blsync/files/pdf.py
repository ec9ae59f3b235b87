"""Pages for people as PDF: titles, facts, tables with amounts to the right.

Letters are DejaVu Sans's (Latin, Greek, Cyrillic and more), and those that it lacks a font's that
the settings name. What neither has is shown as a box. Letters stand side by side, from left to
right: those of scripts that join or turn them (Jawi, Tamil) do not look as they should. Both are
counted, so that nobody is sent a spoilt name unawares.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fontTools.ttLib import TTFont, TTLibError
from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace

from blsync.errors import ConfigError

_OURS, _OWN = "DejaVu", "Own"
_FILES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
_BOX = "\u25a1"
_BLUE, _GREY = (31, 56, 100), (110, 110, 110)
_MARGIN_MM, _LINE_MM = 14, 4.6


@dataclass(frozen=True)
class Column:
    """A column of a table: its head, its share of the width, and whether amounts are in it."""

    head: str
    share: float = 1
    is_number: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; a total is bold, with a line above it. The first cell may have the room of
    `span` columns, of which it alone is shown.
    """

    cells: Sequence[Any]
    is_bold: bool = False
    is_total: bool = False
    span: int = 1


def spoilt_letters(count: int) -> str:
    """Return what to say of letters that are not as they should be."""
    return (
        f"{count} different letters are not as they should be in the PDF: boxes where the font "
        "lacks them (BLSYNC_PDF_FONT names a font file that has them), side by side where their "
        "script joins or turns them."
    )


def amount(value: Decimal) -> str:
    """Write an amount with thousands separated, what is below nothing in parentheses."""
    text = f"{abs(value):,.2f}" if value == value.quantize(Decimal("0.01")) else f"{abs(value):,f}"
    return f"({text})" if value < 0 else text


class Paper:
    """A document of A4 pages, written from the top; `foot` stands at the bottom of each page.

    `own_font` is a font file for letters that ours lacks. Raises ConfigError where it is none. The
    same content, dated the same (UTC), is the same file.
    """

    def __init__(
        self,
        title: str,
        *,
        foot: str,
        dated: datetime,
        own_font: Path | None = None,
        is_wide: bool = False,
    ) -> None:
        self.spoilt: set[str] = set()
        """Letters that are not as they should be."""
        self._own = own_font
        self._has_own = False
        self._letters = frozenset.intersection(*(_letters(_font(file)) for file in _FILES.values()))
        self._more = _letters(own_font) if own_font else frozenset[int]()
        self._pdf = _Pages(orientation="landscape" if is_wide else "portrait", format="A4")
        self._pdf.set_margins(_MARGIN_MM, _MARGIN_MM)
        self._pdf.set_auto_page_break(auto=True, margin=_MARGIN_MM + 4)
        self._pdf.set_creation_date(dated.replace(tzinfo=dated.tzinfo or UTC))
        for style, file in _FILES.items():
            self._pdf.add_font(_OURS, style, _font(file))
        self._pdf.set_title(self._written(title))
        self._pdf.foot = self._written(foot)
        self._pdf.add_page()

    def page(self) -> None:
        """Begin a new page, unless this one is still empty."""
        if self._pdf.get_y() > _MARGIN_MM + 1:
            self._pdf.add_page()

    def title(self, text: str) -> None:
        """Write a large line."""
        self._line(text, size=15, style="B", height=8)

    def heading(self, text: str) -> None:
        """Write a line above what follows, on the same page as its beginning."""
        if self._pdf.will_page_break(30):
            self._pdf.add_page()
        self._pdf.ln(3)
        self._line(text, size=10, style="B", height=6)

    def line(self, text: str, *, is_small: bool = False) -> None:
        """Write a line of text, broken where it is too long."""
        self._line(text, size=7.5 if is_small else 9, style="", height=4 if is_small else 5)

    def beside(self, left: Sequence[str], right: Sequence[tuple[str, str]]) -> None:
        """Write lines at the left, and names with their values at the right."""
        half = self._pdf.epw / 2
        top = self._pdf.get_y() + 2
        self._pdf.set_y(top)
        for number, text in enumerate(left):
            self._pdf.set_font(_OURS, "B" if number == 0 else "", 9)
            self._pdf.multi_cell(
                half - 4, 5, self._written(text), align="L", new_x="LMARGIN", new_y="NEXT"
            )
        ends = self._pdf.get_y()
        self._pdf.set_y(top)
        for name, value in right:
            self._pdf.set_x(_MARGIN_MM + half)
            self._pdf.set_font(_OURS, "", 9)
            self._pdf.set_text_color(*_GREY)
            self._pdf.cell(half * 0.42, 5, self._written(name))
            self._pdf.set_text_color(0, 0, 0)
            self._pdf.multi_cell(
                0, 5, self._written(value), align="R", new_x="LMARGIN", new_y="NEXT"
            )
        self._pdf.set_y(max(ends, self._pdf.get_y()) + 3)

    def table(self, columns: Sequence[Column], rows: Iterable[Row]) -> None:
        """Write a table, its heads again on each page."""
        self._pdf.set_font(_OURS, "", 8)
        self._pdf.set_draw_color(*_GREY)
        head = FontFace(emphasis="BOLD", color=(255, 255, 255), fill_color=_BLUE)
        with self._pdf.table(
            col_widths=[column.share for column in columns],
            text_align=["RIGHT" if column.is_number else "LEFT" for column in columns],
            borders_layout=TableBordersLayout.NONE,
            headings_style=head,
            line_height=_LINE_MM,
            padding=(0.3, 1.2),
        ) as table:
            self._row(table, Row([column.head for column in columns]))
            for row in rows:
                self._row(table, row)
        self._pdf.ln(2)

    def save(self, path: Path) -> None:
        """Write the document to a file."""
        self._pdf.output(path)

    def _row(self, table: Any, row: Row) -> None:
        is_bold = row.is_bold or row.is_total
        line = table.row(style=FontFace(emphasis="BOLD") if is_bold else None)
        border = "TOP" if row.is_total else 0
        cells = [_shown(cell) for cell in row.cells]
        line.cell(self._written(cells[0]), border=border, colspan=row.span)
        for cell in cells[row.span :]:
            line.cell(self._written(cell), border=border)

    def _line(self, text: str, *, size: float, style: str, height: float) -> None:
        self._pdf.set_font(_OURS, style, size)
        self._pdf.multi_cell(
            0, height, self._written(text), align="L", new_x="LMARGIN", new_y="NEXT"
        )

    def _written(self, text: str) -> str:
        """Return a text of letters that the fonts have, with boxes for others."""
        found = []
        for letter in unicodedata.normalize("NFC", text):
            kind = unicodedata.category(letter)
            if kind in ("Mn", "Mc") or unicodedata.bidirectional(letter) in ("R", "AL"):
                self.spoilt.add(letter)
            if ord(letter) in self._letters:
                found.append(letter)
            elif ord(letter) in self._more:
                self._take_own()
                found.append(letter)
            elif kind in ("Cc", "Zl", "Zp", "Zs"):
                found.append(" ")
            elif kind != "Cf":  # marks without a picture, such as a joiner
                self.spoilt.add(letter)
                found.append(_BOX)
        return "".join(found)

    def _take_own(self) -> None:
        """Load the user's font, which may be large, for a document that needs it."""
        if not self._has_own:
            self._pdf.add_font(_OWN, "", self._own)
            self._pdf.set_fallback_fonts([_OWN], exact_match=False)
            self._has_own = True


class _Pages(FPDF):
    """Pages with a line at the foot and their numbers."""

    foot = ""

    def footer(self) -> None:
        """Write the foot of a page."""
        self.set_y(-_MARGIN_MM)
        self.set_font(_OURS, "", 7)
        self.set_text_color(*_GREY)
        self.cell(self.epw - 24, 4, self.foot)
        self.cell(24, 4, f"{self.page_no()} / {{nb}}", align="R")
        self.set_text_color(0, 0, 0)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return amount(value)
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return str(value)


def _font(name: str) -> Path:
    """Return a font's file that matplotlib brings; importing it would take longer than a page."""
    found = find_spec("matplotlib")
    folder = Path(found.origin).parent if found and found.origin else Path()
    return folder / "mpl-data" / "fonts" / "ttf" / name


@lru_cache
def _letters(font: Path) -> frozenset[int]:
    try:
        with TTFont(font, lazy=True, fontNumber=0) as opened:
            return frozenset(opened.getBestCmap() or ())
    except (OSError, TTLibError) as error:
        reason = getattr(error, "strerror", None) or "it is no TrueType or OpenType font"
        raise ConfigError(
            f"BLSYNC_PDF_FONT: {font} cannot be used: {reason}. Name a font file (ttf, otf or "
            "ttc), or take the setting out."
        ) from None
