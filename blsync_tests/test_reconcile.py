"""BigLedger's own reports: asked for when something has changed, and only then."""

from __future__ import annotations

import json
from decimal import Decimal

import httpx
import pytest
from conftest import Asked, Reply, failure

from blsync import marts, reconcile
from blsync.entities import select
from blsync.errors import Unauthorized
from blsync.pull import pull, raise_failures
from blsync.reconcile import Facts
from blsync.sandbox import Handle
from blsync.settings import Settings

REPORTS = {
    "trial_balance",
    "balance_sheet",
    "profit_loss",
    "aged_receivables",
    "stock_valuation",
}
REQUESTS = 9
"""The company, three reports of two days, two of today."""


@pytest.fixture
def sandbox(module_sandbox: Handle):
    yield module_sandbox
    faults(module_sandbox, "")


def faults(sandbox: Handle, text: str) -> None:
    httpx.post(f"{sandbox.url}/sandbox/faults", json={"faults": text}).raise_for_status()


def land(settings: Settings) -> None:
    raise_failures(pull(settings, settings.companies()[0], select(["customers"])))


def ask(settings: Settings, **options: object) -> Facts:
    """Ask, and keep what came as a sync does."""
    company = settings.companies()[0]
    facts = reconcile.ask(settings, company, **options)
    marts.write_inputs(settings, [(company, facts)])
    return facts


def tiny(reports: dict[str, Reply], company: Reply | None = None):
    """Answer the company and these reports; all others are not found."""
    about = company or Reply(b'{"success":true,"data":{"name":"Tiny","currency":"MYR"}}')
    return lambda asked: (
        about if asked.path == "/company" else reports.get(asked.path, failure(404, "NOT_FOUND"))
    )


def data(value: object) -> Reply:
    return Reply(json.dumps({"success": True, "data": value}).encode())


def test_the_reports_are_asked_for_once_and_again_after_something_landed(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    first = ask(loaded)
    assert first.requests == REQUESTS
    assert {figure["report"] for figure in first.figures} == REPORTS
    assert first.name
    assert first.currency == "MYR"

    kept = ask(loaded)
    assert kept.requests == 0
    assert len(kept.figures) == len(first.figures)
    land(loaded)  # nothing new
    assert ask(loaded).requests == 0

    httpx.post(f"{sandbox.url}/sandbox/night", json={}).raise_for_status()
    land(loaded)
    assert ask(loaded).requests == REQUESTS


def test_the_figures_balance_to_the_cent(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    figures = ask(loaded).figures
    for day in {figure["as_of_date"] for figure in figures}:
        sums = {
            measure: sum(
                f["value"]
                for f in figures
                if (f["report"], f["as_of_date"], f["measure"]) == ("trial_balance", day, measure)
            )
            for measure in ("debit", "credit")
        }
        assert sums["debit"] == sums["credit"] > 0
        assert isinstance(sums["debit"], Decimal)


def test_a_key_that_may_not_read_reports_is_said_and_they_are_left_out(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    faults(sandbox, "forbid=reports")
    said: list[str] = []
    facts = ask(loaded, say=said.append)
    assert facts.figures == []
    assert facts.name
    assert len(said) == REQUESTS - 1
    assert all("cannot be compared" in text and "403" in text for text in said)


@pytest.mark.parametrize(
    "shape",
    [
        {"lines": []},
        {"accounts": None},
        {"accounts": [{"accountId": "a", "debit": "a lot", "credit": 0}]},
        {"accounts": [{"debit": 1, "credit": 0}]},
        ["accounts"],
        None,
    ],
)
def test_a_report_of_another_shape_is_said_and_the_others_are_kept(configure, tiny_server, shape):
    good = {"items": [{"itemId": "i", "quantity": 2.5, "totalValue": 9999999999.99}]}
    server = tiny_server(
        tiny({"/reports/trial-balance": data(shape), "/reports/stock-valuation": data(good)})
    )
    loaded = configure(server)
    said: list[str] = []
    facts = reconcile.ask(loaded, loaded.companies()[0], say=said.append)
    assert {figure["report"] for figure in facts.figures} == {"stock_valuation"}
    assert Decimal("9999999999.99") in {figure["value"] for figure in facts.figures}
    assert sum("another shape" in text for text in said) == 2


def test_the_other_spelling_of_a_period_is_tried_where_the_first_is_refused(configure, tiny_server):
    report = data(
        {
            "revenue": {"operatingRevenue": 10, "totalRevenue": 10},
            "costOfGoodsSold": {"total": 4},
            "grossProfit": 6,
            "expenses": {"operatingExpenses": {"total": 1}, "totalExpenses": 1},
            "netProfit": 5,
        }
    )

    def answer(asked: Asked) -> Reply:
        if asked.path == "/reports/profit-loss":
            return report if "fromDate" in asked.params else failure(400, "BAD_REQUEST")
        return tiny({})(asked)

    loaded = configure(tiny_server(answer))
    facts = reconcile.ask(loaded, loaded.companies()[0])
    net = [f["value"] for f in facts.figures if f["measure"] == "amount"
           and f["entity_key"] == "net_profit"]  # fmt: skip
    assert net == [Decimal(5), Decimal(5)]


def test_refused_credentials_are_not_left_out_but_raised(configure, sandbox):
    loaded = configure(sandbox, BIGLEDGER_API_KEY="blg_test_sk_wrong")
    with pytest.raises(Unauthorized):
        reconcile.ask(loaded, loaded.companies()[0])


@pytest.mark.parametrize("about", [None, [], "Tiny"])
def test_a_company_of_another_shape_is_said_and_keeps_no_report_out(configure, tiny_server, about):
    loaded = configure(tiny_server(tiny({}, data(about))))
    said: list[str] = []
    facts = reconcile.ask(loaded, loaded.companies()[0], say=said.append)
    assert (facts.name, facts.currency) == (None, None)
    assert any("name and currency" in line for line in said)
