"""The sandbox's own OpenAPI is a contract: what it says of answers is what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from test_pull import api

from blsync.sandbox import Handle, Options, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Handle]:
    with running(Options(invoices=60, customers=15, items=12, months=3, limits=False)) as handle:
        yield handle


@pytest.fixture(scope="module")
def contract(sandbox: Handle) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{sandbox.url}/openapi.json").json()
    return found


def violations(value: Any, schema: dict[str, Any], contract: dict[str, Any], at: str) -> list[str]:
    """Return where a value is not what a schema says; a small part of what a validator does."""
    if "$ref" in schema:
        schema = contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if value is None:
        return [] if schema.get("nullable") or not schema else [f"{at} is null"]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    kind = schema.get("type")
    if kind in kinds and not isinstance(value, kinds[kind]):
        return [f"{at} is no {kind}"]
    if kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return [f"{at} is no number"]
    found = [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    if kind == "object" and "properties" in schema:
        for name, part in value.items():
            if name not in schema["properties"]:
                found.append(f"{at}.{name} is not described")
            else:
                found += violations(part, schema["properties"][name], contract, f"{at}.{name}")
    if kind == "array":
        for number, item in enumerate(value):
            found += violations(item, schema["items"], contract, f"{at}[{number}]")
    return found


def test_every_operation_says_what_it_answers_and_what_opens_it(contract):
    assert contract["servers"]
    assert set(contract["components"]["securitySchemes"]) == {"key", "company"}
    assert contract["security"] == [{"key": [], "company": []}]
    for path, operations in contract["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/v1/"):
                assert operation["security"] == [], path
                continue
            answers = operation["responses"]
            good = [answer for status, answer in answers.items() if status.startswith("2")]
            for answer in [*good, answers["default"]]:
                schema = answer["content"]["application/json"]["schema"]
                assert schema.get("properties") or "$ref" in schema, (method, path)


def test_what_is_read_is_as_the_contract_says(sandbox, contract):
    read = 0
    with api(sandbox) as client:
        for path, operations in contract["paths"].items():
            if not path.startswith("/v1/") or "get" not in operations or "{" in path:
                continue
            answer = client.get(path.removeprefix("/v1")).raise_for_status().json()
            schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            assert violations(answer, schema, contract, path) == []
            read += 1
    assert read >= 15


def test_a_refusal_is_as_the_contract_says(sandbox, contract):
    with api(sandbox) as client:
        for path in ("/customers?limit=0", "/customers/none", "/reports/balance-sheet?asOfDate=x"):
            answer = client.get(path)
            assert answer.status_code in (400, 404)
            schema = {"$ref": "#/components/schemas/Error"}
            assert violations(answer.json(), schema, contract, path) == []
