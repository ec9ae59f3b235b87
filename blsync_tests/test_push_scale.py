"""Thousands of rows through a server of which a fifth of the batches tell nothing, in both ways.

`make test-deep` alone runs it: it takes minutes.
"""

from __future__ import annotations

from collections import Counter

import pytest
from rig.push_desk import Desk, Row, invoice_rows

from blsync.push.token import unmarked

ROWS = 10_000
AMBIGUOUS = "only=writes,drop-after=0.05,reset=0.05,error-after=0.05,part=0.05"
"""A fifth of the writes: no answer to what is done, not done, or half done, or 500 after it is."""
MOST_RUNS = 60

pytestmark = pytest.mark.deep


def references(desk: Desk) -> Counter[str]:
    """Count the desk's drafts at the server by their references, page after page."""
    found: Counter[str] = Counter()
    params = {"limit": "100", "reference[startswith]": f"{desk.word}-"}
    while True:
        answer = desk.http.get("/v1/invoices", params=params).json()
        found.update(unmarked(record["reference"]) for record in answer["data"])
        if not answer["pagination"]["hasMore"]:
            return found
        params["cursor"] = answer["pagination"]["nextCursor"]


def applied_to_its_end(desk: Desk, plan_id: str, faults: str = AMBIGUOUS, rows: int = ROWS) -> int:
    """Apply a plan as often as it takes; return how often a batch told nothing."""
    held = 0
    desk.faults(faults)
    for _ in range(MOST_RUNS):
        report = desk.apply(plan_id)
        held += report.outcomes["held"]
        if report.exit_code == 0:
            break
        desk.settled()
    desk.faults()
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, rows)
    return held


@pytest.mark.parametrize(("dialect", "count"), [("bulk", ROWS), ("batch", 3_000)])
def test_of_thousands_of_creates_none_is_lost_none_done_twice_and_all_are_taken_back(
    desk: Desk, dialect: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", dialect)
    monkeypatch.setenv("BLSYNC_PUSH_MAX_DELETES", str(count))
    one = invoice_rows(desk, 1)[0]
    lines = [{"description": "Work", "quantity": 1, "unitPrice": 1}]
    rows: list[Row] = [
        {**one, "reference": f"{desk.word}-{n}", "items": lines} for n in range(count)
    ]
    plan_id = desk.plan(rows, "invoices").plan.plan_id
    assert applied_to_its_end(desk, plan_id, rows=count) > count / 100
    assert references(desk) == Counter(f"{desk.word}-{n}" for n in range(count))
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "bulk")  # batches delete no invoices
    undo = desk.undo(plan_id)
    assert undo.counts["delete"] == count
    assert applied_to_its_end(desk, undo.plan.plan_id, rows=count) > count / 100
    assert references(desk) == Counter()
    posts = desk.posts()
    assert desk.apply(plan_id).exit_code == desk.apply(undo.plan.plan_id).exit_code == 0
    assert desk.posts() == posts


def test_of_ten_thousand_creates_in_jobs_none_is_lost_none_done_twice_and_all_are_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "batch")
    monkeypatch.setenv("BLSYNC_PUSH_MAX_DELETES", str(ROWS))
    faults = f"{AMBIGUOUS},lose-jobs=0.1,fail-jobs=0.1"
    rows: list[Row] = [
        {"email": f"r{n}@{desk.word}.example", "name": f"Kedai {n}"} for n in range(ROWS)
    ]
    plan_id = desk.plan(rows).plan.plan_id
    assert applied_to_its_end(desk, plan_id, faults) > 100
    assert desk.emails() == Counter(f"r{n}@{desk.word}.example" for n in range(ROWS))
    undo = desk.undo(plan_id)
    assert undo.counts["delete"] == ROWS
    assert applied_to_its_end(desk, undo.plan.plan_id, faults) > 100
    assert desk.emails() == Counter()
    posts = desk.posts()
    assert desk.apply(plan_id).exit_code == desk.apply(undo.plan.plan_id).exit_code == 0
    assert desk.posts() == posts
