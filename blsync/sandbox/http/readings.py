"""Readings: what the vendor's pages say of lists and reports where they disagree, each played.

Without any the sandbox behaves as the reference says. Each reading changes one thing, so that they
can be combined: with `offset,sort-and-order` lists page by `offset` and sort by `sort=f&order=asc`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from blsync.sandbox.books.errors import ApiError, bad_request
from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.values import Record, encode, loads
from blsync.sandbox.http.query import PARAMETER

Pairs = list[tuple[str, str]]

GROUPS: dict[str, dict[str, str]] = {
    "order": {
        "no-sort": "sort and order are refused",
        "sort-and-order": "sort=f&order=asc sorts; sort=f:asc is refused",
        "sort-ignored": "sort and order are passed over: lists come in the order of the ids",
    },
    "filters": {
        "no-operators": "field[operator] is refused; field=value is taken",
        "no-filters": "filters by a field are refused, but for those that a page names by itself",
        "filters-ignored": "such filters are passed over: the whole list comes",
    },
    "business dates": {
        "date-from": "dateFrom and dateTo are the one spelling; fromDate and toDate are refused",
        "own-dates": "invoiceDateFrom and invoiceDateTo are, or as the date's field is called",
        "no-dates": "ranges of business dates are refused",
        "dates-ignored": "ranges of business dates are passed over",
    },
    "pages": {
        "offset": "lists page by offset and pagination.nextOffset; a cursor is refused",
        "no-pagination": "answers have no pagination; offset is taken, a cursor refused",
        "whole-lists": "answers have no pagination and hold the whole list, whatever limit says",
    },
    "refusals": {
        "refuse-422": "what would be refused with 400 is refused with 422 VALIDATION_ERROR",
        "unnamed": "a refusal does not say which parameter it is about",
    },
    "records": {
        "slim-lists": "lists leave out lines, addresses and the like; GET /{id} has them",
        "no-detail": "there is no GET /{id}",
    },
    "reports": {
        "report-sections": "balance sheet and P&L have sections, accountCode and nonCurrent…",
        "report-dates-ignored": "reports are of today, whatever asOfDate and the period say",
    },
}
"""What may be read in another way, by what it is about."""
READINGS = {name: does for group in GROUPS.values() for name, does in group.items()}
SORTING = ("sort", "order")
RANGES = {
    "reference": ("fromDate", "toDate"),
    "date-from": ("dateFrom", "dateTo"),
}
SLIM = {
    "accounts": ("description", "category"),
    "customers": ("billingAddress", "shippingAddress", "contacts", "customFields", "paymentTerms"),
    "invoices": ("items", "billingAddress", "attachments", "terms"),
    "items": ("inventory", "accounting", "variants"),
    "journal_entries": ("lines", "attachments"),
    "stock_adjustments": ("items", "notes"),
    "suppliers": ("address", "paymentTerms", "tags"),
    "purchase_orders": ("items", "deliveryAddress"),
    "bills": ("items", "attachments"),
    "sales_orders": ("items", "billingAddress", "shippingAddress"),
    "quotes": ("items", "terms"),
    "einvoices": ("document", "timeline", "qrCode"),
    "stock_transfers": ("items", "approvals"),
    "pos_transactions": ("items", "payments"),
    "pos_sessions": ("tenders",),
}
"""What slim lists leave out."""


def reading_table() -> str:
    """Return the readings with what each does, as text for people."""
    width = max(map(len, READINGS)) + 2
    lines = ["How the vendor's pages can be read, as a comma list; without any, as the reference."]
    for title, group in GROUPS.items():
        lines += ["", title]
        for name, does in group.items():
            gap = " " * width
            lines += textwrap.wrap(
                does, 96, initial_indent=name.ljust(width), subsequent_indent=gap
            )
    return "\n".join(lines)


class Readings:
    """The readings that are played. Raises ValueError for a name that is none."""

    def __init__(self, text: str = "") -> None:
        self.set(text)

    def set(self, text: str) -> None:
        """Play others instead, a comma list."""
        names = frozenset(filter(None, (part.strip() for part in text.split(","))))
        if unknown := sorted(names - READINGS.keys()):
            raise ValueError(f"no reading {unknown[0]!r}; there are {', '.join(READINGS)}")
        self.names, self.text = names, ",".join(sorted(names))

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def taken(self, entity: Entity, query: Iterable[tuple[str, str]]) -> Pairs:
        """Return the parameters of a list that count. Raises ApiError for one that is refused."""
        pairs = list(query)
        for name, value in pairs:
            self._check(entity, name, value)
        return [(name, value) for name, value in pairs if not self._is_ignored(entity, name)]

    def _check(self, entity: Entity, name: str, value: str) -> None:
        is_refused = (
            (name in SORTING and "no-sort" in self)
            or (name == "sort" and ":" in value and "sort-and-order" in self)
            or (name.endswith("]") and "no-operators" in self)
            or (is_filter(entity, name) and "no-filters" in self)
            or (name == "cursor" and self.pages_by_offset(entity))
            or (name == "offset" and not self.pages_by_offset(entity))
            or (is_range(entity, name) and self._is_other_range(entity, name))
        )
        if is_refused:
            raise bad_request(f"Unknown query parameter '{name}'", name, value)

    def _is_other_range(self, entity: Entity, name: str) -> bool:
        if "no-dates" in self:
            return True
        if "date-from" in self:
            return name not in RANGES["date-from"]
        return "own-dates" in self and name not in own_range(entity)

    def _is_ignored(self, entity: Entity, name: str) -> bool:
        return (
            (name in SORTING and "sort-ignored" in self)
            or (is_filter(entity, name) and "filters-ignored" in self)
            or (is_range(entity, name) and "dates-ignored" in self)
        )

    def pages_by_offset(self, entity: Entity) -> bool:
        """Tell whether a list takes an offset and no cursor."""
        return entity.is_by_offset or not self.names.isdisjoint(GROUPS["pages"])

    def refusal(self, error: ApiError) -> ApiError:
        """Return a refusal of a list's parameters as it is worded."""
        if error.status != 400 or error.code != "BAD_REQUEST":
            return error
        status, code, message = error.status, error.code, error.message
        details = error.details
        if "refuse-422" in self:
            status, code = 422, "VALIDATION_ERROR"
        if "unnamed" in self:
            message, details = "The request cannot be processed", []
        return ApiError(status, code, message, details)

    def shown(self, entity: Entity, documents: list[bytes]) -> list[bytes]:
        """Return a list's records as they are listed."""
        left_out = SLIM.get(entity.name, ()) if "slim-lists" in self else ()
        if not left_out:
            return documents
        records: list[dict[str, Any]] = [loads(document) for document in documents]
        return [encode({k: v for k, v in r.items() if k not in left_out}) for r in records]

    def report(self, data: Record) -> Record:
        """Return a report in the shape that is played."""
        return _in_sections(data) if "report-sections" in self else data


def is_filter(entity: Entity, name: str) -> bool:
    """Tell whether a parameter filters by a field and is named by no page of its own."""
    if entity.condition(name) or name in entity.flags:
        return False
    match = PARAMETER.fullmatch(name)
    return bool(match and match[1] in entity.fields)


def own_range(entity: Entity) -> tuple[str, str]:
    """Return a range of business dates as it is called after the field."""
    return f"{entity.date_field}From", f"{entity.date_field}To"


def is_range(entity: Entity, name: str) -> bool:
    """Tell whether a parameter bounds the business date."""
    return bool(entity.date_field) and name in (
        *RANGES["reference"],
        *RANGES["date-from"],
        *own_range(entity),
    )


def _in_sections(data: Record) -> Record:
    """Give a report as the page on reports shows it."""
    head = {
        name: value
        for name, value in data.items()
        if name in ("reportName", "asOfDate", "periodFrom", "periodTo", "currency")
    }
    if "periodFrom" in head:
        head |= {"fromDate": head.pop("periodFrom"), "toDate": head.pop("periodTo")}
    if data["reportName"] == "Balance Sheet":
        owned, owed = data["assets"]["totalAssets"], data["totalLiabilitiesAndEquity"]
        check = {"totalAssets": owned, "totalLiabilitiesAndEquity": owed}
        return {
            **head,
            "sections": {
                "assets": _halves(data["assets"], "currentAssets", "Assets", "totalAssets"),
                "liabilities": _halves(
                    data["liabilities"], "currentLiabilities", "Liabilities", "totalLiabilities"
                ),
                "equity": {**_coded(data["equity"]), "totalEquity": data["equity"]["total"]},
            },
            "balanceCheck": {"balanced": data["balanced"], **check, "difference": owned - owed},
        }
    if data["reportName"] == "Profit & Loss Statement":
        return {
            **head,
            "sections": {
                "revenue": _coded(data["revenue"]),
                "costOfGoodsSold": _coded(data["costOfGoodsSold"]),
                "expenses": _coded(data["expenses"]),
            },
            "grossProfit": data["grossProfit"],
            "netProfit": data["netProfit"],
        }
    shaped: Record = _coded(data)
    return shaped


def _halves(part: Record, current: str, name: str, total: str) -> Record:
    """Give a part of the balance sheet as what is current and what is not."""
    others = [value for key, value in part.items() if key not in (current, total)]
    rest = {
        "total": sum(other["total"] for other in others),
        "accounts": [line for other in others for line in other["accounts"]],
    }
    return {current: _coded(part[current]), f"nonCurrent{name}": _coded(rest), total: part[total]}


def _coded(value: Any) -> Any:
    """Call an account's number its code, however deep it stands."""
    if isinstance(value, dict):
        return {
            "accountCode" if key == "accountNumber" else key: _coded(inner)
            for key, inner in value.items()
            if key != "accountId"
        }
    return [_coded(inner) for inner in value] if isinstance(value, list) else value
