"""Pages of a list: records as they came, and when a walk through them is the server's fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import compress
from typing import Any

import msgspec

from blsync.api.envelope import ABSENT, UNUSABLE, Answer, Pagination, TooLarge, Torn
from blsync.api.exchange import MOST_NUMBER
from blsync.errors import (
    ApiError,
    ServerFault,
)
from blsync.lake.splitting import is_json, take_apart
from blsync.lake.typing import UNTYPED, Fingerprints, Payload
from blsync.redaction import holds_secret

SMALLER_LIMITS = (100, 50, 20, 10, 1)
"""Page sizes to try where a refusal does not name the largest."""
STALE_PAGES = 20
"""Pages in a row that bring nothing new and promise more, before the server is called broken."""
MOST_OF_TOTAL = 2
"""How often the total a walk may bring: all of it may change once while it is read."""
SMALLEST_CAP = 500
"""Records that a total may stop at counting; larger ones are multiples of it."""
MOST_OF_CAP = 1000
"""How often a total that may have stopped counting a walk may bring."""
PAGES_BEYOND = 2
"""Pages that a walk may bring besides, of records that came to be meanwhile."""
LONGEST_PAGE = 10_000
"""Records of one answer; 100 to 200 are asked for."""
SMALLEST_PAGE = 10
"""Records that a whole page has at least, where a server gives fewer than were asked for."""
MOST_OF_WHOLE = 1_000_000
"""Records of one answer of a list that comes whole."""
LONGEST_CURSOR = 4_096
"""Characters; a longer one finds no room in an address."""
OFFSET = "offset "
"""Begins a place that counts the records before it, where others are the server's own cursors."""


_UNKNOWN = re.compile(
    r"\b(unknown|unrecogni[sz]ed|unsupported|unexpected)\b|\bnot (known|supported|allowed)\b",
    re.IGNORECASE,
)
"""In the refusal of a parameter: the server does not know it, whatever its value."""


class _ListEnvelope(msgspec.Struct, rename={"damaged": "blsync: damaged"}):
    data: list[msgspec.Raw]
    damaged: list[bytes] = []
    """In a page of our own: records that are no JSON."""


class _Identified(msgspec.Struct):
    id: str


_LIST = msgspec.json.Decoder(_ListEnvelope)
_IDENTIFIED = msgspec.json.Decoder(_Identified)


class Paging(StrEnum):
    """How a list goes on behind a page, where that is not by the server's own cursors."""

    NEXT_OFFSET = "nextOffset"
    """It tells the offset of the next page."""
    OFFSET = "offset"
    """It tells nothing, and takes an offset."""
    LAST_ID = "the last id as cursor"
    """It tells nothing, and takes the last record's id for a cursor."""
    WHOLE = "whole lists"
    """It tells nothing and is always whole, whatever `limit` says."""
    ONE_PAGE = "one page"
    """It tells nothing, and what does not fit into one page cannot be asked for."""


BY_OFFSET = (Paging.NEXT_OFFSET, Paging.OFFSET)
"""Ways in which a record that vanishes, or moves, shifts all that lie behind it."""


@dataclass(frozen=True)
class PageStyle:
    """How a list pages, and how many records a whole page of it has where that was seen."""

    paging: Paging
    size: int

    def __str__(self) -> str:
        return f"{self.paging}, {self.size} a page" if self.size else str(self.paging)

    @classmethod
    def read(cls, text: str) -> PageStyle | None:
        """Return the style that was written as text; None where it is none."""
        name, _, rest = text.partition(", ")
        if name not in set(Paging):
            return None
        return cls(Paging(name), int(rest.split()[0]) if rest else 0)


@dataclass(frozen=True)
class Page:
    """One page of a list: the records' bytes as they came."""

    body: bytes
    records: list[msgspec.Raw]
    next_cursor: str | None
    limit: int | None
    total: int | None
    request_id: str
    at: datetime
    paging: Paging | None = None
    """How the list goes on; None: by the server's own cursors, or it says that this was all."""
    is_untold: bool = False
    """Whether it came without `pagination`."""


def records_of(body: bytes) -> list[msgspec.Raw]:
    """Return the records of a list answer, each as the bytes that came, damaged ones too.

    Raises MsgspecError where the answer is no list, Torn where it cannot be taken apart.
    """
    try:
        page = _LIST.decode(body)
        return page.data + list(map(msgspec.Raw, page.damaged))
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        records = take_apart(body).records
    if records is None:
        raise msgspec.ValidationError("data is not a list")
    return list(map(msgspec.Raw, records))


def body_of(records: Sequence[msgspec.Raw]) -> bytes:
    """Return a list answer of these records alone, of which `records_of` makes the same again.

    Those that are no JSON stand apart: put among others, where one ends could not be told.
    """
    are_whole = [is_json(record) for record in records]
    data = b",".join(map(bytes, compress(records, are_whole)))
    damaged = [
        bytes(record) for record, is_whole in zip(records, are_whole, strict=True) if not is_whole
    ]
    apart = b',"blsync: damaged":' + msgspec.json.encode(damaged) if damaged else b""
    return b'{"data":[%b]%b}' % (data, apart)


def smaller_limit(error: ApiError, asked: int) -> int | None:
    """Return the page size to try next where the server refused `limit`, or gave a page that is
    too large or breaks off; None: it did neither. 0 is to ask for none: of a server that does not
    know the word, or takes no number.
    """
    usual = max((n for n in SMALLER_LIMITS if n < asked), default=None)
    if isinstance(error, TooLarge | Torn):
        return usual
    if error.status not in (400, 422) or not asked:
        return None
    texts = [str(error), *(str(value) for d in error.details for value in d.values())]
    if not any(re.search(r"\blimit\b", text, re.IGNORECASE) for text in texts):
        return None
    if any(_UNKNOWN.search(text) for text in texts):
        return 0
    named = [int(n) for text in texts for n in re.findall(r"(?<![\w.-])\d{1,4}(?![\w-])", text)]
    return max((n for n in named if 1 < n < asked), default=usual or 0)


def page_of(
    path: str,
    answer: Answer,
    limit: int = 0,
    offset: int = 0,
    style: PageStyle | None = None,
    *,
    has_cursor: bool = False,
) -> Page:
    """Return the page that a list answered. Raises ServerFault where it is none.

    `limit` is what was asked for, `offset` how many records lie before it where that is known, and
    `style` how the list pages as far as that was seen: it is what a page without `pagination` is
    read by. Such a page whose list has no known style names a place to try: the offset behind it.
    Where a cursor of the server's own led to it (`has_cursor`), it cannot be without.
    """

    def fault(what: str) -> ServerFault:
        return ServerFault(
            f"GET {path}: {what}. Tell the vendor, quoting request {answer.request_id}.",
            request_id=answer.request_id,
        )

    try:
        records = records_of(answer.body)
    except UNUSABLE:
        raise fault("the answer's data is not a list") from None
    longest = max(LONGEST_PAGE, MOST_OF_WHOLE if answer.pagination is None else 0)
    if len(records) > longest:
        raise fault(f"one answer has {len(records):,} records, more than {longest:,}")
    told = answer.pagination
    behind = offset + len(records)
    paging: Paging | None = None
    if told is None:
        if has_cursor and not (style and style.paging == Paging.LAST_ID):
            raise fault("the list does not say any more whether there is more")
        paging, cursor = _untold_place(records, limit, behind, style)
    else:
        paging, cursor = _told_place(told, behind, fault)
    if cursor is not None and (len(cursor) > LONGEST_CURSOR or "\0" in cursor):
        raise fault("the server gives a cursor that no address can hold")
    if cursor is not None and holds_secret(cursor):
        raise fault(
            "the cursor that the server gave holds this program's credentials, so it is neither "
            "kept nor sent back"
        )
    return Page(
        answer.body,
        records,
        cursor,
        _count(told.limit) if told else None,
        _count(told.total) if told else None,
        answer.request_id,
        answer.at,
        paging,
        told is None,
    )


def _told_place(
    told: Pagination, behind: int, fault: Callable[[str], ServerFault]
) -> tuple[Paging | None, str | None]:
    """Return where a list goes on by its `pagination`, None where it says that this was all."""
    has_more = _told(told.has_more, bool)
    cursor, offset = _told(told.next_cursor, str | int), _count(told.next_offset)
    if has_more is None:
        total = _count(told.total)
        if told.has_more != ABSENT or (cursor is None and offset is None and total is None):
            raise fault("the list does not say whether there is more")
        has_more = bool(cursor) or offset is not None or behind < (total or 0)
    if not has_more:
        return None, None
    if cursor not in (None, ""):
        return None, str(cursor)
    if offset is not None:
        return Paging.NEXT_OFFSET, f"{OFFSET}{offset}"
    if told.next_cursor == told.next_offset == ABSENT:  # it knows neither word
        return Paging.NEXT_OFFSET, f"{OFFSET}{behind}"
    raise fault("the server says that there is more but gives no cursor to it")


def _untold_place(
    records: Sequence[msgspec.Raw], limit: int, behind: int, style: PageStyle | None
) -> tuple[Paging | None, str | None]:
    """Return where a list goes on that says nothing of it; None where this was all."""
    if not records or (style and style.paging == Paging.WHOLE):
        return (style.paging if style else None), None
    if len(records) < min(filter(None, (limit, style.size if style else 0)), default=1):
        is_cut = style is None and may_be_whole_page(len(records))
        if not is_cut:
            return (style.paging if style else None), None
    if style and style.paging == Paging.LAST_ID:
        return style.paging, id_of(records[-1])
    return (style.paging if style else None), f"{OFFSET}{behind}"


def may_be_whole_page(count: int) -> bool:
    """Tell whether so few records may be all that a server gives at once, though more were asked
    for: such sizes are round.
    """
    return count >= SMALLEST_PAGE and count % 5 == 0


def id_of(record: Payload) -> str | None:
    """Return a record's id; None where it has none that can be read."""
    try:
        return _IDENTIFIED.decode(record).id
    except UNTYPED:
        return None


def offset_in(cursor: str | None) -> int | None:
    """Return the offset that a place in a list names; None where it is a cursor, or none."""
    count = (cursor or "").removeprefix(OFFSET)
    return int(count) if count != cursor and count.isdecimal() else None


def _told(raw: msgspec.Raw, kind: Any) -> Any:
    """Return what the server told, of that kind, be it written as text; None where it is not."""
    try:
        return msgspec.json.decode(raw, type=kind, strict=False)
    except UNUSABLE:
        return None


def _count(raw: msgspec.Raw) -> int | None:
    """Return a count that the server told; None where it cannot be one."""
    count = _told(raw, int)
    return count if count is not None and 0 <= count <= MOST_NUMBER else None


@dataclass
class WalkProgress:
    """What a walk has brought, and when that is more than its list can have.

    A list that does not end would take every request that the key has. It is the server's fault
    where a cursor comes twice; where page after page brings nothing new; and where more came than
    the total says, beyond what can have changed while it was read.
    """

    path: str
    cursors: set[str | None]
    records: int = 0
    new: int = 0
    stale: int = 0
    _seen: Fingerprints = field(default_factory=Fingerprints)

    def begin_anew(self) -> None:
        """Let places come again: the walk has gone back."""
        self.cursors.clear()

    def check_cursor(self, page: Page) -> None:
        """Raise ServerFault where a page's cursor was there before."""
        if page.next_cursor is not None and page.next_cursor in self.cursors:
            raise self._fault("the server gave the same cursor twice", page)
        self.cursors.add(page.next_cursor)

    def check_end(self, page: Page, limit: int) -> None:
        """Count a page that promises more. Raises ServerFault where there can be no more."""
        # Without a total only what is another record counts, not another version of one.
        marks: list[Payload] = [*page.records]
        if page.total is None:
            marks = [mark_of(record) for record in page.records]
        new = sum(self._seen.add(marks)) if marks else 0
        self.records += len(page.records)
        self.new += new
        self.stale = 0 if new else self.stale + 1
        if self.stale >= STALE_PAGES:
            raise self._fault(f"{self.stale} pages in a row brought nothing new", page)
        beyond = PAGES_BEYOND * max(limit, len(page.records))
        if page.total is None:
            return
        most = MOST_OF_TOTAL * page.total + beyond
        if _may_be_cap(page.total):
            most = MOST_OF_CAP * page.total
        if self.new > most:
            raise self._fault(f"the list has {page.total:,} records as its total says", page)

    def _fault(self, what: str, page: Page) -> ServerFault:
        return ServerFault(
            f"GET {self.path}: {what}, but more is promised after {self.records:,} records "
            f"({self.new:,} of them different), so the list cannot be read to its end. Tell the "
            f"vendor, quoting request {page.request_id}.",
            request_id=page.request_id,
        )


def _may_be_cap(total: int) -> bool:
    """Tell whether a total may stand for so many records or more: such are round, or one less."""
    return total >= SMALLEST_CAP and (total % SMALLEST_CAP in (0, SMALLEST_CAP - 1))


def mark_of(record: Payload) -> Payload:
    """Return what tells a record from others in whatever version: its id, else all of it."""
    key = id_of(record)
    return record if key is None else key.encode()
