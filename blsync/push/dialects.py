"""The two ways in which operations are put into one request and told apart in its answer.

`bulk` has a row's id beside its data and matches results by their place in the request; `batch` has
the id inside the data, gives each row a reference of its own and matches by that, and takes more
rows at once (bigledger-api.md, sections 6 and 15). Nothing else of a push depends on which it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from blsync.errors import ConfigError
from blsync.ledger.plans import Operation
from blsync.ledger.states import SENDS, Action, OperationState
from blsync.push.compare import from_text, to_text
from blsync.push.endpoint import Endpoint, Json, Terms
from blsync.push.endpoints import ENDPOINTS, EVERY
from blsync.push.plan.validate import problem
from blsync.settings import Settings

MOST_AT_ONCE = 100
"""Rows of a batch that is answered at once; of more, a job is made."""
MOST_JOBS = 3
"""Jobs of a company that BigLedger works at together."""
ROLLED_BACK = "rolled_back"
"""Status of a batch of which nothing is said to have stayed."""


@dataclass(frozen=True)
class Told:
    """What an answer tells: the results of each row that was sent, by its place, and how many
    belong to no row.

    `why_not` says why it tells nothing of any row.
    """

    by_place: Mapping[int, list[Json]] = field(default_factory=dict)
    strays: int = 0
    why_not: str = ""


Reader = Callable[[Json, int], Told]
"""Takes an answer and how many rows were sent."""


@dataclass(frozen=True)
class PushDialect:
    """How operations go out in one request, and how its answer is read.

    `body` and `reader` are given the rows and the id that the ledger has of their sending. Where
    `is_paced`, requests have limits of their own beside the hour's.
    """

    name: str
    terms: Callable[[Endpoint], Terms | None]
    body: Callable[[Sequence[Operation], str], Json]
    reader: Callable[[Sequence[Operation], str], Reader]
    is_paced: bool


def by_index(answer: Json, size: int) -> Told:
    """Tell results apart by `index`; those of no row are counted, and the others stand."""
    found: dict[int, list[Json]] = defaultdict(list)
    strays = 0
    for result in _results(answer):
        index = result.get("index") if isinstance(result, dict) else None
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < size:
            found[index].append(result)
        else:
            strays += 1
    return Told(found, strays)


def by_reference(references: Sequence[str], answer: Json, _: int) -> Told:
    """Tell results apart by `referenceId`. One that nobody sent, or that comes twice, shows that
    the server does not keep them apart, and then its answer tells nothing of any row.
    """
    if answer.get("status") == ROLLED_BACK:
        return Told(why_not="BigLedger says that it took the whole batch back")
    places = {reference: place for place, reference in enumerate(references)}
    found: dict[int, list[Json]] = {}
    for result in _results(answer):
        told = result.get("referenceId") if isinstance(result, dict) else None
        place = places.get(told) if isinstance(told, str) else None
        if place is None:
            return Told(why_not="the answer has a referenceId that was not sent")
        if place in found:
            return Told(why_not="the answer has a referenceId twice")
        found[place] = [result]
    return Told(found)


def _results(answer: Json) -> list[Any]:
    results = answer.get("results")
    return results if isinstance(results, list) else []


def references_of(rows: Iterable[Operation], batch_id: str) -> list[str]:
    """Return the references of rows that are sent together: no two sendings share one."""
    return [f"{batch_id}-{row.row}" for row in rows]


def batch_body(
    rows: Sequence[Operation], references: Iterable[str], *, validate_only: bool = False
) -> Json:
    """Return what a batch sends. All four options are said: what they are by default is not
    documented.
    """
    operations = [
        {
            "operation": row.action,
            "referenceId": reference,
            "data": {
                **({} if row.action == Action.CREATE else {"id": row.remote_id}),
                **from_text(row.body),
            },
        }
        for row, reference in zip(rows, references, strict=True)
    ]
    options = {
        "continueOnError": True,
        "validateOnly": validate_only,
        "async": len(rows) > MOST_AT_ONCE and not validate_only,
        "rollbackOnError": False,
    }
    return {"operations": operations, "options": options}


def _bulk_body(rows: Sequence[Operation], _: str) -> Json:
    operations = [
        {"operation": row.action}
        | ({} if row.action == Action.CREATE else {"id": row.remote_id})
        | {"data": msgspec.Raw(row.body.encode())}
        for row in rows
    ]
    return {"operations": operations}


def encoded(body: Json) -> msgspec.Raw:
    """Return a body as it is sent, each figure with just its own digits."""
    return msgspec.Raw(to_text(body).encode())


BULK = PushDialect(
    name="bulk",
    terms=lambda endpoint: endpoint.bulk,
    body=_bulk_body,
    reader=lambda _, __: by_index,
    is_paced=False,
)
BATCH = PushDialect(
    name="batch",
    terms=lambda endpoint: endpoint.batch,
    body=lambda rows, batch_id: batch_body(rows, references_of(rows, batch_id)),
    reader=lambda rows, batch_id: partial(by_reference, references_of(rows, batch_id)),
    is_paced=True,
)
DIALECTS = {dialect.name: dialect for dialect in (BULK, BATCH)}


def dialect_of(settings: Settings) -> PushDialect:
    """Return how the settings say that changes are sent."""
    return DIALECTS[settings.push_dialect]


def endpoints_of(settings: Settings) -> Mapping[str, Endpoint]:
    """Return the endpoints that the settings' dialect has, what others refer to first."""
    return ENDPOINTS if dialect_of(settings) is BULK else EVERY


def terms_of(settings: Settings, endpoint: Endpoint) -> Terms:
    """Return what the settings' dialect takes of an endpoint. Raises ConfigError where it has none
    such.
    """
    terms = dialect_of(settings).terms(endpoint)
    if terms is None:
        raise ConfigError(
            f"{endpoint.name} are pushed in batches alone, and BLSYNC_PUSH_DIALECT is "
            f"{settings.push_dialect}. Set it to batch, then run the same command again; nothing "
            "was sent."
        )
    return terms


def check_sendable(settings: Settings, endpoint: Endpoint, rows: Iterable[Operation]) -> None:
    """Raise ConfigError where a row is to be sent that the settings' dialect does not take: it was
    planned for the other one.
    """
    terms = terms_of(settings, endpoint)
    actions = {row.action for row in rows if row.state == OperationState.PENDING}
    if lacking := [str(action) for action in SENDS if action in actions - {*terms.actions}]:
        raise ConfigError(
            f"The plan would {' and '.join(lacking)} {endpoint.name}, and {terms.path} takes only "
            f"{', '.join(terms.actions)}. Set BLSYNC_PUSH_DIALECT to "
            f"{_other(settings)} and run the same command again; nothing was sent."
        )


def reachable(
    settings: Settings, endpoint: Endpoint, operations: Iterable[Operation]
) -> list[Operation]:
    """Return operations as planned, those rejected that the settings' dialect does not take."""
    terms = terms_of(settings, endpoint)
    return [
        _out_of_reach(settings, endpoint, terms, row)
        if row.action in SENDS and row.action not in terms.actions
        else row
        for row in operations
    ]


def _out_of_reach(
    settings: Settings, endpoint: Endpoint, terms: Terms, row: Operation
) -> Operation:
    cure = "change it in BigLedger"
    other = DIALECTS[_other(settings)].terms(endpoint)
    if other and row.action in other.actions:
        cure = f"plan it with BLSYNC_PUSH_DIALECT={_other(settings)}"
    message = (
        f"{terms.path} takes only {', '.join(terms.actions)} of {endpoint.a_record}, and this row "
        f"would {row.action} it; {cure}"
    )
    return rejected(row, problem("NOT_IN_DIALECT", None, message))


def rejected(row: Operation, why: dict[str, str | None]) -> Operation:
    """Return a row that a plan keeps back for what is wrong with it."""
    return replace(
        row,
        action=Action.REJECT,
        state=OperationState.NOT_SENT,
        body="{}",
        changes="{}",
        error=why,
        before=None,
        amount=None,
        in_flight=None,
    )


def _other(settings: Settings) -> str:
    return next(name for name in DIALECTS if name != settings.push_dialect)
