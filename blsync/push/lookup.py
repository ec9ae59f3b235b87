"""What BigLedger has now, in as few requests as its filters allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize
from urllib.parse import quote

from blsync.api.client import Client
from blsync.api.dialect import Dialect, NotTaken, Query
from blsync.api.envelope import read
from blsync.api.exchange import said
from blsync.api.pages import Page
from blsync.entities import SHIPPED
from blsync.errors import ApiError, CursorRefused, ServerFault
from blsync.push.endpoint import Json, Listing
from blsync.text.natural_keys import normal_form

QUERY_BYTES = 4000
"""Length of a filter's values in the address; servers commonly refuse addresses above 8 kB."""
_REFUSED = (400, 422)
"""Statuses of a filter that the server does not know."""
_NOT_THERE = (400, 404, 405, 410)
"""Statuses of a record that is not there, or of an address that no record has."""
LONGEST_ID = 200
"""Characters of a record's id; the API's have some twenty."""


def usable_id(told: object) -> str | None:
    """Return the id that an answer names; None where it is none that can be kept, or sent back."""
    text = str(told) if isinstance(told, str | int) and not isinstance(told, bool) else ""
    return text if 0 < len(text) <= LONGEST_ID and text.isprintable() else None


@dataclass
class RecordIndex:
    """Records by each identifier: its value in normal form → records, each record once."""

    _records: dict[str, dict[str, dict[Any, Json]]] = field(default_factory=dict)

    def add(self, listing: Listing, record: Json) -> None:
        """Take in a record; a later version of it replaces an earlier one. Without an id it could
        neither be changed nor told apart, so it does not count.

        Raises ServerFault where it has an id that cannot be kept: taken for no record, it would be
        created a second time.
        """
        for row in listing.rows(record):
            if not row.get("id"):
                continue
            if usable_id(row["id"]) is None:
                raise ServerFault(
                    f"{listing.path} has a {listing.record} whose id cannot be kept: "
                    f"{said(str(row['id']), 40)}. Have it mended at BigLedger, then run the same "
                    "command again; nothing was sent for it."
                )
            one = (str(row["id"]), *(row.get(part) for part in listing.parts))
            for name in listing.identifiers:
                if row.get(name):
                    held = self._records.setdefault(name, {})
                    held.setdefault(normal_form(str(row[name])), {})[one] = row

    def all(self) -> list[Json]:
        """Return every record once."""
        by_value = self._records.get("id", {}).values()
        return [record for records in by_value for record in records.values()]

    def find(self, name: str, value: str) -> list[Json]:
        """Return the records whose identifier `name` has that value, as keys are compared."""
        return list(self._records.get(name, {}).get(normal_form(value), {}).values())


async def look_up(
    client: Client, listing: Listing, name: str, values: Iterable[str], into: RecordIndex
) -> None:
    """Read the records whose identifier `name` is one of `values`. Raises ApiError.

    A server that refuses the filter is asked for one value at a time, and one that does not know
    the field at all for the whole list.
    """
    if listing.is_sampled:
        for value in dict.fromkeys(values):
            sampled = client.pages(listing.path, {name: value, "limit": "1"})
            async with aclosing(sampled) as pages:
                if page := await anext(pages, None):
                    _take(listing, page, into)
        return
    dialect = _dialect_of(client, listing.path)
    try:
        for chunk in _chunks(listing, name, values):
            async with aclosing(dialect.among(name, chunk, limit=listing.page_limit)) as pages:
                async for page in pages:
                    _take(listing, page, into)
    except NotTaken:  # it cannot be asked for some records, so all of them are looked through
        await _read_all(client, listing, into)


async def look_up_id(client: Client, listing: Listing, record_id: str, into: RecordIndex) -> None:
    """Read one record by its own address, where the server has it. Raises ApiError."""
    try:
        answer = await client.get(f"{listing.path}/{quote(record_id, safe='')}")
    except ApiError as error:
        if error.status not in _NOT_THERE:
            raise
        return
    record: Any = read(answer.data, answer.request_id, is_mended=True)
    if isinstance(record, dict):
        into.add(listing, record)


async def read_in_full(
    client: Client, listing: Listing, index: RecordIndex, names: Collection[str]
) -> None:
    """Read each record by its own address where the list leaves out one of the fields `names`, in
    every record, and the records have it. Raises ApiError.
    """
    records = index.all()
    absent = {name for name in names if not any(name in record for record in records)}
    if not absent:
        return
    for record in records:
        await look_up_id(client, listing, str(record["id"]), index)
        full = index.find("id", str(record["id"]))
        if not any(absent & one.keys() for one in full):
            return


async def created_since(
    client: Client, listing: Listing, at: datetime, party: str | None, values: Iterable[str]
) -> RecordIndex:
    """Read the records created from `at` on, those alone whose `party` is one of `values`; where
    the server refuses such a filter, more of them. Raises ApiError.
    """
    since = {"createdAt[gte]": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    parties = [*_filters(listing, party, values)] if party else [{}]
    for filters in ([{**since, **one} for one in parties], parties, [since]):
        found = RecordIndex()
        if await _are_read(client, listing, filters, found):
            return found
    found = RecordIndex()
    await _read_all(client, listing, found)
    return found


async def _are_read(
    client: Client, listing: Listing, filters: Iterable[dict[str, str]], into: RecordIndex
) -> bool:
    """Read what each of the filters finds; tell whether the server took them all."""
    for params in filters:
        if not await _is_read(client, listing, params, into):
            return False
    return True


async def _is_read(
    client: Client, listing: Listing, params: Mapping[str, str], into: RecordIndex
) -> bool:
    """Read what a filter finds; tell whether the server took it."""
    try:
        await _read(client, listing, params, into)
    except CursorRefused:
        raise
    except ApiError as error:
        if error.status not in _REFUSED or not params:
            raise
        return False
    return True


async def _read(
    client: Client, listing: Listing, params: Mapping[str, str], into: RecordIndex
) -> None:
    async for page in client.pages(listing.path, {**params, "limit": str(listing.page_limit)}):
        _take(listing, page, into)


async def _read_all(client: Client, listing: Listing, into: RecordIndex) -> None:
    whole = _dialect_of(client, listing.path).pages(Query(listing.path, listing.page_limit))
    async with aclosing(whole) as pages:
        async for page in pages:
            _take(listing, page, into)


def _dialect_of(client: Client, path: str) -> Dialect:
    names = (entity.name for entity in SHIPPED.values() if entity.path == path)
    return Dialect(
        client,
        next(names, path.strip("/")),
        path,
        lambda _: None,
        lambda: datetime.fromtimestamp(client.limiter.clock(), UTC),
    )


def _take(listing: Listing, page: Page, into: RecordIndex) -> None:
    for raw in page.records:
        # A record that was left out because a letter of it is damaged would be made twice.
        record: Any = read(raw, page.request_id, is_mended=True)
        if isinstance(record, dict):
            into.add(listing, record)


def _filters(listing: Listing, name: str, values: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield filters by a field's values; `in` takes a comma list and knows no escape."""
    for chunk in _chunks(listing, name, values):
        yield from ({name: value} for value in chunk if "," in value)
        if plain := ",".join(value for value in chunk if "," not in value):
            yield {f"{name}[in]": plain}


def _chunks(listing: Listing, name: str, values: Iterable[str]) -> Iterator[list[str]]:
    """Yield the values in parts that one address can hold."""
    # BigLedger may have a record's letters as they are here, or as Unicode's plain ones.
    asked = dict.fromkeys(v for value in values for v in (value, normalize("NFKC", value)))
    if name in listing.caseless:
        # Whether the filter minds the case is not documented: ask for both spellings.
        asked = dict.fromkeys(v for value in asked for v in (value, value.lower()))
    chunk: list[str] = []
    size = 0
    for value in asked:
        length = len(quote(value)) + 3
        if chunk and (len(chunk) == listing.page_limit or size + length > QUERY_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(value)
        size += length
    if chunk:
        yield chunk
