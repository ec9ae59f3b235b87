"""An answer, row by row: results come in any order, and the dialect tells whose each is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from blsync.api.exchange import said
from blsync.errors import ApiError
from blsync.lake.splitting import is_json, legible
from blsync.ledger.plans import Operation, Problem, RowOutcome
from blsync.ledger.states import Action, AttemptOutcome, OperationState
from blsync.personal_data import without_words
from blsync.push.compare import from_text
from blsync.push.dialects import ROLLED_BACK, Reader, by_index
from blsync.push.endpoint import Endpoint, Json
from blsync.push.lookup import usable_id
from blsync.push.plan.validate import problem
from blsync.redaction import redact_all

MAY_BE_ONE_ROW = (400, 409, 413, 422)
"""Statuses of a request that was refused as a whole, perhaps for one bad row. Nothing was done."""
_TAKEN = re.compile(r"already (exists|in use|taken)", re.IGNORECASE)
_TAKEN_CODES = ("DUPLICATE_VALUE", "CONFLICT", "DUPLICATE_RECORD", "INVALID_SUPPLIER_INVOICE")


def outcomes_of(
    endpoint: Endpoint, sent: Sequence[Operation], data: msgspec.Raw, read: Reader = by_index
) -> tuple[list[RowOutcome], int]:
    """Return what became of each row that was sent, and how many results belong to no row.

    A row whose result is missing, there twice or unreadable is held; the others stand. So are all
    rows where the answer cannot be believed.
    """
    told = read(answer_of(data), len(sent))
    if told.why_not:
        return [unanswered(row, told.why_not) for row in sent], 0
    outcomes = [
        _outcome(endpoint, row, told.by_place.get(place, [])) for place, row in enumerate(sent)
    ]
    return outcomes, told.strays


def unanswered(row: Operation, why: str) -> RowOutcome:
    """Return that nobody knows yet what became of a row."""
    return RowOutcome(row.row, OperationState.HELD, AttemptOutcome.HELD, error=held(why))


def is_taken(operation: Operation, error: Problem | None) -> bool:
    """Tell whether a create was refused because its record is there already."""
    return (
        operation.action == Action.CREATE
        and error is not None
        and (error["code"] in _TAKEN_CODES or bool(_TAKEN.search(error["message"] or "")))
    )


def refusal(endpoint: Endpoint, operation: Operation, error: ApiError) -> RowOutcome:
    """Return what a refusal of a whole request tells of the one row that it held."""
    told = {"code": error.code, "message": str(error), "details": error.details}
    return _rejected(endpoint, operation, told)


def held(why: str) -> Problem:
    """Word that nobody knows yet what became of a row."""
    message = f"{why}; it may or may not have been done. Run push apply on the same plan later"
    return problem("UNANSWERED", None, f"{message}: it looks first, and sends nothing twice")


def answer_of(data: msgspec.Raw) -> Json:
    """Return what an answer says; empty where it cannot be read."""
    try:
        # One word of one row that is damaged holds none of the others.
        answer = from_text(data if is_json(data) else msgspec.Raw(legible(bytes(data))))
    except msgspec.MsgspecError:
        answer = None
    return answer if isinstance(answer, dict) else {}


def _outcome(endpoint: Endpoint, row: Operation, results: list[Json]) -> RowOutcome:
    if len(results) != 1:
        why = "the answer tells of this row more than once" if results else "the answer left it out"
        return unanswered(row, why)
    result = results[0]
    if result.get("success") is False:
        outcome = _rejected(endpoint, row, result.get("error"))
        if str((outcome.error or {}).get("code")).casefold() == ROLLED_BACK:
            return unanswered(row, "BigLedger says that it took the row back with its batch")
        return _gone(row, outcome) or outcome
    record = result.get("data")
    remote_id = usable_id(record.get("id")) if isinstance(record, dict) else None
    is_ours = row.remote_id in (None, remote_id or row.remote_id)
    if result.get("success") is True and is_ours and (remote_id or row.remote_id):
        return RowOutcome(
            row.row,
            OperationState.APPLIED,
            AttemptOutcome.APPLIED,
            remote_id=str(remote_id or row.remote_id),
        )
    return unanswered(row, "the answer does not name the record")


def _gone(row: Operation, refused: RowOutcome) -> RowOutcome | None:
    """Return that a delete is done where BigLedger says that it has no such record (any more)."""
    code = str((refused.error or {}).get("code"))
    if row.action != Action.DELETE or not code.endswith("NOT_FOUND"):
        return None
    return RowOutcome(row.row, OperationState.APPLIED, AttemptOutcome.ADOPTED, refused=code)


def _rejected(endpoint: Endpoint, row: Operation, error: Any) -> RowOutcome:
    """Return that a row was refused; a create's with the id of the record that is in its way, where
    the server names it.
    """
    told = error if isinstance(error, dict) else {}
    named = (usable_id(detail.get("existingId")) for detail in (*_details(told), told))
    existing = next(filter(None, named), None) if row.action == Action.CREATE else None
    return RowOutcome(
        row.row,
        OperationState.REJECTED,
        AttemptOutcome.REJECTED,
        remote_id=existing,
        error=_problem(endpoint, row, error),
    )


def _details(told: Json) -> list[Json]:
    details = told.get("details")
    listed = details if isinstance(details, list) else [details]
    return [detail for detail in listed if isinstance(detail, dict)]


def _says_taken(told: Json) -> bool:
    return told.get("code") in _TAKEN_CODES or bool(_TAKEN.search(str(told.get("message") or "")))


def _problem(endpoint: Endpoint, row: Operation, error: Any) -> Problem:
    """Take over the server's words: its first detail where it has one, as that names the field.

    That something exists already is a conflict, whatever code it comes with, and goes before all
    else that is wrong.
    """
    told = redact_all(error) if isinstance(error, dict) else {}
    details = _details(told)
    detail = next((d for d in details if _says_taken(d)), next(iter(details), {}))
    code = detail.get("code") or told.get("code") or "REJECTED"
    if code not in _TAKEN_CODES and (_says_taken(detail) or _says_taken(told)):
        code = "CONFLICT"
    message = detail.get("message") or told.get("message") or "BigLedger gave no reason"
    field = detail.get("field")
    told_of = said(str(field)) if field else None
    return problem(said(str(code), 100), told_of, said(_masked(endpoint, row, str(message))))


def _masked(endpoint: Endpoint, row: Operation, message: str) -> str:
    """Take the row's personal data out of the server's words."""
    body = from_text(row.body)
    words = {row.natural_key}
    for name in endpoint.personal & body.keys():
        value = body[name]
        words |= {str(v) for v in (value.values() if isinstance(value, dict) else [value]) if v}
    return without_words(message, words)
