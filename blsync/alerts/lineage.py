"""Where data came from, told to a collector of OpenLineage's (BLSYNC_OPENLINEAGE_URL).

The steps of a night call it when they have ended, from cron and from Dagster alike, because both
run the same steps. An event names jobs, data sets, columns and counts; nothing of a record is in
it. A collector that is down costs a step some seconds and nothing else.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from blsync import __version__, marts
from blsync.entity import Entity
from blsync.errors import BlsyncError
from blsync.personal_data import without_addresses, without_quoted
from blsync.pull import Result
from blsync.redaction import redact
from blsync.settings import Company, Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

Say = Callable[[str], None]
SECONDS = 2.0
"""How long the collector may take to connect, and to answer one event."""
SECONDS_TOGETHER = 5.0
"""How long the events of a step may take; what is left then is not sent."""
SENDERS = 8
"""Jobs whose events are sent at once."""
MISSING = (
    "BLSYNC_OPENLINEAGE_URL is set and the library that it needs is not installed, so no lineage "
    "is sent: pip install 'blsync[openlineage]'"
)
_PRODUCER = f"https://pypi.org/project/blsync/{__version__}"
SECONDS_LEFT_ALONE = 60.0
"""For how long a collector is not asked again that took no event."""
_left_alone_until = [0.0]
_told: set[str] = set()
"""What this process has said of the collector: each once."""


@dataclass(frozen=True)
class DataSet:
    """What a job reads or writes. `columns` are (name, type, meaning), `rows` None where it is not
    known; without a `namespace` it is this installation's.
    """

    name: str
    rows: int | None = None
    columns: Sequence[tuple[str, str, str | None]] = ()
    namespace: str = ""


@dataclass(frozen=True)
class Job:
    """A job that has ended: with `error`, or well. Times are UTC."""

    name: str
    began_at: datetime
    inputs: Sequence[DataSet] = ()
    outputs: Sequence[DataSet] = ()
    error: BlsyncError | None = None
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class _Parents(msgspec.Struct):
    """What is read of dbt's manifest: by a node's id, the ids of what it reads."""

    parent_map: dict[str, list[str]]


def is_installed() -> bool:
    """Whether the library is there that speaks to one."""
    return importlib.util.find_spec("openlineage") is not None


def pulls_of(
    settings: Settings,
    entities: Iterable[Entity],
    ended: Mapping[str, Mapping[str, Result] | BlsyncError],
    began_at: datetime,
) -> list[Job]:
    """Return the pulls of the companies' entities by how they `ended`. What BigLedger does not have
    of a company is none.
    """
    found = []
    for name, results in ended.items():
        for entity in entities:
            outcome = results if isinstance(results, BlsyncError) else results[entity.name]
            if isinstance(outcome, BlsyncError) or outcome.unavailable is None:
                found.append(_pull_of(settings.company(name), entity, outcome, began_at))
    return found


def _pull_of(
    company: Company, entity: Entity, outcome: Result | BlsyncError, began_at: datetime
) -> Job:
    """Return the pull of an entity: from BigLedger's list to what landed."""
    error = outcome if isinstance(outcome, BlsyncError) else outcome.error
    rows = outcome.rows if isinstance(outcome, Result) else None
    server = urlsplit(company.base_url)
    path = f"{company.company_id}{server.path}{entity.path}"
    columns = [(column.name, str(column.type), None) for column in entity.schema]
    return Job(
        f"pull.{company.name}.{entity.name}",
        began_at,
        [DataSet(path, namespace=f"{server.scheme}://{server.netloc}")],
        [DataSet(f"raw.{entity.name}", rows, columns)],
        error,
    )


def builds_of(
    settings: Settings,
    results: Iterable[marts.Result],
    error: BlsyncError | None,
    began_at: datetime,
) -> list[Job]:
    """Return a build: a job for each model that ran, and one for all of it.

    Raises what `marts.manifest_of` and `marts.tables_of_build` do, OSError.
    """
    manifest = marts.manifest_of(settings).read_bytes()
    parents = msgspec.json.decode(manifest, type=_Parents).parent_map
    names = {node.id: f"{node.schema}.{node.alias}" for node in marts.models_of(settings)}
    tables = {} if error else marts.tables_of_build(settings)
    jobs = [Job("build", began_at, error=error)]
    for result in results:
        name = names.get(result.unique_id)
        if name is None or not result.has_news or result.status not in ("success", "error"):
            continue
        failed = BlsyncError("The model could not be built.") if result.status == "error" else None
        reads = [_parent(parent, names) for parent in parents[result.unique_id]]
        made = _built(name, tables.get(name))
        jobs.append(Job(f"build.{name}", began_at, [*filter(None, reads)], [made], failed))
    return jobs


def _parent(unique_id: str, names: Mapping[str, str]) -> DataSet | None:
    """Return what a model reads by its id in dbt; None for what is no data set."""
    if unique_id in names:
        return _built(names[unique_id], None)
    kind, *_, source, name = unique_id.split(".")
    if kind != "source":
        return None
    return DataSet(f"raw.{name}" if source == "landing" else f"{source}.{name}")


def _built(name: str, table: marts.Table | None) -> DataSet:
    return DataSet(f"build.{name}", *((table.rows, table.columns) if table else ()))


def publishing_of(
    settings: Settings, outcome: Mapping[str, int] | BlsyncError, began_at: datetime
) -> list[Job]:
    """Return the publishing of a build: a job for each table, from the build to what analysts open,
    and one for all of it. `outcome` has the rows of each, or why nothing was published. Raises what
    `marts.tables_of_build` does.
    """
    if isinstance(outcome, BlsyncError):
        return [Job("publish", began_at, error=outcome)]
    tables = marts.tables_of_build(settings)
    jobs = [Job("publish", began_at)]
    for name, rows in outcome.items():
        columns = table.columns if (table := tables.get(name)) else ()
        published = DataSet(name, rows, columns)
        jobs.append(Job(f"publish.{name}", began_at, [_built(name, None)], [published]))
    return jobs


def tell(settings: Settings, say: Say, run_id: str, jobs: Callable[[], Iterable[Job]]) -> None:
    """Send START and COMPLETE or FAIL of each job, as parts of Dagster's run of that id. `jobs` is
    called where a collector is named.

    Raises nothing: lineage that is missing is no reason to lose a night. What could not be sent is
    said once a process, and is not sent later.
    """
    if settings.openlineage_url is None or time.monotonic() < _left_alone_until[0]:
        return
    if not is_installed():
        _say_once(say, MISSING)
        return
    try:
        events = [_events_of(job, settings.openlineage_namespace, run_id) for job in jobs()]
        problem = _send(settings, events)
    except Exception as error:
        problem = type(error).__name__
    if problem:
        _left_alone_until[0] = time.monotonic() + SECONDS_LEFT_ALONE
        _say_once(
            say,
            f"The collector at BLSYNC_OPENLINEAGE_URL did not take all events ({problem}); the run "
            "goes on, and what it did not take is not sent again.",
        )


def _say_once(say: Say, text: str) -> None:
    if text not in _told:
        _told.add(text)
        say(text)


def _send(settings: Settings, jobs: Iterable[list[RunEvent]]) -> str | None:
    """Send events, each job's in their order; return why not all were taken, None where they were.

    At the first that is not taken the others are left out: who is down stays so for a while.
    """
    from openlineage.client.transport import http

    key = settings.openlineage_api_key
    tokens = http.ApiKeyTokenProvider({"apiKey": key.get_secret_value()}) if key else None
    url = f"{settings.openlineage_url}/"  # else the last part of a path would be replaced
    config = http.HttpConfig(
        url, timeout=SECONDS, auth=tokens or http.TokenProvider({}), retry={"total": 0}
    )
    # Not by the library's client, which adds the working folder's repository to each event.
    transport = http.HttpTransport(config)
    left = deque(jobs)
    problems: list[str] = []

    def work() -> None:
        try:
            while left and not problems:
                for event in left.popleft():
                    transport.emit(event)
        except IndexError:  # another took the last
            pass
        except Exception as error:  # of whatever library it speaks HTTP with
            problems.append(type(error).__name__)

    _ = transport.session  # made here, or each thread would make one
    threads = [threading.Thread(target=work, daemon=True) for _ in range(SENDERS)]
    last = time.monotonic() + SECONDS_TOGETHER
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, last - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        problems.append(f"it took more than {SECONDS_TOGETHER:.0f} s")
    return problems[0] if problems else None


def _events_of(job: Job, namespace: str, parent_id: str) -> list[RunEvent]:
    from openlineage.client import event_v2 as v2
    from openlineage.client.facet_v2 import error_message_run, parent_run

    night = parent_run.Job(namespace, "nightly")
    facets: dict[str, Any] = {
        "parent": parent_run.ParentRunFacet(run=parent_run.Run(parent_id), job=night)
    }
    run_id = str(uuid4())
    inputs = [v2.InputDataset(one.namespace or namespace, one.name) for one in job.inputs]

    def event(state: v2.RunState, at: datetime) -> v2.RunEvent:
        return v2.RunEvent(
            eventType=state,
            eventTime=at.isoformat(),
            run=v2.Run(run_id, facets=dict(facets)),
            job=v2.Job(namespace, job.name),
            inputs=inputs,
            outputs=[_output(one, namespace, has_facets=job.error is None) for one in job.outputs],
            producer=_PRODUCER,
        )

    started = event(v2.RunState.START, job.began_at)
    if job.error is None:
        return [started, event(v2.RunState.COMPLETE, job.ended_at)]
    told = redact(without_addresses(without_quoted(str(job.error))))
    facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
        message=f"{type(job.error).__name__}: {told}", programmingLanguage="python"
    )
    return [started, event(v2.RunState.FAIL, job.ended_at)]


def _output(one: DataSet, namespace: str, *, has_facets: bool) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset, schema_dataset

    facets: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    if one.columns and has_facets:
        fields = [
            schema_dataset.SchemaDatasetFacetFields(name=name, type=kind, description=meaning)
            for name, kind, meaning in one.columns
        ]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    if one.rows is not None and has_facets:
        counts["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=one.rows)
        )
    return OutputDataset(one.namespace or namespace, one.name, facets=facets, outputFacets=counts)
