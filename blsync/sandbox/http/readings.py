"""Readings: what the vendor's pages say where they disagree or leave it open, each played.

Without any the sandbox behaves as the reference says. Each reading changes one thing, so that they
can be combined: with `offset,sort-and-order` lists page by `offset` and sort by `sort=f&order=asc`.
A reading that is brought about by a fault names it, so that there is one place for each.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from blsync.sandbox.books.errors import ApiError, bad_request
from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.values import Record
from blsync.sandbox.faults.faults import values_of
from blsync.sandbox.http.query import PARAMETER

Pairs = list[tuple[str, str]]

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
_SLIM = "+".join(f"{entity}.{name}" for entity, names in SLIM.items() for name in names)


@dataclass(frozen=True)
class Reading:
    """What people are told of a reading, and the faults that bring it about, where some do."""

    does: str
    faults: str = ""


GROUPS: dict[str, dict[str, Reading]] = {
    "order": {
        "no-sort": Reading("sort and order are refused"),
        "sort-and-order": Reading("sort=f&order=asc sorts; sort=f:asc is refused"),
        "sort-ignored": Reading(
            "lists come in the order of the ids, whatever sort says", "unsorted"
        ),
    },
    "filters": {
        "no-operators": Reading("field[operator] is refused; field=value is taken"),
        "no-filters": Reading(
            "filters by a field are refused, but for those that a page names by itself"
        ),
        "filters-ignored": Reading("such filters are passed over: the whole list comes"),
    },
    "look-ups": {
        "no-look-ups": Reading(
            "filters by reference and email are refused, others are taken",
            "refuse-filters=reference+reference[in]+email+email[in]",
        ),
    },
    "business dates": {
        "date-from": Reading(
            "dateFrom and dateTo are the one spelling; fromDate and toDate are refused"
        ),
        "own-dates": Reading(
            "invoiceDateFrom and invoiceDateTo are, or as the date's field is called"
        ),
        "no-dates": Reading("ranges of business dates are refused"),
        "dates-ignored": Reading("ranges of business dates are passed over"),
    },
    "inactive accounts": {
        "is-active": Reading("active=false is refused; isActive=false lists the inactive ones"),
        "all-accounts": Reading("the list has the inactive ones, too, unless a filter says which"),
    },
    "pages": {
        "offset": Reading("lists page by offset and pagination.nextOffset; a cursor is refused"),
        "no-pagination": Reading("answers have no pagination; offset is taken, a cursor refused"),
        "whole-lists": Reading(
            "answers have no pagination and hold the whole list, whatever limit says"
        ),
    },
    "page size": {
        "no-limit": Reading("limit is refused: pages have 50 records"),
        "limit-ignored": Reading("limit is passed over: pages have 50 records"),
        "small-pages": Reading("a larger limit than 20 is refused", "max-limit=20"),
        "clamped-pages": Reading(
            "a larger limit than 20 is taken as 20, and pagination.limit says so", "clamp=20"
        ),
    },
    "totals": {
        "no-total": Reading("pages do not tell the total", "no-total"),
        "capped-total": Reading("totals stop counting at 100", "cap-total=100"),
    },
    "cursors": {
        "short-cursors": Reading(
            "a walk's cursor is refused once 2 pages have been fetched with cursors",
            "expire-cursors=2",
        ),
        "counting-cursors": Reading(
            "cursors count records: those that move while being walked shift others",
            "offset-cursors",
        ),
        "overlapping-pages": Reading(
            "a page begins with the last records of the one before", "twins=0.05"
        ),
    },
    "refusals": {
        "refuse-422": Reading(
            "what would be refused with 400 is refused with 422 VALIDATION_ERROR"
        ),
        "unnamed": Reading("a refusal does not say which parameter it is about"),
    },
    "records": {
        "slim-lists": Reading(
            "lists leave out lines, addresses and the like; GET /{id} has them", f"slim={_SLIM}"
        ),
        "no-detail": Reading("there is no GET /{id}"),
    },
    "numbers": {
        "trailing-zeros": Reading("decimals come with zeros behind them", "decimals=zeros"),
        "binary-noise": Reading("decimals come with a binary fraction's noise", "decimals=noise"),
        "text-numbers": Reading(
            'money of customers and invoices is text, as in "50000.00"', "text-numbers"
        ),
    },
    "writes": {
        "no-references": Reading("what is written keeps no reference", "forget=reference"),
        "strict-rules": Reading(
            "rows are refused that lack what the stricter pages ask for", "strict"
        ),
        "plain-duplicates": Reading(
            "a record that exists is told by a message alone", "duplicates=plain"
        ),
        "whole-conflicts": Reading(
            "a record that exists is told by 409 for the whole request", "duplicates=whole"
        ),
    },
    "quota": {
        "wait-in-body": Reading(
            "a 429 has no Retry-After: details.retryAfter says how long", "retry-after=none"
        ),
    },
    "reports": {
        "report-sections": Reading(
            "balance sheet and P&L have sections, accountCode and nonCurrent…"
        ),
        "report-dates-ignored": Reading(
            "reports are of today, whatever asOfDate and the period say"
        ),
    },
}
"""What may be read in another way, by what it is about."""
READINGS = {name: reading for group in GROUPS.values() for name, reading in group.items()}
SORTING = ("sort", "order")
ACTIVE = ("active", "isActive")
"""Filters of the accounts that say which of them are listed."""
RANGES = {
    "reference": ("fromDate", "toDate"),
    "date-from": ("dateFrom", "dateTo"),
}


def reading_table() -> str:
    """Return the readings with what each does, as text for people."""
    width = max(map(len, READINGS)) + 2
    lines = ["How the vendor's pages can be read, as a comma list; without any, as the reference."]
    for title, group in GROUPS.items():
        lines += ["", title]
        for name, reading in group.items():
            gap = " " * width
            lines += textwrap.wrap(
                reading.does, 96, initial_indent=name.ljust(width), subsequent_indent=gap
            )
    return "\n".join(lines)


class Readings:
    """The readings that are played. Raises ValueError for a name that is none."""

    def __init__(self, text: str = "") -> None:
        self.values: dict[str, Any] = {}
        """The values of faults by which some of them are played."""
        self.set(text)

    def set(self, text: str) -> None:
        """Play others instead, a comma list."""
        names = frozenset(filter(None, (part.strip() for part in text.split(","))))
        if unknown := sorted(names - READINGS.keys()):
            raise ValueError(f"no reading {unknown[0]!r}; there are {', '.join(READINGS)}")
        self.names, self.text = names, ",".join(sorted(names))
        self.values.clear()
        for name in READINGS:  # of two that differ in a value the one further down counts
            if name in names:
                self.values |= values_of(READINGS[name].faults)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def taken(self, entity: Entity, query: Iterable[tuple[str, str]]) -> Pairs:
        """Return the parameters of a list that count. Raises ApiError for one that is refused."""
        pairs = list(query)
        for name, value in pairs:
            self._check(entity, name, value)
        taken = [(name, value) for name, value in pairs if not self._is_ignored(entity, name)]
        is_asked = any(name.partition("[")[0] in ACTIVE for name, _ in taken)
        if entity.name == "accounts" and "all-accounts" in self and not is_asked:
            taken.append(("isActive[in]", "true,false"))
        return taken

    def _check(self, entity: Entity, name: str, value: str) -> None:
        is_refused = (
            (name in SORTING and "no-sort" in self)
            or (name == "sort" and ":" in value and "sort-and-order" in self)
            or (name == "limit" and "no-limit" in self)
            or (name == ACTIVE[0] and entity.name == "accounts" and "is-active" in self)
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
            (name == "limit" and "limit-ignored" in self)
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
