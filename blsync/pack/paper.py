"""Writes a pack's cover and statements as pages of a PDF, with the figures of the workbook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blsync.files import pdf
from blsync.files.permissions import warn_once
from blsync.pack.lines import Kind, Page
from blsync.pack.words import Words

if TYPE_CHECKING:
    from blsync.pack import Cover


def write(cover: Cover, pages: Sequence[Page], words: Words, file: Path, font: Path | None) -> None:
    """Write the pages to a file. Raises ConfigError where `font` is none, OSError."""
    paper = pdf.Paper(
        cover.heading, foot=cover.heading, dated=cover.built_at, own_font=font, is_wide=True
    )
    paper.title(cover.heading)
    paper.line(cover.about)
    for text in (*cover.closing, *cover.not_placed):
        paper.line(text)
    paper.heading(words("What the statements add up"))
    heads = ("here", "the marts", "difference")
    columns = [pdf.Column("", 3), *(pdf.Column(words(head), is_number=True) for head in heads)]
    rows = []
    for page in pages:
        for check in page.checks:
            here = page.value(check.line, check.column)
            off = here - check.expected
            what = f"{page.title}: {check.what}"
            rows.append(pdf.Row([what, here, check.expected, off, words("off" if off else "ok")]))
    paper.table([*columns, pdf.Column("", 0.6)], rows)
    paper.heading(words("Compared with BigLedger's own reports"))
    shares = (2, 1, 1, 1, 1.4, 3)
    paper.table(
        [
            pdf.Column(head, share, is_number=name in ("compared", "off", "not_comparable"))
            for (name, head), share in zip(cover.tie_columns.items(), shares, strict=True)
        ],
        [pdf.Row([tie[name] for name in cover.tie_columns]) for tie in cover.ties],
    )
    for page in pages:
        _add(paper, page)
    if paper.spoilt:
        warn_once(f"{cover.heading}: {pdf.spoilt_letters(len(paper.spoilt))}")
    paper.save(file)


def _add(paper: pdf.Paper, page: Page) -> None:
    """Add a statement, without the columns that help the workbook alone."""
    paper.page()
    paper.heading(page.heading)
    shown = [n for n, column in enumerate(page.columns) if not column.is_helper]
    rows = []
    for number, line in enumerate(page.lines):
        if line.kind is Kind.HEADING:
            continue
        # A label has the room of the columns beside it, which are empty.
        is_label = line.kind in (Kind.SECTION, Kind.TOTAL)
        rows.append(
            pdf.Row(
                [page.value(number, n) for n in shown],
                is_bold=line.kind is Kind.SECTION,
                is_total=line.kind is Kind.TOTAL,
                span=min(n for n in range(1, len(shown)) if page.columns[shown[n]].is_number)
                if is_label
                else 1,
            )
        )
    columns = [page.columns[n] for n in shown]
    paper.table([pdf.Column(c.head, c.share, is_number=c.is_number) for c in columns], rows)
