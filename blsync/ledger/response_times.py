"""How long answers took: for each company, business day and kind of request, how many took how many
milliseconds.

A count for each duration, of three significant digits, tells every percentile to within half a per
cent, and stays as small however many requests there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, text

from blsync.ledger import Ledger
from blsync.ledger.tables import response_times

Durations = Mapping[tuple[str, str, int], int]
"""Requests by day (ISO), kind and milliseconds."""


def rounded(seconds: float) -> int:
    """Return a duration in milliseconds, to three significant digits."""
    ms = max(0, round(seconds * 1000))
    step: int = 10 ** max(0, len(str(ms)) - 3)
    return round(ms / step) * step


def add(ledger: Ledger, company_id: str, durations: Durations) -> None:
    """Add to what is counted of a company."""
    with ledger.begin() as db:
        for (day, kind, ms), count in durations.items():
            row = {"company_id": company_id, "day": day, "kind": kind, "ms": ms, "count": count}
            db.execute(_ADD, row)


def counted(ledger: Ledger, since: str = "") -> list[dict[str, Any]]:
    """Return what is counted from that day on (ISO): company_id, day, kind, ms, requests."""
    query = select(response_times).where(response_times.c.day >= since)
    with ledger.begin() as db:
        query = query.order_by(*response_times.primary_key.columns)
        return [dict(row) for row in db.execute(query).mappings()]


def forget_before(ledger: Ledger, day: str) -> None:
    """Forget the days before that one (ISO)."""
    with ledger.begin() as db:
        db.execute(delete(response_times).where(response_times.c.day < day))


_ADD = text(
    "insert into response_times (company_id, day, kind, ms, requests)"
    " values (:company_id, :day, :kind, :ms, :count)"
    " on conflict (company_id, day, kind, ms)"
    " do update set requests = response_times.requests + excluded.requests"
)
