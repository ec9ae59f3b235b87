"""Changes behind the books' back: what a pull must notice and no business brings about."""

from __future__ import annotations

import math
import random

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import bad_request, not_found
from blsync.sandbox.books.fields import ENTITIES
from blsync.sandbox.books.values import Record
from blsync.sandbox.http.query import Listing
from blsync.sandbox.writes.request_fields import Form

ODD = "cust_odd%"
"""The customers that `odd-records` adds; the books do not know them."""
HARMLESS = {
    "customers": "website",
    "invoices": "notes",
    "items": "description",
    "stock": "binLocation",
    "accounts": "description",
}
"""The kinds that have updatedAt, and a text of theirs that nothing depends on."""
UNUSED = {"accounts": "id not in (select account_id from journal_lines)"}
"""Which records may be chosen for deleting where the books could not go on without others."""
MOVEMENTS = {
    "journal_entries": "journal_lines where entry_id = ?1",
    "invoices": "receivable_moves where invoice_id = ?1",
    "stock": "stock_moves where item_id || '|' || location_id = ?1",
}
"""What is deleted along with a record, so that the reports say what the records say."""


def chosen(books: Books, form: Form, condition: str = "1") -> tuple[str, list[str]]:
    """Read which records a control request means: entity, and ids in a random order.

    They are given as ``ids`` or drawn with ``seed``: ``count`` or a ``share`` of all. Raises
    ApiError 400, 404 or 422.
    """
    entity = form.text("entity", required=True, choices=tuple(ENTITIES))
    ids, count = form.part("ids", list), form.whole("count", 0, 10**9)
    share, seed = form.number("share", least=0, most=1, decimals=6), form.whole("seed", 0, 2**31)
    form.check()
    if entity is None or sum(given is not None for given in (ids, count, share)) != 1:
        raise bad_request("Say entity, and one of ids, count and share")
    books.save()
    if ids is not None:
        sql = f"select 1 from {entity} where id = ?"  # noqa: S608 - a known name
        for key in ids:
            if not isinstance(key, str) or not books.store.query(sql, key):
                raise not_found(ENTITIES[entity].resource, key)
        return entity, list(ids)
    sql = f"select id from {entity} where {condition} and id not like '{ODD}' order by id"  # noqa: S608
    keys = [key for (key,) in books.store.query(sql)]
    wanted = math.ceil(share * len(keys)) if share is not None else count or 0
    if wanted > len(keys):
        raise bad_request(f"There are {len(keys)} {entity} to choose from", "count", wanted)
    books.counters["tamperings"] += 1
    number = books.counters["tamperings"] if seed is None else seed
    return entity, random.Random(f"tampering {number}").sample(keys, wanted)


def delete(books: Books, form: Form) -> Record:
    """Delete records for good, whatever refers to them."""
    entity, keys = chosen(books, form, UNUSED.get(str(form.data.get("entity")), "1"))
    for key in keys:
        books.store.delete(entity, key)
        if entity in MOVEMENTS:
            books.store.connection.execute(f"delete from {MOVEMENTS[entity]}", (key,))  # noqa: S608
    gone = set(keys)
    for (kind, _), taken in books.taken.items():
        if kind == entity != "accounts":  # what has a role is looked for by its number
            for value in [value for value, key in taken.items() if key in gone]:
                del taken[value]
    return {"entity": entity, "ids": keys}


def touch(books: Books, form: Form) -> Record:
    """Move records' change times to now, each to its own, and change a harmless text."""
    entity, keys = _touchable(books, form)
    for key in keys:
        now = books.tick()
        record = books.find(entity, key)
        record[HARMLESS[entity]] = f"touched {now}"
        books.touch(entity, key, record)
    books.save()
    return {"entity": entity, "ids": keys}


def tie(books: Books, form: Form) -> Record:
    """Give records one and the same change time, now."""
    entity, keys = _touchable(books, form)
    books.tick()
    for key in keys:
        books.touch(entity, key, books.find(entity, key))
    books.save()
    return {"entity": entity, "ids": keys}


def churn(books: Books, listing: Listing, total: int) -> None:
    """Move the change time of one of the records that a list request finds."""
    entity = listing.entity.name
    if entity not in HARMLESS or not total:
        return
    books.counters["tamperings"] += 1
    place = random.Random(f"churn {books.counters['tamperings']}").randrange(total)
    rows = books.store.query(
        f"select id from {entity} where {listing.where}"  # noqa: S608 - known names
        f" and id not like '{ODD}' order by id limit 1 offset {place}",
        *listing.parameters,
    )
    for (key,) in rows:
        books.tick()
        books.touch(entity, key, books.find(entity, key))
    books.save()


def _touchable(books: Books, form: Form) -> tuple[str, list[str]]:
    entity, keys = chosen(books, form)
    if entity not in HARMLESS:
        raise bad_request(f"{entity} have no updatedAt to move", "entity", entity)
    return entity, keys
