"""What is covered, held and published, from the ledger and the files alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from blsync import marts
from blsync.entities import ENTITIES
from blsync.lake import Lake
from blsync.ledger import Ledger, loads
from blsync.quota import pace_for
from blsync.settings import Company, Settings


def report(settings: Settings) -> dict[str, Any]:
    """Return {companies: {NAME: {entities: {NAME: {covered_until, rows, …}}, quota_left}},
    published_at}; instants are ISO 8601 in UTC.
    """
    Lake(settings.data)
    ledger = Ledger(settings.ledger_url)
    try:
        companies = {c.name: _company(settings, ledger, c) for c in settings.companies()}
    finally:
        ledger.close()
    published = marts.published_file(settings)
    at = datetime.fromtimestamp(published.stat().st_mtime, UTC) if published.exists() else None
    return {"companies": companies, "published_at": at.isoformat() if at else None}


def _company(settings: Settings, ledger: Ledger, company: Company) -> dict[str, Any]:
    done = [row for row in loads.history(ledger) if row["company_id"] == company.company_id]
    entities = {}
    for name in ENTITIES:
        of_entity = [row for row in done if row["entity"] == name]
        covered = loads.uncovered_from(ledger, company.company_id, name, None)
        entities[name] = {
            "covered_until": covered.isoformat() if covered else None,
            "rows": sum(row["rows"] for row in of_entity),
            "quarantined": sum(row["quarantined"] for row in of_entity),
            "last_load": of_entity[-1]["committed_at"].isoformat() if of_entity else None,
        }
    left = pace_for(settings, ledger, company.key_id).left()
    return {"entities": entities, "quota_left": left}
