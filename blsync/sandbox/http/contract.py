"""The sandbox's OpenAPI as a contract: servers, security, and what every answer holds.

What a record or a report holds is told by the books themselves, so that the description cannot
differ from what is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.store import DOCUMENT
from blsync.sandbox.books.values import loads
from blsync.sandbox.http.cash_flow import METHODS, cash_flow
from blsync.sandbox.http.gateway import PREFIX
from blsync.sandbox.http.reports import Reports
from blsync.sandbox.http.till_report import daily

Schema = dict[str, Any]

SAMPLE = 200
"""Records that a kind of record is described by."""
OPEN = ("/sandbox", "/oauth")
"""What needs no key."""
KEY, COMPANY = "key", "company"
SECURITY: Schema = {
    KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, blg_test_sk_…, or an access token of OAuth, blg_oauth_at_…",
    },
    COMPANY: {
        "type": "apiKey",
        "in": "header",
        "name": "X-Company-Id",
        "description": "The company that the key belongs to",
    },
}
TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
FORMATS = {"date": "date", "instant": "date-time"}
META: Schema = {
    "type": "object",
    "required": ["timestamp", "requestId"],
    "properties": {"timestamp": {"type": "string", "format": "date-time"}, "requestId": TEXT},
}
PAGINATION: Schema = {
    "type": "object",
    "required": ["hasMore", "limit"],
    "properties": {
        "hasMore": FLAG,
        "nextCursor": {**TEXT, "nullable": True, "description": "null on the last page"},
        "nextOffset": {**COUNT, "nullable": True, "description": "of suppliers, for nextCursor"},
        "limit": COUNT,
        "total": {**COUNT, "description": "Records that the query finds"},
    },
}
ERROR: Schema = {
    "type": "object",
    "required": ["success", "error", "meta"],
    "properties": {
        "success": {"type": "boolean", "enum": [False]},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": TEXT,
                "message": TEXT,
                "details": {"type": "array", "items": {"type": "object"}},
            },
        },
        "meta": META,
    },
}
BULK: Schema = {
    "type": "object",
    "required": ["processed", "successful", "failed", "results"],
    "properties": {
        "processed": COUNT,
        "successful": COUNT,
        "failed": COUNT,
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "success"],
                "properties": {
                    "index": COUNT,
                    "success": FLAG,
                    "data": {"type": "object", "properties": {"id": TEXT}},
                    "error": {"type": "object", "properties": {"code": TEXT, "message": TEXT}},
                },
            },
        },
    },
}
VERIFIED: Schema = {
    "type": "object",
    "properties": {
        "authenticated": FLAG,
        "company": {"type": "object", "properties": {"id": TEXT, "name": TEXT, "plan": TEXT}},
        "permissions": {"type": "array", "items": TEXT},
    },
}
ABOUT: Schema = {
    "type": "object",
    "properties": dict.fromkeys(("id", "name", "currency", "country", "plan", "createdAt"), TEXT),
}
HEALTH = "/health"
WELL: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": dict.fromkeys(("status", "version", "region", "timestamp"), TEXT),
}
"""What `/health` answers, which is the one answer without an envelope."""


def serve_contract(app: FastAPI, books: Books) -> None:
    """Have the application describe itself whole: it is made at the first look."""

    def describe() -> Schema:
        if not app.openapi_schema:
            app.openapi_schema = _described(app, books)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _described(app: FastAPI, books: Books) -> Schema:
    described = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=app.openapi_version,
        description=app.description,
        routes=app.routes,
    )
    described["servers"] = [{"url": "/", "description": "This sandbox"}]
    described["security"] = [{KEY: [], COMPANY: []}]
    components = described.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    schemas = components.setdefault("schemas", {})
    schemas |= {"Error": ERROR, "Meta": META, "Pagination": PAGINATION, "BulkResult": BULK}
    for entity in ENTITIES.values():
        schemas[_name(entity)] = _record(books, entity)
    reports = _reports(books)
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if path.startswith(OPEN):
                operation["security"] = []
                continue
            _describe(path.removeprefix(PREFIX), method, operation, reports)
    return described


def _name(entity: Entity) -> str:
    return entity.resource[:1].upper() + entity.resource[1:]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _describe(path: str, method: str, operation: Schema, reports: dict[str, Schema]) -> None:
    """Add to an operation what its answers hold."""
    data, is_list = _data_of(path, method, reports)
    properties: Schema = {"success": {"type": "boolean", "enum": [True]}, "data": data}
    if is_list:
        properties["pagination"] = _ref("Pagination")
    properties["meta"] = _ref("Meta")
    envelope = {"type": "object", "required": list(properties), "properties": properties}
    answer = WELL if path == HEALTH else envelope
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response["description"] = "Success"
            response["content"] = {"application/json": {"schema": answer}}
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "A failure: 400, 401, 403, 404, 409, 422, 429 or 5xx",
        "content": {"application/json": {"schema": _ref("Error")}},
    }


def _data_of(path: str, method: str, reports: dict[str, Schema]) -> tuple[Schema, bool]:
    """Return what the data of an address's answers hold, and whether that is a page of a list."""
    fixed = {"/auth/verify": VERIFIED, "/company": ABOUT, **reports}
    if path in fixed:
        return fixed[path], False
    if path == "/webhooks":
        return {"type": "array", "items": {"type": "object"}}, False
    if path.startswith("/bulk/"):
        return _ref("BulkResult"), False
    address = path.strip("/").replace("stock-adjustments", "inventory/adjustments")
    found = [
        (len(part), entity)
        for entity in ENTITIES.values()
        for part in entity.paths
        if address == part or address.startswith(f"{part}/")
    ]
    if not found:
        return {"type": "object"}, False
    entity = max(found, key=lambda pair: pair[0])[1]
    is_list = method == "get" and address in entity.paths
    record = _ref(_name(entity))
    return ({"type": "array", "items": record} if is_list else record), is_list


def _record(books: Books, entity: Entity) -> Schema:
    """Describe a kind of record by some of those that there are."""
    books.save()
    sql = f"select {DOCUMENT} from {entity.name} limit {SAMPLE}"  # noqa: S608 - a known name
    schema = _shape([loads(document) for (document,) in books.store.query(sql)])
    for name, kind in entity.fields.items():
        place = schema
        for part in name.split("."):
            place = place.get("properties", {}).get(part, {})
        if kind in FORMATS and place.get("type") == "string":
            place["format"] = FORMATS[kind]
    schema["required"] = ["id"] if entity.prefix else ["itemId", "locationId"]
    return schema


def _reports(books: Books) -> dict[str, Schema]:
    made = Reports(books)
    today = books.today.isoformat()
    first = f"{today[:4]}-01-01"
    valuation = _shape([made.stock_valuation(today)])
    payables = _shape([made.aged_payables(today)])
    return {
        "/reports/trial-balance": _shape([made.trial_balance(today)]),
        "/reports/balance-sheet": _shape([made.balance_sheet(today)]),
        "/reports/profit-loss": _shape([made.profit_loss(first, today)]),
        "/reports/aged-receivables": _shape([made.aged_receivables(today)]),
        "/reports/aged-payables": payables,
        "/reports/purchasing/aged-payables": payables,
        "/reports/cash-flow": _shape([cash_flow(books, first, today, name) for name in METHODS]),
        "/pos/reports/daily": _shape([daily(books, day, None) for day in _till_days(books)]),
        "/reports/stock-valuation": valuation,
        "/inventory/reports/valuation": valuation,
    }


def _till_days(books: Books) -> list[str]:
    """Return some days on which the tills were open, and today."""
    sql = "select distinct businessDate from pos_sessions order by 1 desc limit 10"
    return [*(day for (day,) in books.store.query(sql)), books.today.isoformat()]


def _shape(values: Iterable[Any]) -> Schema:
    """Describe values of one kind; what is null in some, or missing, is nullable."""
    known = [value for value in values if value is not None]
    schema: Schema = {}
    if known and all(isinstance(value, dict) for value in known):
        names = dict.fromkeys(name for value in known for name in value)
        parts = {name: _shape([value[name] for value in known if name in value]) for name in names}
        nullable = {n for n in names if any(value.get(n) is None for value in known)}
        for name in nullable:
            parts[name]["nullable"] = True
        schema = {"type": "object", "properties": parts}
    elif known and all(isinstance(value, list) for value in known):
        schema = {"type": "array", "items": _shape([item for value in known for item in value])}
    elif known:
        schema = {"type": _type_of(known)}
    return schema


def _type_of(values: list[Any]) -> str:
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(isinstance(value, int | Decimal) for value in values):
        return "integer" if all(isinstance(value, int) for value in values) else "number"
    return "string"
