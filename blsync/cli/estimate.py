"""What a sync would cost, told before it is spent, for at most one request an entity."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from blsync.entities import select_pulled
from blsync.entity import Entity
from blsync.errors import BlsyncError, PartlyFailed, joined
from blsync.ledger.requests import Limits
from blsync.orchestration import nightly
from blsync.pull import Window, window_of
from blsync.pull.estimate import Estimate, Estimator, sum_known
from blsync.pull.work import UP_TO_NOW
from blsync.reconcile import differences
from blsync.session import Session, open_session
from blsync.settings import Company, Settings, require_credentials


@dataclass
class CompanyPlan:
    """What a sync of one company would cost; `reports` are the requests beside its entities'."""

    entities: dict[str, Estimate] = field(default_factory=dict)
    reports: int = 0
    quota_left: int | None = None
    seconds: float | None = None
    error: BlsyncError | None = None

    @property
    def requests(self) -> int | None:
        """All requests together; None where one of them is unknown."""
        return sum_known([*(e.requests for e in self.entities.values()), self.reports])

    @property
    def failure(self) -> BlsyncError | None:
        """What stands in the way: of the company, or of some of its entities."""
        failed = {name: e.error for name, e in self.entities.items() if e.error}
        if self.error or not failed:
            return self.error
        kind = PartlyFailed if len(failed) < len(self.entities) else BlsyncError
        return kind(" ".join(f"{name} failed: {error}" for name, error in failed.items()))

    def to_json(self) -> dict[str, Any]:
        """Return the shape of interface.md, section 5."""
        return {
            "entities": {name: estimate.to_json() for name, estimate in self.entities.items()},
            "reports": self.reports,
            "requests": self.requests,
            "minutes": None if self.seconds is None else round(self.seconds / 60, 1),
            "quota_left": self.quota_left,
        }


@dataclass
class SyncEstimate:
    """What a sync would cost, company by company."""

    companies: dict[str, CompanyPlan]

    @property
    def error(self) -> BlsyncError | None:
        """What the command ends with; see `joined` for several companies."""
        failed = {name: c.failure for name, c in self.companies.items() if c.failure}
        if len(self.companies) == 1 or not failed:
            return next(iter(failed.values()), None)
        return joined(failed, len(self.companies))

    def to_json(self) -> dict[str, Any]:
        """Return interface.md, section 5; several companies are added up, and listed one by one.

        They are pulled side by side, so `minutes` are the longest of them.
        """
        plans = list(self.companies.values())
        if len(plans) == 1:
            return plans[0].to_json()
        entities: dict[str, Estimate] = {}
        for plan in plans:
            for name, estimate in plan.entities.items():
                entities[name] = entities.get(name, Estimate()) + estimate
        seconds = [plan.seconds for plan in plans]
        longest = None if None in seconds else max(s for s in seconds if s is not None)
        left = sum_known([plan.quota_left for plan in plans])
        added = CompanyPlan(entities, sum(plan.reports for plan in plans), left, longest)
        by_name = {
            name: {**plan.to_json(), "error": str(plan.failure) if plan.failure else None}
            for name, plan in self.companies.items()
        }
        return {**added.to_json(), "companies": by_name}


def plan(
    settings: Settings,
    *,
    companies: Iterable[str] = (),
    entities: Iterable[str] = (),
    days: tuple[date | None, date | None] = (None, None),
) -> SyncEstimate:
    """Tell what `nightly.sync` would cost with the same arguments.

    Raises ConfigError before anything is asked; what fails later is in the plan.
    """
    wanted = select_pulled(list(entities), settings.entities)
    chosen = [settings.company(name) for name in companies] or settings.companies()
    for company in chosen:
        require_credentials(company)
    names = nightly.days_range(settings, chosen, days)
    window = window_of(settings, *map(date.fromisoformat, names)) if names else UP_TO_NOW
    # An estimate that comes an hour later is of no use.
    with open_session(settings, waits=False) as session:
        return SyncEstimate(asyncio.run(_companies(session, chosen, wanted, window)))


def seconds_for(requests: int, left: int, limits: Limits, per_second: float | None = None) -> float:
    """Return how long so many requests take where `left` more may go out in this hour.

    What does not fit waits for the hours that follow, each taken to be whole.
    """
    rate = min(per_second or math.inf, limits.per_second)
    later = max(0, requests - left)
    if not later:
        return requests / rate
    an_hour = limits.per_hour - limits.held_back(limits.per_hour)
    hours = math.ceil(later / an_hour)
    return hours * limits.window + (later - (hours - 1) * an_hour) / rate


async def _companies(
    session: Session, chosen: list[Company], entities: list[Entity], window: Window
) -> dict[str, CompanyPlan]:
    plans = await asyncio.gather(
        *(_company(session, company, entities, window) for company in chosen)
    )
    return dict(zip((company.name for company in chosen), plans, strict=True))


async def _company(
    session: Session, company: Company, entities: list[Entity], window: Window
) -> CompanyPlan:
    found = CompanyPlan()
    client = session.client(company)
    try:
        async with client, asyncio.TaskGroup() as group:
            tasks = {
                entity.name: group.create_task(
                    Estimator(session, entity, client, window).estimate()
                )
                for entity in entities
            }
    except ExceptionGroup as errors:
        first = errors.exceptions[0]
        if not isinstance(first, BlsyncError):
            raise
        found.error = first
        return found
    found.entities = {name: task.result() for name, task in tasks.items()}
    if not found.failure:  # else no build follows
        has_landed = any(estimate.is_news for estimate in found.entities.values())
        found.reports = differences.requests_due(session, company, has_landed=has_landed)
    found.quota_left = client.limiter.left()
    if found.requests is not None:
        found.seconds = seconds_for(found.requests, found.quota_left, client.limiter.limits)
    return found
