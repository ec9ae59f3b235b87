"""Records that rows refer to: each has to exist, and may be named in more ways than by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from blsync.api.client import Client
from blsync.ledger import Ledger, plans
from blsync.ledger.plans import Problem
from blsync.push.endpoint import Endpoint, Json, Reference
from blsync.push.lookup import RecordIndex, look_up, read_in_full
from blsync.push.plan.validate import ParsedRow, line_told, problem
from blsync.text.natural_keys import normal_form

Near = Callable[[str, str], list[str]]


def _none_near(_: str, __: str) -> list[str]:
    return []


Parents = Mapping[str, tuple[str, bool]]
"""Natural key, in normal form, of what plans did not create yet → the plan, and whether it was
rejected there."""


async def resolve(
    client: Client,
    ledger: Ledger,
    endpoint: Endpoint,
    rows: list[ParsedRow],
    near: Near = _none_near,
) -> list[ParsedRow]:
    """Put ids in the place of other names, and tell which rows refer to what is not there.

    `near` returns, for a column and a value that nobody has, the known ones that are most like it.
    A row whose customer is still to be created by another plan is blocked. Raises ApiError.
    """
    for reference in endpoint.references:
        known = await _known(client, reference, endpoint, rows)
        parents = _parents(ledger, client.company.company_id, reference)
        rows = [_resolved(row, endpoint, reference, (known, parents), near) for row in rows]
    return [_with_parts(endpoint, row) for row in rows]


async def _known(
    client: Client, reference: Reference, endpoint: Endpoint, rows: Iterable[ParsedRow]
) -> RecordIndex:
    known = RecordIndex()
    holders = [holder for row in rows for holder in _holders(endpoint, reference, row)]
    for column, identifier in reference.columns.items():
        values = [str(value) for holder in holders if (value := _at(holder, column))]
        await look_up(client, reference.listing, identifier, values, known)
    await read_in_full(client, reference.listing, known, reference.needed)
    return known


def _parents(ledger: Ledger, company_id: str, reference: Reference) -> Parents:
    name = {"customer": "customers", "supplier": "suppliers"}.get(reference.listing.record)
    return plans.not_created(ledger, company_id, name) if name else {}


def _resolved(
    row: ParsedRow,
    endpoint: Endpoint,
    reference: Reference,
    there: tuple[RecordIndex, Parents],
    near: Near,
) -> ParsedRow:
    known, parents = there
    problems: list[Problem] = []
    blocked: Problem | None = row.blocked
    found: dict[str, Json] = {}
    names: dict[str, str] = {}
    filled = list(row.filled or [{}] * len(row.data.get(endpoint.lines or "") or []))
    data = _copy(row.data, endpoint.lines)
    for index, holder in enumerate(_holders(endpoint, reference, replace(row, data=data))):
        given = {c: str(v) for c in reference.columns if (v := _at(holder, c))}
        if not given:
            continue
        place = f"{endpoint.lines}[{index}]." if reference.in_lines else ""
        records = _matching(reference, known, given)
        column = next(iter(given))
        if len(records) == 1:
            for other in reference.columns:
                _drop(holder, other)
            holder[reference.field] = records[0]["id"]
            found[reference.field] = records[0]
            if name := reference.listing.title(records[0]):
                names[place + reference.field] = name
            if reference.in_lines and reference.filled:
                filled[index] = reference.filled(records[0], row.found)
        elif parent := _parent(reference, place + column, given.values(), parents):
            blocked = parent
        else:
            told = place + column
            if reference.in_lines:
                told = line_told(told, index, row.lines_at)
            problems.append(_trouble(endpoint, reference, (place, told), given, (records, near)))
    return replace(
        row,
        data=data,
        found={**row.found, **found},
        names={**row.names, **names},
        filled=tuple(filled),
        problems=(*row.problems, *problems),
        blocked=blocked,
    )


def _matching(reference: Reference, known: RecordIndex, given: Mapping[str, str]) -> list[Json]:
    """Return the records that have every one of the given identifiers."""
    columns = reference.columns
    found = [known.find(columns[column], value) for column, value in given.items()]
    ids = set.intersection(*({record["id"] for record in records} for records in found))
    return [record for record in found[0] if record["id"] in ids]


def _trouble(
    endpoint: Endpoint,
    reference: Reference,
    places: tuple[str, str],
    given: Mapping[str, str],
    found: tuple[list[Json], Near],
) -> Problem:
    records, near = found
    column, value = next(iter(given.items()))
    place, first = places
    is_personal = column.partition(".")[0] in endpoint.personal
    told = " and ".join((first, *(place + name for name in [*given][1:])))
    told += "" if is_personal else f" {value[:40]!r}"
    rule = f"must name one {reference.listing.record} that BigLedger has"
    if records:
        message = f"{told} {rule}; {len(records)} have it, so name one by its id"
        return problem("CONFLICT", place + column, message)
    cure = "mend it, or create that record first"
    # Of persons no other one is told: who reads the message may not be whose sheet it is.
    if not is_personal and (names := near(column, value)):
        cure = f"the nearest known are {', '.join(map(repr, names))}; {cure}"
    return problem("NOT_FOUND", place + column, f"{told} {rule}; none has it: {cure}")


def _parent(
    reference: Reference, column: str, values: Iterable[str], parents: Parents
) -> Problem | None:
    """Tell that a row has to wait for the plan that was to create what it refers to."""
    found = next((parents[v] for v in map(normal_form, values) if v in parents), None)
    if found is None:
        return None
    plan_id, is_rejected = found
    record = reference.listing.record
    if is_rejected:
        message = f"the {record} was rejected in plan {plan_id}; mend it there first"
        return problem("PARENT_REJECTED", column, f"{message}, then plan this file again")
    message = f"the {record} is created by plan {plan_id}, which is not applied to its end yet"
    cure = f"run push apply {plan_id}, then plan this file again"
    return problem("PARENT_PENDING", column, f"{message}; {cure}")


def _with_parts(endpoint: Endpoint, row: ParsedRow) -> ParsedRow:
    return replace(row, key=" ".join(filter(None, (row.key, *map(row.values, endpoint.parts)))))


def _holders(endpoint: Endpoint, reference: Reference, row: ParsedRow) -> Iterator[Json]:
    """Yield the objects of a row that hold the reference: itself, or each of its lines."""
    if not reference.in_lines:
        yield row.data
        return
    yield from row.data.get(endpoint.lines or "") or []


def _copy(data: Json, lines: str | None) -> Json:
    copied = {n: dict(v) if isinstance(v, dict) else v for n, v in data.items()}
    if lines and lines in data:
        copied[lines] = [dict(line) for line in data[lines]]
    return copied


def _at(holder: Json, column: str) -> Any:
    head, dot, rest = column.partition(".")
    value = holder.get(head)
    return value.get(rest) if dot and isinstance(value, dict) else None if dot else value


def _drop(holder: Json, column: str) -> None:
    head, dot, rest = column.partition(".")
    if dot and isinstance(holder.get(head), dict):
        holder[head].pop(rest, None)
        if not holder[head]:
            del holder[head]
    elif not dot:
        holder.pop(head, None)
