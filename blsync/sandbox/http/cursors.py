"""Cursors: opaque to the client, the place after a page's last record to the sandbox.

A cursor holds the values that record was sorted by, and its id: records that change in
between neither repeat nor shift a page. It belongs to one query: with another filter or
order it is refused. Of a walk with empty pages it also holds how many there were before
the page to come.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from blsync.sandbox.books.errors import ApiError


def invalid_cursor(message: str) -> ApiError:
    """400 INVALID_CURSOR (open in bigledger-api.md, section 2)."""
    detail = {"field": "cursor", "message": message, "code": "INVALID_CURSOR"}
    return ApiError(400, "INVALID_CURSOR", message, [detail])


def write_cursor(signature: str, walked: int, place: Sequence[Any], empties: int = 0) -> str:
    """Write a cursor for a query's signature; ``walked`` counts the walk's cursors."""
    text = json.dumps([signature, walked, empties, *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, signature: str, width: int) -> tuple[int, int, list[Any]]:
    """Read a cursor into its count, its empty pages and its place, ``width`` values.

    The place is empty before the first record.

    Raises ApiError 400 INVALID_CURSOR.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        theirs, walked, empties, *place = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid_cursor("The cursor is not valid") from error
    counted = isinstance(walked, int) and isinstance(empties, int)
    if not counted or len(place) not in ((0, width) if empties else (width,)):
        raise invalid_cursor("The cursor is not valid")
    if theirs != signature or not all(isinstance(value, str | int | float) for value in place):
        raise invalid_cursor("The cursor belongs to another query")
    return walked, empties, place


def offset_of(cursor: str, signature: str) -> int:
    """Return how many records lie before the place of a cursor that counts them."""
    place = read_cursor(cursor, signature, 1)[2]
    return int(place[0]) if place else 0
