"""Dagster's view of the push: assets `plan` and `apply` of each endpoint, policies, settling.

No logic of its own. Every schedule and sensor is off until somebody turns it on: a second machine
with a copy of the settings must not begin to send by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from blsync import push
from blsync.errors import BlsyncError, ConfigError, PartlyFailed
from blsync.ledger.plans import Plan
from blsync.ledger.states import Mode, OnConflict, PlanState
from blsync.orchestration.launches import by_schedule, by_sensor, note_launcher
from blsync.orchestration.steps import failing_clearly, ticking_clearly
from blsync.personal_data import without_addresses
from blsync.push import overview, policies
from blsync.push.apply.due import due
from blsync.push.dialects import endpoints_of
from blsync.push.report import PlanReport
from blsync.push.source.views import source_of
from blsync.session import Session, open_session
from blsync.settings import LONGEST_ACTOR, Settings

GROUP = "push"
ACCEPTED, APPLIED = "all_rows_accepted", "all_rows_applied"
"""Checks of the two assets; they warn, because what is right is not kept back for the others."""
USER_TAG = "user"
"""The tag in which Dagster keeps who started a run, where it knows its users."""
_NO_OUTPUT = dg.Out(dg.Nothing, is_required=False)
_READ_FROM = dg.AssetKey(["published", "finance"])


class PlanConfig(dg.Config):
    """What is to be planned: either `file` or `view`; an empty text stands for none."""

    file: str | None = Field(
        None, description="csv, xlsx, json, jsonl or parquet: its path, like /srv/books/changes.csv"
    )
    view: str | None = Field(None, description="A view of the schema proposals")
    company: str | None = Field(None, description="Its name, where several are set")
    mode: str = Field(Mode.UPSERT.value, description="create, update, upsert or delete")
    on_conflict: str = Field(OnConflict.ABORT.value, description="abort, ours or theirs")
    hidden: bool = Field(False, description="Read rows and columns that a worksheet hides")


def _plan_fields(settings: Settings, views: Sequence[dg.AssetKey]) -> dg.Field:
    """Return the config of a plan as the launchpad shows it: filled in but for what is planned.

    It is required as a whole, though each field has a default: only then does a click on
    Materialize lead to the launchpad, and not to a run that has nothing to plan.
    """
    companies = settings.companies()
    filled = {"file": "", "view": "", "company": companies[0].name if len(companies) == 1 else ""}
    notes = {"view": f": {', '.join(key.path[-1] for key in views)}"} if views else {}
    fields = {}
    for name, field in PlanConfig.model_fields.items():
        default = filled.get(name, field.default)
        fields[name] = dg.Field(
            dg.Noneable(str) if name in filled else type(default),
            default_value=default,
            description=f"{field.description}{notes.get(name, '')}",
        )
    return dg.Field(fields, is_required=True, description=PlanConfig.__doc__)


class ApplyConfig(dg.Config):
    """Which plan is sent, and whether it is."""

    plan: str = Field(description="The plan's whole id.")
    dry_run: bool = Field(True, description="Send nothing: say what would be sent.")
    confirmation: str | None = Field(
        None, description="To send it: the code that `blsync push show` prints on the terminal."
    )


def push_definitions(
    settings: Settings, proposals: Iterable[dg.AssetKey], owners: Sequence[str]
) -> dg.Definitions:
    """Return the assets, jobs, schedule and sensor of the push.

    `proposals` are the assets of the views that can be pushed. Loading asks nothing and needs
    neither credentials nor policies.
    """
    views = list(proposals)
    names = [*endpoints_of(settings)]
    plans = [_plan_asset(settings, name, views, owners) for name in names]
    applies = [_apply_asset(settings, name, owners) for name in names]
    by_policy, settling = _policies_job(settings), _settle_job(settings)
    return dg.Definitions(
        assets=[*plans, *applies],
        jobs=[by_policy, settling],
        schedules=[_schedule(settings, by_policy)],
        sensors=[_sensor(settings, settling)],
    )


def key_of(endpoint: str, step: str) -> dg.AssetKey:
    """Return the asset of an endpoint's `plan` or `apply`."""
    return dg.AssetKey([GROUP, endpoint.replace("-", "_"), step])


def _plan_asset(
    settings: Settings, endpoint: str, views: list[dg.AssetKey], owners: Sequence[str]
) -> dg.AssetsDefinition:
    key = key_of(endpoint, "plan")
    prefix = f"push_{endpoint.replace('-', '_')}_"
    own = [key for key in views if key.path[-1].startswith(prefix)]

    @dg.asset(
        key=key,
        group_name=GROUP,
        deps=[*own, _READ_FROM] if own else [],
        owners=owners,
        kinds={"python"},
        config_schema=_plan_fields(settings, own),
        description=f"What a file or a view of proposals would change of {endpoint} at BigLedger. "
        "Sends nothing.",
        check_specs=[
            dg.AssetCheckSpec(
                ACCEPTED, asset=key, description="No row is rejected, blocked or in conflict."
            )
        ],
    )
    def plan(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with failing_clearly(settings.data, overview.told):
            config = PlanConfig(**context.op_execution_context.op_config)
            company = settings.chosen(config.company or None)
            file = Path(config.file) if config.file else None
            source = source_of(settings, company, endpoint, file, config.view or None)
            options = push.PlanOptions(config.mode, config.on_conflict, hidden=config.hidden)
            with _session(settings, context) as session:
                report = push.plan(session, company, endpoint, source, options)
            for note in report.notes:
                context.log.info(overview.noted(note))
            yield dg.MaterializeResult(
                metadata=_planned(report),
                check_results=[dg.AssetCheckResult(check_name=ACCEPTED, **_accepted(report))],
            )

    return plan


def _apply_asset(settings: Settings, endpoint: str, owners: Sequence[str]) -> dg.AssetsDefinition:
    key = key_of(endpoint, "apply")

    @dg.asset(
        key=key,
        group_name=GROUP,
        deps=[key_of(endpoint, "plan")],
        owners=owners,
        kinds={"python"},
        description=f"What was sent to BigLedger of a plan of {endpoint}, and what became of it. "
        "The run's config names the plan; without dry_run: false, the plan's confirmation code, "
        "BLSYNC_PUSH_FROM_UI and the approval that BLSYNC_PUSH_APPROVAL asks for nothing is sent.",
        check_specs=[
            dg.AssetCheckSpec(
                APPLIED, asset=key, description="No row that was sent is rejected, held or left."
            )
        ],
    )
    def apply(
        context: dg.AssetExecutionContext, config: ApplyConfig
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing_clearly(settings.data, overview.told):
            with _session(settings, context) as session:
                plan = push.show_in_full(session, config.plan).plan
                _check_endpoint(plan, endpoint)
                if not config.dry_run:
                    push.check_confirmed(settings, plan, config.confirmation)
                report = push.apply(session, plan.plan_id, dry_run=config.dry_run)
            yield dg.MaterializeResult(
                metadata=_sent(report) | {"dry_run": config.dry_run},
                check_results=[dg.AssetCheckResult(check_name=APPLIED, **_applied(report))],
            )

    return apply


def _policies_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(
        description="Plan each view that a policy allows, and send what is within its caps.",
        out=_NO_OUTPUT,
    )
    def push_by_policy(context: dg.OpExecutionContext) -> Iterator[Any]:
        with failing_clearly(settings.data, overview.told):
            with _session(settings, context) as session:
                reports, failed = policies.run_all(session)
            for report in reports:
                yield from _plan_events(report)
                if report.plan.state != PlanState.PLANNED:
                    yield from _apply_events(report)
            if failed:
                kind = PartlyFailed if reports else BlsyncError
                raise kind(" ".join(f"{name}: {error}" for name, error in failed.items()))

    @dg.job(
        name="push_policies",
        description="Push the views that BLSYNC_PUSH_POLICIES allows, each within its caps.",
        tags=settings.build_tags,  # it reads what is published
    )
    def job() -> None:
        push_by_policy()

    return job


def _settle_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(
        description="Look up what became of rows that were sent and not answered.", out=_NO_OUTPUT
    )
    def settle_held(context: dg.OpExecutionContext) -> Iterator[Any]:
        with failing_clearly(settings.data, overview.told):
            with _session(settings, context) as session:
                reports = push.settle_all(session)
            for report in reports:
                yield from _apply_events(report)

    @dg.job(
        name="push_settle",
        description="Settle the held rows of all plans.",
        tags=settings.build_tags,
    )
    def job() -> None:
        settle_held()

    return job


def _schedule(settings: Settings, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="nightly_push",
        job=job,
        cron_schedule="0 5 * * *",
        execution_timezone=settings.timezone,
        description="After the night's sync; does nothing without policies.",
    )
    def nightly_push(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        with ticking_clearly(settings.data):
            has_policies = bool(policies.load(settings))
        if not has_policies:
            return dg.SkipReason("BLSYNC_PUSH_POLICIES allows no view to be pushed by a schedule.")
        at = context.scheduled_execution_time.astimezone(settings.zone)
        return dg.RunRequest(run_key=f"{at:%Y-%m-%d}", tags=by_schedule("nightly_push"))

    return nightly_push


def _sensor(settings: Settings, job: dg.JobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name="push_settle",
        job=job,
        minimum_interval_seconds=300,
        description="Has held rows looked up once their settle time is over.",
    )
    def push_settle() -> dg.RunRequest | dg.SkipReason:
        with ticking_clearly(settings.data), open_session(settings) as session:
            state = due(session)
        if not state:
            return dg.SkipReason("Nothing is due.")
        return dg.RunRequest(run_key=state, tags=by_sensor("push_settle"))

    return push_settle


def _check_endpoint(plan: Plan, endpoint: str) -> None:
    if plan.endpoint != endpoint:
        asset = key_of(plan.endpoint, "apply").to_user_string()
        raise ConfigError(f"Plan {plan.plan_id} is of {plan.endpoint}; materialise {asset}.")


def _planned(report: PlanReport) -> dict[str, Any]:
    plan = report.plan
    return {
        "plan_id": plan.plan_id,
        "company": plan.company,
        "source": without_addresses(plan.source),
        "mode": plan.mode.value,
        "on_conflict": plan.on_conflict.value,
        "state": plan.state.value,
        "counts": report.counts,
        "money": f"{report.money:.2f}",
        "amount": float(report.money),
        "rows": len(report.operations),
        **{f"rows_{name}": count for name, count in report.counts.items()},
        "changes": dg.MetadataValue.md(overview.changes(report)),
        "troubles": dg.MetadataValue.md(overview.troubles(report)),
        "next": overview.next_step(report),
    }


def _sent(report: PlanReport) -> dict[str, Any]:
    return {
        "plan_id": report.plan.plan_id,
        "company": report.plan.company,
        "state": report.plan.state.value,
        "outcomes": report.outcomes,
        "money": f"{report.money:.2f}",
        "amount": float(report.money),
        "rows": len(report.operations),
        **{f"rows_{name}": count for name, count in report.outcomes.items()},
        "request_ids": list(dict.fromkeys(report.request_ids.values())),
        "troubles": dg.MetadataValue.md(overview.troubles(report)),
        "next": overview.next_step(report),
    }


def _accepted(report: PlanReport) -> Mapping[str, Any]:
    return _check(overview.is_accepted(report), report.counts)


def _applied(report: PlanReport) -> Mapping[str, Any]:
    return _check(overview.is_applied(report), report.outcomes)


def _check(passed: bool, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"passed": passed, "severity": dg.AssetCheckSeverity.WARN, "metadata": metadata}


def _plan_events(report: PlanReport) -> Iterator[Any]:
    """Yield what shows on the asset's page what a job planned."""
    key = key_of(report.plan.endpoint, "plan")
    yield dg.AssetMaterialization(key, metadata=_planned(report))
    yield dg.AssetCheckEvaluation(asset_key=key, check_name=ACCEPTED, **_accepted(report))


def _apply_events(report: PlanReport) -> Iterator[Any]:
    """Yield what shows on the asset's page what a job sent or settled."""
    key = key_of(report.plan.endpoint, "apply")
    yield dg.AssetMaterialization(key, metadata=_sent(report) | {"dry_run": False})
    yield dg.AssetCheckEvaluation(asset_key=key, check_name=APPLIED, **_applied(report))


def _session(
    settings: Settings, context: dg.AssetExecutionContext | dg.OpExecutionContext
) -> AbstractContextManager[Session]:
    """Open a session whose actor is the run's user, where Dagster knows one."""
    note_launcher(context.op_execution_context)
    user = " ".join(context.run.tags.get(USER_TAG, "").split())[:LONGEST_ACTOR]
    return open_session(settings, say=_say(context.log.info), actor=user or None)


def _say(log: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: log(without_addresses(text))
