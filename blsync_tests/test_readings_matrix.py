"""Each reading of the pages, alone and beside others: sync twice, reports twice, push once.

`make test` plays each alone, `make test-deep` every pair that a server can be, several at a time.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rig.depth import is_deep
from rig.push_desk import amount
from rig.readings import FEW, Round, played, servers

from blsync.entities import ENTITIES
from blsync.sandbox.http.readings import GROUPS, READINGS

ALONE = [(name,) for name in READINGS if is_deep() or name not in GROUPS["business dates"]]
CASES = ALONE + (servers() if is_deep() else [])
ROWS = 3

pytestmark = pytest.mark.drawn

TOLD = {
    "no-sort": "does not take an order by",
    "sort-and-order": "asked as sort=f&order=asc",
    "sort-ignored": "the records came in another one",
    "no-operators": "does not take bounds on",
    "no-filters": "does not take bounds on",
    "filters-ignored": "it is taken and not heeded",
    "no-look-ups": "does not take records by their reference",
    "is-active": "asked as isActive",
    "all-accounts": "list has, unasked, what the filter active is for",
    "offset": "pages this list by nextOffset",
    "no-pagination": "pages this list by offset",
    "whole-lists": "pages this list by",
    "no-limit": "takes no limit",
    "small-pages": "at most 20 records a page",
    "no-total": "tells no total of this list",
    "slim-lists": "list leaves out",
    "no-references": "does not show the reference of an invoice",
}
"""What doctor says of each reading by itself; of the others there is nothing to be learnt."""
UNSEEN_BESIDE = {"no-references": "no-detail"}
"""What can only be seen where a record can be read by its id."""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Any, ...], Any]:
    """The reports of a server that behaves as the reference says."""
    with (
        pytest.MonkeyPatch.context() as patch,
        played((), tmp_path_factory.mktemp("reference"), patch) as plain,
    ):
        plain.sync()
        return plain.reports()


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("readings", CASES, ids=",".join)
def test_whatever_a_server_is_read_to_be_all_lands_once_ties_out_and_is_sent_once(
    readings: tuple[str, ...],
    figures: dict[tuple[Any, ...], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_thorough = is_deep() and len(readings) == 1
    entities = tuple(ENTITIES) if is_thorough else FEW
    with played(readings, tmp_path, monkeypatch, entities) as this:
        this.sync()
        this.assert_held()
        assert this.sync() == dict.fromkeys(entities, 0)
        if is_deep() or readings[0] in GROUPS["reports"]:
            assert_reports_are(this, figures)
        if is_thorough:
            assert_customers_are_sent_once(this)
        assert_invoices_are_sent_once(this)
        this.control("touch", entity="invoices", share=0.1)
        this.sync()
        this.assert_held()
        if is_thorough:
            assert this.sync() == dict.fromkeys(entities, 0)
        told = this.doctor()
        for name in readings:
            if UNSEEN_BESIDE.get(name) not in readings:
                assert TOLD.get(name, "") in told, told
        if not TOLD.keys() & set(readings):
            assert "takes all as it is documented first" in told, told


def assert_reports_are(this: Round, figures: dict[tuple[Any, ...], Any]) -> None:
    """The reports say what they say elsewhere, each time they are asked for."""
    found = this.reports()
    assert found
    if len(this.readings) == 1:
        assert this.reports() == found
    assert found.items() <= figures.items()
    if "report-dates-ignored" not in this.readings:
        assert found == figures


def assert_customers_are_sent_once(this: Round) -> None:
    rows = [{"name": f"New {n}", "email": f"new{n}@{this.word}.example"} for n in range(ROWS)]
    report = this.push_with_a_lost_answer("customers", rows)
    assert (report.outcomes["applied"], report.exit_code) == (ROWS, 0)
    emails = {row["email"] for row in rows}
    assert this.sent("customers", "email", emails) == dict.fromkeys(emails, 1)


def assert_invoices_are_sent_once(this: Round) -> None:
    customer_id, *_ = min(this.at_server("customers"))
    amounts = [amount(n) for n in range(1, ROWS + 1)]
    rows = [
        {
            "reference": f"{this.word}-{n}",
            "customerId": customer_id,
            "invoiceDate": datetime.now(this.session.settings.zone).date(),
            "items": [{"description": "Work", "quantity": 1, "unitPrice": price}],
        }
        for n, price in enumerate(amounts)
    ]
    report = this.push_with_a_lost_answer("invoices", rows)
    shows_lines = not {"slim-lists", "no-detail"} <= set(this.readings)
    is_told = "no-references" not in this.readings and shows_lines
    assert report.outcomes["applied"] == ROWS or not shows_lines
    assert report.outcomes["held"] <= 1
    assert report.exit_code == (0 if is_told else 3)
    assert this.sent("invoices", "subtotal", amounts) == dict.fromkeys(amounts, 1)
