"""Refusals as BigLedger words them (bigledger-api.md, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Detail = dict[str, Any]


class ApiError(Exception):
    """A refusal: HTTP status, code, message and details of the error envelope."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: list[Detail] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details or []
        self.headers = dict(headers or {})


def bad_request(message: str, field: str | None = None, value: object = None) -> ApiError:
    """400 for a request that cannot be read; names the parameter where there is one."""
    detail = [{"field": field, "message": message, "value": value}] if field else []
    return ApiError(400, "BAD_REQUEST", message, detail)


def not_found(resource: str, record_id: object, code: str = "NOT_FOUND") -> ApiError:
    """404 for a record that is not in the company."""
    detail = {"resource": resource, "id": record_id, "field": f"{resource}Id"}
    return ApiError(404, code, f"{resource.capitalize()} with ID '{record_id}' not found", [detail])


def invalid(details: list[Detail], message: str = "Request validation failed") -> ApiError:
    """422 with field codes."""
    return ApiError(422, "VALIDATION_ERROR", message, details)


def broken_rule(rule: str, message: str, **facts: object) -> ApiError:
    """422 for data that is well-formed but not allowed."""
    return ApiError(422, "BUSINESS_RULE_VIOLATION", message, [{"rule": rule, **facts}])


def conflict(resource: str, field: str, value: object, existing_id: str) -> ApiError:
    """409 for a value that must be unique; the details name the record that has it."""
    message = f"{field[:1].upper()}{field[1:]} already exists"
    detail = {"resource": resource, "field": field, "value": value, "existingId": existing_id}
    return ApiError(409, "CONFLICT", message, [detail])
