"""What goes wrong while a push is applied, for every endpoint, and what is left afterwards.

After each fault one check holds: at most one live record stands for a row, every row is in a final
state or held, the exit code is the documented one, and what was applied is what moved at the
server. Afterwards, with the fault gone, the same commands bring every row to its end, once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rig import commands
from rig.push_desk import (
    ADJUSTMENTS,
    BATCH_KINDS,
    CUSTOMER_UPDATES,
    CUSTOMERS,
    DRAFTS,
    INVOICE_UPDATES,
    INVOICES,
    KINDS,
    OPTIONS,
    PAYMENTS,
    POSTINGS,
    Desk,
    Kind,
    Row,
    amount,
    errors_of,
    invoice_rows,
    opened,
    rows_of,
    sent_invoices,
    server,
)
from rig.warm import PYTHON

from blsync import push
from blsync.errors import ApiError, SafetyLimit
from blsync.ledger import Ledger, plans
from blsync.push.apply import settle
from blsync.push.endpoints import ENDPOINTS
from blsync.session.binding import bind_anew

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("dialect")]
"""Every step of every endpoint is killed, refused and left without an answer, in both dialects."""


@pytest.fixture(params=["bulk", "batch"])
def dialect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = str(request.param)
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", name)
    return name


ROWS = 4


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the request that has all four rows.

    `states` are the rows' afterwards; `done` is how many of them the server has carried out, or
    will have in `late` seconds; `posts` how many requests that took. `in_batches` are the states
    where a batch has another answer to it.
    """

    name: str
    faults: str
    states: Mapping[str, int]
    done: int
    late: float = 0
    posts: int = 1
    in_batches: Mapping[str, int] = field(default_factory=dict)

    def after(self, dialect: str) -> Mapping[str, int]:
        return (self.in_batches if dialect == "batch" else {}) or self.states

    def __str__(self) -> str:
        return self.name


HELD = {"held": ROWS}
ALL_DONE = {"applied": ROWS}
ONE_HELD = {"applied": ROWS - 1, "held": 1}
ONE_REFUSED = {"applied": ROWS - 1, "rejected": 1}
POISON = f"poison={amount(2)}"
SOME = (CUSTOMERS, INVOICES, PAYMENTS)
FAULTS = (
    Fault("the request is lost", "only=writes,reset=1", HELD, 0),
    Fault("the answer is lost", "only=writes,drop-after=1", HELD, ROWS),
    Fault("half of it is done", "part=1,times=1", HELD, ROWS // 2),
    Fault("it is done after our time-out", "late-write=200ms", HELD, ROWS, late=0.6),
    Fault("a result is missing", "missing-results=1", ONE_HELD, ROWS),
    Fault("every row is refused", "reject-rows=1", {"rejected": ROWS}, 0),
    Fault("one row spoils the request", POISON, ONE_REFUSED, ROWS - 1, posts=5),
)
MORE_FAULTS = (
    Fault("503 before anything is done", "only=writes,error=1", HELD, 0),
    Fault("a gateway's page", "only=writes,html=1", HELD, 0),
    Fault("500 after all is done", "only=writes,error-after=1", HELD, ROWS),
    Fault("the answer breaks off", "only=writes,truncate=1", HELD, ROWS),
    Fault("results in another order", "shuffle-results", ALL_DONE, ROWS),
    Fault("a result comes twice", "double-results=1", ONE_HELD, ROWS, in_batches=HELD),
    Fault("a result is damaged", "damage-results", ALL_DONE, ROWS),
    Fault("results of no row", "stray-results=2", ALL_DONE, ROWS, in_batches=HELD),
    Fault("one row is too large", f"{POISON},poison-status=413", ONE_REFUSED, ROWS - 1, posts=5),
)
MATRIX = [
    *((fault, kind) for fault in FAULTS for kind in KINDS),
    *((fault, kind) for fault in MORE_FAULTS for kind in SOME),
]


@dataclass
class Push:
    """A plan of rows of one kind on its way to the server."""

    desk: Desk
    kind: Kind
    count: int = ROWS
    rows: list[Row] = field(default_factory=list)
    plan_id: str = ""

    def __post_init__(self) -> None:
        self.rows = self.kind.rows(self.desk, self.count)
        report = self.desk.plan(self.rows, self.kind.endpoint)
        assert report.counts["update" if self.kind.is_update else "create"] == self.count
        self.plan_id = report.plan.plan_id
        self.desk.forget_requests()

    def check(self, report: push.PlanReport, exit_code: int, **states: int) -> None:
        """Hold what is told of the rows against the server's own records."""
        assert {s: n for s, n in report.outcomes.items() if n and s != "verified"} == states
        assert report.outcomes["verified"] == report.outcomes["applied"]
        assert report.exit_code == exit_code
        done = self.done()
        for operation in report.operations:
            if operation.state in ("applied", "rejected"):
                assert (_name(operation.natural_key) in done) == (operation.state == "applied")
        if self.kind.endpoint == "payments":
            assert self._paid() == sum(done.values())

    def done(self) -> dict[str, Decimal]:
        """Return what the server has carried out: email or reference → its amount."""
        live = self.kind.live(self.desk)
        assert all(len(amounts) == 1 for amounts in live.values()), live
        wanted = {f"{self.desk.word}-{n}": amount(n) for n in range(1, self.count + 1)}
        wanted |= {f"r{n}@{self.desk.word}.example": amount(n) for n in range(1, self.count + 1)}
        found = {name: amounts[0] for name, amounts in live.items() if amounts[0] == wanted[name]}
        assert self.kind.is_update or found.keys() == live.keys()
        return found

    def end(self, done: int, states: Mapping[str, int], posts: int) -> None:
        """Bring every row to its end, with `done` of them carried out before."""
        self.desk.settled()
        report = self.desk.apply(self.plan_id)
        rejected = states.get("rejected", 0)
        lost = self.count - done - rejected
        if lost and not self.kind.is_safe_to_resend:
            self.check(report, 3, held=lost, **_some(applied=done))
            assert {code for code, _, _ in errors_of(report)} == {settle.FOR_A_PERSON}
            report = self.desk.apply(self.plan_id)
            self.check(report, 3, held=lost, **_some(applied=done))
            assert self.desk.posts() == posts
        else:
            there = self.count - rejected
            code = 3 if rejected else 0
            self.check(report, code, **_some(applied=there, rejected=rejected))
            posts += 1 if lost else 0
        if report.exit_code:
            again = self.desk.retry(self.plan_id)
            report = self.desk.apply(again.plan.plan_id)
            self.check(report, 0, applied=self.count - done)
            posts += 1
        assert self.desk.posts() == posts
        self.is_complete()

    def is_complete(self) -> None:
        assert sum(self.done().values()) == sum(amount(n) for n in range(1, self.count + 1))
        again = self.desk.plan(self.rows, self.kind.endpoint).counts
        assert again["noop"] + again["adopt"] == self.count

    def _paid(self) -> Decimal:
        ids = ",".join(row["invoiceId"] for row in self.rows)
        invoices = self.desk.records("/invoices", **{"id[in]": ids})
        return sum((invoice["amountPaid"] for invoice in invoices), Decimal(0))


def _name(natural_key: str) -> str:
    """Return the part of a natural key that a record has: an adjustment's goes on with the item."""
    return natural_key.partition(" ")[0]


def _some(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize(("fault", "kind"), MATRIX, ids=str)
def test_no_fault_loses_a_row_or_does_it_twice(
    desk: Desk, fault: Fault, kind: Kind, dialect: str
) -> None:
    rows = Push(desk, kind)
    states = fault.after(dialect)
    desk.faults(fault.faults)
    report = desk.apply(rows.plan_id)
    desk.faults()
    time.sleep(fault.late)
    rows.check(report, 0 if states == ALL_DONE else 3, **states)
    assert len(rows.done()) == fault.done
    assert desk.posts() == fault.posts
    rows.end(fault.done, states, fault.posts)


@pytest.mark.parametrize("dialect", ["batch"], indirect=True)
@pytest.mark.parametrize("kind", BATCH_KINDS, ids=str)
@pytest.mark.parametrize("fault", [*FAULTS, *MORE_FAULTS], ids=str)
def test_no_fault_loses_a_record_that_batches_alone_take_or_does_it_twice(
    desk: Desk, fault: Fault, kind: Kind, dialect: str
) -> None:
    test_no_fault_loses_a_row_or_does_it_twice(desk, fault, kind, dialect)


@pytest.mark.parametrize("kind", [CUSTOMERS, POSTINGS], ids=str)
def test_a_server_that_is_not_there_leaves_every_row_to_be_sent(
    desk: Desk, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Push(desk, kind)
    there = os.environ["BIGLEDGER_BASE_URL"]
    monkeypatch.setenv("BIGLEDGER_BASE_URL", "http://127.0.0.1:9/v1")
    bind_anew(desk.settings)
    with pytest.raises(ApiError, match="no answer from") as caught:
        desk.apply(rows.plan_id)
    assert caught.value.exit_code == 1
    assert commands.show(desk.settings, rows.plan_id).outcomes["pending"] == ROWS
    monkeypatch.setenv("BIGLEDGER_BASE_URL", there)
    bind_anew(desk.settings)
    rows.check(desk.apply(rows.plan_id), 0, applied=ROWS)
    rows.is_complete()


def test_429_is_waited_for_and_sends_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoices = ENDPOINTS["invoices"]
    one = replace(invoices, limit=1, batch=replace(invoices.batch, limit=1))
    monkeypatch.setitem(ENDPOINTS, "invoices", one)
    limits = replace(OPTIONS, limits=True, per_hour=10**6, per_second=12)
    with server(limits) as http, opened(http, tmp_path, monkeypatch) as desk:
        rows = Push(desk, INVOICES, 10)
        time.sleep(1)
        report = desk.apply(rows.plan_id)
        stats = http.get("/sandbox/stats").json()
        assert stats["refused"] > 0
        time.sleep(1)
        rows.check(report, 0, applied=10)
        posts = [a.outcome for a in _attempts(desk, rows.plan_id)]
        assert posts == ["applied"] * 10


def _attempts(desk: Desk, plan_id: str) -> list[plans.Attempt]:
    ledger = Ledger(desk.settings.ledger_url)
    try:
        return plans.attempts_of(ledger, plan_id)
    finally:
        ledger.close()


@pytest.mark.parametrize("kind", [CUSTOMERS, ADJUSTMENTS, POSTINGS], ids=str)
def test_a_list_that_lags_at_the_first_look_up_is_asked_again(desk: Desk, kind: Kind) -> None:
    rows = Push(desk, kind)
    desk.faults("only=writes,drop-after=1")
    rows.check(desk.apply(rows.plan_id), 3, held=ROWS)
    desk.faults("late-commit=3600s")
    desk.settled()
    rows_held = desk.apply(rows.plan_id, waits=False)
    assert (rows_held.outcomes["held"], rows_held.exit_code) == (ROWS, 3)
    desk.faults()
    rows.check(desk.apply(rows.plan_id), 0, applied=ROWS)
    assert desk.posts() == 1
    rows.is_complete()


@pytest.mark.parametrize("kind", [CUSTOMERS, INVOICES, ADJUSTMENTS, POSTINGS], ids=str)
def test_a_commit_after_the_look_ups_is_refused_adopted_or_reported_never_hidden(
    desk: Desk, kind: Kind
) -> None:
    rows = Push(desk, kind)
    desk.faults("late-write=3s")
    desk.apply(rows.plan_id)
    sent = time.monotonic()
    desk.faults()
    desk.settled()
    looked_up = desk.apply(rows.plan_id)
    assert looked_up.outcomes == {**looked_up.outcomes, **_looked_up(kind)}
    time.sleep(max(0.0, sent + 3.4 - time.monotonic()))
    desk.settled()
    again = desk.apply(rows.plan_id)
    if kind is not INVOICES:  # nothing at BigLedger keeps a second draft out
        rows.check(again, 0, applied=ROWS)
        rows.is_complete()
        return
    assert [len(amounts) for amounts in kind.live(desk).values()] == [2] * ROWS
    told = errors_of(desk.plan(rows.rows, kind.endpoint))
    assert [code for code, _, _ in told] == ["CONFLICT"] * ROWS
    assert all("2 records at BigLedger have this reference" in message for _, _, message in told)


def _looked_up(kind: Kind) -> dict[str, int]:
    return {"applied": ROWS} if kind.is_safe_to_resend else {"held": ROWS}


DYING = """
import os, signal, sys
from blsync import cli
from blsync.api import client
from blsync.ledger import plans
from blsync.push.apply import outbox

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place, plan = sys.argv[1:]
holder, name = {
    "before the intent": (plans, "claim"),
    "before sending": (client.Client, "post"),
    "before the outcome": (outbox, "outcomes_of"),
    "after the outcome": (plans, "finish"),
}.get(place, (cli, "nothing"))
setattr(holder, name, die)
sys.argv = ["blsync", "push", "apply", plan, "--yes"]
cli.main()
"""
DEATHS = {
    "before the intent": ({"pending": ROWS}, 0),
    "before sending": (HELD, 0),
    "while the server is at it": (HELD, ROWS),
    "before the outcome": (HELD, ROWS),
    "after the outcome": (ALL_DONE, ROWS),
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        *((place, PAYMENTS) for place in DEATHS),
        *((place, INVOICES) for place in ("before sending", "while the server is at it")),
    ],
    ids=str,
)
def test_an_apply_that_is_killed_goes_on_where_it_was(desk: Desk, place: str, kind: Kind) -> None:
    rows = Push(desk, kind)
    states, done = DEATHS[place]
    is_slow = place == "while the server is at it"
    desk.faults("only=writes,latency=20s" if is_slow else "")
    dying = subprocess.Popen(
        [sys.executable if is_slow else PYTHON, "-c", DYING, place, rows.plan_id],
        stderr=subprocess.DEVNULL,
    )
    while is_slow and len(rows.done()) < ROWS and dying.poll() is None:
        time.sleep(0.05)
    if is_slow:
        dying.kill()
    assert dying.wait(60) == -signal.SIGKILL
    desk.faults()
    report = commands.show(desk.settings, rows.plan_id)
    assert {s: n for s, n in report.outcomes.items() if n} == states
    assert len(rows.done()) == done
    desk.now = datetime.now(UTC)
    if states == HELD:
        assert desk.apply(rows.plan_id).outcomes["held"] == ROWS
        rows.end(done, states, desk.posts())
        return
    rows.check(desk.apply(rows.plan_id), 0, applied=ROWS)
    assert desk.posts() == 1
    rows.is_complete()


def copy_of_binding(desk: Desk, name: str) -> None:
    """Make a folder that the ledger takes for its own: a copy, whose locks are others."""
    (desk.folder / name).mkdir(mode=0o700)
    shutil.copy(desk.settings.data / "lake.json", desk.folder / name)


@pytest.mark.parametrize("is_apart", [False, True], ids=["one folder", "a copy of it"])
def test_two_processes_at_once_send_each_row_once(desk: Desk, is_apart: bool) -> None:
    rows = Push(desk, PAYMENTS)
    desk.faults("latency=200ms")
    command = [Path(sys.executable).with_name("blsync"), "push", "apply", rows.plan_id, "--yes"]
    ledger = {"BLSYNC_LEDGER_URL": desk.settings.ledger_url}
    folders = ("here", "there") if is_apart else ("data", "data")
    for folder in {*folders} - {"data"}:
        copy_of_binding(desk, folder)
    both = [
        subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | ledger | {"BLSYNC_DATA": str(desk.folder / folder)},
        )
        for folder in folders
    ]
    codes = [process.wait(60) for process in both]
    desk.faults()
    assert set(codes) <= {0, 3}
    assert 0 in codes
    assert desk.posts() == 1
    rows.check(desk.apply(rows.plan_id), 0, applied=ROWS)
    rows.is_complete()


@pytest.mark.parametrize("kind", [CUSTOMERS, PAYMENTS], ids=str)
def test_what_another_copy_of_the_folder_settled_during_a_look_up_stays_as_it_is(
    desk: Desk, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Push(desk, kind)
    if kind is CUSTOMERS:  # lost, and about to be looked up for the second time
        desk.faults("only=writes,reset=1")
        desk.apply(rows.plan_id)
        desk.faults()
        desk.settled()
        desk.apply(rows.plan_id, waits=False)
        desk.now += timedelta(minutes=1)
    monkeypatch.setenv("BLSYNC_LEDGER_URL", desk.settings.ledger_url)
    look, others = settle._records, []

    copy_of_binding(desk, "elsewhere")

    def elsewhere() -> None:
        monkeypatch.setenv("BLSYNC_DATA", str(desk.folder / "elsewhere"))
        others.append(desk.apply(rows.plan_id).exit_code)

    async def overtaken(*args: Any) -> Any:
        known = await look(*args) if kind is CUSTOMERS else None
        if not others:
            others.append(None)
            await asyncio.to_thread(elsewhere)
        return known or await look(*args)

    monkeypatch.setattr(settle, "_records", overtaken)
    posts = desk.posts()
    rows.check(desk.apply(rows.plan_id), 0, applied=ROWS)
    assert others == [None, 0]
    assert desk.posts() == posts + 1
    rows.is_complete()


def test_a_stale_or_superseded_or_oversize_plan_sends_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (INVOICES, PAYMENTS):
        rows = Push(desk, kind)
        desk.now += timedelta(hours=25)
        _refused(desk, rows.plan_id, "more than 24 hours ago")
        desk.now -= timedelta(hours=1, seconds=1)
        newer = desk.plan(rows.rows[:2], kind.endpoint).plan.plan_id
        _refused(desk, rows.plan_id, f"the newer plan {newer}")
        monkeypatch.setenv("BLSYNC_PUSH_MAX_CREATES", "1")
        _refused(desk, newer, r"2 creates \(BLSYNC_PUSH_MAX_CREATES is 1\)")
        monkeypatch.delenv("BLSYNC_PUSH_MAX_CREATES")
        monkeypatch.setenv("BLSYNC_PUSH_MAX_MONEY", "6.09")
        _refused(desk, newer, r"6.10 money \(BLSYNC_PUSH_MAX_MONEY is 6.09\)")
        monkeypatch.setenv("BLSYNC_PUSH_MAX_MONEY", "6.10")
        assert desk.apply(newer).exit_code == 0
        monkeypatch.delenv("BLSYNC_PUSH_MAX_MONEY")
        desk.http.post("/sandbox/reset-stats").raise_for_status()
        again = desk.apply(newer)
        assert (again.exit_code, desk.requests()) == (0, 0)
        desk.word += "b"
    rows = Push(desk, CUSTOMER_UPDATES)
    monkeypatch.setenv("BLSYNC_PUSH_MAX_UPDATES", "3")
    _refused(desk, rows.plan_id, r"4 updates \(BLSYNC_PUSH_MAX_UPDATES is 3\)")


def _refused(desk: Desk, plan_id: str, why: str) -> None:
    desk.forget_requests()
    for dry_run in (True, False):
        with pytest.raises(SafetyLimit, match=why) as caught:
            desk.apply(plan_id, dry_run=dry_run)
        assert caught.value.exit_code == 4
    assert desk.requests() == 0


def test_a_plan_that_was_begun_goes_on_after_a_day(desk: Desk) -> None:
    rows = Push(desk, DRAFTS)
    desk.faults("only=writes,reset=1")
    desk.apply(rows.plan_id)
    desk.faults()
    desk.now += timedelta(hours=25)
    rows.check(desk.apply(rows.plan_id), 0, applied=ROWS)


def test_a_record_that_others_changed_after_the_plan_is_not_overwritten(desk: Desk) -> None:
    customers = Push(desk, CUSTOMER_UPDATES)
    ids = {
        n: o.remote_id for n, o in rows_of(commands.show(desk.settings, customers.plan_id)).items()
    }
    desk.write(f"/customers/{ids[1]}", {"creditLimit": 7}, "PUT")
    desk.write(f"/customers/{ids[2]}", {"phone": "12345"}, "PUT")
    desk.write(f"/customers/{ids[3]}", {"creditLimit": float(amount(3))}, "PUT")
    report = desk.apply(customers.plan_id)
    customers.check(report, 3, applied=3, rejected=1)
    assert [(code, f) for code, f, _ in errors_of(report)] == [("CONFLICT", "creditLimit")]
    assert desk.posts() == 1
    assert desk.apply(desk.retry(customers.plan_id).plan.plan_id).exit_code == 0
    customers.is_complete()


def test_a_draft_that_was_sent_to_its_customer_after_the_plan_is_not_changed(desk: Desk) -> None:
    invoices = Push(desk, INVOICE_UPDATES)
    sent = rows_of(commands.show(desk.settings, invoices.plan_id))[1].remote_id
    desk.write(f"/invoices/{sent}/send", {})
    report = desk.apply(invoices.plan_id)
    invoices.check(report, 3, applied=3, rejected=1)
    again = desk.retry(invoices.plan_id)
    assert errors_of(again)[0][:2] == ("BUSINESS_RULE_VIOLATION", "status")


def test_with_on_conflict_ours_an_update_holds_against_what_others_wrote(desk: Desk) -> None:
    rows = CUSTOMER_UPDATES.rows(desk, 1)
    report = desk.plan(rows, "customers", on_conflict="ours")
    remote_id = report.operations[0].remote_id
    desk.write(f"/customers/{remote_id}", {"creditLimit": 7}, "PUT")
    assert desk.apply(report.plan.plan_id).exit_code == 0
    assert CUSTOMERS.live(desk) == {str(rows[0]["email"]): [amount(1)]}


@pytest.mark.parametrize(
    ("written", "is_ours"),
    [({}, True), ({"creditLimit": 7}, False), ({"email": str.upper}, True)],
    ids=["as we want it", "with another limit", "in capitals"],
)
def test_an_email_that_was_taken_after_the_plan(
    desk: Desk, written: dict[str, Any], is_ours: bool
) -> None:
    rows = Push(desk, CUSTOMERS)
    theirs = {**rows.rows[0], "creditLimit": float(amount(1))}
    changed = {n: v(theirs[n]) if callable(v) else v for n, v in written.items()}
    desk.write("/customers", theirs | changed)
    report = desk.apply(rows.plan_id)
    if is_ours:
        rows.check(report, 0, applied=ROWS)
        rows.is_complete()
        return
    assert (report.outcomes["applied"], report.outcomes["rejected"], report.exit_code) == (3, 1, 3)
    [(code, _, message)] = errors_of(report)
    assert code == "DUPLICATE_VALUE"
    assert "creditLimit" in message
    live = CUSTOMERS.live(desk)
    assert live == {row["email"]: [row["creditLimit"]] for row in rows.rows} | {
        rows.rows[0]["email"]: [Decimal(7)]
    }


def test_a_payment_made_by_others_after_the_plan_is_not_paid_once_more(desk: Desk) -> None:
    payments = Push(desk, PAYMENTS)
    same, other = payments.rows[0], payments.rows[1]
    for row, paid in ((same, amount(1)), (other, Decimal(3))):
        desk.write(f"/invoices/{row['invoiceId']}/payments", {"amount": float(paid)})
    report = desk.apply(payments.plan_id)
    assert (report.outcomes["applied"], report.outcomes["rejected"], report.exit_code) == (2, 2, 3)
    assert {code for code, _, _ in errors_of(report)} == {"CONFLICT"}
    assert PAYMENTS.live(desk).keys() == {f"{desk.word}-3", f"{desk.word}-4"}


def test_a_payment_that_others_overtake_on_the_way_is_refused_and_pays_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    [invoice] = sent_invoices(desk, 1, price=100)
    row = {"reference": f"{desk.word}-1", "invoiceId": invoice["id"], "amount": 60}
    plan_id = desk.plan([row], "payments").plan.plan_id
    look = settle.unchanged

    async def overtaken(*args: Any) -> Any:
        rows = await look(*args)
        desk.write(f"/invoices/{invoice['id']}/payments", {"amount": 50})
        return rows

    monkeypatch.setattr(settle, "unchanged", overtaken)
    report = desk.apply(plan_id)
    assert (report.exit_code, errors_of(report)[0][:2]) == (3, ("MAX_VALUE", "amount"))
    assert desk.records(f"/invoices/{invoice['id']}")["amountPaid"] == 50


def test_a_payment_of_others_between_two_of_ours_lets_no_row_hang(desk: Desk) -> None:
    [invoice] = sent_invoices(desk, 1)
    rows = [
        {"reference": f"{desk.word}-{n}", "invoiceId": invoice["id"], "amount": amount(n)}
        for n in (1, 2)
    ]
    plan_id = desk.plan(rows, "payments").plan.plan_id
    said: list[str] = []

    def pay(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            desk.write(f"/invoices/{invoice['id']}/payments", {"amount": 5})

    report = desk.apply(plan_id, say=pay)
    assert "1 applied, 1 pending" in said[0]
    assert [o.state for o in report.operations] == ["applied", "rejected"]
    assert report.exit_code == 3
    assert desk.apply(desk.retry(plan_id).plan.plan_id).exit_code == 0
    paid = desk.records(f"/invoices/{invoice['id']}")["amountPaid"]
    assert paid == amount(1) + amount(2) + 5


def test_payments_of_one_invoice_wait_for_a_list_that_lags(desk: Desk) -> None:
    [invoice] = sent_invoices(desk, 1)
    rows = [
        {"reference": f"{desk.word}-{n}", "invoiceId": invoice["id"], "amount": amount(n)}
        for n in (1, 2)
    ]
    plan_id = desk.plan(rows, "payments").plan.plan_id

    def lag(_: str) -> None:
        desk.faults("late-commit=3600s")

    report = desk.apply(plan_id, say=lag)
    assert [o.state for o in report.operations] == ["applied", "pending"]
    assert (report.exit_code, errors_of(report)[0][0]) == (3, "NOT_LISTED")
    desk.faults()
    done = desk.apply(plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 2)
    assert sum(sum(amounts) for amounts in PAYMENTS.live(desk).values()) == Decimal("6.10")


@pytest.mark.parametrize("kind", [ADJUSTMENTS, POSTINGS, PAYMENTS], ids=str)
def test_what_lands_after_a_person_gave_it_up_is_not_done_again(desk: Desk, kind: Kind) -> None:
    rows = Push(desk, kind, 2)
    desk.faults("late-write=3s")
    desk.apply(rows.plan_id)
    sent = time.monotonic()
    desk.faults()
    desk.settled()
    rows.check(desk.apply(rows.plan_id), 3, held=2)
    again = desk.retry(rows.plan_id)
    assert again.counts["create"] == 2
    time.sleep(max(0.0, sent + 3.4 - time.monotonic()))
    report = desk.apply(again.plan.plan_id)
    assert desk.posts() == 1
    if kind is PAYMENTS:  # whose the payment is, the invoice does not tell
        assert {code for code, _, _ in errors_of(report)} == {"CONFLICT"}
        assert desk.retry(again.plan.plan_id).counts["adopt"] == 2
    else:
        rows.check(report, 0, applied=2)
    rows.is_complete()


def test_no_other_plan_sends_what_is_held(desk: Desk) -> None:
    [invoice] = sent_invoices(desk, 1)
    row = {"reference": f"{desk.word}-1", "invoiceId": invoice["id"], "amount": 5}
    other = {**row, "reference": f"{desk.word}-2"}
    planned = desk.plan([other], "payments").plan.plan_id
    first = desk.plan([row], "payments").plan.plan_id
    desk.faults("only=writes,drop-after=1")
    desk.apply(first)
    desk.faults()
    assert desk.plan([other], "payments").counts["blocked"] == 1
    report = desk.apply(planned)
    assert errors_of(report)[0][0] == "HELD_ELSEWHERE"
    assert (report.exit_code, report.outcomes["pending"]) == (3, 1)
    assert desk.posts("payments") == 1


def test_an_invoice_waits_for_the_plan_that_creates_its_customer(desk: Desk) -> None:
    email = f"r1@{desk.word}.example"
    row: Row = {**invoice_rows(desk, 1)[0], "customer": {"email": email}}
    del row["customerId"]
    parent = Push(desk, CUSTOMERS, 1)

    def told() -> list[tuple[str, str]]:
        report = desk.plan([row], "invoices")
        assert report.counts["blocked"] + report.counts["reject"] == 1
        assert desk.apply(report.plan.plan_id).exit_code == 0
        return [(o.action, str(o.error["code"])) for o in report.operations if o.error]

    assert told() == [("blocked", "PARENT_PENDING")]
    desk.faults("only=writes,reset=1")
    desk.apply(parent.plan_id)
    assert told() == [("blocked", "PARENT_PENDING")]
    desk.faults("reject-rows=1")
    desk.settled()
    assert desk.apply(parent.plan_id).outcomes["rejected"] == 1
    assert told() == [("blocked", "PARENT_REJECTED")]
    desk.faults()
    desk.apply(desk.retry(parent.plan_id).plan.plan_id)
    assert desk.plan([row], "invoices").counts["create"] == 1
    assert desk.posts("invoices") == 0


def test_settle_ends_what_is_held_in_every_plan_and_sends_nothing_new(desk: Desk) -> None:
    lost = Push(desk, CUSTOMERS)
    there = Push(desk, PAYMENTS)
    desk.faults("only=writes,reset=1")
    desk.apply(lost.plan_id)
    desk.faults("only=writes,drop-after=1")
    desk.apply(there.plan_id)
    desk.faults()
    assert [report.exit_code for report in desk.settle()] == [3, 3]
    desk.settled()
    reports = {report.plan.plan_id: report for report in desk.settle()}
    lost.check(reports[lost.plan_id], 0, applied=ROWS)
    there.check(reports[there.plan_id], 0, applied=ROWS)
    assert desk.settle() == []
    lost.is_complete()
    there.is_complete()


def test_hundreds_of_drafts_in_batches_that_fail_are_each_there_once(desk: Desk) -> None:
    lines = [{"description": "Work", "quantity": 1, "unitPrice": 1}]
    one = invoice_rows(desk, 1)[0]
    rows = [{**one, "reference": f"{desk.word}-{n}", "items": lines} for n in range(500)]
    plan_id = desk.plan(rows, "invoices").plan.plan_id
    desk.faults("only=writes,drop-after=0.1,error=0.1,error-after=0.1,truncate=0.1,part=0.2")
    for _ in range(30):
        if desk.apply(plan_id).exit_code == 0:
            break
        desk.settled()
    desk.faults()
    assert desk.apply(plan_id).outcomes["verified"] == 500
    params = {"limit": "1", "reference[startswith]": f"{desk.word}-"}
    assert desk.http.get("/v1/invoices", params=params).json()["pagination"]["total"] == 500
