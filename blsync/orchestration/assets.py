"""Dagster's view of the house: assets, checks, jobs, a schedule. No logic of its own.

Loading needs no credentials; a run without them fails with what is missing.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial
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

from blsync import maintenance, marts, reconcile, redaction, report, settings
from blsync.entities import ENTITIES
from blsync.entity import Entity
from blsync.errors import (
    BlsyncError,
    BuildError,
    DeletesHeldBack,
    StorageError,
    WrongClock,
    joined,
)
from blsync.files import permissions
from blsync.files.aside import clear, move_aside
from blsync.files.unexpected import apart, unexpected_of
from blsync.lake.store import storage
from blsync.orchestration import steps
from blsync.orchestration.history import begin_anew, damage_of
from blsync.orchestration.parallel import INTERRUPTED, abreast
from blsync.orchestration.push_assets import GROUP, push_definitions
from blsync.pull import Progress, Result, Window, pull, raise_failures, window_of
from blsync.reconcile import differences
from blsync.settings import ROOT

OWNERS = ["team:finance-data"]
MANY_DAYS = 31
_PARTITION = "dagster/partition"
_FIRST_PARTITION = "dagster/asset_partition_range_start"
_LAST_PARTITION = "dagster/asset_partition_range_end"
"""Tags of a run: its partition, or the ends of its range of them."""
EVENT_SECONDS = 0.03
"""What Dagster takes to record one asset's day on SQLite."""

# Dagster's processes load this module first of all that is ours.
permissions.keep_private()
redaction.guard_streams()
steps.guard_databases()
SETTINGS = settings.load()
COMPANIES = SETTINGS.companies()
with storage(SETTINGS.data):
    permissions.close_data_folder(SETTINGS.data)

os.environ.update(marts.dbt_environment(SETTINGS))

days = dg.DailyPartitionsDefinition(
    start_date=min(company.start for company in COMPANIES).isoformat(),
    timezone=SETTINGS.timezone,
    end_offset=1,  # today counts: what it has so far can be pulled
)
partitions = dg.MultiPartitionsDefinition(
    {"company": dg.StaticPartitionsDefinition([c.name for c in COMPANIES]), "day": days}
)


@dataclass
class Watch:
    """What a caller in the same process hears of a run, and what the run found."""

    wait: bool = True
    allowed: frozenset[str] = frozenset()
    """Companies of which what a safety bound holds back is let through, this once."""
    progress: Any = None
    say: Any = None
    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    pulled: dict[str, dict[str, Result] | BlsyncError] = field(default_factory=dict)
    """What `pull_ahead` brought, by company."""
    other_requests: int = 0
    other_throttled_ms: int = 0
    held_back: dict[str, BlsyncError] = field(default_factory=dict)
    """What a comparison with BigLedger would not let through, by company; the build goes on."""
    failure: BlsyncError | None = None
    has_told_strays: bool = False

    def tell_strays(self, say: Callable[[str], None]) -> None:
        """Say once what strayed into the data folder."""
        if not self.has_told_strays:
            marts.tell_strays(SETTINGS, say)
        self.has_told_strays = True


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


class AllowConfig(dg.Config):
    """`allow`: let through, in this run alone and of its companies alone (all of them in a run that
    has no partitions), what a safety bound holds back: deletes above BLSYNC_DELETE_SHARE, a
    collapsed reconciliation.
    """

    allow: bool = False


class PullConfig(AllowConfig):
    """`again`: pull the partitions' windows again, even where they are covered.

    Where it is not given, the job `nightly` pulls what is missing and every other run pulls again.
    """

    again: bool | None = None


def _raw_spec(entity: Entity) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(f.name, str(f.type), constraints=dg.TableColumnConstraints(f.nullable))
        for f in entity.schema
    ]
    return dg.AssetSpec(
        ["raw", entity.name],
        group_name="raw",
        description=f"{entity.description} Append-only Parquet: every version that was pulled.",
        skippable=True,
        owners=OWNERS,
        kinds={"python", "parquet"},
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
    )


@dg.multi_asset(
    name="raw",
    specs=[_raw_spec(entity) for entity in ENTITIES.values()],
    partitions_def=partitions,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def raw(
    context: dg.AssetExecutionContext, config: PullConfig, watch: dg.ResourceParam[Watch]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Pull the selected entities for the partitions' companies and days."""
    with _failing_clearly(watch):
        selected = [ENTITIES[key.path[-1]] for key in sorted(context.selected_asset_keys)]
        again = context.job_name != "nightly" if config.again is None else config.again
        windows = {
            name: _window(names) if again else Window()
            for name, names in _days_by_company(context).items()
        }
        say = watch.say or context.log.info
        watch.tell_strays(say)
        allowed = allowed_companies(context, config, watch)
        pulled, failed = _pull_companies(watch, selected, windows, again, say, allowed)
        watch.results |= pulled
        for entity in selected if not failed else []:
            results = [of_company[entity.name] for of_company in pulled.values()]
            if not any(result.error for result in results):
                yield dg.MaterializeResult(
                    asset_key=["raw", entity.name], metadata=_load_metadata(results)
                )
        if failed:
            told = {f"{name} failed": error for name, error in failed.items()}
            raise joined(told, len(windows))
        raise_failures(
            {
                f"{entity} of {name}": result
                for name, of_company in pulled.items()
                for entity, result in of_company.items()
            }
        )


def _pull_companies(
    watch: Watch,
    entities: list[Entity],
    windows: Mapping[str, Window],
    again: bool,
    say: Callable[[str], None],
    allowed: frozenset[str],
) -> tuple[dict[str, dict[str, Result]], dict[str, BlsyncError]]:
    """Pull the companies side by side; return what each brought, and which failed as a whole."""

    def pull_one(name: str, progress: Progress, say: Callable[[str], None]) -> dict[str, Result]:
        if isinstance(known := watch.pulled.get(name), BlsyncError):
            raise known
        if known is not None:
            return known
        return pull(
            SETTINGS,
            SETTINGS.company(name),
            entities,
            windows[name],
            again=again,
            allow=name in allowed,
            wait=watch.wait,
            progress=progress,
            say=say,
        )

    progress = watch.progress or (lambda *_: None)
    if len(windows) == 1:
        return {name: pull_one(name, progress, say) for name in windows}, {}
    outcomes = abreast(
        windows,
        lambda name, lane: pull_one(name, lane.progress, lane.say),
        progress,
        say,
        data=SETTINGS.data,
    )
    return (
        {name: found for name, found in outcomes.items() if not isinstance(found, BlsyncError)},
        {name: found for name, found in outcomes.items() if isinstance(found, BlsyncError)},
    )


def _days_by_company(context: dg.AssetExecutionContext) -> dict[str, list[str]]:
    """Return the run's days by company: Dagster may put several companies into one run."""
    found: dict[str, list[str]] = {}
    for key in context.partition_keys:
        assert isinstance(key, dg.MultiPartitionKey)  # noqa: S101 (as the definition above says)
        part = key.keys_by_dimension
        found.setdefault(part["company"], []).append(part["day"])
    return found


def allowed_companies(
    context: dg.AssetExecutionContext, config: AllowConfig, watch: Watch
) -> frozenset[str]:
    """Return the companies of which what a safety bound holds back is let through."""
    return frozenset(_companies_of_run(context.run.tags)) if config.allow else watch.allowed


def _companies_of_run(tags: Mapping[str, str]) -> list[str]:
    """Return the companies whose partitions a run has, all of them where it has none."""
    names = [company.name for company in COMPANIES]
    one = tags.get(_PARTITION)
    ends = tags.get(_FIRST_PARTITION, one), tags.get(_LAST_PARTITION, one)
    keys = [partitions.get_partition_key_from_str(end) for end in ends if end]
    if not keys:
        return names
    places = [names.index(key.keys_by_dimension["company"]) for key in keys]
    return names[min(places) : max(places) + 1]


def _window(names: list[str]) -> Window:
    return window_of(SETTINGS, date.fromisoformat(min(names)), date.fromisoformat(max(names)))


def _load_metadata(results: list[Result]) -> Mapping[str, Any]:
    windows = [
        f"{r.window[0] or 'beginning'} … {r.window[1] or 'covered already'}" for r in results
    ]
    drifts = [result.drift for result in results if result.drift is not None]
    found = {
        name: sorted({field for result in results for field in getattr(result, name)})
        for name in ("unknown_fields", "newly_null")
    }
    return {
        "dagster/partition_row_count": sum(result.rows for result in results),
        "deleted": sum(result.deleted for result in results),
        "quarantined": sum(result.quarantined for result in results),
        "requests": sum(result.requests for result in results),
        "throttled_s": round(max(result.throttled_ms for result in results) / 1000, 1),
        "window": "; ".join(windows),
        **({"drift": sum(drifts)} if drifts else {}),
        **{name: fields for name, fields in found.items() if fields},
    }


_INPUTS = {
    "companies": "The companies, their currency, and the business day of the build.",
    "report_figures": "What BigLedger's own reports say, for reconciliation.",
    "loads": "Every load from the ledger, for the marts' sync_log.",
    "push_log": "Every attempt at a pushed operation from the ledger, for the marts' push_log.",
}


@dg.multi_asset(
    name="inputs",
    specs=[
        dg.AssetSpec(
            ["inputs", name],
            group_name="inputs",
            description=text,
            deps=[["raw", entity] for entity in ENTITIES],
            owners=OWNERS,
            kinds={"python", "parquet"},
        )
        for name, text in _INPUTS.items()
    ],
)
def inputs(
    context: dg.AssetExecutionContext, config: AllowConfig, watch: dg.ResourceParam[Watch]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Ask BigLedger's reports and write what a build reads beside the landing."""
    with _failing_clearly(watch):
        asked = []
        watch.other_requests = watch.other_throttled_ms = 0
        say = watch.say or context.log.warning
        marts.mend_inputs(SETTINGS, say)
        allowed = allowed_companies(context, config, watch)
        for company in COMPANIES:
            try:
                allow = company.name in allowed
                facts, read = differences.ask(
                    SETTINGS, company, allow=allow, wait=watch.wait, say=say
                )
                asked.append((company, facts))
                watch.other_requests += facts.requests + read.requests
                watch.other_throttled_ms += facts.throttled_ms + read.throttled_ms
            except Exception as error:  # the others are built all the same
                if len(COMPANIES) == 1:
                    raise
                known = apart(error, "The comparison", SETTINGS.data)
                if isinstance(known, DeletesHeldBack | WrongClock):
                    watch.held_back[company.name] = known
                say(f"{company.name} cannot be compared with BigLedger: {known}")
                asked.append((company, reconcile.kept(SETTINGS, company)))
        for name, rows in marts.write_inputs(SETTINGS, asked, say).items():
            yield dg.MaterializeResult(
                asset_key=["inputs", name], metadata={"dagster/row_count": rows}
            )


@contextmanager
def _failing_clearly(watch: Watch) -> Iterator[None]:
    """Fail a step with one message, which the caller of the run hears too."""

    def hear(error: BlsyncError) -> None:
        watch.failure = error

    try:
        with steps.failing_clearly(SETTINGS.data, hear=hear):
            yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        watch.failure = BlsyncError(INTERRUPTED)
        raise


class Translator(DagsterDbtTranslator):
    """Names dbt's models by their schema: `staging/…`, `history/…`, `finance/…`."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return schema and table for a model; sources and tests as dbt's meta says."""
        if dbt_resource_props["resource_type"] == "model":
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["alias"]])
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
            if name in _DBT_VARIABLES or name.startswith(("DBT_", "PYTHON"))
        }
        return super().run(args, settings.environment_for_a_child(needed), *more, **named)


_DBT_VARIABLES = {*marts.dbt_environment(SETTINGS), "DAGSTER_DBT_CLI"}
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


def _dbt() -> Dbt:
    project = str(marts.PROJECT)
    executable = marts.dbt_executable()
    return Dbt(project_dir=project, profiles_dir=project, dbt_executable=executable)


def _manifest() -> Path:
    """Return dbt's manifest, parsed anew only where it is missing or older than the project."""
    project = marts.PROJECT
    manifest = project / "target" / "manifest.json"
    sources = [project / "dbt_project.yml", project / "profiles.yml"]
    sources += [p for d in ("models", "macros", "tests") for p in (project / d).rglob("*")]
    newest = max(path.stat().st_mtime for path in sources if path.is_file())
    if not manifest.exists() or manifest.stat().st_mtime < newest:
        manifest.parent.mkdir(exist_ok=True)
        # Another process may be reading: it gets the whole file, this one's or the one before.
        with tempfile.TemporaryDirectory(dir=manifest.parent) as folder:
            _dbt().cli(["--quiet", "parse"], target_path=Path(folder)).wait()
            shutil.copy2(Path(folder) / "manifest.json", f"{manifest}.{os.getpid()}")
        Path(f"{manifest}.{os.getpid()}").replace(manifest)
    return manifest


@dbt_assets(manifest=_manifest(), dagster_dbt_translator=Translator(), name="warehouse")
def warehouse(
    context: dg.AssetExecutionContext, dbt: Dbt, watch: dg.ResourceParam[Watch]
) -> Iterator[Any]:
    """Build staging and marts and run their laws."""
    with _failing_clearly(watch):
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
            run: DbtCliInvocation = dbt.cli(["build"], context=context, target_path=artifacts)
            try:
                events.extend(run.stream())
            except DagsterDbtCliRuntimeError:
                raise marts.failure_of(SETTINGS, artifacts) from None
    except BuildError as error:
        return events, error
    return events, None


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
    context: dg.AssetExecutionContext, config: AllowConfig, watch: dg.ResourceParam[Watch]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Publish the build, and show what of it does not tie out."""
    with _failing_clearly(watch):
        allowed = {
            SETTINGS.company(name).company_id for name in allowed_companies(context, config, watch)
        }
        rows = marts.publish(SETTINGS, watch.say or context.log.info, allowed=allowed)
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
def report_page(watch: dg.ResourceParam[Watch]) -> dg.MaterializeResult[Any]:
    """Write the report."""
    with _failing_clearly(watch):
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


RAW = dg.AssetSelection.groups("raw")
NIGHTLY = dg.AssetSelection.all() - dg.AssetSelection.groups(GROUP)
BUILD = NIGHTLY - RAW - dg.AssetSelection.groups("inputs")

nightly = dg.define_asset_job(
    "nightly",
    selection=NIGHTLY,
    description="Pull what is missing, build, check, publish.",
)
backfill = dg.define_asset_job(
    "backfill",
    selection=RAW,
    description="Pull the chosen days again; the next build takes them up.",
)
build = dg.define_asset_job(
    "build",
    selection=BUILD,
    description="Build, check and publish from what has landed, without asking BigLedger.",
)


@dg.op(description="Merge the files of many nights into few.")
def merge_loads(context: dg.OpExecutionContext, watch: dg.ResourceParam[Watch]) -> None:
    """Compact all entities of all companies."""
    with _failing_clearly(watch):
        say = watch.say or context.log.info
        done = maintenance.compact(SETTINGS, COMPANIES, ENTITIES.values(), say=say)
        for one in done:
            context.log.info(f"{one.company} {one.entity}: {one.files_before} → {one.files_after}")


@dg.job(description="Merge the files of many nights into few, so that builds read them fast.")
def compact() -> None:
    """Compact the landing."""
    merge_loads()


weekly_compaction = dg.ScheduleDefinition(
    name="weekly_compaction",
    job=compact,
    cron_schedule="0 4 * * 0",
    execution_timezone=SETTINGS.timezone,
    description="Compact early on Sunday, after the night's sync.",
)


def missing_days(instance: dg.DagsterInstance, company: str, today: str) -> tuple[str, str]:
    """Return the first day that a raw asset of the company lacks, and today, as partition keys."""
    first = today
    for entity in ENTITIES:
        done = instance.get_materialized_partitions(dg.AssetKey(["raw", entity]))
        for day in days.get_partition_keys():
            if day >= first:
                break
            if dg.MultiPartitionKey({"company": company, "day": day}) not in done:
                first = day
    return first, today


def range_tags(company: str, first: str, last: str) -> dict[str, str]:
    """Return the tags of one run over a company's days, both ends included."""
    keys = [dg.MultiPartitionKey({"company": company, "day": day}) for day in (first, last)]
    return {
        _FIRST_PARTITION: keys[0],
        _LAST_PARTITION: keys[1],
    }


@dg.schedule(job=nightly, cron_schedule="30 2 * * *", execution_timezone=SETTINGS.timezone)
def nightly_sync(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Ask for every missing day, in one run a company."""
    with steps.ticking_clearly(SETTINGS.data):
        at = context.scheduled_execution_time.astimezone(SETTINGS.zone)
        for company in COMPANIES:
            first, last = missing_days(context.instance, company.name, at.date().isoformat())
            yield dg.RunRequest(
                run_key=f"{company.name} {at:%Y-%m-%d}",
                tags=range_tags(company.name, first, last),
            )


@dg.resource(description="How a run is followed from the process that started it, if any does.")
def watch_of_caller() -> Watch:
    """Return the watch of the process that started the run, or one that nobody looks at."""
    return _WATCH.get() or Watch()


proposals = [key for key in warehouse.keys if key.path[0] == "proposals"]
defs = dg.Definitions.merge(
    dg.Definitions(
        assets=[raw, inputs, warehouse, published, report_page],
        jobs=[nightly, backfill, build, compact],
        schedules=[nightly_sync, weekly_compaction],
        executor=dg.in_process_executor,
        resources={
            "watch": watch_of_caller,
            "dbt": _dbt(),
        },
    ),
    push_definitions(SETTINGS, proposals, OWNERS),
)


def instance_home() -> Path:
    """Return the folder to use as DAGSTER_HOME: dagster.yaml with the data folder's own paths."""
    given = os.environ.get("DAGSTER_HOME")  # empty: not given
    own = SETTINGS.data / "dagster"
    if given and Path(given).absolute() != own:
        return Path(given)
    text = (ROOT / "dagster.yaml").read_text().replace("warehouse/data/dagster", str(own))
    file = own / "dagster.yaml"
    with storage(file):
        if os.path.lexists(own) and not own.is_dir():
            move_aside(own)
        own.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != text.encode():
            clear(file)
            file.write_text(text)
    return own


def _begin_history_anew(home: Path, why: str, say: Callable[[str], None]) -> None:
    """Move a damaged history aside. Raises StorageError where it is not in the data folder."""
    if home != SETTINGS.data / "dagster":
        raise StorageError(
            f"Dagster's history in {home} is damaged: {why}. DAGSTER_HOME names that folder, so it "
            "was left as it is; nothing that was pulled is lost. Mend it or move it elsewhere, "
            "and run the same command again."
        )
    with storage(home):
        aside = begin_anew(home)
    say(
        f"Dagster's history was damaged ({why}) and is now {aside}; delete it when you need it no "
        "more. A new one is begun; what is pulled is told by the ledger alone. Where `make ui` "
        "runs, start it again."
    )


def pull_ahead(
    companies: Iterable[str],
    watch: Watch,
    entities: Iterable[str],
    days_range: tuple[str, str] | None,
) -> None:
    """Pull companies side by side; a run of each then records what is in `watch.pulled`.

    Two runs at once in one process would wait for each other: each sets up logging anew.
    """
    windows = {name: _window(list(days_range)) if days_range else Window() for name in companies}
    chosen = [ENTITIES[name] for name in entities]
    say = watch.say or (lambda _: None)
    is_again = days_range is not None
    pulled, failed = _pull_companies(watch, chosen, windows, is_again, say, watch.allowed)
    watch.pulled = {**pulled, **failed}


def run(
    company: str | None,
    watch: Watch,
    *,
    entities: Iterable[str] = (),
    days_range: tuple[str, str] | None = None,
    has_inputs: bool = True,
    has_build: bool = True,
) -> None:
    """Run the nightly job in this process, recorded where Dagster's UI shows it.

    `company` None leaves the pull out, `has_inputs` off BigLedger's reports. `days_range` (first
    and last day, ISO) pulls those days again instead of what is missing. What was found is in
    `watch`. Raises the BlsyncError that made the run fail. A damaged history of Dagster's is begun
    anew: it stops nothing.
    """
    job = partial(_run, company, watch, list(entities), days_range, has_inputs, has_build)
    home = instance_home()
    try:
        job(home)
    except BlsyncError:
        raise
    except Exception as error:
        if (why := damage_of(home, error)) is None:
            raise
        _begin_history_anew(home, why, watch.say or (lambda _: None))
        job(instance_home())


def _run(
    company: str | None,
    watch: Watch,
    entities: list[str],
    days_range: tuple[str, str] | None,
    has_inputs: bool,
    has_build: bool,
    home: Path,
) -> None:
    selection = [dg.AssetKey(["raw", name]) for name in entities] if company else []
    if has_build:
        chosen = NIGHTLY - RAW if has_inputs else BUILD
        selection += sorted(chosen.resolve(defs.resolve_asset_graph()))
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        tags = {}
        if company:
            today = days.get_last_partition_key()
            first, last = days_range or missing_days(instance, company, str(today))
            tags = range_tags(company, first, last)
            count = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
            if watch.say and count > MANY_DAYS:
                watch.say(
                    f"Recording {count} days in Dagster's history, once: about "
                    f"{count * len(selection) * EVENT_SECONDS:.0f} s beside the pull."
                )
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if company:
            config["ops"] = {"raw": {"config": {"again": days_range is not None}}}
        watch.failure = None
        _WATCH.set(watch)
        result = defs.resolve_job_def("nightly").execute_in_process(
            instance=instance,
            run_config=config,
            asset_selection=selection,
            tags=tags,
            raise_on_error=False,
        )
    if watch.failure:
        raise watch.failure
    if not result.success:
        raise _failure_of(result)


def _failure_of(result: dg.ExecuteInProcessResult) -> BlsyncError:
    """Return what failed a run outside our steps, the first thing that Dagster recorded of it."""
    failed = (event.event_specific_data for event in result.all_events if event.is_failure)
    error = next((e for data in failed if (e := getattr(data, "error", None))), None)
    if error is None:
        return unexpected_of("Dagster", f"run {result.run_id} failed", "", SETTINGS.data)
    cause = error
    while cause.cause:
        cause = cause.cause
    kind = (cause.cls_name or "error").rpartition(".")[2]
    message = cause.message.removeprefix(cause.cls_name or "").lstrip(":. ")
    return unexpected_of(kind, message, error.to_string(), SETTINGS.data)
