"""The warehouse as assets: inputs, dbt's models and laws, what is published, the report."""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import dagster_dbt.core.resource
from dagster_dbt import (
    DagsterDbtTranslator,
    DbtCliInvocation,
    DbtCliResource,
    dbt_assets,
)
from dagster_dbt.compat import DBT_PYTHON_VERSION
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from blsync import marts, report, settings
from blsync.entities import pulled
from blsync.errors import (
    BuildError,
    DeletesHeldBack,
    WrongClock,
)
from blsync.files.atomic import storage_errors
from blsync.files.places import IS_CHECKOUT
from blsync.files.unexpected import apart
from blsync.marts.figures import CompanyFacts, stored_facts
from blsync.orchestration.location import (
    COMPANIES,
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


class Translator(DagsterDbtTranslator):
    """Names dbt's models by their schema: `staging/…`, `history/…`, `finance/…`."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return schema and table for a model, the raw asset for what landed; else what dbt has."""
        if dbt_resource_props["resource_type"] == "model":
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["alias"]])
        if dbt_resource_props.get("source_name") == "landing":
            return dg.AssetKey(["raw", dbt_resource_props["name"]])
        return super().get_asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Group models by schema."""
        return str(dbt_resource_props["schema"])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """Return the owners of everything here."""
        return OWNERS


class _Invocation(DbtCliInvocation):
    """A dbt process that gets no credentials: dagster-dbt would hand down the whole environment."""

    @classmethod
    def run(
        cls, args: Sequence[str], env: dict[str, str], *more: Any, **named: Any
    ) -> DbtCliInvocation:
        """Start dbt with what it needs of `env`."""
        needed = {
            name: value
            for name, value in env.items()
            if name == "DAGSTER_DBT_CLI" or name.startswith(("DBT_", "PYTHON"))
        }
        needed |= marts.dbt_environment(SETTINGS)
        return super().run(args, settings.environment_for_a_child(needed), *more, **named)


# The one place from which dagster-dbt starts dbt; it has no setting for the environment.
dagster_dbt.core.resource.DbtCliInvocation = _Invocation  # type: ignore[attr-defined]


class Dbt(DbtCliResource):
    """dbt without what dagster-dbt does before it: a process of dbt's own that tells the version,
    and an adapter in this process, for row counts and lineage that we get otherwise. Together they
    take as long as a small build.
    """

    @cached_property
    def _cli_version(self) -> Any:
        return DBT_PYTHON_VERSION

    def _initialize_dbt_core_adapter(self, args: object) -> Any:
        return None


def dbt_resource() -> Dbt:
    """Return the resource that runs dbt on the project of the house."""
    project = str(marts.PROJECT)
    executable = marts.dbt_executable()
    return Dbt(project_dir=project, profiles_dir=project, dbt_executable=executable)


def _manifest() -> Path:
    """Return dbt's manifest, parsed anew only where it is missing or older than the project.

    A checkout has it where dbt puts it. An installed project may be read-only, and its files as old
    as some package cache: the manifest is in the data folder, under a name of what it was made of.
    """
    project = marts.PROJECT
    sources = [project / "dbt_project.yml", project / "profiles.yml"]
    sources += [p for d in ("models", "macros", "tests") for p in (project / d).rglob("*")]
    sources = sorted(path for path in sources if path.is_file())
    if IS_CHECKOUT:
        manifest = project / "target" / "manifest.json"
        is_current = manifest.exists() and manifest.stat().st_mtime >= max(
            path.stat().st_mtime for path in sources
        )
    else:
        # With the project's folder: the manifest names its files.
        told = b"".join([str(project).encode(), *map(Path.read_bytes, sources)])
        name = f"manifest.{hashlib.sha256(told).hexdigest()[:16]}.json"
        manifest = SETTINGS.data / "cache" / name
        is_current = manifest.exists()
    if not is_current:
        with storage_errors(manifest):
            manifest.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be reading: it gets the whole file, this one's or the one before.
        with tempfile.TemporaryDirectory(dir=manifest.parent) as folder:
            dbt_resource().cli(["--quiet", "parse"], target_path=Path(folder)).wait()
            shutil.copy2(Path(folder) / "manifest.json", f"{manifest}.{os.getpid()}")
        Path(f"{manifest}.{os.getpid()}").replace(manifest)
        for earlier in manifest.parent.glob("manifest.*.json"):
            if earlier != manifest:
                earlier.unlink(missing_ok=True)
    return manifest


@dbt_assets(manifest=_manifest(), dagster_dbt_translator=Translator(), name="warehouse")
def warehouse(
    context: dg.AssetExecutionContext, dbt: Dbt, watch: dg.ResourceParam[RunContext]
) -> Iterator[Any]:
    """Build staging and marts and run their laws."""
    with failing_clearly(watch):
        say = watch.say or context.log.info
        watch.tell_strays(say)
        events, failure = _build(context, dbt, say)
        if failure and marts.is_build_damaged(SETTINGS):
            say("What the last build left behind is damaged.")
            marts.ask_for_full_build(SETTINGS)
            events, failure = _build(context, dbt, say)
        # dagster-dbt would ask dbt's adapter table by table, which takes longer than the build.
        tables = {} if failure else marts.tables_of_build(SETTINGS)
        for event in events:
            if isinstance(event, dg.Output):
                key = context.asset_key_for_output(event.output_name)
                event = event.with_metadata({**event.metadata, **_table_metadata(tables, key)})
            yield event
        if failure:
            raise failure


def _build(
    context: dg.AssetExecutionContext, dbt: Dbt, say: Callable[[str], None]
) -> tuple[list[Any], BuildError | None]:
    """Run dbt; return its events, those until it failed too, and what it failed with."""
    events: list[Any] = []
    try:
        with marts.building(SETTINGS, say) as artifacts:
            say("Building the marts and checking their laws …")
            run: DbtCliInvocation = dbt.cli(["build"], context=context, target_path=artifacts)
            try:
                events.extend(run.stream())
            except DagsterDbtCliRuntimeError:
                raise marts.failure_of(SETTINGS, artifacts) from None
            say(_built(artifacts))
    except BuildError as error:
        return events, error
    return events, None


def _built(artifacts: Path) -> str:
    """Tell how many tables a build made and how many laws they passed."""
    results = json.loads((artifacts / "run_results.json").read_bytes())["results"]
    kinds = Counter(result["unique_id"].partition(".")[0] for result in results)
    laws = kinds["test"] + kinds["unit_test"]
    return f"Built {kinds['model']:,} tables and views; all {laws:,} checks passed."


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
        allowed = {
            SETTINGS.company(name).company_id for name in allowed_companies(context, config, watch)
        }
        say = watch.say or context.log.info
        say("Comparing the build with what is published, then publishing it …")
        rows = marts.publish(SETTINGS, say, allowed=allowed)
        say(f"Published {len(rows):,} tables with {sum(rows.values()):,} rows.")
        off = marts.tie_out(SETTINGS)
        compared = differences.summary(SETTINGS)
    yield dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(marts.published_file(SETTINGS))),
            "dagster/row_count": sum(rows.values()),
            "accepted_exceptions": sum(marts.accepted_exceptions(SETTINGS).values()),
            "tie_out": {name: str(value) for name, value in off.items()},
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
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(written.path)),
            **figures,
            "picture": dg.MetadataValue.md(written.markdown),
        }
    )
