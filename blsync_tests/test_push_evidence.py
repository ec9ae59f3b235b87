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

from blsync import push
from blsync.push.apply.settle import FOR_A_PERSON, NOT_AS_SENT, NOT_VERIFIED

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
    return [{**row, "phone": f"+60 3-{n:07}"} for n, row in enumerate(rows)] if kind is CUSTOMERS else rows


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
