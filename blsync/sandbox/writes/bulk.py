"""The five bulk endpoints: each record stands for itself (bigledger-api.md, section 6)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, conflict, invalid
from blsync.sandbox.books.values import Record, dumps
from blsync.sandbox.faults.faults import Faults, Strikes
from blsync.sandbox.writes import adjustments, entries, invoices, masters
from blsync.sandbox.writes.request_fields import Form

MOST_OF_NAME = 100
"""Characters of a name that the stricter pages take."""


def _pay(books: Books, data: object) -> Record:
    form = Form(data)
    invoice_id = form.text("invoiceId", required=True)
    form.check()
    return invoices.record_payment(books, invoice_id, data)


class Endpoint(NamedTuple):
    """A bulk endpoint: how many operations it takes, and what each one does."""

    entity: str
    most: int
    create: Callable[[Books, object], Record]
    update: Callable[[Books, object, object], Record] | None = None
    delete: Callable[[Books, object], Record] | None = None


ENDPOINTS = {
    "customers": Endpoint(
        "customers",
        100,
        masters.create_customer,
        masters.update_customer,
        masters.delete_customer,
    ),
    "invoices": Endpoint(
        "invoices",
        50,
        invoices.create_invoice,
        invoices.update_invoice,
        invoices.delete_invoice,
    ),
    "inventory-adjustments": Endpoint("stock_adjustments", 200, adjustments.adjust_one),
    "journal-entries": Endpoint(
        "journal_entries",
        100,
        entries.create_entry,
        entries.update_entry,
        entries.delete_entry,
    ),
    "payments": Endpoint("invoices", 100, _pay),
}


def run(books: Books, name: str, body: Record, faults: Faults, strikes: Strikes) -> Record | None:
    """Carry out a bulk request, on the running loop; None where the connection is to close.

    Raises ApiError 422 if there are too many operations, or none, and what `poison` asks for.
    """
    endpoint = ENDPOINTS[name]
    operations = read_operations(endpoint, body)
    operations = struck_before(books, operations, faults)
    if strikes.by("late-write"):
        later, loop = faults["late-write"], asyncio.get_running_loop()
        loop.call_later(later, _commit, books, endpoint, operations, strikes)
        return None
    if strikes.by("part"):
        _commit(books, endpoint, operations[: len(operations) // 2], strikes)
        return None
    results = _commit(books, endpoint, operations, strikes)
    successful = sum(result["success"] for result in results)
    return {
        "processed": len(results),
        "successful": successful,
        "failed": len(results) - successful,
        "results": garbled(results, "index", strikes),
    }


def struck_before(books: Books, operations: list[object], faults: Faults) -> list[object]:
    """Return the operations as faults let them be carried out. Raises ApiError where one of them
    has the whole request refused.
    """
    _refuse_poison(operations, faults)
    kept = [_forgotten(operation, faults["forget"]) for operation in operations]
    _refuse_duplicates(books, kept, faults)
    return kept


def read_operations(endpoint: Endpoint, body: Record) -> list[object]:
    """Return a request's operations. Raises ApiError 422 if there are too many, or none."""
    operations = body.get("operations")
    if not isinstance(operations, list) or not operations:
        detail = {"field": "operations", "code": "REQUIRED_FIELD"}
        raise invalid([{**detail, "message": "operations must be a list with entries"}])
    if len(operations) > endpoint.most:
        detail = {"field": "operations", "code": "MAX_VALUE", "constraint": f"<= {endpoint.most}"}
        message = f"At most {endpoint.most} operations, not {len(operations)}"
        raise invalid([{**detail, "message": message, "value": len(operations)}], message)
    return operations


def _forgotten(operation: object, names: frozenset[str]) -> object:
    """Leave out of an operation what is not kept."""
    if not (isinstance(operation, dict) and isinstance(data := operation.get("data"), dict)):
        return operation
    return operation | {"data": {n: value for n, value in data.items() if n not in names}}


def _refuse_poison(operations: list[object], faults: Faults) -> None:
    if faults["poison"] and any(faults["poison"] in dumps(operation) for operation in operations):
        status = faults["poison-status"]
        code = "VALIDATION_ERROR" if status == 422 else "BAD_REQUEST"
        raise ApiError(status, code, "The request cannot be processed")


def _commit(
    books: Books, endpoint: Endpoint, operations: list[object], strikes: Strikes
) -> list[Record]:
    """Carry out operations in one go: nothing else gets at the books in between."""
    books.tick()
    try:
        return [
            {"index": index, **carried_out(books, endpoint, operation, strikes)}
            for index, operation in enumerate(operations)
        ]
    finally:
        books.save()


def garbled(results: list[Record], name: str, strikes: Strikes) -> list[Record]:
    """Return the results as an answer tells them, with the faults that may have; `name` is the
    field that says whose each is.
    """
    faults = strikes.faults
    told, draw = list(results), faults.random
    if faults["duplicates"] == "plain":
        told = [_told_plainly(result) for result in told]
    if strikes.by("missing-results"):
        missing = draw.sample(range(len(told)), min(faults["missing-results"], len(told)))
        told = [result for place, result in enumerate(told) if place not in missing]
    if strikes.by("double-results"):
        told += draw.sample(told, min(faults["double-results"], len(told)))
    if strikes.by("stray-results"):
        unsent = range(len(results), len(results) + faults["stray-results"])
        named = [f"unsent-{index}" if name != "index" else index for index in unsent]
        told += [{**draw.choice(results), name: other} for other in named]
    if len(told) > 1 and strikes.by("shuffle-results"):
        told = _shuffled(told, draw)
    return told


def _shuffled(results: list[Record], draw: random.Random) -> list[Record]:
    """Shuffle, and then turn, so that it is another order even of two."""
    first = results[0]
    shuffled = draw.sample(results, len(results))
    return shuffled if shuffled[0] is not first else [*shuffled[1:], first]


def carried_out(books: Books, endpoint: Endpoint, operation: object, strikes: Strikes) -> Record:
    """Carry an operation out, and return what is told of it, less whose it is."""
    try:
        if strikes.faults["strict"]:
            _check_strictly(books, endpoint, operation)
        if strikes.by("reject-rows"):
            detail = {"field": "data", "code": "INVALID_FORMAT", "message": "data is refused"}
            raise invalid([detail])
        record = _carry_out(books, endpoint, operation)
    except ApiError as error:
        return {"success": False, "error": _worded(error)}
    return {"success": True, "data": dict(record)}


def _check_strictly(books: Books, endpoint: Endpoint, operation: object) -> None:
    """Refuse what the pages of stricter rules do not take. Raises ApiError 422."""
    data = operation.get("data") if isinstance(operation, dict) else None
    asked: Record = data if isinstance(data, dict) else {}
    lacking = [
        (f"items.{number}.{name}", "REQUIRED_FIELD", f"{name} is required")
        for number, line in enumerate(_lines_of(endpoint, asked))
        for name in ("description", "unitPrice")
        if line.get(name) in (None, "")
    ]
    if len(str(asked.get("name") or "")) > MOST_OF_NAME:
        lacking.append(("name", "MAX_LENGTH", f"name has more than {MOST_OF_NAME} characters"))
    day, due = str(asked.get("invoiceDate") or ""), str(asked.get("dueDate") or "")
    if day > books.today.isoformat():
        lacking.append(("invoiceDate", "DATE_CONSTRAINT", "invoiceDate lies in the future"))
    if day and due and due <= day:
        lacking.append(("dueDate", "DATE_CONSTRAINT", "dueDate must be after invoiceDate"))
    if lacking:
        raise invalid([{"field": f, "code": code, "message": m} for f, code, m in lacking])


def _lines_of(endpoint: Endpoint, asked: Record) -> list[Record]:
    lines = asked.get("items") if endpoint.entity == "invoices" else None
    return [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []


def _carry_out(books: Books, endpoint: Endpoint, operation: object) -> Record:
    form = Form(operation, prefix="")
    actions: dict[str, Any] = {
        "create": endpoint.create,
        "update": endpoint.update,
        "delete": endpoint.delete,
    }
    known = tuple(name for name, action in actions.items() if action)
    chosen = form.text("operation", required=True, choices=known)
    record_id = form.text("id", required=chosen in ("update", "delete"))
    form.check()
    if chosen == "create":
        return endpoint.create(books, form.data.get("data"))
    if chosen == "delete":
        return Record(actions["delete"](books, record_id))
    return Record(actions["update"](books, record_id, form.data.get("data")))


def _refuse_duplicates(books: Books, operations: list[object], faults: Faults) -> None:
    """Refuse a whole request for one e-mail that another customer has."""
    if faults["duplicates"] != "whole":
        return
    taken = books.taken["customers", "email"]
    for operation in operations:
        asked = operation if isinstance(operation, dict) else {}
        email = str((asked.get("data") or {}).get("email") or "")
        holder = taken.get(email.casefold())
        if holder and holder != asked.get("id"):
            raise conflict("customer", "email", email, holder)


def _told_plainly(result: Record) -> Record:
    """Word a duplicate as some of the pages do."""
    error = result.get("error", {})
    details = error.get("details") or [{}]
    if details[0].get("code") != "DUPLICATE_VALUE":
        return result
    plain = {"field": details[0]["field"], "message": "Email already exists"}
    others = {"field": "phone", "message": "Phone is unusual", "code": "INVALID_FORMAT"}
    about = {"code": "VALIDATION_ERROR", "message": "Request validation failed"}
    return {**result, "error": {**about, "details": [others, plain]}}


def _worded(error: ApiError) -> Record:
    """Word a refusal as the vendor's bulk example does: a duplicate is a VALIDATION_ERROR."""
    code, details = error.code, error.details
    if code == "CONFLICT":
        code = "VALIDATION_ERROR"
        details = [
            {**detail, "message": error.message, "code": "DUPLICATE_VALUE"} for detail in details
        ]
    return {"code": code, "message": error.message, "details": details}
