"""What a plan says before a sync is what the sync then uses."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Asked, failure, listed
from rig import commands
from rig.commands import pull
from test_cli import blsync, environment
from test_pull import control, requests_at
from test_reconcile import publish

from blsync.cli import estimate as room
from blsync.entities import ENTITIES, select
from blsync.errors import ConfigError, Forbidden, PartlyFailed, QuotaSpent, Unauthorized
from blsync.ledger.requests import Limits
from blsync.pull import Window
from blsync.pull.walk import SLICE_PAGES
from blsync.sandbox import Handle, Options, running
from blsync.settings import ROOT, Settings

MONTH_ENDS = 12
"""Before the first sync, of which BigLedger is asked once for its receivables."""
BOOKS = Options(invoices=700, customers=230, items=40, months=12, limits=False, modules=False)


@pytest.fixture(scope="module")
def books() -> Iterator[Handle]:
    with running(BOOKS) as handle:
        yield handle


@pytest.fixture
def sandbox(books: Handle) -> Iterator[Handle]:
    yield books
    control(books, "faults", faults="")


def planned(settings: Settings, *names: str, **options: object) -> dict:
    made = room.plan(settings, entities=names, **options)
    assert made.error is None
    return made.to_json()


def used(settings: Settings, *names: str) -> dict[str, int]:
    """What a sync uses: its pull's requests by entity, and those of its reports."""
    company = settings.companies()[0]
    results = pull(settings, company, select(names))
    assert not any(result.error for result in results.values())
    facts, read = commands.ask(settings, company)
    # As a build does: what was asked is kept.
    commands.write_inputs(settings, [(company, facts)])
    reports = facts.requests + read.requests
    return {name: r.requests for name, r in results.items()} | {"reports": reports}


def assert_within_5_percent(document: dict, spent: dict[str, int]) -> None:
    told = {name: e["requests"] for name, e in document["entities"].items()}
    told["reports"] = document["reports"]
    assert document["requests"] == sum(told.values())
    assert abs(document["requests"] - sum(spent.values())) <= 0.05 * sum(spent.values()), (
        told,
        spent,
    )


def test_a_plan_of_the_first_sync_asks_one_request_an_entity_and_is_right(configure, sandbox):
    loaded = configure(sandbox)
    control(sandbox, "reset-stats")
    document = planned(loaded)
    assert requests_at(sandbox) == len(ENTITIES)
    assert document["entities"]["invoices"]["records"] >= 700
    assert document["reports"] > 0
    assert_within_5_percent(document, used(loaded))


def test_where_nothing_changed_a_plan_says_one_request_a_feed(configure, sandbox):
    loaded = configure(sandbox)
    used(loaded)
    document = planned(loaded)
    spent = used(loaded)
    assert {e["records"] for e in document["entities"].values()} == {0}
    told = {name: e["requests"] for name, e in document["entities"].items()}
    assert told | {"reports": document["reports"]} == spent
    assert spent["reports"] == 0


@pytest.mark.deep
def test_where_a_report_has_to_be_asked_again_a_plan_knows_it(configure, sandbox, tmp_path):
    seeds = shutil.copytree(ROOT / "warehouse" / "seeds", tmp_path / "seeds")
    loaded = configure(sandbox, BLSYNC_SEEDS=str(seeds))
    every = used(loaded)["reports"] - MONTH_ENDS
    today = datetime.now(loaded.zone).date()
    publish(loaded, [("balance_sheet", today, "assets:balance", 1, "fail", False)])
    document = planned(loaded)
    assert document["reports"] == every
    assert_within_5_percent(document, used(loaded))

    publish(loaded, [("trial_balance", today, "a:debit", 5, "fail", False)])
    document = planned(loaded)
    assert document["reports"] > every  # journal entries of the month are read again
    assert_within_5_percent(document, used(loaded))

    publish(loaded, [])
    assert planned(loaded)["reports"] == 0
    closed = f"company_id,period,closed_at\n{loaded.company_id},{today.year - 1}-11-01,2026-01-02\n"
    (seeds / "period_close.csv").write_text(closed)
    document = planned(loaded)
    assert document["reports"] == every
    assert_within_5_percent(document, used(loaded))


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_plan_knows_how_much_changed(configure, sandbox, share):
    loaded = configure(sandbox)
    used(loaded)
    for name in ("customers", "invoices", "items"):
        control(sandbox, "touch", entity=name, share=share)
    document = planned(loaded)
    assert document["entities"]["invoices"]["records"] == pytest.approx(700 * share, rel=0.1)
    assert_within_5_percent(document, used(loaded))


@pytest.mark.deep
def test_a_plan_after_a_night_of_business_is_right(configure, sandbox):
    loaded = configure(sandbox)
    used(loaded)
    control(sandbox, "night")
    assert_within_5_percent(planned(loaded), used(loaded))


def test_a_plan_believes_the_page_size_that_the_server_gives(configure, sandbox):
    loaded = configure(sandbox, BLSYNC_QUOTA_PER_SECOND="50")  # slices may cost one more each
    control(sandbox, "faults", faults="clamp=40")
    document = planned(loaded, "invoices", "customers")
    assert document["entities"]["invoices"]["requests"] >= math.ceil(700 / 40)
    assert_within_5_percent(document, used(loaded, "invoices", "customers"))


def test_a_plan_of_a_server_that_refuses_large_pages_is_right(configure, sandbox):
    loaded = configure(sandbox, BLSYNC_QUOTA_PER_SECOND="50")
    control(sandbox, "faults", faults="max-limit=40")
    document = planned(loaded, "invoices", "accounts")
    assert_within_5_percent(document, used(loaded, "invoices", "accounts"))


@pytest.mark.deep
def test_slices_that_walk_side_by_side_cost_no_more_than_a_plan_says(configure, sandbox):
    loaded = configure(sandbox, BLSYNC_QUOTA_PER_SECOND="40")
    control(sandbox, "faults", faults="latency=100ms")
    document = planned(loaded)
    assert_within_5_percent(document, used(loaded))


def test_without_totals_a_plan_says_that_it_does_not_know(configure, sandbox):
    loaded = configure(sandbox)
    control(sandbox, "faults", faults="no-total")
    document = planned(loaded, "items")
    assert document["entities"]["items"] == {"records": None, "requests": None}
    assert document["requests"] is None
    assert document["minutes"] is None


PULL = (
    "from blsync import settings; from blsync.entities import select; from blsync.pull import pull;"
    "from blsync.session import open_session\n"
    "with open_session(settings.load()) as s:\n"
    "    found = pull(s, s.settings.companies()[0], select(['invoices']))\n"
)


@pytest.mark.deep
def test_what_a_kill_left_open_is_planned_from_the_ledger_without_a_request(configure, sandbox):
    loaded = configure(sandbox)
    control(sandbox, "faults", faults="latency=100ms")
    control(sandbox, "reset-stats")
    with subprocess.Popen([sys.executable, "-c", PULL]) as process:
        deadline = time.monotonic() + 30
        while requests_at(sandbox) < 4 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    control(sandbox, "faults", faults="")
    control(sandbox, "reset-stats")
    document = planned(loaded, "invoices")
    assert requests_at(sandbox) == 0
    invoices = document["entities"]["invoices"]
    assert 0 < invoices["records"] < 700
    # How many are left depends on when the kill came, so a share of them says nothing: a page may
    # be asked again.
    assert abs(invoices["requests"] - used(loaded, "invoices")["invoices"]) <= 1


@pytest.mark.deep
def test_a_range_is_planned_as_it_is_pulled_again(configure, sandbox):
    today = datetime.now(UTC).date()
    first = today - timedelta(days=200)
    start_day = str(first - timedelta(days=30))
    loaded = configure(sandbox, BLSYNC_START=start_day, BLSYNC_QUOTA_PER_SECOND="50")
    used(loaded)
    days = (first, today - timedelta(days=2))
    document = planned(loaded, "invoices", "journal_entries", days=days)
    zone = loaded.zone
    start, end = (
        datetime.combine(day, datetime.min.time(), zone)
        for day in (first, days[1] + timedelta(days=1))
    )
    results = pull(
        loaded,
        loaded.companies()[0],
        select(["invoices", "journal_entries"]),
        Window(start, end),
        again=True,
    )
    for name, result in results.items():
        pages = document["entities"][name]["requests"]
        # Where answers are slow a walk is split, which may cost a page for each part of it.
        assert pages <= result.requests <= pages + pages // (SLICE_PAGES // 2)
    assert document["reports"] == 0
    with pytest.raises(ConfigError, match="Swap"):
        room.plan(loaded, days=(days[1], first))


def test_what_does_not_fit_into_this_hour_waits_for_the_next():
    limits = Limits(per_hour=1000, per_second=10, window=3600, reserve=0.1)
    assert room.seconds_for(100, 900, limits) == 10
    assert room.seconds_for(900, 900, limits) == 90
    assert room.seconds_for(1000, 900, limits) == 3600 + 10
    assert room.seconds_for(1000, 0, limits) == 2 * 3600 + 10
    assert room.seconds_for(100, 900, limits, per_second=5) == 20


def test_a_plan_tells_minutes_and_the_quota_that_is_left_after_it(configure, sandbox):
    loaded = configure(
        sandbox,
        BLSYNC_QUOTA_PER_HOUR="50",
        BLSYNC_QUOTA_PER_SECOND="10",
        BLSYNC_QUOTA_RESERVE="0.2",
    )
    document = planned(loaded)
    assert document["quota_left"] == 40 - len(ENTITIES)
    later = document["requests"] - document["quota_left"]
    assert later > 0
    assert document["minutes"] == round((3600 + later / 10) / 60, 1)


def test_one_entity_that_may_not_be_read_leaves_the_others_planned(configure, sandbox):
    loaded = configure(sandbox)
    control(sandbox, "faults", faults="forbid=journal_entries")
    made = room.plan(loaded, entities=["items", "journal_entries"])
    assert isinstance(made.error, PartlyFailed)
    assert isinstance(
        made.companies[sandbox.company_id].entities["journal_entries"].error, Forbidden
    )
    entities = made.to_json()["entities"]
    assert entities["items"]["requests"] >= 1
    assert "read:journal_entries" in entities["journal_entries"]["error"]


def test_a_refused_key_and_a_spent_hour_end_a_plan_as_they_end_a_sync(configure, sandbox):
    made = room.plan(configure(sandbox, BIGLEDGER_API_KEY="blg_test_sk_wrong"))
    assert isinstance(made.error, Unauthorized)
    loaded = configure(sandbox, BLSYNC_QUOTA_PER_HOUR="1", BLSYNC_QUOTA_RESERVE="0")
    made = room.plan(loaded, entities=["items", "stock"])
    assert isinstance(made.error, QuotaSpent)


def test_a_server_that_refuses_a_plan_is_asked_no_more_often_than_a_sync_would(
    configure, tiny_server
):
    server = tiny_server(lambda asked: failure(404, "NOT_FOUND"))
    made = room.plan(configure(server), entities=["items"])
    assert made.error
    assert len(server.asked) == 1

    def answer(asked: Asked):
        return listed([{"id": "i1", "updatedAt": "2026-01-01T00:00:00Z"}], total=1)

    server = tiny_server(answer)
    document = planned(configure(server), "items")
    assert document["entities"]["items"] == {"records": 1, "requests": 1}


def companies_file(folder: Path, *servers: Handle) -> str:
    text = "".join(
        f'[companies.{name}]\ncompany_id = "{server.company_id}"\n'
        f'api_key_env = "KEY_{name.upper()}"\nbase_url = "{server.base_url}"\n'
        for name, server in zip(("alpha", "beta"), servers, strict=True)
    )
    file = folder / "companies.toml"
    file.write_text(text)
    return str(file)


def test_several_companies_are_added_up_and_listed(tmp_path, environment, configure, sandbox):
    small = Options(invoices=20, customers=5, items=4, months=2, limits=False, company_id="co_b")
    with running(small) as other:
        loaded = configure(
            sandbox,
            BLSYNC_COMPANIES=companies_file(tmp_path, sandbox, other),
            KEY_ALPHA=sandbox.api_key,
            KEY_BETA="blg_test_sk_wrong",
        )
        made = room.plan(loaded, entities=["items"])
        assert isinstance(made.error, PartlyFailed)
        assert "beta" in str(made.error)
        environment.setenv("KEY_BETA", other.api_key)
        from blsync import settings

        document = planned(settings.load(), "items")
    parts = document["companies"]
    assert set(parts) == {"alpha", "beta"}
    for name in ("requests", "reports", "quota_left"):
        assert document[name] == sum(part[name] for part in parts.values())
    assert document["entities"]["items"]["records"] == sum(
        part["entities"]["items"]["records"] for part in parts.values()
    )
    assert document["minutes"] == max(part["minutes"] for part in parts.values())


@pytest.mark.deep
def test_the_command_plans_what_the_sync_command_then_uses(tmp_path, sandbox):
    start = str(datetime.now(UTC).date() - timedelta(days=1))
    env = environment(tmp_path, sandbox.base_url, BLSYNC_START=start)
    done = blsync("plan", "--json", env=env)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    table = blsync("plan", env=env).stdout
    assert "invoices" in table
    assert "minutes" in table
    done = blsync("sync", "--json", env=env)
    assert done.returncode == 0, done.stderr
    spent = json.loads(done.stdout)["requests"]
    assert abs(document["requests"] - spent) <= 0.05 * spent
