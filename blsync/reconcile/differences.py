"""What does not tie out with BigLedger, from the published reconciliation, and mending it.

A difference stops nothing. Where a trial balance differs, the journal entries of the dates
concerned are read again: an entry that was altered, or entered late, shows in no change time.
"""

from __future__ import annotations

import math
from datetime import UTC, date, timedelta
from typing import Any

from blsync import marts, reconcile
from blsync.entities import SHIPPED
from blsync.errors import ApiError, BuildError, ConfigError, StorageError, TooManyRejected
from blsync.marts.figures import CompanyFacts
from blsync.pull import Result, reread
from blsync.session import Session
from blsync.settings import Company, Settings

JOURNAL = SHIPPED["journal_entries"]


def summary(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what the published marts say of each company, by its id; empty before there are any.

    {pass, fail, not_comparable, healed: rows, checked_at: ISO 8601 in UTC, failing: {CHECK: {rows,
    difference}}}; `difference` is the sum of absolute differences, as text.
    """
    rows = _ask(
        settings,
        "select company_id, check_name, count(*) filter (where status = 'pass'), "
        "count(*) filter (where status = 'fail'), "
        "count(*) filter (where status = 'not_comparable'), count(*) filter (where is_healed), "
        "sum(abs(difference)) filter (where status = 'fail'), "
        "max(checked_at) from finance.reconciliation group by 1, 2 order by 1, 2",
    )
    found: dict[str, dict[str, Any]] = {}
    counts = ("pass", "fail", "not_comparable", "healed")
    for company_id, check, *numbers, off, checked_at in rows:
        of_company = found.setdefault(
            company_id, {**dict.fromkeys(counts, 0), "checked_at": None, "failing": {}}
        )
        for name, number in zip(counts, numbers, strict=True):
            of_company[name] += number
        at = checked_at.replace(tzinfo=UTC).isoformat()
        of_company["checked_at"] = max(of_company["checked_at"] or at, at)
        if numbers[1]:
            of_company["failing"][check] = {"rows": numbers[1], "difference": str(off)}
    return found


def dates_to_reread(settings: Settings, company_id: str) -> list[tuple[date, date]]:
    """Return the dates, both included, in which the published trial balances come to differ.

    They are compared as of a month end and of today: what differs at the month end is looked for in
    that month, what differs today in another way in the days since. What differed from the report
    before too was looked for already, and is not again.
    """
    rows = _ask(
        settings,
        "select company_id, as_of_date, entity_key, difference, "
        "status = 'fail' and not failed_before "
        "from finance.reconciliation where check_name = 'trial_balance'",
    )
    rows = [row[1:] for row in rows if row[0] == company_id]
    ranges = []
    before: dict[str, Any] = {}
    start = None
    for day in sorted({row[0] for row in rows}):
        off = {key: difference for at, key, difference, is_new in rows if at == day and is_new}
        if off != before:
            ranges.append((start or day.replace(day=1), day))
        before, start = off, day + timedelta(days=1)
    return ranges


def ask(session: Session, company: Company) -> tuple[CompanyFacts, Result]:
    """Read again what may mend a trial balance, then return the reports' facts and what was read.

    What did not tie out at the last build is asked for again. Raises Unauthorized, QuotaSpent,
    StorageError, and DeletesHeldBack where the session does not allow it.
    """
    settings, say, read = session.settings, session.say, Result()
    for first, last in dates_to_reread(settings, company.company_id):
        say(
            f"{company.name}: the trial balance differed from BigLedger's; reading the journal "
            f"entries dated {first} to {last} again."
        )
        try:
            found = reread(session, company, JOURNAL, first, last)
        except (ApiError, TooManyRejected) as error:
            say(f"{company.name}: they could not be read: {error}")
            continue
        say(f"{company.name}: {found.rows} versions landed, {found.deleted} entries are gone.")
        for name in ("rows", "deleted", "quarantined", "requests", "throttled_ms"):
            setattr(read, name, getattr(read, name) + getattr(found, name))
    again = _is_open(settings, company.company_id)
    return reconcile.ask(session, company, again=again), read


def requests_due(session: Session, company: Company, *, has_landed: bool) -> int:
    """Return how many requests `ask` would send after a pull, one that landed something or not.

    As many entries are taken to have a date at BigLedger as are held.
    """
    settings, company_id = session.settings, company.company_id
    dated = [
        len(session.lake.keys_dated(JOURNAL, company_id, first, last))
        for first, last in dates_to_reread(settings, company_id)
    ]
    again = has_landed or _is_open(settings, company_id)
    reports = reconcile.requests_due(session, company, again=again)
    return reports + sum(max(1, math.ceil(entries / JOURNAL.page_limit)) for entries in dated)


def _is_open(settings: Settings, company_id: str) -> bool:
    """Tell whether a report did not tie out, or could not be compared, at the last build."""
    rows = _ask(
        settings,
        "select distinct company_id from finance.reconciliation where status <> 'pass' "
        "and check_name not in ('account_balance', 'customer_balance', 'supplier_balance', "
        "'list_totals', 'past_receivables') and entity_key <> 'report:unavailable'",
    )
    return (company_id,) in rows


def _ask(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    try:
        return marts.fetch_rows(settings, sql)[1]
    except (BuildError, ConfigError, StorageError):  # nothing published, or by an earlier version
        return []
