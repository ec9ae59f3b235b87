"""A lost ledger takes no plan with it: what was sent and not answered comes back as held."""

from __future__ import annotations

import json
import re
import shutil
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rig import commands
from rig.push_desk import Desk
from sqlalchemy import insert, select, update
from test_ledger import new_schema, postgresql  # noqa: F401 (a fixture)

from blsync import push
from blsync.errors import BackupDamaged, ConfigError, LedgerDamaged, StorageError
from blsync.ledger import Ledger, backup, lakes, plans
from blsync.ledger.tables import attempts, operations
from blsync.ledger.tables import plans as plans_table
from blsync.maintenance import repair
from blsync.session.binding import open_ledger
from blsync.session.loss import refuse_lost, restore_plans


def new_customers(count: int) -> str:
    lines = [f"new{number}@x.example,Kedai {number}" for number in range(count)]
    return "\n".join(["email,name", *lines, ""])


def lose_ledger(desk: Desk) -> None:
    for path in desk.settings.data.glob("ledger.db*"):
        path.unlink()


def repaired(desk: Desk, **more: Any) -> Any:
    return repair(desk.settings, desk.settings.companies(), [], **more)


def told_of(desk: Desk, plan_id: str) -> tuple[Any, ...]:
    """All that the ledger knows of a plan."""
    with closing(Ledger(desk.settings.ledger_url)) as ledger:
        attempts = [
            (a.row, a.batch_id, a.request_id, a.outcome, a.error_code, a.sent_at, a.answered_at)
            for a in plans.attempts_of(ledger, plan_id)
        ]
        return plans.find(ledger, plan_id), plans.operations_of(ledger, plan_id), attempts


def states(report: push.PlanReport) -> list[str]:
    return [operation.state for operation in report.operations]


def copy_ledger(desk: Desk) -> Path:
    """Copy the ledger as a person does, while nothing runs."""
    kept = desk.folder / "kept"
    kept.mkdir()
    for path in desk.settings.data.glob("ledger.db*"):
        shutil.copy(path, kept)
    return kept


def put_back(desk: Desk, kept: Path) -> None:
    lose_ledger(desk)
    for path in kept.iterdir():
        shutil.copy(path, desk.settings.data)


def test_a_lost_ledger_is_told_before_anything_is_sent(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    lose_ledger(desk)
    with pytest.raises(LedgerDamaged, match="blsync repair"):
        desk.apply(plan_id)
    assert desk.named("new0@x.example") == []


def test_plans_come_back_just_as_they_were(desk):
    planned = desk.plan(new_customers(3)).plan.plan_id
    applied = desk.plan(desk.file("email,name\na@x.example,A\nb@x.example,\n", "other.csv"))
    desk.apply(applied.plan.plan_id)
    before = [told_of(desk, plan_id) for plan_id in (planned, applied.plan.plan_id)]
    lose_ledger(desk)
    assert repaired(desk).plans == sorted([planned, applied.plan.plan_id])
    assert [told_of(desk, plan_id) for plan_id in (planned, applied.plan.plan_id)] == before
    assert repaired(desk).plans == []
    assert desk.apply(planned).outcomes["applied"] == 3


def test_a_row_that_was_sent_and_not_answered_comes_back_as_held_and_is_not_sent_twice(desk):
    plan_id = desk.plan(new_customers(3)).plan.plan_id
    desk.faults("drop-after=1")
    assert states(desk.apply(plan_id)) == ["held"] * 3
    desk.faults()
    before = told_of(desk, plan_id)
    lose_ledger(desk)
    repaired(desk)
    assert told_of(desk, plan_id) == before
    assert states(desk.apply(plan_id)) == ["held"] * 3  # it waits for the settle time
    desk.settled()
    assert states(desk.apply(plan_id)) == ["applied"] * 3
    assert all(len(desk.named(f"new{number}@x.example")) == 1 for number in range(3))


def test_an_older_copy_of_the_ledger_sends_nothing_again_that_was_sent(desk):
    file = desk.file(new_customers(3))
    plan_id = desk.plan(file).plan.plan_id
    kept = copy_ledger(desk)
    desk.faults("drop-after=1")
    desk.apply(plan_id)
    desk.faults()
    before = told_of(desk, plan_id)
    put_back(desk, kept)
    desk.forget_requests()
    for act in (lambda: desk.apply(plan_id), desk.settle, lambda: desk.plan(file)):
        with pytest.raises(LedgerDamaged, match="blsync repair"):
            act()
    assert desk.requests("bulk") == 0
    assert repaired(desk).plans == [plan_id]
    assert told_of(desk, plan_id) == before
    desk.settled()
    assert states(desk.apply(plan_id)) == ["applied"] * 3
    assert all(len(desk.named(f"new{number}@x.example")) == 1 for number in range(3))
    assert repaired(desk).plans == []


def test_an_older_copy_is_recognised_by_what_another_plan_has_sent(desk):
    sent = desk.plan(new_customers(2)).plan.plan_id
    kept = copy_ledger(desk)
    desk.faults("drop-after=1")
    desk.apply(sent)
    desk.faults()
    put_back(desk, kept)
    with pytest.raises(LedgerDamaged, match=sent):
        desk.plan(desk.file("email,name\nnew0@x.example,Other\n", "other.csv"))


def test_an_older_copy_is_recognised_though_the_changes_were_put_into_the_plan(desk, monkeypatch):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    kept = copy_ledger(desk)
    desk.faults("drop-after=1")
    desk.apply(plan_id)
    desk.faults()
    with closing(Ledger(desk.settings.ledger_url)) as ledger, ledger.begin() as db:
        backup.PlanBackup(desk.settings.data / "plans").write(db, plan_id)
    assert not (desk.settings.data / "plans" / f"{plan_id}.changes").exists()
    put_back(desk, kept)
    with pytest.raises(LedgerDamaged, match=plan_id):
        desk.apply(plan_id)


def test_a_process_that_died_between_the_backup_and_the_ledger_is_followed_without_a_repair(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    kept = copy_ledger(desk)
    desk.faults("drop-after=1")
    desk.apply(plan_id)
    desk.faults()
    changes = desk.settings.data / "plans" / f"{plan_id}.changes"
    changes.write_text(changes.read_text().splitlines(keepends=True)[0])  # the intent alone
    put_back(desk, kept)
    assert states(desk.apply(plan_id)) == ["held"] * 2
    desk.settled()
    assert states(desk.apply(plan_id)) == ["applied"] * 2
    assert len(desk.named("new0@x.example")) == 1


def test_the_intent_is_in_the_backup_before_any_outcome(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    desk.faults("drop-after=1")
    desk.apply(plan_id)
    desk.faults()
    changes = (desk.settings.data / "plans" / f"{plan_id}.changes").read_text().splitlines()
    first = json.loads(changes[0])
    assert [row["state"] for row in first["operations"]] == ["held", "held"]
    assert [row["outcome"] for row in first["attempts"]] == ["sent", "sent"]
    assert first["plan"]["state"] == "applying"


def test_a_half_written_last_line_is_what_was_never_sent(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    changes = desk.settings.data / "plans" / f"{plan_id}.changes"
    changes.write_text('{"plan": {"state": "applying"}, "operations": [{"row": 1, "sta')
    lose_ledger(desk)
    repaired(desk)
    assert states(commands.show(desk.settings, plan_id)) == ["pending", "pending"]
    assert desk.apply(plan_id).outcomes["applied"] == 2
    lines = changes.read_text().splitlines()
    assert all(json.loads(line) for line in lines[1:])  # what came after begins a line of its own


def test_an_unreadable_line_in_between_has_every_pending_row_taken_for_sent(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    changes = desk.settings.data / "plans" / f"{plan_id}.changes"
    changes.write_bytes(b"\xff\xfe no JSON\n{}\n")
    lose_ledger(desk)
    repaired(desk)
    assert states(commands.show(desk.settings, plan_id)) == ["held", "held"]
    desk.settled()
    desk.settled()
    # What was seen of the server is lost with the ledger, so finding nothing tells nothing.
    assert desk.apply(plan_id).outcomes["held"] == 2
    commands.within(desk.settings, desk.has_seen_all)
    desk.settled()
    assert desk.apply(plan_id).outcomes["applied"] == 2  # looked for first, and not found
    assert len(desk.named("new0@x.example")) == 1


def test_a_backup_that_cannot_be_read_is_moved_aside_and_the_others_come_back(desk):
    bad = desk.plan(new_customers(1)).plan.plan_id
    good = desk.plan(desk.file("email,name\ng@x.example,G\n", "good.csv")).plan.plan_id
    (desk.settings.data / "plans" / f"{bad}.json").write_text("{")
    lose_ledger(desk)
    said: list[str] = []
    assert repaired(desk, say=said.append).plans == [good]
    assert bad in said[0]
    assert states(desk.apply(good)) == ["applied"]
    with pytest.raises(ConfigError):
        commands.show(desk.settings, bad)


NO_PLAN = [b"5", b"[]", b'"x', '{"plan": {"company": "Kedai é'.encode()[:-1], b"[" * 100_000]


@pytest.mark.parametrize("content", NO_PLAN, ids=range(len(NO_PLAN)))
def test_a_backup_that_holds_anything_else_is_moved_aside_and_told(desk, content):
    bad = desk.plan(new_customers(1)).plan.plan_id
    good = desk.plan(desk.file("email,name\ng@x.example,G\n", "good.csv")).plan.plan_id
    (desk.settings.data / "plans" / f"{bad}.json").write_bytes(content)
    lose_ledger(desk)
    done = repaired(desk)
    assert (done.plans, done.lost_plans) == ([good], [bad])
    done = repaired(desk)
    assert (done.plans, done.lost_plans) == ([], [])


def misnamed(told: dict[str, Any]) -> None:
    told["operations"][0]["stzte"] = told["operations"][0].pop("state")


def mistimed(told: dict[str, Any]) -> None:
    told["plan"]["created_at"] = "2026-1z-01"


def emptied(told: dict[str, Any]) -> None:
    told["operations"][0]["natural_key"] = None


def unknown_state(told: dict[str, Any]) -> None:
    told["operations"][0]["state"] = "pendinf"


def unknown_action(told: dict[str, Any]) -> None:
    told["operations"][0]["action"] = "creatf"


@pytest.mark.parametrize("flip", [misnamed, mistimed, emptied, unknown_state, unknown_action])
def test_a_flipped_byte_in_a_backup_is_damage_too(desk, flip):
    plan_id = desk.plan(new_customers(1)).plan.plan_id
    path = desk.settings.data / "plans" / f"{plan_id}.json"
    told = json.loads(path.read_text())
    flip(told)
    path.write_text(json.dumps(told))
    lose_ledger(desk)
    assert repaired(desk).lost_plans == [plan_id]


@pytest.mark.parametrize(
    "line",
    [b"5", b"[]", b"\xff", b'{"operations": [{"row": 9, "state": "held"}]}', b'{"attempts": [5]}'],
    ids=range(5),
)
def test_a_line_of_changes_that_holds_anything_else_has_pending_rows_held(desk, line):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    (desk.settings.data / "plans" / f"{plan_id}.changes").write_bytes(line + b"\n")
    lose_ledger(desk)
    repaired(desk)
    assert states(commands.show(desk.settings, plan_id)) == ["held", "held"]


def test_a_backup_that_cannot_be_read_just_now_is_not_given_up(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    changes = desk.settings.data / "plans" / f"{plan_id}.changes"
    changes.mkdir()
    lose_ledger(desk)
    with pytest.raises(StorageError, match=re.escape(str(changes))):
        repaired(desk)
    changes.rmdir()
    assert repaired(desk).plans == [plan_id]


def test_a_damaged_backup_of_a_plan_that_is_known_is_written_anew_by_repair(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    path = desk.settings.data / "plans" / f"{plan_id}.json"
    path.write_bytes(b"\xff")
    commands.list_plans(desk.settings)
    with pytest.raises(BackupDamaged, match="blsync repair"):
        desk.apply(plan_id)
    assert desk.named("new0@x.example") == []
    done = repaired(desk)
    assert (done.plans, done.lost_plans) == ([], [])
    assert states(desk.apply(plan_id)) == ["applied", "applied"]


def test_a_line_that_was_cut_off_ends_before_the_next_one_begins(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    changes = desk.settings.data / "plans" / f"{plan_id}.changes"
    changes.write_text('{"plan": {"state": "applying"}, "operations": [{"row": 1, "sta')
    assert states(desk.apply(plan_id)) == ["applied", "applied"]
    _, *others = changes.read_text().splitlines()
    assert all(json.loads(line) for line in others)


def test_the_backups_are_the_ledger_s_own_after_it_was_taken_over(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    kept = (desk.settings.data / "plans" / f"{plan_id}.json").read_bytes()
    desk.apply(plan_id)
    before = told_of(desk, plan_id)
    (desk.settings.data / "plans" / f"{plan_id}.json").write_bytes(kept)  # of another ledger
    (desk.settings.data / "plans" / f"{plan_id}.changes").unlink()
    repaired(desk, is_taken_over=True)
    lose_ledger(desk)
    repaired(desk)
    assert told_of(desk, plan_id) == before


def test_a_ledger_is_not_taken_over_while_a_company_is_half_removed(desk):
    desk.plan(new_customers(1))
    note = {"company_id": "c", "name": "c", "state": "removing"}
    (desk.settings.data / "dropping.json").write_text(json.dumps(note))
    (desk.settings.data / "lake.json").unlink()
    with pytest.raises(ConfigError, match="company drop c"):
        repaired(desk, is_taken_over=True)
    assert not (desk.settings.data / "lake.json").exists()


@pytest.mark.deep
def test_changes_are_put_into_the_plan_when_they_grow(desk, monkeypatch):
    monkeypatch.setattr(backup, "MOST_CHANGES", 0)
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    desk.faults("drop-after=1")
    desk.apply(plan_id)
    desk.faults()
    folder = desk.settings.data / "plans"
    for _ in range(8):
        desk.settled()
        desk.apply(plan_id)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20_000
    before = told_of(desk, plan_id)
    lose_ledger(desk)
    repaired(desk)
    assert told_of(desk, plan_id) == before


def test_plans_of_an_earlier_version_get_a_backup_when_the_ledger_is_opened(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    folder = desk.settings.data / "plans"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    commands.list_plans(desk.settings)
    lose_ledger(desk)
    assert repaired(desk).plans == [plan_id]


def test_backups_can_be_read_by_their_owner_alone(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    desk.apply(plan_id)
    folder = desk.settings.data / "plans"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {f"{plan_id}.json", f"{plan_id}.changes"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_where_the_backup_cannot_be_written_nothing_is_sent(desk):
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    changes = desk.settings.data / "plans" / f"{plan_id}.changes"
    changes.mkdir()
    with pytest.raises(StorageError, match=re.escape(str(changes))):
        desk.apply(plan_id)
    assert desk.named("new0@x.example") == []
    changes.rmdir()
    assert states(desk.apply(plan_id)) == ["applied", "applied"]


def test_a_ledger_that_lacks_a_plan_is_not_the_one_that_was_here(desk):
    first = desk.plan(new_customers(1)).plan.plan_id
    for path in desk.settings.data.glob("ledger.db*"):
        path.rename(path.with_name(f"kept-{path.name}"))
    backups = desk.settings.data / "plans"
    backups.rename(desk.settings.data / "kept-plans")
    with closing(open_ledger(desk.settings)) as ledger:
        assert plans.find(ledger, "") == []
    (desk.settings.data / "kept-plans").rename(backups)
    with pytest.raises(LedgerDamaged, match=first):
        open_ledger(desk.settings)


def test_the_backups_of_a_company_that_is_dropped_go_with_it(desk):
    desk.plan(new_customers(1))
    with closing(open_ledger(desk.settings)) as ledger:
        lakes.drop(ledger, desk.settings.companies()[0].company_id)
    assert list((desk.settings.data / "plans").glob("*.json")) == []
    open_ledger(desk.settings).close()


def test_a_damaged_backup_goes_with_the_company_whose_it_is(desk):
    plan_id = desk.plan(new_customers(1)).plan.plan_id
    (desk.settings.data / "plans" / f"{plan_id}.json").write_bytes(b"\xff")
    with closing(open_ledger(desk.settings)) as ledger:
        lakes.drop(ledger, desk.settings.companies()[0].company_id)
    assert list((desk.settings.data / "plans").iterdir()) == []


def test_a_company_that_is_dropped_meanwhile_is_no_loss(desk):
    desk.plan(new_customers(1))

    class Emptied(backup.PlanBackup):
        """The folder out of which another process takes a company once it was listed."""

        def ids(self) -> set[str]:
            found = super().ids()
            shutil.rmtree(self.folder, ignore_errors=True)
            return found

    with closing(open_ledger(desk.settings)) as ledger:
        lakes.drop(Ledger(desk.settings.ledger_url), desk.settings.companies()[0].company_id)
        ledger.backup = Emptied(desk.settings.data / "plans")
        refuse_lost(ledger, desk.settings.data, [])


def a_plan(at: datetime) -> tuple[plans.Plan, list[plans.Operation]]:
    plan = plans.Plan("p", "c", "c", "http://x", "customers", "planned", "f", "upsert", at)
    return plan, [plans.Operation(row, f"e{row}", "create", "pending") for row in (1, 2, 3)]


def write_anew(ledger: Ledger, plan_id: str) -> None:
    assert ledger.backup is not None
    with ledger.begin() as db:
        ledger.backup.write(db, plan_id)


@pytest.mark.deep
def test_a_backup_that_is_written_anew_waits_for_who_is_changing_the_plan(postgresql, tmp_path):  # noqa: F811
    at = datetime(2026, 11, 9, 12, tzinfo=UTC)
    plan, rows = a_plan(at)
    intent = {"plan_id": "p", "row": 1, "batch_id": "b", "outcome": "sent", "sent_at": at}
    with closing(Ledger(new_schema(postgresql), plans=tmp_path / "plans")) as ledger:
        assert ledger.backup is not None
        plans.put(ledger, plan, rows)
        again = threading.Thread(target=write_anew, args=(ledger, "p"))
        with ledger.begin() as db:
            db.execute(select(plans_table).with_for_update())
            again.start()
            again.join(0.5)
            assert again.is_alive()
            is_first = operations.c.row == 1
            db.execute(update(operations).where(is_first).values(state="held"))
            db.execute(insert(attempts), [intent])
            ledger.backup.note(db, "p", [1])
        again.join()
        assert len(ledger.backup.read("p").attempts) == 1


def test_a_server_s_ledger_that_lost_a_table_can_be_taken_over(postgresql, desk, monkeypatch):  # noqa: F811
    monkeypatch.setenv("BLSYNC_LEDGER_URL", new_schema(postgresql))
    plan_id = desk.plan(new_customers(1)).plan.plan_id
    with closing(Ledger(desk.settings.ledger_url)) as ledger, ledger.begin() as db:
        db.exec_driver_sql("drop table attempts")
        db.exec_driver_sql("drop table operations")
        db.exec_driver_sql("drop table plans")
    assert repaired(desk, is_taken_over=True).plans == [plan_id]


def test_plans_of_a_ledger_on_postgresql_have_backups_too(postgresql, tmp_path):  # noqa: F811
    at = datetime(2026, 11, 9, 12, 0, 0, 123456, tzinfo=UTC)
    plan, rows = a_plan(at)
    folder = tmp_path / "plans"
    with closing(Ledger(new_schema(postgresql), plans=folder)) as ledger:
        plans.put(ledger, plan, rows)
        plans.claim(ledger, "p", rows[:2], "batch", at)
        plans.settle(ledger, "p", [plans.RowOutcome(1, "applied", "applied", "id1")], at, "req")
        before = plans.find(ledger, "p"), plans.operations_of(ledger, "p")
        tried = plans.attempts_of(ledger, "p")
    with closing(Ledger(new_schema(postgresql), plans=folder)) as ledger:
        assert restore_plans(ledger).plans == ["p"]
        assert (plans.find(ledger, "p"), plans.operations_of(ledger, "p")) == before
        assert plans.attempts_of(ledger, "p") == tried
        assert [held.operation.row for held in plans.held_rows(ledger, "p")] == [2]
