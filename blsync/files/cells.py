"""What a spreadsheet makes of a cell: here without the library that reads and writes workbooks."""

from __future__ import annotations

import re

DIGITS = 15
"""Significant digits that a spreadsheet keeps of a number, and shows at most."""
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.,]+%?")


def guarded(text: str) -> str:
    """Return a text for a cell of a csv file, so that no spreadsheet works it out.

    One that begins with = + - @, a tab or a carriage return gets an apostrophe before it; a number
    is no formula and stays. Apostrophes that already stand before such a character get one more, so
    that `unguarded` returns just what was given.
    """
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def unguarded(cell: str) -> str:
    """Return the text that `guarded` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
