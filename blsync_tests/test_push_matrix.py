"""What goes wrong while a push is applied, for every endpoint, and what is left afterwards.

After each fault one check holds: at most one live record stands for a row, every row is in a final
state or held, the exit code is the documented one, and what was applied is what moved at the
server. Afterwards, with the fault gone, the same commands bring every row to its end, once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from push_desk import (
    ADJUSTMENTS,
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

from blsync import push
from blsync.errors import ApiError, NotSent, SafetyLimit
from blsync.ledger import Ledger, plans
from blsync.push import settle
from blsync.push.endpoints import ENDPOINTS

ROWS = 4


@pytest.fixture(scope="module")
def sandbox() -> Iterator[httpx.Client]:
    with server() as http:
        yield http


@pytest.fixture
def desk(sandbox: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with opened(sandbox, tmp_path, monkeypatch) as desk:
        yield desk


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the request that has all four rows.

    `states` are the rows' afterwards; `done` is how many of them the server has carried out, or
    will have in `late` seconds; `posts` how many requests that took.
    """

    name: str
    faults: str
    states: Mapping[str, int]
    done: int
    late: float = 0
    posts: int = 1

    def __str__(self) -> str:
        return self.name


HELD = {"held": ROWS}
MATRIX = (
    Fault("the request is lost", "only=writes,reset=1", HELD, 0),
    Fault("503 before anything is done", "only=writes,error=1", HELD, 0),
    Fault("a gateway's page", "only=writes,html=1", HELD, 0),
    Fault("the answer is lost", "only=writes,drop-after=1", HELD, ROWS),
    Fault("500 after all is done", "only=writes,error-after=1", HELD, ROWS),
    Fault("the answer breaks off", "only=writes,truncate=1", HELD, ROWS),
    Fault("half of it is done", "part=1,times=1", HELD, ROWS // 2),
    Fault("it is done after our time-out", "late-write=200ms", HELD, ROWS, late=0.3),
    Fault("results in another order", "shuffle-results", {"applied": ROWS}, ROWS),
    Fault("a result is missing", "missing-results=1", {"applied": ROWS - 1, "held": 1}, ROWS),
    Fault("a result comes twice", "double-results=1", {"applied": ROWS - 1, "held": 1}, ROWS),
    Fault("results of no row", "stray-results=2", {"applied": ROWS}, ROWS),
    Fault("every row is refused", "reject-rows=1", {"rejected": ROWS}, 0),
    Fault(
        "one row spoils the request",
        f"poison={amount(2)}",
        {"applied": ROWS - 1, "rejected": 1},
        ROWS - 1,
        posts=5,
    ),
    Fault(
        "one row makes the request too large",
        f"poison={amount(2)},poison-status=413",
        {"applied": ROWS - 1, "rejected": 1},
        ROWS - 1,
        posts=5,
    ),
)


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
        if lost and not self.kind.is_harmless:
            self.check(report, 3, held=lost, **_some(applied=done))
            assert {code for code, _, _ in errors_of(report)} == {settle.FOR_A_PERSON}
            report = self.desk.apply(self.plan_id)
            self.check(report, 3, held=lost, **_some(applied=done))
            assert self.desk.requests("POST /bulk") == posts
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
        assert self.desk.requests("POST /bulk") == posts
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


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("fault", MATRIX, ids=str)
def test_no_fault_loses_a_row_or_does_it_twice(desk: Desk, kind: Kind, fault: Fault) -> None:
    rows = Push(desk, kind)
    desk.faults(fault.faults)
    report = desk.apply(rows.plan_id)
    desk.faults()
    time.sleep(fault.late)
    rows.check(report, 0 if fault.states == {"applied": ROWS} else 3, **fault.states)
    assert len(rows.done()) == fault.done
    assert desk.requests("POST /bulk") == fault.posts
    rows.end(fault.done, fault.states, fault.posts)
