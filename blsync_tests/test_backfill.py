"""Backfills as a click in Dagster's UI starts them: its server, its daemon and its runs for real.

All of them run once, in the module's fixture; its tests look at what became of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.dataset
import pytest
from conftest import Asked, Reply, Server, failure, serving
from rig import patient
from rig.ui_process import serving_ui
from test_redaction import ENCODERS, leaks

from blsync.entities import ENTITIES
from blsync.sandbox import Handle, Options, running

pytestmark = pytest.mark.deep
"""A year of days in Dagster's own process."""

ZONE = ZoneInfo("Asia/Kuala_Lumpur")
YEAR, WEEK = 365, 7
KEY = "blg_test_sk_backfills_0123456789"
COMPANIES = {"yearly": 250, "whole": 60, "closed": 60}
"""Each company and how many invoices it has."""
WEEKLY = ("whole", "closed")
ECHO = "echo"
"""A company whose server repeats the key it is sent."""
PAGE = 100
LOG = "ui.log"
HASTE = """
import sys

if "dagster._daemon" in sys.orig_argv:
    import dagster._daemon.controller

    dagster._daemon.controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 4
"""
"""Has the daemon look for backfills more often than every 30 s, which cannot be set."""

LAUNCH = """
mutation($assets: [AssetKeyInput!], $partitions: [String!]) {
  launchPartitionBackfill(backfillParams: {assetSelection: $assets, partitionNames: $partitions}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
LOOK = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill {
      status
      error { message }
      runs { id status tags { key value } }
      assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
        assetKey { path } numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed
      } } }
    }
  }
}"""
EVENTS = """
query($id: ID!, $after: String) {
  logsForRun(runId: $id, afterCursor: $after) {
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on MessageEvent { message timestamp }
        ... on ExecutionStepFailureEvent {
          error { message }
          failureMetadata { metadataEntries { label ... on IntMetadataEntry { intValue } } }
        }
      }
    }
  }
}"""
LOADED = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
NIGHT = """
mutation($at: Float!) {
  scheduleDryRun(timestamp: $at, selectorData: {
    repositoryName: "__repository__", repositoryLocationName: "blsync",
    scheduleName: "nightly_sync"
  }) {
    ... on DryRunInstigationTick { evaluationResult { runRequests { tags { key value } } } }
  }
}"""


@dataclass
class Dagster:
    """Dagster's server, asked as its pages ask it."""

    url: str
    token: str
    home: Path

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the one field that a query asks for."""
        asked = {"query": query, "variables": variables}
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = patient.post(f"{self.url}/graphql", json=asked, headers=headers).json()
        assert "errors" not in answer, answer["errors"]
        (value,) = answer["data"].values()
        return value

    def launch(self, entities: list[str], companies: dict[str, list[str]]) -> str:
        """Ask for a backfill of the companies' days; returns its id."""
        assets = [{"path": ["raw", name]} for name in entities]
        chosen = [f"{name}|{day}" for name, days in companies.items() for day in days]
        answer = self.ask(LAUNCH, assets=assets, partitions=chosen)
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def look(self, backfill_id: str) -> Any:
        """Return a backfill and its runs."""
        return self.ask(LOOK, id=backfill_id)

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return all events of a run."""
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"cursor": None, "hasMore": True}
        while page["hasMore"]:
            page = self.ask(EVENTS, id=run_id, after=page["cursor"])
            found += page["events"]
        return found


@dataclass
class Story:
    """What the module did: backfills as they ended, requests and landings before the last."""

    dagster: Dagster
    data: Path
    books: dict[str, Handle]
    days: list[str]
    backfills: dict[str, Any]
    requests: dict[str, dict[str, int]]
    """By company and route."""
    landed: dict[str, list[str]]
    """Ids by entity, of the company `whole`."""


@contextmanager
def dagster_ui(environment: dict[str, str], folder: Path) -> Iterator[Dagster]:
    """Run `blsync ui` until its code location is loaded."""
    with serving_ui(folder, environment) as ui:
        dagster = Dagster(ui.url, ui.token, ui.data / "dagster")
        _await(lambda: bool(dagster.ask(LOADED).get("nodes")), "the code location", 120)
        yield dagster


def _await(is_so: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.3)


def _environment(tmp_path: Path, books: Mapping[str, Server], start: date) -> dict[str, str]:
    file = tmp_path / "companies.toml"
    file.write_text(
        "".join(
            f'[companies.{name}]\ncompany_id = "{handle.company_id}"\n'
            f'api_key_env = "BACKFILL_KEY"\nbase_url = "{handle.base_url}"\n'
            for name, handle in books.items()
        )
    )
    (tmp_path / "haste").mkdir()
    (tmp_path / "haste" / "sitecustomize.py").write_text(HASTE)
    return {
        "PYTHONPATH": str(tmp_path / "haste"),
        "BLSYNC_COMPANIES": str(file),
        "BLSYNC_START": str(start),
        "BLSYNC_QUOTA_PER_HOUR": "100000",
        "BLSYNC_QUOTA_PER_SECOND": "1000",
        "BACKFILL_KEY": KEY,
    }


def _repeating(asked: Asked) -> Reply:
    key = asked.headers["authorization"].removeprefix("Bearer ")
    said = " ; ".join(encode(key) for encode in ENCODERS.values())
    return failure(422, "BAD", message=said, details=[{"field": key, "message": said, "code": key}])


def _sandbox(name: str, invoices: int) -> Options:
    return Options(
        company_id=f"co_{name}",
        api_key=KEY,
        invoices=invoices,
        customers=15,
        items=12,
        months=2,
        limits=False,
        faults="forbid=invoices" if name == "closed" else "",
    )


def _landed(data: Path, company: str, entity: str) -> list[str]:
    """Return the ids of all landed rows."""
    folder = data / "landing" / entity / f"company_id=co_{company}"
    table = pyarrow.dataset.dataset(folder, format="parquet").to_table()
    if entity == "stock":
        rows = table.select(["itemId", "locationId"]).to_pylist()
        return sorted(f"{row['itemId']} {row['locationId']}" for row in rows)
    return sorted(table["id"].to_pylist())


def _await_end(dagster: Dagster, ids: dict[str, str]) -> dict[str, Any]:
    under_way = ("REQUESTED", "CANCELING", "FAILING")
    _await(
        lambda: all(dagster.look(one)["status"] not in under_way for one in ids.values()),
        "the backfills",
        300,
    )
    return {name: dagster.look(one) for name, one in ids.items()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    tmp_path = tmp_path_factory.mktemp("backfill")
    data = tmp_path / "data"
    with ExitStack() as stack:
        books = {
            name: stack.enter_context(running(_sandbox(name, invoices)))
            for name, invoices in COMPANIES.items()
        }
        start = datetime.now(ZONE).date() - timedelta(days=YEAR - 1)
        days = [str(start + timedelta(days=n)) for n in range(YEAR)]
        week = days[-WEEK:]
        echo = stack.enter_context(serving(_repeating))
        environment = _environment(tmp_path, {**books, ECHO: echo}, start)
        dagster = stack.enter_context(dagster_ui(environment, tmp_path))
        first = {
            "year": dagster.launch(["invoices"], {"yearly": days}),
            "week": dagster.launch(list(ENTITIES), dict.fromkeys(WEEKLY, week)),
            ECHO: dagster.launch(["invoices"], {ECHO: week[-1:]}),
        }
        ended = _await_end(dagster, first)
        requests = {
            name: patient.get(f"{handle.url}/sandbox/stats").json()["routes"]
            for name, handle in books.items()
        }
        landed = {name: _landed(data, "whole", name) for name in ENTITIES}
        again = _await_end(dagster, {"again": dagster.launch(list(ENTITIES), {"whole": week})})
        yield Story(dagster, data, books, days, ended | again, requests, landed)


def _server_ids(story: Story, company: str, entity: str, since: str = "0001-01-02") -> list[str]:
    """Return the ids of the server's records that changed on that day or later."""
    url = f"{story.books[company].url}/sandbox/records"
    records = patient.get(url, params={"entity": entity}).json()
    midnight = datetime.fromisoformat(since).replace(tzinfo=ZONE)
    return sorted(r["id"] for r in records if datetime.fromisoformat(r["updatedAt"]) >= midnight)


def _ranges(backfill: Any) -> set[tuple[str, str]]:
    """Return the first and last day of each run."""
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in backfill["runs"]]
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return {(of_run[start], of_run[end]) for of_run in tags}


def _counts(backfill: Any) -> dict[str, tuple[int, int, int]]:
    """Return how many partitions of each asset were chosen, are materialized, failed."""
    names = ("numPartitionsTargeted", "numPartitionsMaterialized", "numPartitionsFailed")
    return {
        status["assetKey"]["path"][-1]: tuple(status[name] for name in names)
        for status in backfill["assetBackfillData"]["assetBackfillStatuses"]
    }


def test_a_year_of_days_is_one_run_and_one_walk(story: Story) -> None:
    backfill = story.backfills["year"]
    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert len(backfill["runs"]) == 1
    assert _ranges(backfill) == {(f"yearly|{story.days[0]}", f"yearly|{story.days[-1]}")}
    records = len(_server_ids(story, "yearly", "invoices"))
    assert records > 2 * PAGE
    assert story.requests["yearly"] == {"GET /invoices": ceil(records / PAGE)}


def test_days_of_several_companies_are_one_run_a_company(story: Story) -> None:
    backfill = story.backfills["week"]
    assert len(backfill["runs"]) == 2
    first, last = story.days[-WEEK], story.days[-1]
    assert _ranges(backfill) == {(f"{name}|{first}", f"{name}|{last}") for name in WEEKLY}


def test_all_raw_assets_of_a_company_are_one_walk_a_feed(story: Story) -> None:
    asked = dict(story.requests["whole"])
    # Voided entries are fetched again when what reverses them arrives: one request more.
    assert asked.pop("GET /journal-entries") in (2, 3)
    lower = datetime.fromisoformat(story.days[-WEEK]).replace(tzinfo=ZONE)
    assert asked == {
        f"GET {entity.path}": len(entity.feeds_for(lower))
        for name, entity in ENTITIES.items()
        if name != "journal_entries"
    }


def test_what_lands_is_what_the_server_has_each_record_once(story: Story) -> None:
    assert _landed(story.data, "yearly", "invoices") == _server_ids(story, "yearly", "invoices")
    for name in ("accounts", "customers", "invoices", "items"):
        assert story.landed[name] == _server_ids(story, "whole", name, story.days[-WEEK]), name
    assert 0 < len(story.landed["invoices"]) < COMPANIES["whole"]


def test_every_chosen_day_shows_as_materialized(story: Story) -> None:
    assert _counts(story.backfills["year"]) == {"invoices": (YEAR, YEAR, 0)}
    assert _counts(story.backfills["again"]) == dict.fromkeys(ENTITIES, (WEEK, WEEK, 0))


def test_the_same_days_once_more_land_nothing_twice(story: Story) -> None:
    backfill = story.backfills["again"]
    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert {name: _landed(story.data, "whole", name) for name in ENTITIES} == story.landed


def test_one_assets_failure_in_one_company_leaves_the_others_alone(story: Story) -> None:
    backfill = story.backfills["week"]
    assert backfill["status"] == "COMPLETED_FAILED"
    both = dict.fromkeys(ENTITIES, (2 * WEEK, 2 * WEEK, 0))
    assert _counts(backfill) == both | {"invoices": (2 * WEEK, WEEK, WEEK)}


def test_a_run_that_fails_says_why_and_how_a_command_would_have_ended(story: Story) -> None:
    (run,) = [run for run in story.backfills["week"]["runs"] if run["status"] == "FAILURE"]
    (event,) = [
        event
        for event in story.dagster.events(run["id"])
        if event["__typename"] == "ExecutionStepFailureEvent"
    ]
    assert "invoices of closed failed: GET /invoices: 403 FORBIDDEN" in event["error"]["message"]
    assert "read:invoices" in event["error"]["message"]
    facts = {e["label"]: e.get("intValue") for e in event["failureMetadata"]["metadataEntries"]}
    assert facts == {"exit_code": 3}


def test_no_key_is_in_what_dagster_shows_or_keeps(story: Story) -> None:
    events = [
        event
        for backfill in story.backfills.values()
        for run in backfill["runs"]
        for event in story.dagster.events(run["id"])
    ]
    assert len(events) > YEAR
    assert KEY not in str(events)
    files = [path for path in (story.data / "dagster").rglob("*") if path.is_file()]
    kept = [path.read_bytes() for path in [*files, story.data.parent / LOG]]
    assert any(b"403 FORBIDDEN" in content for content in kept)
    assert not any(KEY.encode() in content for content in kept)


def test_no_key_that_a_server_repeats_is_in_what_dagster_shows_or_keeps(story: Story) -> None:
    (run,) = story.backfills[ECHO]["runs"]
    assert run["status"] == "FAILURE"
    shown = str(story.dagster.events(run["id"]))
    assert "[secret]" in shown
    files = [path for path in story.data.rglob("*") if path.is_file()]
    for content in (shown.encode(), *(path.read_bytes() for path in files)):
        assert leaks(content, {"key": KEY}) == []


def test_the_schedule_sees_what_the_backfills_have_done(story: Story) -> None:
    """A dry run of the next tick: one run a company, from the first day that an asset lacks."""
    tick = story.dagster.ask(NIGHT, at=time.time())
    requests = tick["evaluationResult"]["runRequests"]
    assert len(requests) == len([*COMPANIES, ECHO])
    starts = {start for start, _ in _ranges({"runs": requests})}
    assert starts == {f"{name}|{story.days[0]}" for name in [*COMPANIES, ECHO]}
