"""The warehouse as assets: inputs, dbt's models and laws, what is published, the report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dagster as dg

from blsync import marts, report
from blsync.alerts import lineage
from blsync.entities import pulled
from blsync.errors import (
    BlsyncError,
    DeletesHeldBack,
    WrongClock,
)
from blsync.files.unexpected import apart
from blsync.marts.figures import CompanyFacts, stored_facts
from blsync.orchestration import models
from blsync.orchestration.location import (
    COMPANIES,
    FRESH,
    OWNERS,
    SETTINGS,
    AllowConfig,
    RunContext,
    allowed_companies,
    failing_clearly,
)
from blsync.reconcile import differences
from blsync.session import Session, open_session
from blsync.settings import Company


class InputsConfig(AllowConfig):
    """`reports`: ask BigLedger for its reports; without, what it said last is compared."""

    reports: bool = True


_INPUTS = {
    "companies": "The companies, their currency, and the business day of the build.",
    "report_figures": "What BigLedger's own reports say, for reconciliation.",
    "loads": "Every load from the ledger, for the marts' sync_log.",
    "push_log": "Every attempt at a pushed operation from the ledger, for the marts' push_log.",
    "webhook_log": "Every event from the ledger, for the marts' webhook_log.",
    "webhook_payments": "Every payment that an event brought, from the landing.",
    "response_times": "How long answers took, from the ledger, for the marts' sla_daily.",
}


@dg.multi_asset(
    name="inputs",
    specs=[
        dg.AssetSpec(
            ["inputs", name],
            group_name="inputs",
            description=text,
            deps=[["raw", entity.name] for entity in pulled(SETTINGS.entities)],
            owners=OWNERS,
            kinds={"python", "parquet"},
        )
        for name, text in _INPUTS.items()
    ],
)
def inputs(
    context: dg.AssetExecutionContext, config: InputsConfig, watch: dg.ResourceParam[RunContext]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Ask BigLedger's reports and write what a build reads beside the landing."""
    with failing_clearly(watch):
        watch.other_requests = watch.other_throttled_ms = 0
        say = watch.say or context.log.warning
        marts.mend_inputs(SETTINGS, say)
        allowed = allowed_companies(context, config, watch)
        with open_session(SETTINGS, say=say, waits=watch.wait, allowed=allowed) as session:
            if config.reports:
                written = marts.write_inputs(session, _asked(session, watch))
            else:
                written = marts.refresh_inputs(session)
        for name, rows in written.items():
            yield dg.MaterializeResult(
                asset_key=["inputs", name], metadata={"dagster/row_count": rows}
            )


def _asked(session: Session, watch: RunContext) -> list[tuple[Company, CompanyFacts]]:
    """Ask BigLedger about each company; where that fails, what was known before stays."""
    asked = []
    for company in COMPANIES:
        try:
            facts, read = differences.ask(session, company)
            asked.append((company, facts))
            watch.other_requests += facts.requests + read.requests
            watch.other_throttled_ms += facts.throttled_ms + read.throttled_ms
        except Exception as error:  # the others are built all the same
            if len(COMPANIES) == 1:
                raise
            known = apart(error, "The comparison", SETTINGS.data)
            if isinstance(known, DeletesHeldBack | WrongClock):
                watch.held_back[company.name] = known
            session.say(f"{company.name} cannot be compared with BigLedger: {known}")
            asked.append((company, stored_facts(session.lake, company)))
    return asked


_MODELS, _LAWS = models.specs()


@dg.multi_asset(
    name="warehouse",
    specs=_MODELS,
    check_specs=_LAWS,
    can_subset=True,
    allow_arbitrary_check_specs=True,
)
def warehouse(
    context: dg.AssetExecutionContext, watch: dg.ResourceParam[RunContext]
) -> Iterator[Any]:
    """Build staging and marts and run their laws."""
    with failing_clearly(watch):
        say = watch.say or context.log.info
        watch.tell_strays(say)
        chosen = None if watch.builds_all_news else _chosen(context)
        began_at = datetime.now(UTC)
        results, failure = marts.run_build(SETTINGS, say, chosen)
        if failure and marts.is_build_damaged(SETTINGS):
            say("What the last build left behind is damaged.")
            marts.ask_for_full_build(SETTINGS)
            results, failure = marts.run_build(SETTINGS, say, chosen)
        builds = partial(lineage.builds_of, SETTINGS, results, failure, began_at)
        lineage.tell(SETTINGS, say, context.run_id, builds)
        yield from _events(context, results, {} if failure else marts.tables_of_build(SETTINGS))
        if failure:
            raise failure


def _chosen(context: dg.AssetExecutionContext) -> set[str] | None:
    """Return the ids of the models and laws that a run is of; None where it is of all."""
    if not context.is_subset:
        return None
    keys, checks = context.selected_asset_keys, context.selected_asset_check_keys
    definition = context.assets_def
    chosen = {_node_of(spec.metadata) for spec in definition.specs if spec.key in keys}
    return chosen | {
        _node_of(spec.metadata) for spec in definition.check_specs if spec.key in checks
    }


def without_news(watch: RunContext) -> set[dg.AssetKey]:
    """Return the models that a build would leave as they are; where it is all, that is said."""
    if (due := marts.news(SETTINGS)) is None:
        return set()
    if not due and watch.say:
        watch.tell_strays(watch.say)
        watch.say("Nothing has changed since the last build, which is published as it is.")
    return {spec.key for spec in warehouse.specs if _node_of(spec.metadata) not in due}


def _node_of(metadata: Mapping[str, Any]) -> str:
    return str(metadata[models.NODE])


def _events(
    context: dg.AssetExecutionContext,
    results: Sequence[marts.Result],
    tables: Mapping[str, marts.Table],
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Yield what Dagster records of a build, as far as the run is of it.

    What had no news and is of the run is recorded as it was: a step that reads what a run ought to
    record, and does not, would be skipped.
    """
    definition = context.assets_def
    selected, checked = context.selected_asset_keys, context.selected_asset_check_keys
    keys = {_node_of(spec.metadata): spec.key for spec in definition.specs}
    laws = {_node_of(spec.metadata): spec for spec in definition.check_specs}
    for result in results:
        if result.status == "success":
            key = keys[result.unique_id]
            if key not in selected:
                continue
            yield dg.MaterializeResult(
                asset_key=key,
                metadata={
                    "has_news": result.has_news,
                    "seconds": round(result.execution_time, 3),
                    **_table_metadata(tables, key),
                },
            )
        elif result.failures is not None and (law := laws.get(result.unique_id)):
            if law.key not in checked:
                continue
            is_warning = result.status == "warn"
            yield dg.AssetCheckResult(
                asset_key=law.asset_key,
                check_name=law.name,
                passed=result.status == "pass",
                severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
                metadata={"records": result.failures},
            )


def _table_metadata(tables: Mapping[str, marts.Table], key: dg.AssetKey) -> Mapping[str, Any]:
    table = tables.get(".".join(key.path))
    if table is None:
        return {}
    columns = [dg.TableColumn(name, kind, text) for name, kind, text in table.columns]
    return {
        "dagster/row_count": table.rows,
        "dagster/column_schema": dg.TableSchema(columns),
    }


@dg.asset(
    key=["published", "finance"],
    group_name="published",
    deps=[warehouse],
    owners=OWNERS,
    kinds={"duckdb"},
    description="The marts as analysts open them: one DuckDB file, replaced by one rename.",
    freshness_policy=FRESH,
    check_specs=[
        dg.AssetCheckSpec(
            "reconciliation",
            asset=["published", "finance"],
            description="The marts against BigLedger's own reports, balances and totals.",
        )
    ],
)
def published(
    context: dg.AssetExecutionContext, config: AllowConfig, watch: dg.ResourceParam[RunContext]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Publish the build, and show what of it does not tie out."""
    with failing_clearly(watch):
        began = time.monotonic()
        allowed = {
            SETTINGS.company(name).company_id for name in allowed_companies(context, config, watch)
        }
        say = watch.say or context.log.info
        say("Comparing the build with what is published, then publishing it …")
        began_at = datetime.now(UTC)

        def tell_lineage(outcome: dict[str, int] | BlsyncError) -> None:
            jobs = partial(lineage.publishing_of, SETTINGS, outcome, began_at)
            lineage.tell(SETTINGS, say, context.run_id, jobs)

        try:
            rows = marts.publish(SETTINGS, say, allowed=allowed)
        except BlsyncError as error:
            tell_lineage(error)
            raise
        tell_lineage(rows)
        say(f"Published {len(rows):,} tables with {sum(rows.values()):,} rows.")
        off = marts.tie_out(SETTINGS)
        compared = differences.summary(SETTINGS)
    yield dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(marts.published_file(SETTINGS))),
            "dagster/row_count": sum(rows.values()),
            "accepted_exceptions": sum(marts.accepted_exceptions(SETTINGS).values()),
            "tie_out": {name: str(value) for name, value in off.items()},
            "tables": len(rows),
            "seconds": round(time.monotonic() - began, 3),
            "difference": float(sum(filter(None, off.values()))),
            "checks_failed": sum(int(found["fail"]) for found in compared.values()),
        },
        check_results=[_reconciliation_check(compared)],
    )


def _reconciliation_check(compared: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Show what does not tie out, company by company; a warning, because it stops nothing."""
    return dg.AssetCheckResult(
        check_name="reconciliation",
        passed=not any(of_company["fail"] for of_company in compared.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={company: dict(found) for company, found in compared.items()},
    )


@dg.asset(
    key=["published", "report"],
    group_name="published",
    deps=[published],
    owners=OWNERS,
    kinds={"python"},
    description="The published marts on one page (HTML) that needs no network.",
    freshness_policy=FRESH,
)
def report_page(watch: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Write the report."""
    with failing_clearly(watch):
        written = report.write(SETTINGS)
    is_one = len(written.headlines) == 1
    figures = {
        name if is_one else f"{name} ({company})": figure
        for company, headlines in written.headlines.items()
        for name, figure in headlines.items()
    }
    # Numbers that the UI can plot: its screens know no decimals, so the exact text stands beside.
    plotted = {
        name if is_one else f"{name} ({company})": float(amount)
        for company, amounts in written.amounts.items()
        for name, amount in amounts.items()
    }
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(written.path)),
            **figures,
            **plotted,
            "picture": dg.MetadataValue.md(written.markdown),
        }
    )
