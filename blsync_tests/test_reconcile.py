"""BigLedger's own reports: asked for when something has changed, and only then."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from conftest import Asked, Reply, failure, listed
from rig import commands, patient
from rig.commands import pull, reread
from test_pull import control, landed

from blsync import marts, reconcile, status
from blsync.entities import ENTITIES, select
from blsync.errors import Unauthorized
from blsync.lake.store import Lake
from blsync.marts.figures import NOT_THERE, CompanyFacts, marked
from blsync.pull import raise_failures
from blsync.reconcile import differences
from blsync.sandbox import Handle, Options, running
from blsync.settings import Settings

REPORTS = {
    "trial_balance",
    "balance_sheet",
    "profit_loss",
    "aged_receivables",
    "stock_valuation",
}
OPTIONAL = {"cash_flow", "aged_payables", "pos_daily"}
REQUESTS = 14
"""The company, four reports of two days, three of today, one of today and yesterday."""


@pytest.fixture
def sandbox(module_sandbox: Handle):
    yield module_sandbox
    faults(module_sandbox, "")


def faults(sandbox: Handle, text: str) -> None:
    patient.post(f"{sandbox.url}/sandbox/faults", json={"faults": text}).raise_for_status()


def land(settings: Settings) -> None:
    raise_failures(pull(settings, settings.companies()[0], select(["customers"])))


def ask(settings: Settings, **options: object) -> CompanyFacts:
    """Ask, and keep what came as a sync does."""
    company = settings.companies()[0]
    facts = commands.ask_reports(settings, company, **options)
    commands.write_inputs(settings, [(company, facts)])
    return facts


def told(figures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of reports that the server has."""
    return [figure for figure in figures if not figure.get("unavailable")]


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
    assert {figure["report"] for figure in first.figures} == REPORTS | OPTIONAL
    assert first.name
    assert first.currency == "MYR"

    kept = ask(loaded)
    assert kept.requests == 0
    assert len(kept.figures) == len(first.figures)
    land(loaded)  # nothing new
    assert ask(loaded).requests == 0

    patient.post(f"{sandbox.url}/sandbox/night", json={}).raise_for_status()
    land(loaded)
    assert ask(loaded).requests == REQUESTS


def told_of_the_past(facts: CompanyFacts) -> list[tuple[Any, ...]]:
    names = ("as_of_date", "measure", "value", "request_id")
    return [
        tuple(row[name] for name in names)
        for row in facts.figures
        if row["report"] == "past_receivables"
    ]


def test_receivables_before_the_first_sync_are_asked_for_once_and_kept(configure, sandbox):
    loaded = configure(sandbox)
    company = loaded.companies()[0]
    raise_failures(pull(loaded, company, select(["invoices"])))
    due = commands.within(loaded, lambda session: reconcile.requests_due(session, company))
    first = ask(loaded)
    assert first.requests == due == REQUESTS + 12
    past = told_of_the_past(first)
    month = datetime.now(loaded.zone).date().replace(day=1)
    days = {day for day, *_ in past}
    assert max(days) == month - timedelta(days=1)
    assert len(days) == 12
    assert {measure for _, measure, value, _ in past if value} >= {"total", "current"}

    patient.post(f"{sandbox.url}/sandbox/night", json={}).raise_for_status()
    raise_failures(pull(loaded, company, select(["invoices"])))
    later = ask(loaded)
    assert later.requests == REQUESTS
    assert told_of_the_past(later) == past


def test_the_figures_balance_to_the_cent(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    figures = ask(loaded).figures
    for day in {f["as_of_date"] for f in figures if f["report"] == "trial_balance"}:
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
    assert {figure["report"] for figure in facts.figures} == OPTIONAL
    assert not told(f for f in facts.figures if f["report"] != "pos_daily")
    assert facts.name
    assert len(said) == len(REPORTS) + 3  # those of the ledger of two days
    assert all("cannot be compared" in text and "403" in text for text in said)


def test_a_report_that_a_server_does_not_have_is_told_once_and_says_nothing(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    faults(sandbox, "absent=bills+suppliers+pos_transactions+pos_sessions")
    said: list[str] = []
    facts = ask(loaded, say=said.append)
    assert not said
    missing = [f for f in facts.figures if f.get("unavailable")]
    assert {f["report"] for f in missing} == {"aged_payables", "pos_daily"}
    assert {f["unavailable"] for f in missing} == {"BigLedger has no such report (404)."}
    assert {(f["entity_key"], f["measure"]) for f in missing} == {NOT_THERE}
    assert {f["report"] for f in told(facts.figures)} == REPORTS | {"cash_flow"}


@pytest.mark.deep_after(4)
@pytest.mark.parametrize(
    "shape",
    [
        {"lines": []},
        {"accounts": None},
        {"accounts": [{"accountId": "a", "debit": "a lot", "credit": 0}]},
        {"accounts": [{"debit": 1, "credit": 0}]},
        {"accounts": [{"accountId": "a", "debit": "NaN", "credit": 0}]},
        {"accounts": [{"accountId": "a", "debit": 0.00001, "credit": 0}]},
        {"accounts": [{"accountId": "a", "debit": "1e-5000", "credit": 0}]},
        {"accounts": [{"accountId": "a", "debit": 10**40, "credit": 0}]},
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
    facts = commands.ask_reports(loaded, loaded.companies()[0], say=said.append)
    commands.write_inputs(loaded, [(loaded.companies()[0], facts)])
    assert {figure["report"] for figure in told(facts.figures)} == {"stock_valuation"}
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
    facts = commands.ask_reports(loaded, loaded.companies()[0])
    net = [f["value"] for f in facts.figures if f["measure"] == "amount"
           and f["entity_key"] == "net_profit"]  # fmt: skip
    assert net == [Decimal(5), Decimal(5)]


def test_refused_credentials_are_not_left_out_but_raised(configure, sandbox):
    loaded = configure(sandbox, BIGLEDGER_API_KEY="blg_test_sk_wrong")
    with pytest.raises(Unauthorized):
        commands.ask_reports(loaded, loaded.companies()[0])


@pytest.mark.parametrize("about", [None, [], "Tiny"])
def test_a_company_of_another_shape_is_said_and_keeps_no_report_out(configure, tiny_server, about):
    loaded = configure(tiny_server(tiny({}, data(about))))
    said: list[str] = []
    facts = commands.ask_reports(loaded, loaded.companies()[0], say=said.append)
    assert (facts.name, facts.currency) == (None, None)
    assert any("name and currency" in line for line in said)


TODAY = date(2026, 3, 15)
NOW = datetime(2026, 3, 15, tzinfo=UTC)
CLOSED = date(2026, 1, 31)


def close(loaded: Settings, *rows: str) -> None:
    loaded.seeds.mkdir(exist_ok=True)
    header = "company_id,period,closed_at"
    (loaded.seeds / "period_close.csv").write_text("\n".join([header, *rows]) + "\n")


def test_the_month_compared_is_the_last_that_is_closed_else_the_last_of_the_calendar(
    configure, tmp_path
):
    server = type("Server", (), {"base_url": "http://127.0.0.1:1/v1", "api_key": "k",
                                 "company_id": "one"})  # fmt: skip
    (tmp_path / "seeds").mkdir()
    loaded = configure(server, BLSYNC_SEEDS=str(tmp_path / "seeds"))
    assert reconcile.last_closed(loaded, "one", NOW) == date(2026, 2, 28)
    close(
        loaded,
        "one,2025-12-01,2026-01-09",
        "one,2026-01-31,2026-02-05 09:00:00+08:00",
        "two,2026-02-01,2026-03-01",
        "one,2026-02-01,",
        "one,2026-02-01,2026-03-16",
        "one,2026-04-01,2026-03-14",
    )
    assert reconcile.last_closed(loaded, "one", NOW) == CLOSED
    assert reconcile.last_closed(loaded, "three", NOW) == date(2026, 2, 28)
    assert reconcile.last_closed(loaded, "two", datetime(2028, 3, 1, tzinfo=UTC)) == date(
        2026, 2, 28
    )


def test_ledger_reports_are_asked_for_today_and_the_closed_month(configure, tiny_server, tmp_path):
    server = tiny_server(tiny({}))
    (tmp_path / "seeds").mkdir()
    loaded = configure(server, BLSYNC_SEEDS=str(tmp_path / "seeds"))
    today = datetime.now(loaded.zone).date()
    close(loaded, f"{server.company_id},2024-02-01,2024-03-05")
    commands.ask_reports(loaded, loaded.companies()[0])
    asked = [(a.path, a.params.get("asOfDate")) for a in server.asked]
    for path in ("/reports/trial-balance", "/reports/balance-sheet"):
        assert sorted(day for p, day in asked if p == path) == ["2024-02-29", str(today)]
    periods = [a.params for a in server.asked if a.path == "/reports/profit-loss"]
    assert {"periodFrom": "2024-02-01", "periodTo": "2024-02-29"} in periods
    assert [day for p, day in asked if p == "/reports/aged-receivables"] == [str(today)]


@pytest.mark.parametrize(
    ("headers", "body", "made"),
    [
        ({}, {}, None),
        ({"Last-Modified": "Sun, 15 Mar 2026 02:21:00 GMT"}, {}, "2026-03-15T02:21:00Z"),
        ({}, {"generatedAt": "2026-03-15T10:22:00+08:00"}, "2026-03-15T02:22:00Z"),
        ({}, {"asOf": "2026-03-15"}, None),
        ({"Age": "soon"}, {"generatedAt": 7, "cachedAt": None}, None),
        (
            {"Last-Modified": "Sun, 15 Mar 2026 02:21:00 GMT"},
            {"generatedAt": "2026-03-15T02:19:00"},
            "2026-03-15T02:19:00Z",
        ),
    ],
)
def test_when_a_report_was_made_is_the_earliest_that_it_says(
    configure, tiny_server, headers, body, made
):
    good = data({"items": [{"itemId": "i", "quantity": 1, "totalValue": 2}], **body})
    server = tiny_server(tiny({"/reports/stock-valuation": Reply(good.body, headers=headers)}))
    loaded = configure(server)
    figures = told(commands.ask_reports(loaded, loaded.companies()[0]).figures)
    assert {f["made_at"] for f in figures} == {made and datetime.fromisoformat(made)}


def test_the_age_of_an_answer_tells_when_it_was_made(configure, tiny_server):
    good = data({"items": [{"itemId": "i", "quantity": 1, "totalValue": 2}]})
    reply = Reply(good.body, headers={"Age": "600"})
    loaded = configure(tiny_server(tiny({"/reports/stock-valuation": reply})))
    asked_at = datetime.now(UTC)
    figures = told(commands.ask_reports(loaded, loaded.companies()[0]).figures)
    (made_at,) = {f["made_at"] for f in figures}
    assert abs(made_at + timedelta(seconds=600) - asked_at) < timedelta(seconds=30)


def test_what_did_not_tie_out_is_asked_for_again_though_nothing_landed(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    ask(loaded)
    assert ask(loaded).requests == 0
    company = loaded.companies()[0]
    publish(loaded, [("customer_balance", TODAY, "a:balance", 1, "fail", False)])
    assert commands.ask(loaded, company)[0].requests == 0
    publish(loaded, [("balance_sheet", TODAY, "assets:balance", 1, "not_comparable", False)])
    assert commands.ask(loaded, company)[0].requests == REQUESTS


def test_totals_of_lists_are_inputs_with_the_request_that_told_them(configure, sandbox):
    loaded = configure(sandbox)
    land(loaded)
    ask(loaded)
    rows = Lake(loaded.data).read_input("report_figures")
    (total,) = [row for row in rows if row["report"] == "list_totals"]
    assert (total["entity_key"], total["measure"]) == ("customers", "records")
    assert total["value"] == len(landed(loaded, "customers"))
    assert total["request_id"] in {row["_request_id"] for row in landed(loaded, "customers")}
    assert total["as_of_date"] == datetime.now(loaded.zone).date()
    assert not any(f["report"] == "list_totals" for f in ask(loaded).figures)


def publish(loaded: Settings, rows: list[tuple[Any, ...]], request: str = "old") -> None:
    """Publish a reconciliation made by hand: check, as-of day, key, difference, status, failed."""
    marts.published_file(loaded).unlink(missing_ok=True)
    with duckdb.connect(str(marts.published_file(loaded))) as db:
        db.execute(
            "create schema finance; create table finance.reconciliation (company_id varchar, "
            "check_name varchar, as_of_date date, period_from date, entity_key varchar, "
            "difference decimal(18, 4), status varchar, failed_before boolean, is_healed boolean, "
            "source_request_id varchar, checked_at timestamp)"
        )
        for check, day, key, difference, outcome, failed in rows:
            healed = outcome == "pass" and failed
            db.execute(
                "insert into finance.reconciliation values (?, ?, ?, null, ?, ?, ?, ?, ?, ?, ?)",
                [loaded.company_id, check, day, key, difference, outcome, failed, healed, request,
                 datetime(2026, 3, 15, 2, 30)],
            )  # fmt: skip


MONTH_END = date(2026, 2, 28)
SINCE = (date(2026, 3, 1), TODAY)
IN_MONTH = (date(2026, 2, 1), MONTH_END)


@pytest.mark.parametrize(
    ("at_month_end", "today", "ranges"),
    [
        ((0, "pass", False), (0, "pass", False), []),
        ((0, "pass", False), (5, "fail", False), [SINCE]),
        ((5, "fail", False), (5, "fail", False), [IN_MONTH]),
        ((5, "fail", False), (7, "fail", False), [IN_MONTH, SINCE]),
        ((5, "fail", True), (5, "fail", True), []),
        ((0, "pass", False), (5, "not_comparable", False), []),
    ],
)
def test_the_dates_read_again_are_those_in_which_the_trial_balance_comes_to_differ(
    configure, sandbox, at_month_end, today, ranges
):
    loaded = configure(sandbox)
    Lake(loaded.data)
    assert differences.dates_to_reread(loaded, loaded.company_id) == []
    rows = [("trial_balance", MONTH_END, "a:debit", *at_month_end),
            ("trial_balance", TODAY, "a:debit", *today),
            ("trial_balance", TODAY, "b:debit", 0, "pass", False),
            ("balance_sheet", TODAY, "assets:balance", 5, "fail", False)]  # fmt: skip
    publish(loaded, rows)
    assert differences.dates_to_reread(loaded, loaded.company_id) == ranges
    assert differences.dates_to_reread(loaded, "another") == []


def test_status_tells_what_ties_out_and_what_does_not(configure, sandbox):
    loaded = configure(sandbox)
    name = loaded.companies()[0].name
    assert status.report(loaded)["companies"][name]["reconciliation"] is None
    publish(
        loaded,
        [
            ("trial_balance", TODAY, "a:debit", Decimal("-0.01"), "fail", False),
            ("trial_balance", TODAY, "b:debit", 2, "fail", True),
            ("trial_balance", TODAY, "c:debit", 0, "pass", True),
            ("balance_sheet", TODAY, "assets:balance", 5, "not_comparable", False),
        ],
    )
    assert status.report(loaded)["companies"][name]["reconciliation"] == {
        "pass": 1,
        "fail": 2,
        "not_comparable": 1,
        "healed": 1,
        "checked_at": "2026-03-15T02:30:00+00:00",
        "failing": {"trial_balance": {"rows": 2, "difference": "2.0100"}},
    }


def figure(day: date, key: str | None, request: str = "new") -> dict[str, Any]:
    return {
        "company_id": "one",
        "report": "trial_balance",
        "as_of_date": day,
        "period_from": None,
        "entity_key": key,
        "measure": key and "debit",
        "request_id": request,
    }


def before(day: date, key: str, outcome: str, failed: bool, request: str) -> dict[str, Any]:
    return figure(day, f"{key}:debit") | {
        "check_name": "trial_balance",
        "status": outcome,
        "failed_before": failed,
        "source_request_id": request,
    }


def test_a_figure_bears_the_mark_of_a_failure_until_its_report_is_asked_for_again():
    figures = [figure(TODAY, key) for key in (None, "a", "b", "c", "d")]
    figures.append(figure(MONTH_END, "a"))
    earlier = [
        before(TODAY - timedelta(days=1), "a", "fail", False, "old"),
        before(TODAY - timedelta(days=1), "b", "pass", True, "old"),
        before(TODAY, "c", "fail", False, "new"),  # built anew from the same report
        before(TODAY, "d", "pass", True, "new"),
        before(TODAY - timedelta(days=1), "vanished", "fail", False, "old"),
        before(TODAY, "never listed", "fail", False, "new"),
    ]
    marks = {(f["as_of_date"], f["entity_key"]): f["failed_before"]
             for f in marked(figures, earlier)}  # fmt: skip
    assert marks == {
        (TODAY, None): False,
        (TODAY, "a"): True,
        (TODAY, "b"): False,
        (TODAY, "c"): False,
        (TODAY, "d"): True,
        (TODAY, "vanished"): True,
        (MONTH_END, "a"): False,
    }


def test_entries_altered_or_deleted_without_a_sign_are_found_by_their_dates(configure, tmp_path):
    file = tmp_path / "books.db"
    options = Options(invoices=40, customers=8, items=8, months=3, limits=False, database=file)
    with running(options) as handle:
        loaded = configure(handle)
        company = loaded.companies()[0]
        journal = ENTITIES["journal_entries"]
        raise_failures(pull(loaded, company, [journal]))
        held = {row["id"]: row for row in landed(loaded, "journal_entries")}
        busy = Counter(row["date"] for row in held.values())
        days = sorted(day for day, entries in busy.items() if entries > 1)
        day = days[len(days) // 2]
        on_day = sorted(key for key, row in held.items() if row["date"] == day)
        altered, gone = on_day[0], on_day[-1]
        elsewhere = next(key for key, row in held.items() if abs((row["date"] - day).days) > 40)
        control(handle, "delete", entity="journal_entries", ids=[gone])
        with sqlite3.connect(file) as db:
            for key in (altered, elsewhere):
                db.execute(
                    "update journal_entries set doc = json_set(doc, '$.description', 'altered') "
                    "where id = ?",
                    [key],
                )
        found = reread(loaded, company, journal, day - timedelta(days=3), day)
        assert (found.rows, found.deleted) == (1, 1)
        news = {row["id"]: row for row in landed(loaded, "journal_entries")[len(held) :]}
        assert news[altered]["description"] == "altered"
        assert news[gone]["_op"] == "delete"
        again = reread(loaded, company, journal, day - timedelta(days=3), day)
        assert (again.rows, again.deleted) == (0, 0)


def test_a_server_that_cannot_be_asked_by_date_is_said_and_deletes_nothing(configure, tiny_server):
    entry = {"id": "je_1", "date": "2026-02-03", "createdAt": "2026-02-03T04:00:00Z"}

    def answer(asked: Asked) -> Reply:
        by_date = {"fromDate", "dateFrom"} & set(asked.params)
        return failure(400, "BAD_REQUEST") if by_date else listed([entry], total=1)

    loaded = configure(tiny_server(answer))
    company, journal = loaded.companies()[0], ENTITIES["journal_entries"]
    raise_failures(pull(loaded, company, [journal]))
    said: list[str] = []
    found = reread(loaded, company, journal, *IN_MONTH, say=said.append)
    assert (found.rows, found.deleted) == (0, 0)
    assert any("cannot be asked here" in text for text in said)


@pytest.mark.deep
def test_a_trial_balance_that_failed_has_its_dates_read_before_it_is_asked_for_again(
    configure, sandbox
):
    loaded = configure(sandbox)
    raise_failures(pull(loaded, loaded.companies()[0], ENTITIES.values()))
    ask(loaded)
    today = datetime.now(UTC).astimezone(loaded.zone).date()
    publish(loaded, [("trial_balance", today, "a:debit", 5, "fail", False)])
    said: list[str] = []
    facts, read = commands.ask(loaded, loaded.companies()[0], say=said.append)
    assert read.requests > 0
    assert read.rows == 0
    assert facts.requests == REQUESTS
    assert any(f"dated {today.replace(day=1)} to {today}" in text for text in said)
