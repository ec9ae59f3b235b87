"""Policies: which proposals a schedule may push by itself, and how much of each at most.

They stand in the TOML file that BLSYNC_PUSH_POLICIES names, a table for each view:

    [push_customers_credit_limit]
    max_creates = 0
    max_updates = 20
    max_money = 0           # in the company's currency
    companies = ["acme"]    # all companies where it is left out
    on_conflict = "abort"   # as in `push plan`; abort where it is left out

Without a policy nothing is pushed that nobody asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from blsync import push
from blsync.clock import is_ahead
from blsync.errors import BlsyncError, BuildError, ConfigError, SafetyLimit
from blsync.files.atomic import storage_errors
from blsync.files.permissions import refuse_writable
from blsync.files.unexpected import apart
from blsync.ledger.states import OnConflict, OperationState, PlanState
from blsync.marts.published import published_file
from blsync.push.apply.outbox import VALID_FOR
from blsync.push.caps import Caps, over_cap
from blsync.push.dialects import endpoints_of
from blsync.push.endpoints import EVERY
from blsync.push.report import PlanReport
from blsync.push.source.views import read_view
from blsync.session import Session
from blsync.settings import Company, Settings

Rows = Annotated[int, Field(ge=0, strict=True)]


class Policy(BaseModel, extra="forbid", frozen=True):
    """What may be pushed of one view by itself: the caps hold for each plan, and beside those of
    the settings. `companies` are their names, None for all.
    """

    view: str
    max_creates: Rows
    max_updates: Rows
    max_money: Annotated[Decimal, Field(ge=0)]
    companies: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    on_conflict: OnConflict = OnConflict.ABORT

    @property
    def endpoint(self) -> str:
        """The endpoint that the view's name says."""
        return _endpoint_of(self.view) or ""


def load(settings: Settings) -> list[Policy]:
    """Read the policies, in the order in which they are run: customers before their invoices.

    Raises ConfigError, naming what is wrong.
    """
    path = settings.push_policies
    if path is None:
        return []
    refuse_writable(path, "BLSYNC_PUSH_POLICIES")
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise _unusable(path, f"it cannot be read: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise _unusable(path, str(error)) from None
    except (RecursionError, ArithmeticError):
        raise _unusable(path, "it has values nested too deep, or a number too long") from None
    endpoints = endpoints_of(settings)
    found = [_policy(path, view, table, endpoints) for view, table in tables.items()]
    for policy in found:
        companies_of(settings, policy)
    order = list(EVERY)
    return sorted(found, key=lambda policy: order.index(policy.endpoint))


def companies_of(settings: Settings, policy: Policy) -> list[Company]:
    """Return the companies that a policy allows. Raises ConfigError for a name that is none."""
    if policy.companies is None:
        return settings.companies()
    try:
        return [settings.company(name) for name in dict.fromkeys(policy.companies)]
    except ConfigError as error:
        assert settings.push_policies is not None  # noqa: S101 (the policy comes from there)
        raise _unusable(settings.push_policies, f"[{policy.view}] companies: {error}") from None


def run(session: Session, policy: Policy, company: Company) -> PlanReport:
    """Plan a view's proposals for a company, and send them where the policy allows as much.

    Rows in conflict, rejected or blocked are in the report and stay. A plan that was begun or done
    before is left to `push apply`. Raises SafetyLimit where the plan is larger than the policy
    allows, the company is none of its, or the marts are more than a day old; else what `push.plan`
    and `push.apply` raise.
    """
    settings = session.settings
    if company not in companies_of(settings, policy):
        raise SafetyLimit(f"The policy for {policy.view} does not allow company {company.name!r}.")
    _refuse_if_old(settings, policy, session.clock())
    lines = EVERY[policy.endpoint].lines
    source = read_view(settings, policy.view, policy.endpoint, company.company_id, lines=lines)
    options = push.PlanOptions(on_conflict=policy.on_conflict)
    report = push.plan(session, company, policy.endpoint, source, options)
    plan = report.plan
    if plan.state != PlanState.PLANNED or not report.outcomes[OperationState.PENDING]:
        return report
    caps = Caps(policy.max_creates, policy.max_updates, policy.max_money)
    if told := over_cap(report, caps, lambda what: f"max_{what}"):
        raise SafetyLimit(
            f"Plan {plan.plan_id} of {policy.view} for {company.name} is larger than its policy "
            f"allows: {told}. Nothing was sent. Look at it with `blsync push show {plan.plan_id}`, "
            "then apply it by hand, or raise the cap."
        )
    return push.apply(session, plan.plan_id)


def run_all(session: Session) -> tuple[list[PlanReport], dict[str, BlsyncError]]:
    """Run every policy for each company that it allows; return what was planned or sent, and what
    failed, by view and company. One that fails stops no other.

    Raises ConfigError where the file of policies cannot be used.
    """
    reports: list[PlanReport] = []
    failed: dict[str, BlsyncError] = {}
    settings = session.settings
    for policy in load(settings):
        for company in companies_of(settings, policy):
            try:
                reports.append(run(session, policy, company))
            except Exception as error:
                what = f"{policy.view} of {company.name}"
                failed[what] = apart(error, f"The policy for {what}", settings.data)
    return reports, failed


def _policy(path: Path, view: str, table: Any, endpoints: Collection[str]) -> Policy:
    if _endpoint_of(view) not in endpoints:
        known = ", ".join(name.replace("-", "_") for name in endpoints)
        raise _unusable(
            path,
            f"[{view}] is no view that can be pushed: its name is push_ENDPOINT_WHAT, ENDPOINT "
            f"being one of {known}",
        )
    if not isinstance(table, dict) or "view" in table:
        raise _unusable(path, f"{view} must be a table of caps: [{view}] max_creates = …")
    try:
        return Policy.model_validate({**table, "view": view})
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)
        )
        raise _unusable(path, f"[{view}] {told}") from None


def _endpoint_of(view: str) -> str | None:
    prefixes = {name: f"push_{name.replace('-', '_')}_" for name in EVERY}
    return next(
        (name for name, p in prefixes.items() if view.startswith(p) and len(view) > len(p)), None
    )


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"BLSYNC_PUSH_POLICIES: {path}: {why.rstrip('.')}.")


def _refuse_if_old(settings: Settings, policy: Policy, now: datetime) -> None:
    """Refuse what yesterday's books propose: the night's sync or build has failed since."""
    path = published_file(settings)
    with storage_errors(path):
        if not path.exists():
            raise BuildError(f"Nothing is published at {path} yet. Run `blsync sync` first.")
        published_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    if is_ahead(published_at, now) or now - published_at > VALID_FOR:
        raise SafetyLimit(
            f"{policy.view} is not pushed: the marts were published more than 24 hours ago, or by "
            f"a clock that was wrong ({published_at:%Y-%m-%d %H:%M} UTC). Find out why the night's "
            "sync or build failed, then run the job push_policies again."
        )
