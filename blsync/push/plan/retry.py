"""Planning anew what a plan left: rejected rows, and those that were held for a person."""

from __future__ import annotations

from blsync.errors import ConfigError
from blsync.ledger import plans
from blsync.ledger.plans import Operation
from blsync.ledger.states import KEPT_BACK, OperationState
from blsync.push.apply.settle import is_for_a_person
from blsync.push.plan.planning import PlanOptions, plan
from blsync.push.plan.undo import undo
from blsync.push.plan.validate import problem
from blsync.push.report import PlanReport, sheet_of
from blsync.push.work import company_of, plan_named, refuse_emptied
from blsync.session import Session


def retry(session: Session, plan_id: str) -> PlanReport:
    """Plan the rejected rows of a plan anew, and those that are held for a person to decide.

    A held row is given up in the old plan first: whoever asks for this has looked at BigLedger, and
    the new plan adopts what it finds there. Rows whose settle time is not over stay held. Raises
    what `plan` raises, and ConfigError where there is nothing to retry.
    """
    ledger = session.ledger
    old = plan_named(ledger, plan_id)
    refuse_emptied(old, "they cannot be planned anew from it")
    rows = plans.operations_of(ledger, old.plan_id)
    again = [row for row in rows if _is_for_retry(row)]
    if not again:
        left = sum(row.state == OperationState.HELD for row in rows)
        still = f"; {left} rows are being settled, run push settle first" if left else ""
        raise ConfigError(f"Plan {old.plan_id} has no rejected rows to retry{still}.")
    message = "given up after look-ups that found nothing, and planned anew by push retry"
    given_up = [row.row for row in again if row.state == OperationState.HELD]
    plans.give_up(ledger, old.plan_id, given_up, problem("GIVEN_UP", None, message))
    if given_up:
        plans.finish(ledger, old.plan_id, session.clock())
    company = company_of(session.settings, old)
    if old.undoes:
        return undo(session, old.undoes)
    options = PlanOptions(old.mode, old.on_conflict)
    return plan(session, company, old.endpoint, sheet_of(old, again), options)


def _is_for_retry(row: Operation) -> bool:
    if row.state == OperationState.HELD:
        return is_for_a_person(row)
    return row.state == OperationState.REJECTED or row.action in KEPT_BACK
