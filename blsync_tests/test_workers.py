"""Workers on many machines: Dagster's runs in PostgreSQL, a run a company, one that builds."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from itertools import count

import dagster as dg
import psycopg2
import pytest
from test_cli import blsync, environment, said_once
from test_ledger import postgresql  # noqa: F401 (a fixture)
from test_ledger import run as statements
from test_retention import pulled

from blsync import settings as the_settings
from blsync.errors import ConfigError
from blsync.orchestration.pruning import prune_history

pytestmark = pytest.mark.scale
DATABASES = count(1)
PASSWORD = "s3cret/of%the=database"
WRITTEN = "s3cret%2Fof%25the%3Ddatabase"


def database(server: str) -> str:
    """Make an empty database with an owner who has a password; returns its address for Dagster."""
    name = f"dagster_{next(DATABASES)}"
    statements(
        server,
        f"create role {name} login password '{PASSWORD}'",
        f"create database {name} owner {name}",
    )
    folder = server.partition("host=")[2]
    return f"postgresql+psycopg2://{name}:{WRITTEN}@/{name}?host={folder}"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def asked(address: str, question: str) -> list[tuple]:
    with psycopg2.connect(address.replace("+psycopg2", "")) as db, db.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


@pytest.fixture
def storage(postgresql: str) -> str:  # noqa: F811
    return database(postgresql)


def test_runs_are_kept_in_the_database_and_leave_it_when_their_term_is_over(storage, tmp_path):
    env = environment(tmp_path, "http://127.0.0.1:1/v1", BLSYNC_DAGSTER_STORAGE=storage)
    done = blsync("sync", "customers", "--no-build", env=env)
    assert done.returncode != 0  # nobody answers there; the run is recorded
    days = asked(storage, "select count(*) from runs")
    assert days == [(1,)]
    assert not list((tmp_path / "dagster").rglob("*.db"))
    kept = "".join(path.read_text() for path in (tmp_path / "dagster").glob("*.yaml"))
    assert "env: BLSYNC_DAGSTER_STORAGE" in kept
    statements(
        storage.replace("+psycopg2", ""),
        "update runs set create_timestamp = create_timestamp - interval '91 days'",
    )
    pruned = blsync("prune", "--json", env=env)
    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["runs"] == 1
    assert asked(storage, "select count(*) from runs, event_logs") == [(0,)]
    for said in (done.stdout, done.stderr, pruned.stderr, kept):
        assert PASSWORD not in said
        assert WRITTEN not in said


def test_what_was_pulled_stays_known_when_its_runs_leave_the_database(
    storage, tmp_path, monkeypatch
):
    monkeypatch.setenv("BLSYNC_DAGSTER_STORAGE", storage)
    (tmp_path / "dagster.yaml").write_text(
        "storage: {postgres: {postgres_url: {env: BLSYNC_DAGSTER_STORAGE}}}"
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        for day in ("first", "second", "second"):
            dg.materialize([pulled], instance=instance, partition_key=day)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert prune_history(instance, tmp_path, tomorrow, lambda _: None).runs == 3
        assert instance.get_runs() == []
        key = dg.AssetKey("pulled")
        assert instance.get_materialized_partitions(key) == {"first", "second"}
        (check,) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(key, "law"), limit=10
        )
        assert check.status.value == "SUCCEEDED"


def test_a_database_that_cannot_be_used_is_told_without_its_password(storage, tmp_path):
    wrong = storage.replace("/dagster_", "/nowhere_")
    env = environment(tmp_path, "http://127.0.0.1:1/v1", BLSYNC_DAGSTER_STORAGE=wrong)
    for command in (("sync", "customers"), ("ui", "--port", free_port()), ("prune",)):
        done = blsync(*command, env=env)
        assert done.returncode in (1, 3)
        assert "BLSYNC_DAGSTER_STORAGE) cannot be used" in said_once(done)
        assert "nowhere_" in done.stderr
        assert WRITTEN not in done.stderr
        assert PASSWORD not in done.stderr
    told = json.loads(blsync("doctor", "--json", env=env).stdout)["checks"]
    (found,) = [check for check in told if check["name"] == "Dagster's runs"]
    assert not found["ok"]


@pytest.mark.parametrize("address", ["postgresql://u:hidden-word@h/d", "sqlite:///x.db"])
def test_an_address_that_dagster_would_read_otherwise_is_refused(monkeypatch, address):
    monkeypatch.setenv("BLSYNC_DAGSTER_STORAGE", address)
    with pytest.raises(ConfigError, match=r"postgresql\+psycopg2://USER") as refused:
        the_settings.load()
    assert "hidden-word" not in str(refused.value)
