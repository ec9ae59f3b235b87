"""Pushes in batches: what they have that bulk requests have not. Jobs, roll back, the minute."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from rig import commands
from rig.push_desk import (
    BATCH_KINDS,
    CUSTOMER_UPDATES,
    CUSTOMERS,
    INVOICES,
    KINDS,
    POSTINGS,
    Desk,
    Kind,
    amount,
    customer_rows,
    errors_of,
    invoice_rows,
)

from blsync.api.client import Client
from blsync.errors import ConfigError
from blsync.push.apply import settle

MANY = 120
"""Rows of a batch that is carried out as a job."""


@pytest.fixture(autouse=True)
def batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "batch")


def many(desk: Desk, count: int = MANY) -> list[dict[str, Any]]:
    return [
        {"email": f"r{n}@{desk.word}.example", "name": f"Kedai {n}", "creditLimit": n}
        for n in range(1, count + 1)
    ]


def each_once(desk: Desk, count: int = MANY) -> Counter[str]:
    return Counter(f"r{n}@{desk.word}.example" for n in range(1, count + 1))


@pytest.mark.parametrize("kind", [*BATCH_KINDS, *KINDS], ids=str)
@pytest.mark.deep_after(3)
def test_rows_go_out_in_one_batch_and_are_read_back(desk: Desk, kind: Kind) -> None:
    rows = kind.rows(desk, 4)
    plan_id = desk.plan(rows, kind.endpoint).plan.plan_id
    desk.forget_requests()
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 4)
    assert (desk.requests("POST /batch/"), desk.requests("POST /bulk")) == (1, 0)
    total = sum(map(amount, (1, 2, 3, 4)))
    assert sum(sum(amounts) for amounts in kind.live(desk).values()) == total
    assert desk.apply(plan_id).exit_code == 0
    again = desk.plan(rows, kind.endpoint)
    assert again.counts["noop"] + again.counts["adopt"] == 4
    assert desk.posts() == 1


def test_customers_are_created_changed_and_taken_back_in_batches(desk: Desk) -> None:
    created = desk.plan(customer_rows(desk, 3)).plan.plan_id
    assert desk.apply(created).exit_code == 0
    undo = desk.undo(created)
    assert undo.counts["delete"] == 3
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert (desk.posts("customers"), desk.emails()) == (2, Counter())


def test_more_than_a_hundred_rows_are_a_job_that_is_waited_for(desk: Desk) -> None:
    plan_id = desk.plan(many(desk)).plan.plan_id
    desk.forget_requests()
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, MANY)
    assert desk.posts() == 1
    assert desk.requests("GET /batch/jobs/") >= 2
    assert desk.emails() == each_once(desk)


@dataclass(frozen=True)
class JobFault:
    """What goes wrong with a job. `done` of its rows are carried out, and so many are told of."""

    name: str
    faults: str
    done: int
    told: int = 0

    def __str__(self) -> str:
        return self.name


JOB_FAULTS = (
    JobFault("the job is not done for long", "slow-jobs=2s", MANY),
    JobFault("the answer with the job's id is lost", "only=writes,drop-after=1", MANY),
    JobFault("the job fails half-way", "fail-jobs=1", MANY // 2),
    JobFault("the job is forgotten", "lose-jobs=1", MANY),
    JobFault("the results are at another host", "link-results=elsewhere", MANY),
    JobFault("the results are behind a link", "link-results=here", MANY, MANY),
    JobFault("results are missing", "missing-results=20", MANY, MANY - 20),
    JobFault("results come in another order", "shuffle-results", MANY, MANY),
    JobFault("a result comes twice", "double-results=1", MANY),
    JobFault("results of no row", "stray-results=1", MANY),
    JobFault("the request is lost", "only=writes,reset=1", 0),
    JobFault("500 after the job began", "only=writes,error-after=1", MANY),
)


@pytest.mark.parametrize("fault", JOB_FAULTS, ids=str)
@pytest.mark.deep_after(1)
def test_no_fault_of_a_job_loses_a_row_or_does_it_twice(desk: Desk, fault: JobFault) -> None:
    plan_id = desk.plan(many(desk)).plan.plan_id
    desk.forget_requests()
    desk.faults(fault.faults)
    report = desk.apply(plan_id)
    assert (report.outcomes["applied"], report.outcomes["held"]) == (fault.told, MANY - fault.told)
    assert report.exit_code == (0 if fault.told == MANY else 3)
    assert "elsewhere" not in fault.faults or desk.requests("file") == 0
    desk.faults()
    if "slow" in fault.faults:
        assert desk.emails() == Counter()
        desk.settled()  # however long it takes: that nothing is there yet tells nothing
        assert desk.apply(plan_id, waits=False).outcomes["held"] == MANY
        wait_until_done(desk)
    assert len(desk.emails()) == fault.done
    desk.settled()
    done = desk.apply(plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, MANY)
    assert desk.emails() == each_once(desk)
    assert desk.posts() == (1 if fault.done == MANY else 2)


def wait_until_done(desk: Desk) -> None:
    deadline = time.monotonic() + 60
    while len(desk.emails()) < MANY and time.monotonic() < deadline:
        time.sleep(0.05)


DYING = """
import os, signal, sys
from blsync import cli
from blsync.push.apply import jobs

async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

jobs._is_over = die
sys.argv = ["blsync", "push", "apply", sys.argv[1], "--yes"]
cli.main()
"""


@pytest.mark.deep
def test_an_apply_that_is_killed_at_its_job_goes_on_with_the_same_job(desk: Desk) -> None:
    plan_id = desk.plan(many(desk)).plan.plan_id
    desk.forget_requests()
    dying = subprocess.run(
        [sys.executable, "-c", DYING, plan_id], stderr=subprocess.DEVNULL, check=False
    )
    assert dying.returncode == -signal.SIGKILL
    assert commands.show(desk.settings, plan_id).outcomes["held"] == MANY
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, MANY)
    assert desk.posts() == 1
    assert desk.emails() == each_once(desk)


def test_settle_asks_for_the_job_too_and_whatever_the_dialect_is_by_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = desk.plan(many(desk)).plan.plan_id
    desk.faults("slow-jobs=500ms")
    assert desk.apply(plan_id, waits=False).outcomes["held"] == MANY
    assert commands.due(desk.settings, clock=desk.clock)
    wait_until_done(desk)
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "bulk")
    [report] = desk.settle()
    assert (report.exit_code, report.outcomes["verified"]) == (0, MANY)
    assert (desk.requests("POST /batch"), desk.requests("POST /bulk")) == (1, 0)


@pytest.mark.deep
def test_a_fourth_job_waits_until_one_of_three_has_ended(desk: Desk) -> None:
    plans = [
        desk.plan([{**row, "email": f"{n}{row['email']}"} for row in many(desk)]).plan.plan_id
        for n in range(4)
    ]
    desk.faults("slow-jobs=2s")
    for plan_id in plans[:3]:
        assert desk.apply(plan_id, waits=False).outcomes["held"] == MANY
    desk.forget_requests()
    said: list[str] = []
    report = desk.apply(plans[3], waits=False, say=said.append)
    assert (report.outcomes["pending"], report.exit_code) == (MANY, 3)
    assert any("left for later" in line for line in said)
    assert desk.posts() == 0
    desk.faults()
    deadline = time.monotonic() + 60
    while len(desk.emails()) < 3 * MANY and time.monotonic() < deadline:
        time.sleep(0.05)
    for plan_id in plans:
        assert desk.apply(plan_id).exit_code == 0
    assert len(desk.emails()) == 4 * MANY


@pytest.mark.parametrize(
    ("faults", "kind", "stays"),
    [
        ("roll-back=1", CUSTOMERS, 0),
        ("roll-back=1,half-roll-back=1", CUSTOMERS, 2),
        ("roll-back=1,half-roll-back=1", INVOICES, 2),
        ("roll-back=1", CUSTOMER_UPDATES, 0),
        ("roll-back=1", POSTINGS, 0),
        ("roll-back=1,half-roll-back=1", POSTINGS, 2),
    ],
    ids=str,
)
@pytest.mark.deep_after(2)
def test_that_a_batch_was_rolled_back_is_believed_when_a_look_up_has_seen_it(
    desk: Desk, faults: str, kind: Kind, stays: int
) -> None:
    plan_id = desk.plan(kind.rows(desk, 4), kind.endpoint).plan.plan_id
    desk.forget_requests()
    desk.faults(faults)
    report = desk.apply(plan_id)
    assert (report.outcomes["held"], report.exit_code) == (4, 3)
    assert all("took the whole batch back" in message for _, _, message in errors_of(report))
    desk.faults()
    desk.settled()
    report = desk.apply(plan_id)
    if kind is POSTINGS:
        assert report.outcomes == {**report.outcomes, "applied": stays, "held": 4 - stays}
        assert {code for code, _, _ in errors_of(report)} == {settle.FOR_A_PERSON}
        assert desk.posts() == 1
        return
    assert (report.exit_code, report.outcomes["verified"], desk.posts()) == (0, 4, 2)
    assert [len(amounts) for amounts in kind.live(desk).values()] == [1] * 4


def test_what_a_batch_cannot_do_is_told_in_the_plan_and_before_anything_is_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = invoice_rows(desk, 2)
    created = desk.plan(rows, "invoices").plan.plan_id
    assert desk.apply(created).exit_code == 0
    why = "an invoice cannot be deleted over the API by batch requests, only records of items"
    with pytest.raises(ConfigError, match=why) as caught:
        desk.plan([{"reference": rows[0]["reference"]}], "invoices", mode="delete")
    assert caught.value.exit_code == 2
    undo = desk.undo(created)
    assert {code for code, _, _ in errors_of(undo)} == {"NOT_IN_DIALECT"}
    assert "plan it with BLSYNC_PUSH_DIALECT=bulk" in errors_of(undo)[0][2]
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "bulk")
    undo = desk.undo(created)
    assert undo.counts["delete"] == 2
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "batch")
    desk.forget_requests()
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match="would delete invoices, and /batch/invoices takes"):
            desk.apply(undo.plan.plan_id, dry_run=dry_run)
    assert desk.posts() == 0
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "bulk")
    assert desk.apply(undo.plan.plan_id).exit_code == 0


def test_every_option_is_said_and_each_row_has_a_reference_of_its_own(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Mapping[str, Any]] = []
    post = Client.post

    async def noted(self: Client, path: str, body: Any, **more: Any) -> Any:
        sent.append(json.loads(bytes(body)))
        return await post(self, path, body, **more)

    monkeypatch.setattr(Client, "post", noted)
    for rows in (customer_rows(desk, 2), many(desk)):
        assert desk.apply(desk.plan(rows).plan.plan_id).exit_code == 0
    small, large = sent[0], sent[-1]
    assert set(small["options"]) == {"continueOnError", "validateOnly", "async", "rollbackOnError"}
    assert (small["options"]["async"], large["options"]["async"]) == (False, True)
    references = [o["referenceId"] for body in sent for o in body["operations"]]
    assert len(set(references)) == len(references)


def test_an_unknown_dialect_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "bulky")
    with pytest.raises(ConfigError, match=r"BLSYNC_PUSH_DIALECT.*must be one of bulk, batch"):
        _ = desk.settings
    assert os.environ["BLSYNC_PUSH_DIALECT"] == "bulky"
