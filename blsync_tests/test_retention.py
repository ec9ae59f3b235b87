"""What grows with each night is kept within a term, and what is still needed stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from rig.commands import within
from rig.push_desk import CUSTOMERS, PAYMENTS, Desk, Kind
from test_cli import blsync, environment

from blsync.errors import ConfigError
from blsync.ledger.retention import Emptied
from blsync.orchestration.pruning import prune_history
from blsync.push.retention import forget_old_bodies

TERM = timedelta(days=90)
PERSON = {"name": "Siti Nurhaliza", "phone": "+60 12 345 6789"}


def forget(desk: Desk) -> Emptied:
    return within(desk.settings, forget_old_bodies, clock=desk.clock)


def applied(desk: Desk, kind: Kind, count: int = 2) -> str:
    plan_id = desk.plan(kind.rows(desk, count), kind.endpoint).plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    return plan_id


def files_with(folder: Path, text: str) -> list[str]:
    """Return the files of a folder that hold a text."""
    held = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in held if text.encode() in path.read_bytes()]


def test_what_a_plan_held_of_persons_is_forgotten_and_what_proves_that_it_was_sent_stays(
    desk: Desk,
) -> None:
    rows = [{"email": f"{n}@{desk.word}.example", **PERSON} for n in ("a", "b")]
    before = desk.apply(desk.plan(rows).plan.plan_id)
    plan_id = before.plan.plan_id
    data = desk.settings.data
    assert f"{plan_id}.json" in files_with(data, PERSON["name"])
    desk.now += TERM - timedelta(hours=1)
    assert forget(desk).plans == []
    desk.now += timedelta(hours=2)
    done = forget(desk)
    assert (done.plans, done.rows, done.left) == ([plan_id], 2, {})
    # What SQLite has not put into its file yet goes with the next look at it.
    assert {name for name in files_with(data, PERSON["name"]) if "-wal" not in name} == set()
    after = desk.apply(plan_id)
    assert (after.exit_code, after.outcomes) == (0, before.outcomes)
    assert after.request_ids == before.request_ids
    told = [(o.natural_key, o.action, o.state, o.remote_id) for o in after.operations]
    assert told == [(o.natural_key, o.action, o.state, o.remote_id) for o in before.operations]
    assert forget(desk).plans == []


@pytest.mark.parametrize("wish", [Desk.undo, Desk.retry, lambda desk, p: desk.approve(p, "boss")])
def test_what_needs_the_rows_of_a_plan_is_refused_once_they_are_forgotten(desk, wish):
    plan_id = applied(desk, CUSTOMERS)
    desk.now += TERM + timedelta(hours=1)
    forget(desk)
    with pytest.raises(ConfigError, match=r"forgotten on .*BLSYNC_PUSH_RETENTION_DAYS.*push show"):
        wish(desk, plan_id)


def test_a_plan_that_was_never_sent_is_forgotten_too_and_can_be_made_again(desk: Desk) -> None:
    rows = CUSTOMERS.rows(desk, 2)
    plan_id = desk.plan(rows).plan.plan_id
    desk.now += TERM + timedelta(hours=1)
    assert forget(desk).plans == [plan_id]
    with pytest.raises(ConfigError, match="they cannot be sent"):
        desk.apply(plan_id)
    again = desk.plan(rows).plan.plan_id
    assert again != plan_id
    assert desk.apply(again).outcomes["applied"] == 2


def test_a_payment_whose_plan_was_forgotten_is_not_made_twice(desk: Desk) -> None:
    rows = PAYMENTS.rows(desk, 2)
    assert desk.apply(desk.plan(rows, "payments").plan.plan_id).exit_code == 0
    desk.now += TERM + timedelta(hours=1)
    assert len(forget(desk).plans) == 1
    counts = desk.plan(rows, "payments").counts
    assert counts["create"] == 0
    assert counts["adopt"] + counts["noop"] == 2


def test_a_row_without_an_answer_keeps_its_plan_whole_however_old_it_is(desk: Desk) -> None:
    plan_id = desk.plan(CUSTOMERS.rows(desk, 2)).plan.plan_id
    desk.faults("drop-after=1")
    assert desk.apply(plan_id).outcomes["held"] > 0
    desk.faults()
    desk.now += 4 * TERM
    assert forget(desk).plans == []


def test_nothing_is_forgotten_where_the_term_is_none(desk: Desk, monkeypatch) -> None:
    applied(desk, CUSTOMERS)
    monkeypatch.setenv("BLSYNC_PUSH_RETENTION_DAYS", "0")
    desk.now += 4 * TERM
    assert forget(desk).plans == []


DAYS = dg.StaticPartitionsDefinition(["first", "second"])


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("law", asset="pulled")])
def pulled() -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={"rows": 1}, check_results=[dg.AssetCheckResult(passed=True)]
    )


@pytest.mark.deep
def test_runs_leave_the_history_with_all_they_hold_and_pulled_days_stay(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for day in ("first", "second", "second"):
            dg.materialize([pulled], instance=instance, partition_key=day)
        ids = [run.run_id for run in instance.get_runs()]
        assert {path.stem for path in (tmp_path / "history/runs").glob("*-*.db")} == set(ids)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        before_all = tomorrow - timedelta(days=9)
        assert prune_history(instance, tmp_path, before_all, lambda _: None).runs == 0
        pruned = prune_history(instance, tmp_path, tomorrow, lambda _: None)
        assert pruned.runs == len(ids) == 3
        assert pruned.freed > 0
        assert instance.get_runs() == []
        left = [path.name for path in tmp_path.rglob("*") if any(i in path.name for i in ids)]
        assert left == []
        key = dg.AssetKey("pulled")
        assert instance.get_materialized_partitions(key) == {"first", "second"}
        assert instance.get_latest_materialization_event(key) is not None
        (check,) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(key, "law"), limit=10
        )
        assert check.status.value == "SUCCEEDED"
        # What is pulled next is recorded as ever.
        dg.materialize([pulled], instance=instance, partition_key="first")
        assert len(instance.get_runs()) == 1


def test_pruning_a_folder_without_anything_old_says_so_in_json(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", "http://127.0.0.1:1/v1", BLSYNC_RETENTION_DAYS="30")
    done = blsync("prune", "--json", env=env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "runs": 0, "freed": 0, "plans": [], "rows": 0, "left": {}, "merged": [], "failed": {}
    }  # fmt: skip
