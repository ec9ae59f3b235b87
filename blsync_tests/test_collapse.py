"""Marts whose reconciliation collapsed are not published, and a bad night's exit codes say so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from test_cli import blsync, environment
from test_pull import control

from blsync.sandbox import Options, running


def published(data: Path) -> str:
    return hashlib.sha256((data / "blsync.duckdb").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def sandbox():
    with running(Options(invoices=120, customers=40, items=25, months=3, limits=False)) as handle:
        yield handle


@pytest.fixture(scope="module")
def env(sandbox, tmp_path_factory):
    """The environment of a company whose marts are published."""
    data = tmp_path_factory.mktemp("collapse")
    found = environment(data, sandbox.base_url)
    first = blsync("sync", "--json", env=found)
    assert first.returncode == 0, first.stderr
    return found


def test_a_night_of_empty_lists_ends_with_3_and_the_marts_stay(env, sandbox):
    data = Path(env["BLSYNC_DATA"])
    before = published(data)
    control(sandbox, "faults", faults="hide=1")
    night = blsync("sync", "--json", env=env)
    control(sandbox, "faults", faults="")
    assert night.returncode == 3
    told = json.loads(night.stdout)
    assert told["published"] is None
    assert "--allow" in told["entities"]["customers"]["error"]
    assert told["entities"]["customers"]["deleted"] == 0
    assert told["entities"]["journal_entries"]["deleted"] == 0
    assert published(data) == before


def test_one_entity_that_is_asked_alone_ends_with_3_too(env, sandbox):
    control(sandbox, "faults", faults="hide=1")
    night = blsync("sync", "customers", "--no-build", env=env)
    control(sandbox, "faults", faults="")
    assert night.returncode == 3
    assert "blsync sync customers --allow" in night.stderr


def test_a_night_without_reports_is_published_all_the_same(env, sandbox):
    data = Path(env["BLSYNC_DATA"])
    before = published(data)
    control(sandbox, "night")
    control(sandbox, "faults", faults="forbid=reports")
    night = blsync("sync", "--json", env=env)
    control(sandbox, "faults", faults="")
    assert night.returncode == 0, night.stderr
    assert published(data) != before


def test_marts_that_lost_what_tied_out_are_published_only_where_that_is_allowed(env, sandbox):
    data = Path(env["BLSYNC_DATA"])
    before = published(data)
    control(sandbox, "faults", faults="hide=1")
    night = blsync("sync", "--json", env={**env, "BLSYNC_DELETE_SHARE": "1"})
    control(sandbox, "faults", faults="")
    assert night.returncode == 4
    assert json.loads(night.stdout)["published"] is None
    assert "figures of company_sandbox that tied out" in night.stderr
    assert "customer_balance " in night.stderr
    assert "blsync build --allow" in night.stderr
    assert published(data) == before
    allowed = blsync("build", "--allow", env=env)
    assert allowed.returncode == 0, allowed.stderr
    assert published(data) != before
