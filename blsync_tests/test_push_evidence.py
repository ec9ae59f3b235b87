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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[httpx.Client]:
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
