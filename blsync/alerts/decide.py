"""What holds now that a person should know: the one place where that is decided.

It is read off the ledger (how entities and steps ended, what is covered, totals, findings, rows of
pushes) and off the published marts (figures that differ, records in quarantine).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from blsync import closing, marts
from blsync.alerts.messages import LATE
from blsync.entities import ENTITIES, pulled
from blsync.entity import Entity
from blsync.errors import BuildError, ConfigError, StorageError
from blsync.lake.typing import is_known_field
from blsync.ledger import Ledger, dialects, loads, outcomes
from blsync.ledger.conditions import Condition, held_pushes
from blsync.ledger.outcomes import ALL, Outcome
from blsync.ledger.states import ConditionKind, Step
from blsync.reconcile import differences
from blsync.settings import Company, Settings

MAX_AGE = timedelta(hours=26)
"""How old what is covered or published may be: a day, and two hours for the night itself."""
_OF_BUILD = (Step.BUILD, Step.PUBLISH, Step.PAGE)
_COUNTS = "list_totals"
"""The check of how many records there are: drift and quarantine tell it, each by its cause."""
_QUARANTINED = """
select company_id, entity, count(*) from finance.exceptions
where rule = 'quarantined_record' and not is_accepted group by all
"""


def conditions_of(
    settings: Settings, ledger: Ledger, now: datetime, max_age: timedelta = MAX_AGE
) -> list[Condition]:
    """Return what holds now; what was covered or published longer than `max_age` ago is late.

    `now` is UTC. Raises StorageError.
    """
    companies = settings.companies()
    asked = pulled(settings.entities)
    history = loads.history(ledger)
    failing = [o for o in outcomes.of_all(ledger) if o.failing_since]
    found = [*_failed(failing, {c.company_id for c in companies}, {e.name for e in asked})]
    found += _late(settings, ledger, asked, now, max_age)
    for company in companies:
        found += _drifts(ledger, company, asked)
        done = [row for row in history if row["company_id"] == company.company_id]
        found += _unknown_fields(company, done)
        found += _restated(settings, company, now)
    ids = {company.company_id for company in companies}
    found += [condition for condition in _of_marts(settings) if condition.company_id in ids]
    found += [
        Condition(ConditionKind.HELD_PUSH, company_id, plan_id, rows)
        for (company_id, plan_id), rows in held_pushes(ledger, now).items()
        if company_id in ids
    ]
    return found


def unexplained(
    found: Iterable[Condition], known: Collection[tuple[str, ConditionKind, str]]
) -> list[Condition]:
    """Return what is told of what holds: that something is late is no news where a night or a build
    failed, or where it is the marts of a night that is late; but what is `known` already, by its
    key, goes on.
    """
    listed = [*found]
    nights = [one for one in listed if one.kind in (ConditionKind.NIGHT, ConditionKind.BUILD)]

    def is_explained(late: Condition) -> bool:
        return any(
            one.subject != LATE
            or (late.kind, one.kind) == (ConditionKind.BUILD, ConditionKind.NIGHT)
            for one in nights
        )

    return [
        one for one in listed if one.subject != LATE or one.key in known or not is_explained(one)
    ]


def _failed(
    failing: Iterable[Outcome], company_ids: set[str], asked: set[str]
) -> Iterator[Condition]:
    steps = {*map(str, Step)}
    for outcome in failing:
        if outcome.company_id not in {ALL, *company_ids} or outcome.subject not in asked | steps:
            continue
        is_of_build = outcome.subject in _OF_BUILD
        kind = ConditionKind.BUILD if is_of_build else ConditionKind.NIGHT
        yield Condition(kind, outcome.company_id, outcome.subject)


def _late(
    settings: Settings,
    ledger: Ledger,
    asked: Collection[Entity],
    now: datetime,
    max_age: timedelta,
) -> list[Condition]:
    """Return what is older than it may be."""
    found = [
        Condition(ConditionKind.NIGHT, company.company_id, LATE)
        for company in settings.companies()
        if any(_is_old(ledger, company, entity, now, max_age) for entity in asked)
    ]
    published = marts.published_file(settings)
    at = published.stat().st_mtime if published.exists() else 0
    if at < (now - max_age).timestamp():
        found.append(Condition(ConditionKind.BUILD, ALL, LATE))
    return found


def _is_old(
    ledger: Ledger, company: Company, entity: Entity, now: datetime, max_age: timedelta
) -> bool:
    company_id = company.company_id
    if dialects.unavailable(ledger, company_id, entity.name, now) is not None:
        return False
    covered = loads.uncovered_from(ledger, company_id, entity.name, None, now)
    return covered is None or covered < now - max_age


def _drifts(ledger: Ledger, company: Company, asked: Iterable[Entity]) -> Iterator[Condition]:
    for entity in asked:
        drift = loads.drift_of(ledger, company.company_id, entity.name)
        if drift and drift.difference:
            count = abs(drift.difference)
            yield Condition(ConditionKind.DRIFT, company.company_id, entity.name, count)


def _unknown_fields(company: Company, done: Iterable[dict[str, object]]) -> Iterator[Condition]:
    """Yield the entities that came with fields which no model knows by now, and how many."""
    found: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for row in done:
        name = str(row["entity"])
        for field in json.loads(str(row["findings"] or "{}")).get("unknown_fields", ()):
            if name in ENTITIES and (name, field) not in seen:
                seen.add((name, field))
                found[name] += not is_known_field(ENTITIES[name], field)
    for name, count in found.items():
        if count:
            yield Condition(
                ConditionKind.UNKNOWN_FIELD, company.company_id, f"{name} {count}", count
            )


def _restated(settings: Settings, company: Company, now: datetime) -> Iterator[Condition]:
    """Yield closed months that are not what their certificates say, and in how many accounts."""
    try:
        for month in closing.certified_months(settings, company, now):
            if changed := closing.verify(settings, company, month):
                count = len(changed)
                yield Condition(ConditionKind.RESTATED, company.company_id, f"{month:%Y-%m}", count)
    except (BuildError, ConfigError, StorageError):  # nothing to compare; others tell why
        return


def _of_marts(settings: Settings) -> Iterator[Condition]:
    """Yield what the published marts tell: nothing where there are none that can be read."""
    for company_id, told in differences.summary(settings).items():
        for check, off in told["failing"].items():
            if check != _COUNTS:
                yield Condition(ConditionKind.COMPARISON, company_id, check, off["rows"])
    try:
        _, rows = marts.fetch_rows(settings, _QUARANTINED)
    except (BuildError, ConfigError, StorageError):  # none, or of an earlier version
        return
    for company_id, entity, count in rows:
        yield Condition(ConditionKind.QUARANTINE, company_id, entity, count)
