"""What is covered, held and published, from the ledger and the files alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from blsync import alerts, marts, push
from blsync.api.targets import TARGETS_MS, RequestKind
from blsync.entities import ENTITIES, pulled
from blsync.errors import StorageError
from blsync.lake.store import Lake
from blsync.ledger import (
    Ledger,
    conditions,
    dialects,
    events,
    loads,
    outcomes,
    response_times,
)
from blsync.ledger.states import ConditionKind, Step
from blsync.reconcile import differences
from blsync.session import Session, binding
from blsync.settings import Company, Settings

TIMES_SHOWN = timedelta(days=31)
"""How far back the last day with answers is looked for."""


def report(settings: Settings, max_age: timedelta = alerts.MAX_AGE) -> dict[str, Any]:
    """Return {companies: {NAME: {entities: {NAME: {covered_until, rows, …}}, quota_left,
    reconciliation, accepted_exceptions, last_error}}, published_at, last_errors, off, problem,
    strays}; instants are ISO 8601 in UTC.

    `last_error` is what an entity, or the pull of a company as a whole, failed with the last time:
    {message, kind, at, since, request_id}, `since` None where it has succeeded since; None where it
    never failed. `last_errors` has the same of the steps of a night: reports, build, publish, page,
    night. `off` is what holds that somebody should know: [{kind, company, subject, count, told}];
    what was covered or published longer than `max_age` ago is late. `records` are those held now,
    the ones in quarantine among them; None where that cannot be read.

    `push_evidence` is what was seen of look-ups by which pushes are settled, by endpoint.

    `strays` are files among the lake's that are none of them, relative to the data folder.

    `accepted_exceptions` are those of the published marts that accepted_exceptions.csv names;
    `reconciliation` is what `differences.summary` says, None where nothing is published.

    Entities that BLSYNC_ENTITIES leaves out are listed where some of their records are held.

    An entity is `unavailable` where the company's server, or its key, last had no such list.

    An entity's `dialect` is what the server does not take as documented first: {parameter,
    spelling, reason, request_id, learnt_at}.

    `events` is what came of a company's events: {received, duplicates, waiting, unknown,
    last_received_at, last_pulled_at}; `response_times` how long answers took in the last day that
    had any, by kind of request: {day, requests, p50_ms, p95_ms, p99_ms, target_ms, share_within}.
    `fresh_until` is the time up to which all entities are covered that are pulled and available.

    `problem` says what of folder, ledger and settings does not fit together, or is damaged, None
    where nothing is. Without a ledger that can be read `entities` is empty and `quota_left` None.
    `rows` are versions landed, delete rows not among them; `drift` is BigLedger's total less the
    records held when they were last compared, None where they never were.
    """
    Lake(settings.data)
    ledger, problem = binding.inspect(settings)
    problems = [str(problem)] if problem else []
    compared = differences.summary(settings)
    accepted = marts.accepted_exceptions(settings)
    try:
        companies = {
            c.name: _told_by_ledger(settings, ledger, c, problems)
            | {
                "reconciliation": compared.get(c.company_id),
                "accepted_exceptions": accepted.get(c.company_id, 0),
            }
            for c in settings.companies()
        }
        off = _off(settings, ledger, max_age, problems)
        steps = _last_errors(ledger, outcomes.ALL, problems)
    finally:
        if ledger:
            ledger.close()
    published = marts.published_file(settings)
    at = datetime.fromtimestamp(published.stat().st_mtime, UTC) if published.exists() else None
    strays: list[str] = []
    try:
        strays = marts.strays_of(settings)
    except StorageError as error:
        problems.append(str(error))
    return {
        "companies": companies,
        "published_at": at.isoformat() if at else None,
        "last_errors": steps,
        "off": off,
        "problem": " ".join(dict.fromkeys(problems)) or None,
        "strays": strays,
    }


def is_well(report: dict[str, Any]) -> bool:
    """Tell whether nothing of a report is stale, failed or off; fields that no model knows stop
    nothing and lack nothing.
    """
    kinds = {one["kind"] for one in report["off"]} - {ConditionKind.UNKNOWN_FIELD}
    return not kinds and report["problem"] is None


def _off(
    settings: Settings, ledger: Ledger | None, max_age: timedelta, problems: list[str]
) -> list[dict[str, Any]]:
    """Return what holds that somebody should know; nothing, with the reason, without a ledger."""
    if ledger is None:
        return []
    try:
        found = alerts.conditions_of(settings, ledger, datetime.now(UTC), max_age)
        found += [
            one.condition
            for one in conditions.kept(ledger)
            if one.condition.kind == ConditionKind.COLLECTOR and one.ended_at is None
        ]
    except StorageError as error:
        problems.append(str(error))
        return []
    names = {company.company_id: company.name for company in settings.companies()}
    return [
        {
            "kind": one.kind.value,
            "company": names.get(one.company_id),
            "subject": one.subject,
            "count": one.count,
            "told": alerts.titled(one, settings),
        }
        for one in found
    ]


def _last_errors(
    ledger: Ledger | None, company_id: str, problems: list[str]
) -> dict[str, dict[str, Any]]:
    """Return what entities and steps failed with the last time, by their names."""
    if ledger is None:
        return {}
    try:
        found = outcomes.of_all(ledger)
    except StorageError as error:
        problems.append(str(error))
        return {}
    return {
        one.subject: {
            "message": one.error,
            "kind": one.error_kind,
            "at": one.failed_at.isoformat(),
            "since": one.failing_since.isoformat() if one.failing_since else None,
            "request_id": one.request_id,
        }
        for one in found
        if one.company_id == company_id and one.failed_at
    }


def _told_by_ledger(
    settings: Settings, ledger: Ledger | None, company: Company, problems: list[str]
) -> dict[str, Any]:
    """Return what the ledger says of a company; nothing, with the reason, where it cannot."""
    if not company.company_id:
        problems.append(
            "BIGLEDGER_COMPANY_ID is not set, so nobody knows whose books these are: nothing can "
            "be pulled, and nothing is shown of what is held."
        )
    elif ledger:
        try:
            return _company(settings, ledger, company, problems)
        except StorageError as error:
            problems.append(str(error))
    return {
        "entities": {},
        "last_error": None,
        "quota_left": None,
        "push_evidence": {},
        "events": None,
        "response_times": {},
        "fresh_until": None,
    }


def _company(
    settings: Settings, ledger: Ledger, company: Company, problems: list[str]
) -> dict[str, Any]:
    errors = _last_errors(ledger, company.company_id, problems)
    lake = Lake(settings.data)
    done = [row for row in loads.history(ledger) if row["company_id"] == company.company_id]
    chosen = {entity.name for entity in pulled(settings.entities)}
    entities = {
        name: _entity(ledger, company, name, [row for row in done if row["entity"] == name])
        | {
            "records": _records(lake, ledger, company, name),
            "last_error": errors.get(name),
        }
        for name in ENTITIES
        if name in chosen or any(row["entity"] == name for row in done)
    }
    left = Session(settings, ledger, lake).rate_limiter(company).left()
    seen = {
        endpoint: {"state": one.state, "seen_at": one.seen_at.isoformat(), "meaning": meaning}
        for endpoint, (one, meaning) in push.seen_of_look_ups(ledger, company).items()
    }
    covered = [
        entity["covered_until"]
        for name, entity in entities.items()
        if name in chosen and not entity["unavailable"]
    ]
    return {
        "entities": entities,
        "last_error": errors.get(Step.PULL),
        "quota_left": left,
        "push_evidence": seen,
        "events": events_of(ledger, company),
        "response_times": times_of(ledger, company),
        "fresh_until": min(filter(None, covered), default=None),
    }


def events_of(ledger: Ledger, company: Company) -> dict[str, Any]:
    """Return what came of a company's events; instants are ISO 8601 in UTC."""
    found = events.tally(ledger, company.company_id)
    return {
        "received": found.events,
        "duplicates": found.duplicates,
        "waiting": found.waiting,
        "unknown": found.unknown,
        "last_received_at": found.received_at.isoformat() if found.received_at else None,
        "last_pulled_at": found.satisfied_at.isoformat() if found.satisfied_at else None,
    }


def times_of(ledger: Ledger, company: Company) -> dict[str, Any]:
    """Return how long answers took on the last day on which there were any, by kind of request."""
    since = (datetime.now(UTC) - TIMES_SHOWN).date().isoformat()
    rows = [
        row
        for row in response_times.counted(ledger, since)
        if row["company_id"] == company.company_id
    ]
    latest: dict[str, dict[int, int]] = {}
    days: dict[str, str] = {}
    for row in rows:
        kind = row["kind"]
        if row["day"] != days.get(kind):  # they come in the order of the days
            days[kind], latest[kind] = row["day"], {}
        latest[kind][row["ms"]] = row["requests"]
    return {
        kind: {"day": days[kind], **_percentiles(counts, TARGETS_MS[RequestKind(kind)])}
        for kind, counts in latest.items()
    }


def _percentiles(counts: dict[int, int], target_ms: int) -> dict[str, Any]:
    in_all = sum(counts.values())

    def at(percent: int) -> int:
        so_far = 0
        for ms, count in sorted(counts.items()):
            so_far += count
            if so_far * 100 >= in_all * percent:
                return ms
        return max(counts)

    within = sum(count for ms, count in counts.items() if ms <= target_ms)
    return {
        "requests": in_all,
        "p50_ms": at(50),
        "p95_ms": at(95),
        "p99_ms": at(99),
        "target_ms": target_ms,
        "share_within": round(within / in_all, 4),
    }


def _entity(
    ledger: Ledger, company: Company, name: str, done: list[dict[str, Any]]
) -> dict[str, Any]:
    covered = loads.uncovered_from(ledger, company.company_id, name, None, datetime.now(UTC))
    drift = loads.drift_of(ledger, company.company_id, name)
    now = datetime.now(UTC)
    is_unavailable = dialects.unavailable(ledger, company.company_id, name, now) is not None
    return {
        "unavailable": is_unavailable,
        "covered_until": covered.isoformat() if covered else None,
        "rows": sum(row["rows"] for row in done),
        "deleted": sum(row["deleted"] for row in done),
        "quarantined": sum(row["quarantined"] for row in done),
        "last_load": done[-1]["committed_at"].isoformat() if done else None,
        "drift": drift.difference if drift else None,
        "total_goes_up_to": drift.cap if drift else None,
        "drift_checked_at": drift.checked_at.isoformat() if drift else None,
        "unknown_fields": _latest(done, "unknown_fields"),
        "newly_null": _latest(done, "newly_null"),
        "noisy_numbers": _latest(done, "noisy_numbers"),
        "finer_amounts": _latest(done, "finer_amounts"),
        "dialect": [
            {**vars(fact), "learnt_at": fact.learnt_at.isoformat()}
            for fact in dialects.facts_of(ledger, company.company_id, name, datetime.now(UTC))
        ],
        "open_load": _open_load(ledger, company, name),
    }


def _records(lake: Lake, ledger: Ledger, company: Company, name: str) -> int | None:
    """Return how many records are held; None where the landing cannot be read, which whoever reads
    it tells. They were counted when BigLedger's total was compared: often nothing landed since.
    """
    drift = loads.drift_of(ledger, company.company_id, name)
    landed_at = loads.last_stamp(ledger, company.company_id, name)
    if drift and landed_at and landed_at <= drift.checked_at:
        return drift.held
    try:
        return lake.stored_count(ENTITIES[name], company.company_id)
    except StorageError:
        return None


def _latest(done: list[dict[str, Any]], finding: str) -> list[str]:
    """Return what the last load that had any found."""
    found = (json.loads(row["findings"] or "{}").get(finding) for row in reversed(done))
    return next((names for names in found if names), [])


def _open_load(ledger: Ledger, company: Company, name: str) -> dict[str, Any] | None:
    """Return how far a load is that is under way, or that an earlier run left open."""
    load = loads.unfinished(ledger, company.company_id, name)
    if load is None:
        return None
    walks = loads.walks_of(ledger, load.load_id)
    totals = loads.own_totals(walks).values()
    return {
        "started_at": load.started_at.isoformat(),
        "records": sum(walk.records for walk in walks),
        "total": sum(totals) if totals else None,
        "requests": loads.cost_of(ledger, load.load_id).requests,
    }
