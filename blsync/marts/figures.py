"""BigLedger's own figures, as inputs of a build: those asked for, and what tied out before."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from blsync.lake.store import Lake
from blsync.ledger import loads
from blsync.marts.compiled import entities_of_project
from blsync.session import Session
from blsync.settings import Company

NOT_THERE = ("report", "unavailable")
"""Key and measure of the one figure of a report that a server does not have."""
VALUE = pa.decimal128(36, 4)
"""Type of a figure, money or a quantity: wider than a record's, because a report adds them up."""
FIGURES = pa.schema(
    [
        ("company_id", pa.string()),
        ("report", pa.string()),
        ("as_of_date", pa.date32()),
        ("period_from", pa.date32()),
        ("entity_key", pa.string()),
        ("measure", pa.string()),
        ("value", VALUE),
        ("request_id", pa.string()),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("made_at", pa.timestamp("us", "UTC")),
        ("failed_before", pa.bool_()),
        ("told_dates", pa.string()),
        ("unavailable", pa.string()),
    ]
)
LIST_TOTALS = "list_totals"
"""Stands for a report: the totals that BigLedger tells of its lists."""
COMPANIES = pa.schema(
    [
        ("company_id", pa.string()),
        ("company_name", pa.string()),
        ("currency", pa.string()),
        ("timezone", pa.string()),
        ("today", pa.date32()),
        ("built_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass
class CompanyFacts:
    """What BigLedger said of one company: itself, and its reports' figures."""

    name: str | None = None
    currency: str | None = None
    figures: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    throttled_ms: int = 0


def totals(session: Session, company_id: str) -> list[dict[str, Any]]:
    """Return the totals that BigLedger last told of its lists, as figures."""
    # An entity of the user's that has no history lands, and there is nothing to compare it with.
    names = entities_of_project(session.settings.project)
    found = {entity: loads.drift_of(session.ledger, company_id, entity) for entity in names}
    return [
        {
            "company_id": company_id,
            "report": LIST_TOTALS,
            "as_of_date": drift.checked_at.astimezone(session.settings.zone).date(),
            "entity_key": entity,
            "measure": "records",
            "value": Decimal(drift.total),
            "request_id": drift.request_id,
            "fetched_at": drift.checked_at,
        }
        for entity, drift in found.items()
        if drift and not drift.is_capped and drift.request_id
    ]


def marked(figures: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures, each with whether it failed when a report before this one was compared.

    `before` are rows of the published reconciliation. One as of the same day or an earlier one
    counts. A key that failed and is not listed any more is listed as 0.
    """
    earlier: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    keys: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for row in before:
        report = row["check_name"].replace("profit_and_loss", "profit_loss")
        key, _, measure = row["entity_key"].rpartition(":")
        place = (row["company_id"], report, row["period_from"])
        keys.setdefault(place, set()).add((key, measure))
        earlier.setdefault((*place, key, measure), []).append(row)
    listed = {(row["as_of_date"], *_place_of(row)) for row in figures}
    found = []
    for row in figures:
        found.append(row | {"failed_before": _failed(earlier, row)})
        if row["entity_key"] is None:
            for key, measure in sorted(keys.get(_place_of(row)[:3], ())):
                new = row | {"entity_key": key, "measure": measure, "failed_before": True}
                is_listed = (new["as_of_date"], *_place_of(new)) in listed
                found += [new] if not is_listed and _failed(earlier, new) else []
    return found


def _place_of(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("company_id", "report", "period_from", "entity_key", "measure")
    return tuple(row.get(name) for name in names)


def _failed(earlier: dict[tuple[Any, ...], list[dict[str, Any]]], row: dict[str, Any]) -> bool:
    before = earlier.get(_place_of(row), [])
    for old in before:  # the same report, built anew: what was said of it stays
        if (old["source_request_id"], old["as_of_date"]) == (row["request_id"], row["as_of_date"]):
            return bool(old["failed_before"])
    return any(r["status"] == "fail" and r["as_of_date"] <= row["as_of_date"] for r in before)


def stored_facts(lake: Lake, company: Company) -> CompanyFacts:
    """Return what was asked before; empty where nothing was."""
    known = [
        r for r in lake.read_input("companies", COMPANIES) if r["company_id"] == company.company_id
    ]
    if not known:
        return CompanyFacts()
    figures = [
        row
        for row in lake.read_input("report_figures", FIGURES)
        if row["company_id"] == company.company_id and row["report"] != LIST_TOTALS
    ]
    return CompanyFacts(known[0]["company_name"], known[0]["currency"], figures)
