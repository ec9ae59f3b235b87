"""What goes wrong while an undo or a delete is applied, and what is left afterwards.

After each fault one check holds: no row is taken back twice, every row is in a final state or held,
and what was applied is what moved at the server. With the fault gone, the same commands bring each
row to its end, once. `make test-deep` goes through all kinds and faults, `make test` through some.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from rig import commands
from rig.depth import is_deep
from rig.push_desk import (
    ADJUSTMENTS,
    CUSTOMER_UPDATES,
    CUSTOMERS,
    DRAFTS,
    INVOICE_UPDATES,
    INVOICES,
    POSTINGS,
    Desk,
    Kind,
    Row,
    errors_of,
)
from rig.warm import PYTHON
from test_push_matrix import DEATHS, DYING, FAULTS, HELD, MORE_FAULTS, ROWS, Fault

from blsync import push
from blsync.ledger import plans
from blsync.push.apply.settle import FOR_A_PERSON

pytestmark = pytest.mark.drawn
"""Some faults and kinds in `make test`, all of them in `make test-deep`."""

UNDO = "-UNDO"
KINDS = (
    *(CUSTOMERS, CUSTOMER_UPDATES, INVOICES, INVOICE_UPDATES),
    *(DRAFTS, ADJUSTMENTS, POSTINGS),
)
ALL_FAULTS = tuple(f for f in (*FAULTS, *MORE_FAULTS) if "poison" not in f.faults)
BY_NAME = {fault.name: fault for fault in ALL_FAULTS}
SOME = [
    (BY_NAME["the request is lost"], CUSTOMERS),
    (BY_NAME["the answer is lost"], DRAFTS),
    (BY_NAME["half of it is done"], CUSTOMER_UPDATES),
    (BY_NAME["the request is lost"], POSTINGS),
]
MATRIX = [(fault, kind) for fault in ALL_FAULTS for kind in KINDS] if is_deep() else SOME


@dataclass
class Undo:
    """The undo of a plan of four applied rows, on its way to the server."""

    desk: Desk
    kind: Kind

    def __post_init__(self) -> None:
        rows = self.kind.rows(self.desk, ROWS)
        self.first = self.desk.plan(rows, self.kind.endpoint).plan.plan_id
        assert self.desk.apply(self.first).exit_code == 0
        report = self.desk.undo(self.first)
        self.is_reversal = report.counts["create"] == ROWS
        assert sum(report.counts[name] for name in ("create", "update", "delete")) == ROWS
        self.plan_id = report.plan.plan_id
        self.desk.forget_requests()

    def done(self) -> int:
        """Return how many rows the server has taken back, each of them once."""
        live = self.kind.live(self.desk)
        assert all(len(amounts) == 1 for amounts in live.values()), live
        if self.kind.is_update:
            return sum(amounts == [Decimal(1)] for amounts in live.values())
        if not self.is_reversal:
            return ROWS - len(live)
        reversals = [name for name in live if name.endswith(UNDO.lower())]
        assert len(live) == ROWS + len(reversals)
        return len(reversals)

    def check(self, report: push.PlanReport, **states: int) -> None:
        assert {s: n for s, n in report.outcomes.items() if n and s != "verified"} == states
        assert report.outcomes["verified"] == report.outcomes["applied"]
        assert self.done() >= report.outcomes["applied"]

    def end(self) -> None:
        """Bring every row to its end, in as many steps as a person would take."""
        self.desk.settled()
        report = self.desk.apply(self.plan_id)
        if report.exit_code and self.is_reversal and report.outcomes["held"]:
            assert {code for code, _, _ in errors_of(report)} <= {FOR_A_PERSON}
            posts = self.desk.requests("POST /bulk")
            assert self.desk.apply(self.plan_id).outcomes["held"] == report.outcomes["held"]
            assert self.desk.requests("POST /bulk") == posts
        if report.exit_code:
            report = self.desk.apply(self.desk.retry(self.plan_id).plan.plan_id)
        assert report.exit_code == 0
        self.is_complete()

    def is_complete(self) -> None:
        assert self.done() == ROWS
        posts = self.desk.requests("POST /bulk")
        again = self.desk.undo(self.first)
        assert again.counts["noop"] + again.counts["adopt"] == ROWS
        self.desk.apply(self.plan_id)
        self.desk.apply(again.plan.plan_id)
        assert (self.done(), self.desk.requests("POST /bulk")) == (ROWS, posts)


@pytest.mark.deep_after(2)
@pytest.mark.parametrize(("fault", "kind"), MATRIX, ids=str)
def test_no_fault_leaves_a_row_there_or_takes_it_back_twice(
    desk: Desk, fault: Fault, kind: Kind
) -> None:
    undo = Undo(desk, kind)
    desk.faults(fault.faults)
    report = desk.apply(undo.plan_id)
    desk.faults()
    time.sleep(fault.late)
    undo.check(report, **fault.states)
    assert (undo.done(), desk.requests("POST /bulk")) == (fault.done, fault.posts)
    undo.end()


@pytest.mark.deep
@pytest.mark.parametrize("place", DEATHS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_undo_that_is_killed_goes_on_where_it_was(desk: Desk, place: str, kind: Kind) -> None:
    undo = Undo(desk, kind)
    states, done = DEATHS[place]
    is_slow = place == "while the server is at it"
    desk.faults("only=writes,latency=20s" if is_slow else "")
    dying = subprocess.Popen(
        [sys.executable if is_slow else PYTHON, "-c", DYING, place, undo.plan_id],
        stderr=subprocess.DEVNULL,
    )
    while is_slow and undo.done() < ROWS and dying.poll() is None:
        time.sleep(0.05)
    if is_slow:
        dying.kill()
    assert dying.wait(60) == -signal.SIGKILL
    desk.faults()
    report = commands.show(desk.settings, undo.plan_id)
    assert {s: n for s, n in report.outcomes.items() if n and s != "verified"} == states
    assert undo.done() == done
    desk.now = datetime.now(UTC)
    if states == HELD:
        assert desk.apply(undo.plan_id).outcomes["held"] == ROWS
    undo.end()


@pytest.mark.deep
@pytest.mark.parametrize("kind", [CUSTOMERS, INVOICES, DRAFTS], ids=str)
def test_a_delete_that_lands_after_its_look_up_is_done_once_and_told_so(
    desk: Desk, kind: Kind
) -> None:
    undo = Undo(desk, kind)
    desk.faults("late-write=2s")
    assert desk.apply(undo.plan_id).outcomes["held"] == ROWS
    sent = time.monotonic()
    desk.faults("late-write=3s")  # looked up, found there, and sent once more
    desk.settled()
    assert desk.apply(undo.plan_id).outcomes["held"] == ROWS
    time.sleep(max(0.0, sent + 5.4 - time.monotonic()))
    desk.faults()
    undo.end()


def test_two_undos_of_one_plan_are_one(desk: Desk) -> None:
    undo = Undo(desk, POSTINGS)
    assert desk.undo(undo.first).plan.plan_id == undo.plan_id
    desk.faults("only=writes,drop-after=1")
    desk.apply(undo.plan_id)
    desk.faults()
    other = desk.undo(undo.first)
    assert other.counts["adopt"] + other.counts["blocked"] == ROWS
    desk.apply(other.plan.plan_id)
    assert desk.requests("POST /bulk") == 1
    undo.end()


def test_rows_that_a_rejection_caught_half_way_are_settled_and_never_sent_again(
    desk: Desk,
) -> None:
    rows: list[Row] = CUSTOMERS.rows(desk, ROWS)
    plan_id = desk.plan(rows).plan.plan_id
    desk.faults("part=1,times=1")
    assert desk.apply(plan_id).outcomes["held"] == ROWS
    desk.faults()
    desk.reject(plan_id, by="bob", reason="wrong list")
    desk.forget_requests()
    desk.settled()
    (report,) = desk.settle()
    assert (report.outcomes["applied"], report.outcomes["pending"]) == (ROWS // 2, ROWS // 2)
    assert report.plan.state == "rejected"
    assert desk.requests("POST /bulk") == 0
    ledger_claim = commands.within(
        desk.settings,
        lambda session: plans.claim(session.ledger, plan_id, report.operations, "b", desk.now),
    )
    assert ledger_claim == []
    assert desk.apply(desk.undo(plan_id).plan.plan_id).exit_code == 0
    assert CUSTOMERS.live(desk) == {}
