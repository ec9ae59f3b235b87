"""Whether a plan may be sent: what people said of it, and whether a second one has to approve.

BLSYNC_PUSH_APPROVAL says which plans need it. An approval is of exactly what the plan would send,
and never by somebody who planned it (`blsync.ledger.approvals`). A plan that was rejected is never
sent, whatever the setting.
"""

from __future__ import annotations

from collections.abc import Sequence

from blsync.errors import ConfigError, SafetyLimit
from blsync.ledger import plans
from blsync.ledger.approvals import Saying, approvers, digest_of, person, planners
from blsync.ledger.plans import Operation, Plan
from blsync.ledger.states import SENDS, OperationState, PlanState, Verdict
from blsync.push.report import amount_of
from blsync.redaction import redact
from blsync.session import Session
from blsync.settings import Settings

LONGEST_REASON = 500
"""Characters of a reason."""


def why_needed(settings: Settings, rows: Sequence[Operation]) -> str:
    """Tell why a plan of these rows needs approval; empty: it needs none."""
    if not any(row.action in SENDS for row in rows) or settings.push_approval == "none":
        return ""
    if settings.push_approval == "always":
        return "BLSYNC_PUSH_APPROVAL is always"
    limit = settings.approval_above
    amount = amount_of(rows)
    if amount is None:
        return f"its amount is not known, and BLSYNC_PUSH_APPROVAL is {limit}"
    if limit is not None and amount <= limit:
        return ""
    return f"its amount is {amount:,.2f}, and BLSYNC_PUSH_APPROVAL is {limit}"


def refusal(settings: Settings, plan: Plan, rows: Sequence[Operation], base_url: str = "") -> str:
    """Tell why nothing of a plan may be sent now, and what to do; empty: it may.

    `base_url` is the server that it would be sent to.
    """
    if plan.state == PlanState.REJECTED:
        said = [one for one in plan.verdicts if one.verdict == Verdict.REJECTED]
        by = f" by {said[-1].actor}" if said else ""
        return (
            f"Plan {plan.plan_id} was rejected{by} (`blsync push show {plan.plan_id}` says why). "
            "It is never sent; mend the source and plan it again."
        )
    why = why_needed(settings, rows)
    if not why:
        return ""
    is_there = base_url in ("", plan.base_url)
    if is_there and approvers(plan.verdicts, digest_of(plan, rows)):
        return ""
    given = [one for one in plan.verdicts if one.verdict == Verdict.APPROVED]
    had = ""
    if given:
        own = planners(plan.verdicts)
        is_own = all(person(one.actor) in own for one in given)
        had = " Who approved it has planned it, too." if is_own else " It has changed since."
    made = f"somebody else than {plan.actor}" if plan.actor else "a second person"
    return (
        f"Plan {plan.plan_id} needs approval: {why}.{had} Have {made} look at it with `blsync push "
        f"show {plan.plan_id}` and run `blsync push approve {plan.plan_id}`."
    )


def refuse(settings: Settings, plan: Plan, rows: Sequence[Operation], base_url: str = "") -> None:
    """Raise SafetyLimit where a plan is rejected, or is to send rows without a needed approval."""
    is_over = not any(row.state == OperationState.PENDING for row in rows)
    if is_over and plan.state != PlanState.REJECTED:
        return
    if why := refusal(settings, plan, rows, base_url):
        raise SafetyLimit(f"{why} Nothing was sent.")


def approve(session: Session, plan: Plan, reason: str | None) -> None:
    """Write that the session's actor approves exactly what a plan would send.

    Raises ConfigError where nothing is left to be sent, SafetyLimit where it was rejected, or where
    the actor has planned it, or nobody knows who has.
    """
    rows = plans.operations_of(session.ledger, plan.plan_id)
    own, actor = planners(plan.verdicts), session.actor
    if plan.state == PlanState.REJECTED:
        raise SafetyLimit(refusal(session.settings, plan, rows))
    if not any(row.state in (OperationState.PENDING, OperationState.HELD) for row in rows):
        raise ConfigError(f"Plan {plan.plan_id} has nothing left to send, so nothing to approve.")
    if not own:
        raise SafetyLimit(
            f"Plan {plan.plan_id} cannot be approved: an earlier version made it, and nobody knows "
            "who planned it. Plan the same file again."
        )
    if person(actor) in own:
        raise SafetyLimit(
            f"Plan {plan.plan_id} was planned by {actor}, who cannot approve it as well: a second "
            "person has to, under another login name (or BLSYNC_ACTOR)."
        )
    _say(session, plan, Verdict.APPROVED, reason, digest_of(plan, rows))


def reject(session: Session, plan: Plan, reason: str | None) -> None:
    """Write that nothing of a plan may be sent (any more). Raises ConfigError where all is sent."""
    if plan.state == PlanState.APPLIED:
        raise ConfigError(
            f"Plan {plan.plan_id} was applied to its end; `blsync push undo {plan.plan_id}` plans "
            "what takes it back."
        )
    _say(session, plan, Verdict.REJECTED, reason, None)


def _say(
    session: Session, plan: Plan, verdict: Verdict, reason: str | None, digest: str | None
) -> None:
    saying = Saying(verdict, session.actor, session.clock(), _checked(reason), digest)
    if plans.say(session.ledger, plan.plan_id, saying) is None and verdict != Verdict.REJECTED:
        raise SafetyLimit(f"Plan {plan.plan_id} was rejected meanwhile; it is never sent.")


def _checked(reason: str | None) -> str | None:
    """Return a reason on one line, without secrets. Raises ConfigError where it is too long."""
    text = " ".join((reason or "").split())
    if len(text) > LONGEST_REASON:
        raise ConfigError(f"--reason has {len(text)} characters; {LONGEST_REASON} is the most.")
    return redact(text) or None
