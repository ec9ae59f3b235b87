"""The five bulk endpoints: each record stands for itself (contract, section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from blsync.sandbox import adjustment_writes, entry_writes, invoice_writes, master_writes
from blsync.sandbox.books import Books
from blsync.sandbox.errors import ApiError, invalid
from blsync.sandbox.forms import Form
from blsync.sandbox.values import Record


def _pay(books: Books, data: object) -> Record:
    invoice_id = Form(data).text("invoiceId", required=True)
    return invoice_writes.record_payment(books, invoice_id, data)


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
        master_writes.create_customer,
        master_writes.update_customer,
        master_writes.delete_customer,
    ),
    "invoices": Endpoint(
        "invoices",
        50,
        invoice_writes.create_invoice,
        invoice_writes.update_invoice,
        invoice_writes.delete_invoice,
    ),
    "inventory-adjustments": Endpoint("stock_adjustments", 200, adjustment_writes.adjust_one),
    "journal-entries": Endpoint(
        "journal_entries",
        100,
        entry_writes.create_entry,
        entry_writes.update_entry,
        entry_writes.delete_entry,
    ),
    "payments": Endpoint("invoices", 100, _pay),
}


def run(books: Books, name: str, body: Record) -> Record:
    """Carry out a bulk request. Raises ApiError 422 if there are too many operations, or none."""
    endpoint, operations = ENDPOINTS[name], body.get("operations")
    if not isinstance(operations, list) or not operations:
        detail = {"field": "operations", "code": "REQUIRED_FIELD"}
        raise invalid([{**detail, "message": "operations must be a list with entries"}])
    if len(operations) > endpoint.most:
        detail = {"field": "operations", "code": "MAX_VALUE", "constraint": f"<= {endpoint.most}"}
        message = f"At most {endpoint.most} operations, not {len(operations)}"
        raise invalid([{**detail, "message": message, "value": len(operations)}], message)
    results = [_result(books, endpoint, index, op) for index, op in enumerate(operations)]
    successful = sum(result["success"] for result in results)
    return {
        "processed": len(results),
        "successful": successful,
        "failed": len(results) - successful,
        "results": results,
    }


def _result(books: Books, endpoint: Endpoint, index: int, operation: object) -> Record:
    try:
        record = _carry_out(books, endpoint, operation)
    except ApiError as error:
        return {"index": index, "success": False, "error": _worded(error)}
    return {"index": index, "success": True, "data": dict(record)}


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


def _worded(error: ApiError) -> Record:
    """Word a refusal as the vendor's bulk example does: a duplicate is a VALIDATION_ERROR."""
    code, details = error.code, error.details
    if code == "CONFLICT":
        code = "VALIDATION_ERROR"
        details = [
            {**detail, "message": error.message, "code": "DUPLICATE_VALUE"} for detail in details
        ]
    return {"code": code, "message": error.message, "details": details}
