"""A server that does not keep what look-ups go by gets nothing twice, and is known for it.

What a look-up does not find tells something only where look-ups were seen to find what was written.
Until then a first row goes out alone, and a row without an answer is looked for by party, date and
amount, and held rather than sent again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig import commands
from rig.push_desk import (
    ADJUSTMENTS,
    CUSTOMERS,
    DRAFTS,
    INVOICES,
    PAYMENTS,
    POSTINGS,
    Desk,
    Kind,
    Row,
    amount,
    errors_of,
    opened,
    server,
)
from rig.warm import PYTHON
from typer.testing import CliRunner

from blsync import doctor, status
from blsync.cli.app import app
from blsync.ledger import lakes
from blsync.push.apply.settle import FOR_A_PERSON, NOT_AS_SENT, NOT_VERIFIED
from blsync.session.binding import bind_anew

OWN = (CUSTOMERS, INVOICES, ADJUSTMENTS, DRAFTS, POSTINGS)
ALL = (*OWN, PAYMENTS)
PATHS = {
    "customers": "/customers",
    "invoices": "/invoices",
    "inventory-adjustments": "/inventory/adjustments",
    "journal-entries": "/journal-entries",
    "payments": "/journal-entries",
}


@pytest.fixture
def sandbox() -> Iterator[httpx.Client]:
    """A server of each test's own: what has no reference is known by nothing else than its look."""
    with server() as http:
        yield http


@pytest.fixture
def desk(sandbox: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with opened(sandbox, tmp_path, monkeypatch, is_known=False) as desk:
        yield desk


def forgets(kind: Kind) -> str:
    """Name the fault by which the server drops what rows of a kind are known by."""
    return "forget=email" if kind is CUSTOMERS else "forget=reference"


def rows_for(desk: Desk, kind: Kind, count: int) -> list[Row]:
    """Make rows that a server can take without what they are known by."""
    rows = kind.rows(desk, count)
    return (
        [{**row, "phone": f"+60 3-{n:07}"} for n, row in enumerate(rows)]
        if kind is CUSTOMERS
        else rows
    )


def amounts(desk: Desk, kind: Kind, count: int) -> Counter[Decimal]:
    """Count the server's records by what they move, of those that the rows can have made."""
    wanted = {amount(n) for n in range(1, count + 1)}
    names = ("creditLimit", "subtotal", "totalValue", "totalDebit")
    found = desk.records(PATHS[kind.endpoint], **{"createdAt[gte]": f"{desk.today}T00:00:00+08:00"})
    told = [
        Decimal(next(record[name] for name in names if name in record))
        for record in found
        if record.get("status") not in ("void", "cancelled")
    ]
    return Counter(each for each in told if each in wanted)


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", ALL, ids=str)
def test_a_first_row_goes_out_alone_and_what_is_seen_of_it_is_kept(desk: Desk, kind: Kind) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 4), kind.endpoint).plan.plan_id
    desk.forget_requests()
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 4)
    assert desk.requests("POST /bulk") == 2
    assert desk.evidence() == {kind.endpoint: "kept"}
    first = desk.requests()
    desk.word += "b"
    plan_id = desk.plan(rows_for(desk, kind, 4), kind.endpoint).plan.plan_id
    desk.forget_requests()
    assert desk.apply(plan_id).exit_code == 0
    assert desk.requests("POST /bulk") == 1
    assert first - desk.requests() == 2  # the row that went alone, and the look at it


class Made:
    """What a server has of the amounts that rows move, beyond what it had before."""

    def __init__(self, desk: Desk, kind: Kind, count: int) -> None:
        self.desk, self.kind, self.count = desk, kind, count
        self.before = amounts(desk, kind, count)

    def each_once(self) -> bool:
        return self.now() == Counter(amount(n) for n in range(1, self.count + 1))

    def now(self) -> Counter[Decimal]:
        return amounts(self.desk, self.kind, self.count) - self.before


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", OWN, ids=str)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_was_done_without_an_answer_is_found_by_what_else_it_says_and_never_sent_again(
    desk: Desk, kind: Kind, times: int
) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 4), kind.endpoint).plan.plan_id
    made = Made(desk, kind, 4)
    desk.faults(f"{forgets(kind)},only=writes,drop-after=1,times={times}")
    for _ in range(3):
        report = desk.apply(plan_id)
        desk.settled()
    assert made.each_once()
    assert report.exit_code == 3
    assert (report.outcomes["applied"], report.outcomes["verified"]) == (4, 0)
    assert {code for code, _, _ in errors_of(report)} == {NOT_AS_SENT}
    assert len({o.remote_id for o in report.operations}) == 4


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", OWN, ids=str)
def test_what_leaves_no_trace_at_such_a_server_is_held_for_a_person(desk: Desk, kind: Kind) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 3), kind.endpoint).plan.plan_id
    made = Made(desk, kind, 3)
    desk.faults(f"{forgets(kind)},only=writes,reset=1,times=1")
    desk.apply(plan_id)
    for _ in range(3):
        desk.settled()
        report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["held"], report.outcomes["applied"]) == (3, 1, 2)
    assert FOR_A_PERSON in {code for code, _, _ in errors_of(report)}
    assert "were not seen to work at this server" in str(errors_of(report))
    assert sum(made.now().values()) == 2
    assert desk.evidence() == {kind.endpoint: "forgotten"}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [INVOICES, DRAFTS], ids=str)
def test_rows_that_differ_in_their_reference_alone_are_taken_for_done_only_all_together(
    desk: Desk, kind: Kind
) -> None:
    one = rows_for(desk, kind, 1)[0]
    rows = [{**one, "reference": f"{desk.word}-{n}"} for n in range(3)]
    plan_id = desk.plan(rows, kind.endpoint).plan.plan_id
    made = Made(desk, kind, 1)
    desk.faults("forget=reference,only=writes,drop-after=1,times=3")
    desk.apply(plan_id)
    desk.faults("forget=reference")
    desk.settled()
    report = desk.apply(plan_id)
    assert report.outcomes["applied"] == 3
    assert made.now() == {amount(1): 3}


def test_one_record_for_two_alike_rows_is_nobodys_and_both_are_held_with_its_id(
    desk: Desk,
) -> None:
    one = rows_for(desk, INVOICES, 1)[0]
    rows = [{**one, "reference": f"{desk.word}-{n}"} for n in range(2)]
    plan_id = desk.plan(rows, "invoices").plan.plan_id
    desk.faults("forget=reference,only=writes,drop-after=1,times=1")
    said: list[str] = []

    def lose_the_next(line: str) -> None:
        said.append(line)
        desk.faults("forget=reference,only=writes,reset=1")

    desk.apply(plan_id, say=lose_the_next)
    desk.faults("forget=reference")
    desk.settled()
    report = desk.apply(plan_id)
    [invoice] = desk.records("/invoices", customerId=one["customerId"], status="draft")
    assert (report.exit_code, report.outcomes["held"]) == (3, 2)
    assert [invoice["id"] in message for _, _, message in errors_of(report)] == [True, True]
    assert desk.requests("POST /bulk") == 2


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", ALL, ids=str)
def test_the_same_sheet_planned_again_creates_nothing_at_a_server_that_forgets(
    desk: Desk, kind: Kind
) -> None:
    rows = rows_for(desk, kind, 3)
    made = Made(desk, kind, 3)
    desk.faults(forgets(kind))
    desk.apply(desk.plan(rows, kind.endpoint).plan.plan_id)
    again = desk.plan(rows, kind.endpoint)
    assert again.counts["noop"] + again.counts["adopt"] == 3
    desk.apply(again.plan.plan_id)
    assert made.each_once()


def test_a_changed_row_changes_the_record_that_an_earlier_plan_made_at_a_server_that_forgets(
    desk: Desk,
) -> None:
    rows = rows_for(desk, INVOICES, 2)
    desk.faults("forget=reference")
    first = desk.apply(desk.plan(rows, "invoices").plan.plan_id)
    again = desk.plan([{**rows[0], "notes": "By lorry"}, rows[1]], "invoices")
    assert (again.counts["update"], again.counts["noop"]) == (1, 1)
    desk.apply(again.plan.plan_id)
    notes = {i["id"]: i["notes"] for i in desk.records("/invoices", status="draft")}
    assert [notes[o.remote_id] for o in first.operations] == ["By lorry", None]


_DYING = """
import os, signal, sys
from blsync import cli
from blsync.push.apply import evidence

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(evidence, sys.argv[1], die)
sys.argv = ["blsync", "push", "apply", sys.argv[2], "--yes"]
cli.main()
"""


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("place", ["check", "learn"])
@pytest.mark.parametrize("does_forget", [False, True], ids=["keeps", "forgets"])
@pytest.mark.parametrize("kind", [INVOICES, PAYMENTS, ADJUSTMENTS], ids=str)
def test_a_kill_between_the_first_write_and_its_look_up_does_nothing_twice(
    desk: Desk, kind: Kind, does_forget: bool, place: str
) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 3), kind.endpoint).plan.plan_id
    made = Made(desk, kind, 3)
    desk.faults(forgets(kind) if does_forget else "")
    dying = subprocess.run([PYTHON, "-c", _DYING, place, plan_id], stderr=subprocess.DEVNULL)
    assert dying.returncode == -signal.SIGKILL
    assert sum(made.now().values()) == 1
    assert desk.evidence() == {}
    report = desk.apply(plan_id)
    assert report.outcomes["applied"] == 3
    assert made.each_once()
    assert desk.evidence() == {kind.endpoint: "forgotten" if does_forget else "kept"}
    is_right = not does_forget or kind is PAYMENTS
    assert (report.exit_code == 0) == is_right


@pytest.mark.deep
@pytest.mark.parametrize("kind", [INVOICES, DRAFTS], ids=str)
def test_two_processes_at_a_server_that_forgets_send_each_row_once(desk: Desk, kind: Kind) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 4), kind.endpoint).plan.plan_id
    made = Made(desk, kind, 4)
    desk.faults("forget=reference,latency=100ms")
    command = [Path(sys.executable).with_name("blsync"), "push", "apply", plan_id, "--yes"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    both = [subprocess.Popen(command, env=dict(os.environ), **quiet) for _ in range(2)]
    assert [process.wait(60) for process in both] == [3, 3]
    assert made.each_once()


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [INVOICES, CUSTOMERS, PAYMENTS], ids=str)
def test_what_is_applied_and_cannot_be_read_back_is_an_error_until_it_can(
    desk: Desk, kind: Kind
) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 3), kind.endpoint).plan.plan_id

    def forbid(_: str) -> None:
        desk.faults("forbid=invoices+customers")

    report = desk.apply(plan_id, say=forbid)
    assert (report.exit_code, report.outcomes["applied"], report.outcomes["verified"]) == (3, 3, 0)
    desk.faults()
    desk.forget_requests()
    done = desk.apply(plan_id)
    assert (done.exit_code, done.outcomes["verified"], errors_of(done)) == (0, 3, [])
    assert desk.requests("POST") == 0


@pytest.mark.parametrize("kind", [INVOICES, CUSTOMERS], ids=str)
def test_a_record_that_is_not_there_though_it_was_taken_is_an_error(desk: Desk, kind: Kind) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 2), kind.endpoint).plan.plan_id

    def delete(_: str) -> None:
        path = PATHS[kind.endpoint]
        key = {"reference[startswith]": f"{desk.word}-1"}
        if kind is CUSTOMERS:
            key = {"email": f"r1@{desk.word}.example"}
        for record in desk.records(path, **key):
            desk.write(f"{path}/{record['id']}", None, "DELETE")

    report = desk.apply(plan_id, say=delete)
    assert (report.exit_code, report.outcomes["applied"], report.outcomes["verified"]) == (3, 2, 1)
    [(code, _, message)] = errors_of(report)
    assert code == NOT_VERIFIED
    assert "and shows none" in message


def test_a_list_that_lags_is_no_server_that_forgets(desk: Desk) -> None:
    plan_id = desk.plan(rows_for(desk, INVOICES, 3), "invoices").plan.plan_id
    desk.faults("late-commit=3600s")
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 3)
    assert desk.evidence() == {"invoices": "unlisted"}
    desk.faults()
    desk.word += "b"
    assert (
        desk.apply(desk.plan(rows_for(desk, INVOICES, 3), "invoices").plan.plan_id).exit_code == 0
    )
    assert desk.evidence() == {"invoices": "kept"}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("refused", ["reference[in]", "reference[in]+reference", "email[in]+email"])
def test_a_server_that_refuses_to_filter_is_asked_in_another_way(desk: Desk, refused: str) -> None:
    kind = CUSTOMERS if "email" in refused else INVOICES
    rows = rows_for(desk, kind, 3)
    desk.faults(f"refuse-filters={refused}")
    report = desk.apply(desk.plan(rows, kind.endpoint).plan.plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 3)
    assert desk.plan(rows, kind.endpoint).counts["noop"] == 3


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [INVOICES, DRAFTS, CUSTOMERS], ids=str)
def test_a_row_that_was_lost_is_sent_once_more_when_another_one_was_found(
    desk: Desk, kind: Kind
) -> None:
    plan_id = desk.plan(rows_for(desk, kind, 4), kind.endpoint).plan.plan_id
    made = Made(desk, kind, 4)
    desk.faults("only=writes,reset=1,times=1")
    report = desk.apply(plan_id)
    assert (report.outcomes["held"], report.outcomes["applied"]) == (1, 3)
    desk.settled()
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 4)
    assert made.each_once()


def test_a_refused_first_row_leaves_the_next_one_to_go_alone(desk: Desk) -> None:
    rows = rows_for(desk, INVOICES, 4)
    plan_id = desk.plan(rows, "invoices").plan.plan_id
    desk.faults(f"poison={amount(1)}")
    desk.forget_requests()
    report = desk.apply(plan_id)
    assert (report.outcomes["rejected"], report.outcomes["applied"]) == (1, 3)
    assert desk.requests("POST /bulk") == 3
    assert desk.evidence() == {"invoices": "kept"}


def test_updates_need_no_first_row_that_goes_alone(desk: Desk) -> None:
    rows = rows_for(desk, CUSTOMERS, 4)
    desk.written("customers", [{**row, "creditLimit": 1} for row in rows[:3]])
    plan_id = desk.plan(rows, "customers").plan.plan_id
    desk.forget_requests()
    assert desk.apply(plan_id).exit_code == 0
    assert desk.requests("POST /bulk") == 2


def test_a_server_of_another_address_has_to_be_seen_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.apply(desk.plan(rows_for(desk, INVOICES, 2), "invoices").plan.plan_id)
    monkeypatch.setenv(
        "BIGLEDGER_BASE_URL", os.environ["BIGLEDGER_BASE_URL"].replace("/v1", "/api/v1")
    )
    bind_anew(desk.settings)
    desk.word += "b"
    plan_id = desk.plan(rows_for(desk, INVOICES, 2), "invoices").plan.plan_id
    desk.forget_requests()
    assert desk.apply(plan_id).exit_code == 0
    assert desk.requests("POST ") == 2


def test_doctor_and_status_tell_what_was_seen_of_the_server(desk: Desk) -> None:
    desk.faults("forget=reference")
    desk.apply(desk.plan(rows_for(desk, INVOICES, 2), "invoices").plan.plan_id)
    desk.faults()
    desk.apply(desk.plan(rows_for(desk, CUSTOMERS, 2), "customers").plan.plan_id)
    [company] = status.report(desk.settings)["companies"].values()
    seen = company["push_evidence"]
    states = {name: one["state"] for name, one in seen.items()}
    assert states == {"customers": "kept", "invoices": "forgotten"}
    lost = "BigLedger does not show the reference of an invoice that was written"
    assert lost in seen["invoices"]["meaning"]
    told = next(c.message for c in doctor.examine().checks if c.name.endswith(": push"))
    assert seen["invoices"]["meaning"] in told
    shown = CliRunner().invoke(app, ["status"])
    assert "push to invoices" in shown.output
    assert "push to customers" not in shown.output


def test_what_was_seen_of_a_company_goes_with_the_company(desk: Desk) -> None:
    desk.apply(desk.plan(rows_for(desk, INVOICES, 2), "invoices").plan.plan_id)
    company_id = desk.settings.companies()[0].company_id
    commands.within(desk.settings, lambda session: lakes.drop(session.ledger, company_id))
    assert desk.evidence() == {}


SLIM = "slim=creditLimit+items+lines+amountPaid+amountDue+pricing+phone"


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [CUSTOMERS, INVOICES, DRAFTS, PAYMENTS], ids=str)
def test_what_a_list_leaves_out_is_read_from_the_record_itself(desk: Desk, kind: Kind) -> None:
    rows = rows_for(desk, kind, 3)
    desk.faults(SLIM)
    report = desk.apply(desk.plan(rows, kind.endpoint).plan.plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 3)
    again = desk.plan(rows, kind.endpoint)
    assert again.counts["noop"] + again.counts["adopt"] == 3
    desk.word += "b"
    desk.faults()
    more = rows_for(desk, kind, 3)
    desk.faults(SLIM)
    plan_id = desk.plan(more, kind.endpoint).plan.plan_id
    desk.faults(f"{SLIM},only=writes,drop-after=1,times=1")
    assert desk.apply(plan_id).outcomes["held"] == 3
    desk.settled()
    assert desk.apply(plan_id).outcomes["verified"] == 3


def test_a_field_that_no_record_has_costs_one_look_at_a_record(desk: Desk) -> None:
    rows = [
        {**row, "website": f"https://{n}.example"} for n, row in enumerate(CUSTOMERS.rows(desk, 9))
    ]
    desk.written("customers", CUSTOMERS.rows(desk, 9))
    desk.faults("slim=website")
    plain = desk.plan(rows, "customers")
    assert plain.counts["update"] == 9
    desk.forget_requests()
    desk.plan(CUSTOMERS.rows(desk, 9), "customers")
    assert desk.requests() == 1
