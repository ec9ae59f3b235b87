"""Changes behind the books' back: what a pull must notice and no business brings about."""

from __future__ import annotations

import math
import random

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import bad_request, not_found
from blsync.sandbox.books.values import Record
from blsync.sandbox.http.query import Listing
from blsync.sandbox.writes.request_fields import Form

ODD = "cust_odd%"
"""The customers that `odd-records` adds; the books do not know them."""


def chosen(books: Books, form: Form, *, to_delete: bool = False) -> tuple[str, list[str]]:
    """Read which records a control request means: entity, and ids in a random order.

    They are given as ``ids`` or drawn with ``seed``: ``count`` or a ``share`` of all, or where
    they are ``to_delete`` of those that may be. Raises ApiError 400, 404 or 422.
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
    condition = ENTITIES[entity].deletable if to_delete else "1"
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
    entity, keys = chosen(books, form, to_delete=True)
    _delete(books, entity, keys)
    return {"entity": entity, "ids": keys}


def _delete(books: Books, entity: str, keys: list[str]) -> None:
    movements = ENTITIES[entity].movements
    for key in keys:
        books.store.delete(entity, key)
        if movements:
            books.store.connection.execute(f"delete from {movements}", (key,))  # noqa: S608
    gone = set(keys)
    for (kind, _), taken in books.taken.items():
        if kind == entity != "accounts":  # what has a role is looked for by its number
            for value in [value for value, key in taken.items() if key in gone]:
                del taken[value]


def touch(books: Books, form: Form) -> Record:
    """Move records' change times to now, each to its own, and change a harmless text."""
    entity, keys = _touchable(books, form)
    harmless = str(ENTITIES[entity].harmless_field)
    for key in keys:
        now = books.tick()
        record = books.find(entity, key)
        record[harmless] = f"touched {now}"
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
    if not listing.entity.harmless_field or not total:
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


def vanish(books: Books, listing: Listing) -> None:
    """Delete one of the records that a list request finds and nothing depends on, if there is."""
    entity = listing.entity
    books.counters["tamperings"] += 1
    rows = books.store.query(
        f"select id from {entity.name} where ({listing.where}) and {entity.deletable}"  # noqa: S608
        f" and id not like '{ODD}' order by id",
        *listing.parameters,
    )
    if rows:
        chosen_one = random.Random(f"vanish {books.counters['tamperings']}").choice(rows)
        _delete(books, entity.name, [str(chosen_one[0])])
        books.save()


def _touchable(books: Books, form: Form) -> tuple[str, list[str]]:
    entity, keys = chosen(books, form)
    if not ENTITIES[entity].harmless_field:
        raise bad_request(f"{entity} have no updatedAt to move", "entity", entity)
    return entity, keys
