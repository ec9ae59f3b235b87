"""Reading a list's query: filters, search, sorting, place (bigledger-api.md, section 3)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from blsync.sandbox.books.errors import bad_request
from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.store import column_name
from blsync.sandbox.books.values import KUALA_LUMPUR, loads, parse_date, parse_instant
from blsync.sandbox.faults.faults import Faults
from blsync.sandbox.http.cursors import read_cursor

COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
TEXT_TESTS = {
    "contains": "instr(lower({x}), lower(?)) > 0",
    "startswith": "instr(lower({x}), lower(?)) = 1",
    "endswith": "substr(lower({x}), -length(?)) = lower(?)",
}
"""Text is looked for without regard to case, of the letters A to Z."""
OPERATORS = (*COMPARISONS, "ne", "in", "nin", *TEXT_TESTS)
OWN_PARAMETERS = ("limit", "cursor", "offset", "sort", "order", "search", "searchFields")
PARAMETER = re.compile(r"([A-Za-z][\w.]*)(?:\[(\w+)\])?")


@dataclass
class Listing:
    """A list request, read: SQL conditions with their parameters, order, place.

    ``order`` holds (field, is descending). ``after`` is the place of the cursor, empty for a
    first page; ``walked`` says how many cursors of this walk have been used, ``empties`` how
    many empty pages came before this one. With ``is_offset`` the place is a count of records.
    """

    entity: Entity
    limit: int = 50
    conditions: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    walked: int = 0
    empties: int = 0
    is_offset: bool = False
    cursor: str = ""
    signature: str = ""

    @property
    def where(self) -> str:
        """The conditions as SQL."""
        return " and ".join(self.conditions) or "1"


def expression(entity: Entity, name: str) -> str:
    """Give the SQL for a field: its column, else a look into the record's text."""
    if name in entity.columns or name == "id":
        return column_name(name)
    if name in entity.joined:
        return entity.joined[name]
    inside = f"json_extract(doc, '$.{name}')"
    return f"instant_us({inside})" if entity.fields[name] == "instant" else inside


def read_listing(
    entity: Entity,
    query: Iterable[tuple[str, str]],
    faults: Faults,
    *,
    is_by_offset: bool = False,
) -> Listing:
    """Read the query of a list, which pages by cursor or `is_by_offset`.

    Raises ApiError 400 for anything it does not know.

    Inactive accounts are left out unless the query asks for them (section 5).
    """
    pairs = list(query)
    own = {name: value for name, value in pairs if name in OWN_PARAMETERS}
    filters = [(name, value) for name, value in pairs if name not in OWN_PARAMETERS]
    listing = Listing(entity, _read_limit(own.get("limit"), entity, faults))
    for name, value in filters:
        if name in faults["refuse-filters"]:
            raise bad_request(f"Unknown filter field '{name}'", name, value)
        _add_filter(listing, name, value)
    asked = {name.partition("[")[0] for name, _ in filters}
    if entity.name == "accounts" and not asked & {"active", "isActive"}:
        _add_condition(listing, "isActive", "eq", "true")
    if "search" in own:
        _add_search(listing, own["search"], own.get("searchFields"))
    order = _read_sort(entity, own.get("sort"), own.get("order"))
    # By id, which is in no order of time.
    listing.order = [] if faults["unsorted"] else order
    listing.is_offset = faults["offset-cursors"] or is_by_offset
    bound = [sorted(filters), own.get("search"), own.get("searchFields"), listing.order]
    if listing.is_offset:
        bound.append("offset")
    listing.signature = hashlib.sha256(json.dumps(bound).encode()).hexdigest()[:12]
    if faults["late-commit"]:
        _hide_recent(listing, faults["late-commit"])
    if faults["hide"]:
        _hide_share(listing, faults["hide"])
    if own.get("cursor"):
        _read_place(listing, own["cursor"])
    if own.get("offset"):
        listing.after = [_read_offset(own["offset"])]
    return listing


def _read_place(listing: Listing, cursor: str) -> None:
    width = 1 if listing.is_offset else len(listing.order) + 1
    listing.walked, listing.empties, listing.after = read_cursor(cursor, listing.signature, width)
    listing.cursor = cursor


def _read_offset(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise bad_request("offset must be a whole number", "offset", text)
    return int(text)


def _read_limit(text: str | None, entity: Entity, faults: Faults) -> int:
    maximum = min(entity.max_limit, faults["max-limit"] or entity.max_limit)
    clamp = min(maximum, faults["clamp"] or maximum)
    if text is None:
        return min(entity.default_limit, clamp)
    allowed = bool(re.fullmatch("[0-9]{1,6}", text)) and int(text) >= 1
    if not allowed or (int(text) > maximum and not faults["clamp"]):
        raise bad_request(f"limit must be a number from 1 to {maximum}", "limit", text)
    return min(int(text), clamp)


def _hide_recent(listing: Listing, seconds: float) -> None:
    """Leave out what changed within the last seconds: it is not committed yet."""
    times = ("updatedAt",) if "updatedAt" in listing.entity.columns else ("createdAt", "postedAt")
    listing.conditions += [f"{column_name(name)} <= ?" for name in times]
    listing.parameters += [int((time.time() - seconds) * 1_000_000)] * len(times)


def _hide_share(listing: Listing, share: float) -> None:
    """Leave out that share of records, always the same ones: drawn by the end of their ids."""
    mixed = " + ".join(f"unicode(substr(id, -{n}, 1)) * {31**n}" for n in (1, 2, 3))
    listing.conditions.append(f"(({mixed}) % 1000) >= ?")
    listing.parameters.append(share * 1000)


def _add_filter(listing: Listing, parameter: str, value: str) -> None:
    """Add one filter, in the reference's spelling or in a module page's."""
    entity, match = listing.entity, PARAMETER.fullmatch(parameter)
    flag, alias = entity.flags.get(parameter), entity.condition(parameter)
    if parameter in entity.days_of_instant:
        _add_day(listing, parameter, value)
        return
    if alias:
        name, operator = alias
    elif match and (match[1] in entity.fields or flag):
        name, operator = match[1], match[2] or "eq"
    else:
        raise bad_request(f"Unknown filter field '{parameter}'", parameter, value)
    if operator not in OPERATORS:
        known = ", ".join(OPERATORS)
        raise bad_request(f"Unknown operator '{operator}'; known are {known}", parameter, value)
    try:
        if flag:
            listing.conditions.append(flag if _read_bool(value) else f"not ({flag})")
        else:
            _add_condition(listing, name, operator, value)
    except (ValueError, OverflowError, RecursionError) as error:
        kind = "bool" if flag else entity.fields[name]
        raise bad_request(f"'{value}' is not a {kind} ({error})", parameter, value) from error


def _add_day(listing: Listing, parameter: str, value: str) -> None:
    """Bound an instant by a business day, which begins at midnight in Kuala Lumpur."""
    name, operator = listing.entity.days_of_instant[parameter]
    try:
        day = date.fromisoformat(parse_date(value))
    except ValueError as error:
        raise bad_request(f"'{value}' is not a date ({error})", parameter, value) from error
    if operator == "lte":
        day += timedelta(days=1)
    midnight = datetime.combine(day, time_of_day(), KUALA_LUMPUR).isoformat()
    _add_condition(listing, name, "lt" if operator == "lte" else "gte", midnight)


def _add_condition(listing: Listing, name: str, operator: str, value: str) -> None:
    entity = listing.entity
    if entity.fields[name] == "each":
        outer, _, inner = name.partition(".")
        element = f"json_extract(value, '$.{inner}')" if inner else "value"
        test, parameters = _test(element, "text", operator, value)
        test = f"exists (select 1 from json_each(doc, '$.{outer}') where {test})"  # noqa: S608
    else:
        test, parameters = _test(expression(entity, name), entity.fields[name], operator, value)
    listing.conditions.append(test)
    listing.parameters += parameters


def _test(sql: str, kind: str, operator: str, value: str) -> tuple[str, list[Any]]:
    """Turn one condition into SQL. Raises ValueError for a value of another kind."""
    read = READERS[kind]
    if operator in TEXT_TESTS:
        if kind not in ("text", "date"):
            raise ValueError(f"{operator} looks into text only")
        template = TEXT_TESTS[operator]
        return template.format(x=sql), [value] * template.count("?")
    if operator in ("in", "nin"):
        values = [read(part.strip()) for part in value.split(",")]
        listed = f"{sql} in ({', '.join('?' * len(values))})"
        return (listed if operator == "in" else f"({sql} is null or not {listed})"), values
    if operator == "ne":
        return f"{sql} is not ?", [read(value)]
    test = f"{sql} {COMPARISONS[operator]} ?"
    if kind == "instant" and operator in ("lt", "lte"):
        test = f"({test} and {sql} >= 0)"  # an absent instant is kept as -1
    return test, [read(value)]


def _read_bool(text: str) -> int:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return int(text.lower() == "true")


def _read_number(text: str) -> float | int:
    value = loads(text)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError("a number")
    return value if isinstance(value, int) and abs(value) < 2**53 else float(value)


def _read_instant(text: str) -> int:
    if " " in text:
        raise ValueError("a space: '+' in a query is written %2B")
    return parse_instant(text)


READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "number": _read_number,
    "bool": _read_bool,
    "date": parse_date,
    "instant": _read_instant,
}


def _add_search(listing: Listing, text: str, names: str | None) -> None:
    entity = listing.entity
    fields = names.split(",") if names else entity.search
    for name in fields:
        if entity.fields.get(name) != "text":
            raise bad_request(f"Cannot search in '{name}'", "searchFields", names)
    contains = TEXT_TESTS["contains"]
    tests = " or ".join(contains.format(x=expression(entity, name)) for name in fields)
    listing.conditions.append(f"({tests})")
    listing.parameters += [text] * len(fields)


def _read_sort(entity: Entity, sort: str | None, order: str | None) -> list[tuple[str, bool]]:
    """Read `f:asc,g:desc`, or `f` with `order`; True means descending."""
    result = []
    for part in sort.split(",") if sort else []:
        name, _, direction = part.strip().partition(":")
        direction = direction or order or "asc"
        if entity.fields.get(name, "each") == "each":
            raise bad_request(f"Cannot sort by '{name}'", "sort", sort)
        if direction not in ("asc", "desc"):
            raise bad_request(f"Sort order is asc or desc, not '{direction}'", "sort", sort)
        result.append((name, direction == "desc"))
    return result
