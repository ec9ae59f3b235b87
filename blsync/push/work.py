"""What the apply of one plan works with: the plan, its company, and nobody else beside it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from blsync.api.client import Client
from blsync.clock import has_passed
from blsync.errors import ConfigError
from blsync.ledger import Ledger, plans
from blsync.ledger.plans import HeldRow, Plan
from blsync.push.dialects import PushDialect, dialect_of, terms_of
from blsync.push.endpoint import Endpoint, Terms
from blsync.session import Session
from blsync.settings import Company, Settings

LOOK_UPS_APART = 15
"""The two look-ups that must both find nothing are this part of the settle time apart."""


@dataclass(frozen=True)
class ApplyContext:
    """One plan, its endpoint, and the client of its company."""

    session: Session
    plan: Plan
    endpoint: Endpoint
    client: Client

    @property
    def settings(self) -> Settings:
        """The session's settings."""
        return self.session.settings

    @property
    def ledger(self) -> Ledger:
        """The session's ledger."""
        return self.session.ledger

    @property
    def dialect(self) -> PushDialect:
        """How the settings say that changes are sent."""
        return dialect_of(self.settings)

    @property
    def terms(self) -> Terms:
        """What the dialect takes of the endpoint. Raises ConfigError where it has none such."""
        return terms_of(self.settings, self.endpoint)

    def say(self, text: str) -> None:
        """Tell whoever watches the session."""
        self.session.say(text)

    def clock(self) -> datetime:
        """Return now, UTC."""
        return self.session.clock()

    @property
    def settle_time(self) -> timedelta:
        """How long a row without an answer is left alone."""
        return timedelta(seconds=self.settings.push_settle_seconds)

    @property
    def look_ups_apart(self) -> timedelta:
        """How far apart the two look-ups are."""
        return self.settle_time / LOOK_UPS_APART


def is_due(settings: Settings, held: HeldRow, now: datetime) -> bool:
    """Tell whether a held row is to be looked up by now, for the first or the second time; never
    while a job has it in hand.

    One whose times lie ahead is: whoever settles it dates them anew first (`settle_due`).
    """
    if held.job_id:
        return False
    settle_time = timedelta(seconds=settings.push_settle_seconds)
    looked_up_at = held.operation.looked_up_at
    if looked_up_at:
        return has_passed(settle_time / LOOK_UPS_APART, looked_up_at, now)
    return has_passed(settle_time, held.since, now)


def plan_named(ledger: Ledger, beginning: str) -> Plan:
    """Return the one plan whose id begins so. Raises ConfigError."""
    found = plans.find(ledger, beginning) if beginning else []
    if not found:
        raise ConfigError(f"There is no plan {beginning!r}. `blsync push list` shows all.")
    if len(found) > 1:
        ids = ", ".join(plan.plan_id for plan in found[:5])
        raise ConfigError(f"{beginning!r} begins several plans: {ids}. Write more of the id.")
    return found[0]


def plan_in_full(ledger: Ledger, plan_id: str) -> Plan:
    """Return the plan of that id, which is whole. Raises ConfigError for the beginning of one."""
    found = [plan for plan in plans.find(ledger, plan_id) if plan.plan_id == plan_id]
    if not found:
        raise ConfigError(
            f"There is no plan {plan_id!r}. Here a plan is named by its whole id, as `blsync push "
            "list` and the plan's asset show it; the beginning of one is not enough."
        )
    return found[0]


def company_of(settings: Settings, plan: Plan) -> Company:
    """Return the plan's company. Raises ConfigError where it is not the one that was planned for:
    what was compared with a sandbox is never sent to production.
    """
    company = next((c for c in settings.companies() if c.company_id == plan.company_id), None)
    if company is None:
        raise ConfigError(
            f"Plan {plan.plan_id} is for company id {plan.company_id!r}, which the settings do not "
            "have. Set BIGLEDGER_COMPANY_ID to it, or plan the file again."
        )
    addresses = company.base_url, plan.base_url
    are_loopback = all(urlsplit(address).scheme == "http" for address in addresses)
    if company.base_url != plan.base_url and not are_loopback:
        raise ConfigError(
            f"Plan {plan.plan_id} was compared with {plan.base_url}, and BIGLEDGER_BASE_URL is "
            f"{company.base_url}. Plan the file again against that one."
        )
    return company


def only_apply(work: ApplyContext) -> AbstractAsyncContextManager[None]:
    """Hold a company's endpoint for this process, waiting for another that holds it.

    Two applies never send the same row: the ledger's claim sees to that even where they run on
    machines that share no files. This lock keeps the second from finding half of the work done.
    """
    name = f"{work.plan.endpoint}.{work.plan.company_id}.lock"
    busy = f"Another apply to {work.plan.endpoint} is running; waiting for it."
    return work.ledger.lock(work.settings.data / "push" / name, work.say, busy)
