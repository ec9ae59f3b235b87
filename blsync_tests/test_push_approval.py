"""A name on every plan, and a second person's word where the settings ask for one."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from decimal import Decimal
from typing import Any

import pytest
from rig import commands
from rig.push_desk import (
    ADJUSTMENTS,
    CUSTOMERS,
    INVOICES,
    PAYMENTS,
    POSTINGS,
    Desk,
    Kind,
    amount,
    invoice_rows,
)
from sqlalchemy import text
from test_plan_backup import copy_ledger, lose_ledger, put_back, repaired
from typer.testing import CliRunner

from blsync import marts
from blsync.cli.app import app
from blsync.errors import ConfigError, SafetyLimit
from blsync.ledger import Ledger, plans
from blsync.ledger.backup import PlanBackup
from blsync.session.binding import bind_anew
from blsync.settings import ROOT

ROWS = 2


@pytest.fixture(autouse=True)
def alice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever plans is alice, unless a test says otherwise."""
    monkeypatch.setenv("BLSYNC_ACTOR", "alice")
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", "always")


def planned(desk: Desk, kind: Kind = CUSTOMERS, count: int = ROWS) -> str:
    plan_id = desk.plan(kind.rows(desk, count), kind.endpoint).plan.plan_id
    desk.forget_requests()
    return plan_id


def refused(desk: Desk, plan_id: str, why: str) -> None:
    """Hold that a plan is refused by the limit, and nothing sent of it."""
    desk.forget_requests()
    for dry_run in (True, False):
        with pytest.raises(SafetyLimit, match=why) as caught:
            desk.apply(plan_id, dry_run=dry_run)
        assert caught.value.exit_code == 4
    assert desk.requests("POST /bulk") == 0


def change(desk: Desk, sql: str) -> None:
    """Change the ledger as somebody would who has its file."""
    ledger = Ledger(desk.settings.ledger_url)
    with ledger.begin() as db:
        db.execute(text(sql))
    ledger.close()


def test_a_plan_says_who_made_it_and_an_attempt_who_sent_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", "none")
    plan_id = planned(desk)
    monkeypatch.delenv("BLSYNC_ACTOR")
    login = pwd.getpwuid(os.getuid()).pw_name
    desk.apply(plan_id)
    report = commands.show(desk.settings, plan_id)
    assert (report.plan.actor, report.to_json()["actor"]) == ("alice", "alice")
    tries = commands.within(desk.settings, lambda s: plans.attempts_of(s.ledger, plan_id))
    assert {one.actor for one in tries} == {login}
    assert {plan["actor"] for plan in commands.list_plans(desk.settings)} == {"alice"}
    desk.word += "b"
    assert desk.plan(CUSTOMERS.rows(desk, 1)).plan.actor == login


def test_a_plan_is_not_sent_before_somebody_else_has_approved_it(desk: Desk) -> None:
    plan_id = planned(desk)
    refused(desk, plan_id, f"somebody else than alice .*`blsync push approve {plan_id}`")
    report = desk.approve(plan_id, by="bob", reason="seen  it\nall")
    [said] = report.to_json()["approvals"]
    assert said == {
        "verdict": "approved",
        "actor": "bob",
        "at": desk.now,
        "reason": "seen it all",
        "is_valid": True,
    }
    assert desk.requests() == 0
    assert desk.apply(plan_id).exit_code == 0
    assert desk.apply(plan_id).exit_code == 0  # a plan that is done needs no more
    with pytest.raises(ConfigError, match="nothing left to send"):
        desk.approve(plan_id, by="bob")


@pytest.mark.parametrize(
    "name",
    ["siti aminah", "Siti Aminah", " SITI AMINAH ", "Siti  Aminah", "Siti\u00a0Aminah\u200b"],
)
def test_nobody_approves_a_plan_that_they_made(
    desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_ACTOR", "Siti Aminah")
    plan_id = planned(desk)
    with pytest.raises(SafetyLimit, match="who cannot approve it as well") as caught:
        desk.approve(plan_id, by=name)
    assert caught.value.exit_code == 4
    refused(desk, plan_id, "needs approval")


def test_who_makes_a_plan_anew_has_made_it_too_and_their_approval_counts_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = planned(desk)
    desk.approve(plan_id, by="bob")
    monkeypatch.setenv("BLSYNC_ACTOR", "bob")
    assert planned(desk) == plan_id
    refused(desk, plan_id, "Who approved it has planned it, too")
    for name in ("alice", "bob"):
        with pytest.raises(SafetyLimit, match="cannot approve it as well"):
            desk.approve(plan_id, by=name)
    desk.approve(plan_id, by="carol")
    assert desk.apply(plan_id).exit_code == 0


@pytest.mark.deep_after(2)
@pytest.mark.parametrize(
    "what",
    [
        "update operations set body = replace(body, '4.05', '9.05') where row = 2",
        "update operations set body = body || ' ' where row = 2",
        "update operations set changes = '{}' where row = 1",
        "update operations set natural_key = 'z' || natural_key where row = 1",
        "update operations set action = 'update', remote_id = 'cust_1' where row = 1",
        "update operations set amount = '1' where row = 1",
        "delete from operations where row = 2",
        "update plans set base_url = base_url || '/'",
        "update plans set company_id = company_id || '2'",
        "update plans set endpoint = 'invoices'",
        "update plans set on_conflict = 'ours'",
    ],
)
def test_a_plan_that_was_changed_has_lost_its_approval(desk: Desk, what: str) -> None:
    plan_id = planned(desk)
    assert desk.approve(plan_id, by="bob").approvals[0]["is_valid"]
    change(desk, what)
    if "company_id" in what:
        with pytest.raises(ConfigError, match="which the settings do not have"):
            desk.apply(plan_id)
    else:
        refused(desk, plan_id, "It has changed since")
    assert not commands.show(desk.settings, plan_id).approvals[0]["is_valid"]
    assert CUSTOMERS.live(desk) == {}


def test_an_approval_is_of_one_server(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_id = planned(desk)
    desk.approve(plan_id, by="bob")
    there = os.environ["BIGLEDGER_BASE_URL"]
    monkeypatch.setenv("BIGLEDGER_BASE_URL", there.replace("127.0.0.1", "localhost"))
    bind_anew(desk.settings)
    with pytest.raises(SafetyLimit, match="It has changed since"):
        desk.apply(plan_id)
    assert desk.requests("POST /bulk") == 0


def test_what_was_approved_and_half_sent_goes_on_and_what_changes_then_does_not(
    desk: Desk,
) -> None:
    plan_id = planned(desk, count=4)
    desk.approve(plan_id, by="bob")
    desk.faults("only=writes,reset=1,times=1")
    assert desk.apply(plan_id).outcomes["held"] == 4
    desk.faults()
    change(desk, "update operations set body = replace(body, '4.05', '9.05') where row = 2")
    desk.settled()
    desk.forget_requests()
    with pytest.raises(SafetyLimit, match="It has changed since"):
        desk.apply(plan_id)  # looked up, found lost, and not sent
    assert desk.requests("POST /bulk") == 0
    (report,) = [commands.show(desk.settings, plan_id)]
    assert report.outcomes["pending"] == 4
    change(desk, "update operations set body = replace(body, '9.05', '4.05') where row = 2")
    assert desk.apply(plan_id).exit_code == 0


AMOUNTS = {
    INVOICES: sum((amount(n) for n in (1, 2)), Decimal(0)),
    ADJUSTMENTS: sum((amount(n) for n in (1, 2)), Decimal(0)),
    POSTINGS: sum((amount(n) for n in (1, 2)), Decimal(0)),
    PAYMENTS: sum((amount(n) for n in (1, 2)), Decimal(0)),
}


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("kind", AMOUNTS, ids=str)
def test_above_an_amount_a_plan_needs_approval(
    desk: Desk, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = AMOUNTS[kind]
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", str(total - Decimal("0.01")))
    plan_id = planned(desk, kind)
    assert commands.show(desk.settings, plan_id).amount == total
    refused(desk, plan_id, f"its amount is {total:,.2f}, and BLSYNC_PUSH_APPROVAL is")
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", str(total))
    assert desk.apply(plan_id).exit_code == 0


def test_a_plan_whose_amount_is_not_known_needs_approval(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", "1000000")
    [row] = ADJUSTMENTS.rows(desk, 1)
    del row["unitCost"]
    row["adjustmentType"] = "decrease"
    plan_id = desk.plan([row], "inventory-adjustments").plan.plan_id
    refused(desk, plan_id, "its amount is not known")

    foreign = {"email": f"sg@{desk.word}.example", "name": "Kedai", "currency": "SGD"}
    [customer] = desk.written("customers", [foreign])
    invoice = {**invoice_rows(desk, 1)[0], "customerId": customer["id"]}
    plan_id = desk.plan([invoice], "invoices").plan.plan_id
    assert commands.show(desk.settings, plan_id).amount is None
    refused(desk, plan_id, "its amount is not known")

    # Customers move no money.
    plan_id = planned(desk)
    assert desk.apply(plan_id).exit_code == 0


@pytest.mark.deep
def test_a_plan_that_was_made_before_an_amount_was_asked_for_is_made_anew_with_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", "none")
    rows = INVOICES.rows(desk, 1)
    before = desk.plan(rows, "invoices").plan.plan_id
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", "50")
    refused(desk, before, "its amount is not known")
    after = desk.plan(rows, "invoices").plan.plan_id
    assert desk.apply(after).exit_code == 0


@pytest.mark.parametrize("value", ["sometimes", "-1", "1,000", "1e3", "NaN", ""])
def test_what_is_no_rule_of_approval_is_bad_configuration(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", value)
    if value:
        with pytest.raises(ConfigError, match="must be none, always, or an amount"):
            _ = desk.settings
    else:
        assert desk.settings.push_approval == "none"


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("setting", ["none", "always"])
def test_a_rejected_plan_is_never_sent_and_supersedes_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_APPROVAL", setting)
    rows = CUSTOMERS.rows(desk, ROWS)
    before = desk.plan(rows[:1]).plan.plan_id
    desk.now = desk.now.replace(microsecond=0)
    file = desk.file(rows)
    plan_id = desk.plan(file).plan.plan_id
    desk.approve(plan_id, by="bob")
    report = desk.reject(plan_id, by="alice", reason="wrong list")
    assert report.plan.state == "rejected"
    refused(desk, plan_id, "was rejected by alice .* It is never sent")
    with pytest.raises(SafetyLimit, match="was rejected by alice"):
        desk.approve(plan_id, by="carol")
    again = desk.plan(file).plan.plan_id
    assert again != plan_id
    desk.reject(again, by="bob")
    if setting == "always":
        desk.approve(before, by="bob")
    assert desk.apply(before).exit_code == 0
    assert list(CUSTOMERS.live(desk)) == [rows[0]["email"]]
    with pytest.raises(ConfigError, match=f"blsync push undo {before}"):
        desk.reject(before, by="bob")


def test_an_undo_needs_approval_like_any_plan(desk: Desk) -> None:
    plan_id = planned(desk)
    desk.approve(plan_id, by="bob")
    desk.apply(plan_id)
    undo = desk.undo(plan_id).plan.plan_id
    refused(desk, undo, "needs approval")
    desk.approve(undo, by="bob")
    assert desk.apply(undo).exit_code == 0
    assert CUSTOMERS.live(desk) == {}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("way", ["lost", "an older copy"])
def test_what_was_said_of_a_plan_outlasts_the_ledger(desk: Desk, way: str) -> None:
    approved, rejected = planned(desk), planned(desk, POSTINGS)
    kept = copy_ledger(desk)
    desk.approve(approved, by="bob", reason="fine")
    desk.reject(rejected, by="bob")
    told = [commands.show(desk.settings, one).approvals for one in (approved, rejected)]
    if way == "lost":
        lose_ledger(desk)
        repaired(desk)
    else:
        put_back(desk, kept)
    refused(desk, rejected, "was rejected by bob")
    assert desk.apply(approved).exit_code == 0
    assert [commands.show(desk.settings, one).approvals for one in (approved, rejected)] == told


def test_a_rejection_that_was_killed_before_its_commit_stands_or_is_said_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = planned(desk)
    desk.approve(plan_id, by="bob")
    note = PlanBackup.note

    def noted_and_killed(*given: Any) -> None:
        note(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PlanBackup, "note", noted_and_killed)
        with pytest.raises(KeyboardInterrupt):
            desk.reject(plan_id, by="carol")
    refused(desk, plan_id, "was rejected by carol")


def test_the_commands_say_who_and_why_on_the_terminal_and_in_json(desk: Desk) -> None:
    plan_id = planned(desk)

    def call(*words: str, by: str = "alice") -> Any:
        return CliRunner().invoke(app, ["push", *words], env={"BLSYNC_ACTOR": by})

    def exit_code(done: Any) -> int:
        """Return what the command ends with: the runner catches the error that says so."""
        return int(getattr(done.exception, "exit_code", done.exit_code))

    done = call("apply", plan_id, "--yes")
    assert exit_code(done) == 4
    assert f"blsync push approve {plan_id}" in str(done.exception)
    assert exit_code(call("approve", plan_id)) == 4
    assert "approval: Plan" in " ".join(call("show", plan_id).output.split())
    done = call("approve", plan_id[:6], "--reason", "checked", "--json", by="bob")
    told = json.loads(done.stdout)
    assert (told["actor"], told["undoes"], told["awaits_approval"]) == ("alice", None, False)
    assert told["approvals"][0]["reason"] == "checked"
    shown = " ".join(call("show", plan_id).output.split())
    assert "planned by: alice" in shown
    assert "approved by bob: checked" in shown
    assert call("apply", plan_id, "--yes").exit_code == 0
    done = call("undo", plan_id, "--json")
    undo = json.loads(done.stdout)
    assert (undo["undoes"], undo["counts"]["delete"]) == (plan_id, ROWS)
    assert call("reject", undo["plan_id"], "--reason", "keep them").exit_code == 0
    listed = {plan["plan_id"]: plan for plan in json.loads(call("list", "--json").stdout)}
    assert listed[plan_id]["approvals"][0]["actor"] == "bob"
    assert listed[undo["plan_id"]]["approvals"][0]["verdict"] == "rejected"
    assert listed[undo["plan_id"]]["state"] == "rejected"
    assert "keep them" in " ".join(call("list").output.split())
    assert exit_code(call("undo", undo["plan_id"])) == 2


def test_the_log_of_pushes_has_names_and_values_before_and_after_and_no_persons(
    desk: Desk,
) -> None:
    shutil.copytree(ROOT / "warehouse" / "seeds", desk.settings.seeds, dirs_exist_ok=True)
    [there] = desk.written("customers", [{**CUSTOMERS.rows(desk, 1)[0], "creditLimit": 1}])
    row = {"id": there["id"], "creditLimit": "250.50", "phone": "+60 3-1234 5678"}
    plan_id = desk.plan([row]).plan.plan_id
    desk.approve(plan_id, by="bob")
    desk.apply(plan_id, actor="dana")
    commands.within(desk.settings, lambda session: marts.write_inputs(session, []))
    [log] = commands.within(desk.settings, lambda s: s.lake.read_input("push_log", marts.PUSH_LOG))
    names = ("planned_by", "approved_by", "actor", "before", "after")
    assert {name: log[name] for name in names} == {
        "planned_by": "alice",
        "approved_by": "bob",
        "actor": "dana",
        "before": '{"phone":null,"creditLimit":1.00}',
        "after": '{"phone":"***","creditLimit":250.50}',
    }
