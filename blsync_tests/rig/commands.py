"""What a command does between opening a session and closing it, as one call for a test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date
from typing import Any, TypeVar

from blsync import maintenance, marts, push, reconcile
from blsync import pull as pulling
from blsync.entity import Entity
from blsync.maintenance import Compaction, Replay
from blsync.marts.figures import CompanyFacts
from blsync.pull import Result, Window
from blsync.pull.work import UP_TO_NOW
from blsync.push import PlanOptions, PlanReport, ReadingOptions, policies
from blsync.push.apply import due as due_rows
from blsync.reconcile import differences
from blsync.session import Session, open_session
from blsync.settings import Company, Settings

T = TypeVar("T")


def within(settings: Settings, work: Callable[[Session], T], **opened: Any) -> T:
    """Do work in a session of its own; `opened` are options of `open_session`."""
    with open_session(settings, **opened) as session:
        return work(session)


def _by_one_clock(opened: dict[str, Any]) -> dict[str, Any]:
    """Have requests be paced by the clock that is given, too."""
    if clock := opened.get("clock"):
        return {"limiter_clock": lambda: clock().timestamp(), **opened}
    return opened


def pull(
    settings: Settings,
    company: Company,
    entities: Iterable[Entity],
    window: Window = UP_TO_NOW,
    *,
    again: bool = False,
    allow: bool = False,
    **opened: Any,
) -> dict[str, Result]:
    allowed = [company.name] if allow else []
    with open_session(settings, allowed=allowed, **_by_one_clock(opened)) as session:
        return pulling.pull(session, company, entities, window, again=again)


def reread(
    settings: Settings,
    company: Company,
    entity: Entity,
    first: date,
    last: date,
    *,
    allow: bool = False,
    **opened: Any,
) -> Result:
    allowed = [company.name] if allow else []
    with open_session(settings, allowed=allowed, **_by_one_clock(opened)) as session:
        return pulling.reread(session, company, entity, first, last)


def compact(
    settings: Settings,
    companies: Collection[Company],
    entities: Collection[Entity],
    *,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> list[Compaction]:
    with open_session(settings, say=say) as session:
        return maintenance.compact(session, companies, entities, **options)


def replay(
    settings: Settings,
    companies: Collection[Company],
    entity: Entity,
    *,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> list[Replay]:
    with open_session(settings, say=say) as session:
        return maintenance.replay(session, companies, entity, **options)


def ask_reports(
    settings: Settings, company: Company, *, again: bool = False, **opened: Any
) -> CompanyFacts:
    with open_session(settings, **opened) as session:
        return reconcile.ask(session, company, again=again)


def ask(
    settings: Settings, company: Company, *, allow: bool = False, **opened: Any
) -> tuple[CompanyFacts, Result]:
    allowed = [company.name] if allow else []
    with open_session(settings, allowed=allowed, **opened) as session:
        return differences.ask(session, company)


def write_inputs(
    settings: Settings, companies: Iterable[tuple[Company, CompanyFacts]], **opened: Any
) -> dict[str, int]:
    with open_session(settings, **opened) as session:
        return marts.write_inputs(session, companies)


def refresh_inputs(settings: Settings) -> None:
    with open_session(settings) as session:
        marts.refresh_inputs(session)


def plan(
    settings: Settings,
    company: Company,
    endpoint: str,
    source: Any,
    *,
    mode: str = "upsert",
    on_conflict: str = "abort",
    rejects: Any = None,
    reading: ReadingOptions | None = None,
    has_check: bool = False,
    **opened: Any,
) -> PlanReport:
    options = PlanOptions(
        mode, on_conflict, rejects, reading=reading or ReadingOptions(), has_check=has_check
    )
    with open_session(settings, **opened) as session:
        return push.plan(session, company, endpoint, source, options)


def apply(settings: Settings, plan_id: str, *, dry_run: bool = False, **opened: Any) -> PlanReport:
    with open_session(settings, **opened) as session:
        return push.apply(session, plan_id, dry_run=dry_run)


def settle_all(settings: Settings, **opened: Any) -> list[PlanReport]:
    return within(settings, push.settle_all, **opened)


def retry(settings: Settings, plan_id: str, **opened: Any) -> PlanReport:
    with open_session(settings, **opened) as session:
        return push.retry(session, plan_id)


def undo(settings: Settings, plan_id: str, **opened: Any) -> PlanReport:
    with open_session(settings, **opened) as session:
        return push.undo(session, plan_id)


def approve(
    settings: Settings, plan_id: str, reason: str | None = None, **opened: Any
) -> PlanReport:
    with open_session(settings, **opened) as session:
        return push.approve(session, plan_id, reason)


def reject(
    settings: Settings, plan_id: str, reason: str | None = None, **opened: Any
) -> PlanReport:
    with open_session(settings, **opened) as session:
        return push.reject(session, plan_id, reason)


def show(settings: Settings, plan_id: str, **options: Any) -> PlanReport:
    with open_session(settings) as session:
        return push.show(session, plan_id, **options)


def list_plans(settings: Settings) -> list[dict[str, Any]]:
    return within(settings, push.list_plans)


def due(settings: Settings, **opened: Any) -> str | None:
    return within(settings, due_rows.due, **opened)


def run_policy(
    settings: Settings, policy: policies.Policy, company: Company, **opened: Any
) -> PlanReport:
    with open_session(settings, **opened) as session:
        return policies.run(session, policy, company)
