"""The push: read → validate → plan → apply → settle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blsync.ledger import Ledger, plans
from blsync.ledger.evidence import Evidence
from blsync.ledger.states import Mode, OnConflict, OperationState
from blsync.push import approval
from blsync.push.apply.evidence import of_server, told
from blsync.push.apply.outbox import apply, settle_all
from blsync.push.dialects import DIALECTS, endpoints_of
from blsync.push.endpoints import ENDPOINTS, EVERY, endpoint_named
from blsync.push.plan.confirmation import check_confirmed
from blsync.push.plan.planning import PlanOptions, ReadingOptions, plan
from blsync.push.plan.rejects import check_target, write_rejects
from blsync.push.plan.retry import retry
from blsync.push.plan.undo import undo
from blsync.push.report import STATES, PlanReport, report_of, rows_if_said, sayings_of, sheet_of
from blsync.push.work import plan_in_full, plan_named, refuse_emptied
from blsync.session import Session
from blsync.session.loss import refuse_older
from blsync.settings import Company, Settings

__all__ = [
    "DIALECTS",
    "ENDPOINTS",
    "EVERY",
    "Mode",
    "OnConflict",
    "PlanOptions",
    "PlanReport",
    "ReadingOptions",
    "apply",
    "approve",
    "awaits_approval",
    "check_confirmed",
    "endpoint_named",
    "endpoints_of",
    "list_plans",
    "plan",
    "reject",
    "retry",
    "seen_of_look_ups",
    "settle_all",
    "show",
    "show_in_full",
    "undo",
]


def approve(session: Session, plan_id: str, reason: str | None = None) -> PlanReport:
    """Approve what a plan would send, as the session's actor; `plan_id` may be the beginning of
    one. Raises ConfigError, StorageError, and SafetyLimit where the actor has planned it, or it was
    rejected.
    """
    plan = plan_named(session.ledger, plan_id)
    refuse_emptied(plan, "there is nothing to approve any more")
    refuse_older(session.ledger, plan.plan_id)
    approval.approve(session, plan_named(session.ledger, plan.plan_id), reason)
    return report_of(session.ledger, plan.plan_id)


def reject(session: Session, plan_id: str, reason: str | None = None) -> PlanReport:
    """Reject a plan, as the session's actor: nothing of it is sent (any more). Raises ConfigError,
    also where all of it was applied, and StorageError.
    """
    plan = plan_named(session.ledger, plan_id)
    refuse_older(session.ledger, plan.plan_id)
    approval.reject(session, plan_named(session.ledger, plan.plan_id), reason)
    return report_of(session.ledger, plan.plan_id)


def awaits_approval(settings: Settings, report: PlanReport) -> str:
    """Tell why a plan with rows to send may not be sent now; empty: it may, or sends nothing."""
    has_any = any(row.state == OperationState.PENDING for row in report.operations)
    return approval.refusal(settings, report.plan, report.operations) if has_any else ""


def show(session: Session, plan_id: str, *, rejects: Path | None = None) -> PlanReport:
    """Return a plan and what became of its rows; `plan_id` may be the beginning of one.

    `rejects` is written with the rows that were rejected, at planning or by BigLedger, to be mended
    and planned again. Raises ConfigError for an id that is none, StorageError.
    """
    report = report_of(session.ledger, plan_named(session.ledger, plan_id).plan_id)
    if rejects:
        refuse_emptied(report.plan, "the rejected ones cannot be written out")
        check_target(rejects, Path(report.plan.source))
        write_rejects(rejects, sheet_of(report.plan, report.operations), report.operations)
    return report


def show_in_full(session: Session, plan_id: str) -> PlanReport:
    """Return the plan of that id, which is whole. Raises ConfigError, StorageError."""
    return report_of(session.ledger, plan_in_full(session.ledger, plan_id).plan_id)


def seen_of_look_ups(ledger: Ledger, company: Company) -> dict[str, tuple[Evidence, str]]:
    """Return what was seen of look-ups at a company's server, by endpoint, each with its meaning
    in words.
    """
    seen = of_server(ledger, company)
    return {name: (one, told(endpoint_named(name), one.state)) for name, one in seen.items()}


def list_plans(session: Session) -> list[dict[str, Any]]:
    """Return every plan with its rows by state, the newest first; times are UTC."""
    ledger = session.ledger
    return [
        {
            "plan_id": plan.plan_id,
            "company": plan.company,
            "endpoint": plan.endpoint,
            "state": plan.state,
            "source": plan.source,
            "created_at": plan.created_at,
            "applied_at": plan.applied_at,
            "actor": plan.actor,
            "undoes": plan.undoes,
            "approvals": sayings_of(plan, rows_if_said(ledger, plan)),
            **{state.value: tally.get(state, 0) for state in STATES},
        }
        for plan in plans.find(ledger, "")
        for tally in [plans.tally(ledger, plan.plan_id)]
    ]
