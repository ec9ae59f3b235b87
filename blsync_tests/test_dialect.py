"""What a server takes is learnt, costs nothing more once it is, and is told.

The books are small; a list of invoices has three pages, one of journal entries more.
`test_readings_matrix.py` plays every reading, alone and in pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from rig import push_desk
from rig.commands import ask_reports, reread
from test_nights import truth, versions
from test_pull import api, control, landed, run

from blsync import doctor, status
from blsync.cli.estimate import plan
from blsync.entities import ENTITIES
from blsync.errors import ConfigError
from blsync.marts.figures import CompanyFacts
from blsync.pull import Window
from blsync.sandbox import Handle, Options, running
from blsync.settings import Settings

# Of no list are so many that it may be one whole page of a server that gives no more.
BOOKS = {"invoices": 220, "customers": 120, "items": 18, "months": 3, "limits": False}


@pytest.fixture(scope="module")
def books() -> Iterator[Handle]:
    with running(Options(**BOOKS)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(books: Handle) -> Iterator[Handle]:
    yield books
    control(books, "readings", readings="")
    control(books, "faults", faults="")


def assert_held(given: Settings, sandbox: Handle) -> None:
    """All that the server has is held as it has it, and no version of it twice."""
    for name in ENTITIES:
        wanted, found = truth(sandbox.url, name), versions(given, name)
        held = {k: rows[-1]["_payload"] for k, rows in found.items() if rows[-1]["_op"] != "delete"}
        assert held == wanted, name
        payloads = [(key, row["_payload"]) for key, rows in found.items() for row in rows]
        assert len(set(payloads)) == len(payloads), name


def assert_second_sync_lands_nothing(given: Settings) -> None:
    results = run(given)
    assert {name: result.rows for name, result in results.items()} == dict.fromkeys(ENTITIES, 0)


@pytest.mark.deep
@pytest.mark.parametrize(
    "names", ["no-sort", "no-operators", "no-sort,no-filters", "sort-and-order"]
)
def test_a_refusal_that_names_no_parameter_is_found_out_part_by_part(configure, sandbox, names):
    control(sandbox, "readings", readings=f"{names},unnamed,refuse-422")
    given = configure(sandbox)
    run(given)
    assert_held(given, sandbox)
    assert_second_sync_lands_nothing(given)


QUIET = dict.fromkeys(ENTITIES, 1)
QUIET |= {"accounts": 2, "journal_entries": 2, "stock_adjustments": 2}
"""Requests of a night on which nothing changed, one a feed."""


def requests(results: dict) -> dict[str, int]:
    return {name: result.requests for name, result in results.items()}


def test_against_a_server_that_behaves_as_the_reference_says_nothing_costs_more(configure):
    options = Options(seed=3, invoices=1000, customers=80, items=40, months=12, limits=False)
    with running(options) as sandbox:
        given = configure(sandbox)
        first = requests(run(given))
        assert sum(first.values()) <= 66, first
        assert requests(run(given)) == QUIET
        for name in ("customers", "invoices", "items"):
            control(sandbox, "touch", entity=name, share=0.01)
        control(sandbox, "night", seed=5, invoices=10)
        night = requests(run(given))
        assert sum(night.values()) <= 20, night


@pytest.mark.deep
@pytest.mark.parametrize("readings", ["no-sort", "sort-and-order", "no-pagination,no-sort"])
def test_what_was_learnt_is_not_asked_for_again(configure, readings):
    # On other days 25 bills or 40 orders are there, which might be such a page.
    with running(Options(**BOOKS, today=date(2026, 11, 29), readings=readings)) as sandbox:
        given = configure(sandbox)
        run(given)
        run(given)  # the second feeds have their own order to learn
        assert requests(run(given)) == QUIET


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    "readings",
    ["no-operators", "filters-ignored", "no-filters", "no-operators,no-sort,offset", "no-total",
     "no-limit,no-sort", "no-pagination", "whole-lists,no-filters"],
)  # fmt: skip
def test_what_is_deleted_at_a_server_is_found_in_whatever_way_a_record_can_be_asked_for(
    configure, readings
):
    with running(Options(**BOOKS, readings=readings)) as sandbox:
        given = configure(sandbox, BLSYNC_DRIFT_HOURS="0")
        run(given)
        gone = {
            name: control(sandbox, "delete", entity=name, count=2)["ids"]
            for name in ("customers", "invoices", "journal_entries")
        }
        results = run(given)
        assert {name: results[name].deleted for name in gone} == dict.fromkeys(gone, 2)
        assert_held(given, sandbox)
        assert_second_sync_lands_nothing(given)


def test_inactive_accounts_that_a_list_shows_no_longer_are_asked_for_again_and_none_is_lost(
    configure,
):
    with running(Options(**BOOKS, readings="all-accounts")) as sandbox:
        given = configure(sandbox)
        assert run(given, "accounts")["accounts"].drift == 0
        assert run(given, "accounts")["accounts"].requests == 1
        control(sandbox, "readings", readings="")
        control(sandbox, "touch", entity="accounts", share=1)
        result = run(given, "accounts")["accounts"]
        assert (result.deleted, result.drift) == (0, 0)
        wanted = truth(sandbox.url, "accounts")
        found = versions(given, "accounts")
        assert {key: rows[-1]["_payload"] for key, rows in found.items()} == wanted
        assert run(given, "accounts")["accounts"].rows == 0


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("readings", ["no-total", "whole-lists"])
def test_a_list_without_a_total_is_read_whole_once_in_the_hours_of_drift_and_that_is_told(
    configure, readings
):
    with running(Options(**BOOKS, readings=readings)) as sandbox:
        given = configure(sandbox)
        said: list[str] = []
        first = run(given, "customers", say=said.append)["customers"]
        assert first.drift is None
        (told,) = [text for text in said if "tells no total of this list" in text]
        assert "once in BLSYNC_DRIFT_HOURS" in told
        assert "tells no total" in next(
            check.message for check in doctor.examine().checks if check.name.endswith(": dialect")
        )
        control(sandbox, "delete", entity="customers", count=1)
        assert run(given, "customers")["customers"].deleted == 0
        (planned,) = plan(configure(sandbox, BLSYNC_DRIFT_HOURS="0")).companies.values()
        found = run(configure(sandbox, BLSYNC_DRIFT_HOURS="0"), "customers")["customers"]
        assert found.deleted == 1
        assert planned.entities["customers"].requests in (None, found.requests)
        assert (
            run(configure(sandbox, BLSYNC_DRIFT_HOURS="24"), "customers")["customers"].deleted == 0
        )


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    ("readings", "is_asked"),
    [("date-from", True), ("own-dates", True), ("date-from,unnamed,refuse-422", True),
     ("no-dates", False), ("dates-ignored", False), ("own-dates,no-limit,offset", True)],
)  # fmt: skip
def test_a_range_of_business_dates_is_read_in_whatever_way_it_is_spelt_or_not_at_all(
    configure, readings, is_asked
):
    with running(Options(**BOOKS, readings=readings)) as sandbox:
        given = configure(sandbox)
        run(given, "invoices", "journal_entries")
        company, today = given.companies()[0], datetime.now(given.zone).date()
        for name in ("invoices", "journal_entries"):
            held = landed(given, name)
            field = str(ENTITIES[name].date_field)
            gone = [row["id"] for row in held if (today - row[field]).days < 40][:2]
            control(sandbox, "delete", entity=name, ids=gone)
            said: list[str] = []
            days = (today - timedelta(days=40), today)
            found = reread(given, company, ENTITIES[name], *days, say=said.append)
            assert (found.rows, found.deleted) == (0, len(gone) if is_asked else 0)
            assert any("cannot be asked here" in text for text in said) != is_asked
            assert reread(given, company, ENTITIES[name], *days).rows == 0


@pytest.mark.deep
def test_without_a_way_to_ask_for_a_record_nothing_is_marked_deleted(configure):
    readings = "no-filters,no-detail"
    with running(Options(**BOOKS, readings=readings)) as sandbox:
        given = configure(sandbox, BLSYNC_DRIFT_HOURS="0")
        run(given)
        control(sandbox, "delete", entity="customers", count=2)
        said: list[str] = []
        assert run(given, "customers", say=said.append)["customers"].deleted == 0
        assert any("2 seem to be gone; not confirmed" in text for text in said)


@pytest.mark.deep
@pytest.mark.parametrize("readings", ["no-operators", "no-filters", "filters-ignored,sort-ignored"])
def test_a_voided_entry_is_fetched_again_in_whatever_way_a_record_can_be_asked_for(
    configure, readings
):
    with running(Options(**BOOKS, readings=readings)) as sandbox:
        given = configure(sandbox)
        run(given)
        with api(sandbox) as client:
            voided = next(
                row["id"]
                for row in landed(given, "journal_entries")
                if (row["status"], row["reversesId"]) == ("posted", None)
                and row["createdBy"] in ("user_farah", "user_weijie", "user_kavitha")
            )
            body = {"reason": "twice", "voidDate": f"{datetime.now(UTC):%Y-%m-%d}"}
            client.post(f"/journal-entries/{voided}/void", json=body).raise_for_status()
        run(given)
        assert_held(given, sandbox)


def amounts(facts: CompanyFacts) -> dict:
    return {
        (f["report"], f["as_of_date"], f["entity_key"], f["measure"]): f["value"]
        for f in facts.figures
    }


def test_both_shapes_of_a_report_say_the_same(configure, sandbox):
    given = configure(sandbox)
    run(given)
    company, said = given.companies()[0], []
    flat = amounts(ask_reports(given, company, again=True, say=said.append))
    control(sandbox, "readings", readings="report-sections")
    assert amounts(ask_reports(given, company, again=True, say=said.append)) == flat
    assert said == []
    assert len(flat) > 50


def test_a_report_of_another_date_than_was_asked_for_is_marked_as_such(configure, sandbox):
    given = configure(sandbox)
    run(given)
    control(sandbox, "readings", readings="report-dates-ignored")
    said: list[str] = []
    facts = ask_reports(given, given.companies()[0], again=True, say=said.append)
    today = datetime.now(given.zone).date()
    for figure in facts.figures:
        assert bool(figure["told_dates"]) == (
            figure["as_of_date"] != today or figure["period_from"] is not None
        )
    assert any("balance_sheet" in text and f"is of {today}" in text for text in said)


def test_fields_that_a_list_leaves_out_are_named_once_and_cost_one_request(configure):
    with running(Options(**BOOKS, readings="slim-lists")) as sandbox:
        given = configure(sandbox)
        said: list[str] = []
        first = run(given, "invoices", say=said.append)["invoices"]
        (told,) = said
        assert "leaves out" in told
        assert "items" in told
        assert "BLSYNC_DETAIL_FETCH=invoices" in told
        assert first.requests == 4  # three pages and one record
        assert run(given, "invoices", say=said.append)["invoices"].requests == 1
        assert said == [told]
        report = status.report(given)
        (fact,) = next(iter(report["companies"].values()))["entities"]["invoices"]["dialect"]
        assert fact["parameter"] == "fields"


@pytest.mark.deep
def test_without_an_address_of_its_own_a_record_has_no_details_to_bring(configure):
    with running(Options(**BOOKS, readings="slim-lists,no-detail")) as sandbox:
        given = configure(sandbox, BLSYNC_DETAIL_FETCH="all")
        run(given)
        assert_second_sync_lands_nothing(given)


@pytest.mark.deep
def test_details_of_changed_records_are_fetched_and_land_once(configure):
    with running(Options(**BOOKS, readings="slim-lists")) as sandbox:
        given = configure(sandbox)
        run(given)
        given = configure(sandbox, BLSYNC_DETAIL_FETCH="customers,invoices,journal_entries")
        assert_second_sync_lands_nothing(given)
        ids = control(sandbox, "touch", entity="customers", count=3)["ids"]
        control(sandbox, "night", seed=7, invoices=3)
        before = {name: len(landed(given, name)) for name in ("invoices", "journal_entries")}
        (planned,) = plan(given).companies.values()
        results = run(given)
        assert planned.entities["customers"].requests == results["customers"].requests
        for name in ("customers", "invoices", "journal_entries"):
            rows = landed(given, name)[before.get(name, BOOKS["customers"]) :]
            wanted = truth(sandbox.url, name)
            assert rows, name
            for row in rows:
                assert json.loads(row["_payload"]) == json.loads(wanted[(row["id"],)])
        assert set(ids) <= {row["id"] for row in landed(given, "customers")[BOOKS["customers"] :]}
        assert_second_sync_lands_nothing(given)


@pytest.mark.deep
def test_details_of_what_landed_without_are_brought_by_a_range_of_days(configure):
    with running(Options(**BOOKS, readings="slim-lists")) as sandbox:
        given = configure(sandbox)
        run(given)
        given = configure(sandbox, BLSYNC_DETAIL_FETCH="invoices")
        long_ago = Window(datetime(2000, 1, 1, tzinfo=UTC))
        result = run(given, "invoices", window=long_ago, again=True)["invoices"]
        assert result.rows == len(truth(sandbox.url, "invoices"))
        assert all(row["items"] for row in landed(given, "invoices")[result.rows :])
        assert run(given, "invoices", window=long_ago, again=True)["invoices"].rows == 0


def test_a_name_that_is_no_entity_is_refused_before_anything_is_asked(configure, sandbox):
    given = configure(sandbox, BLSYNC_DETAIL_FETCH="invoices,widgets")
    with pytest.raises(ConfigError, match=r"BLSYNC_DETAIL_FETCH: .*widgets"):
        run(given)


def test_doctor_and_status_name_what_was_learnt(configure):
    with running(Options(**BOOKS, readings="no-sort,no-filters")) as sandbox:
        given = configure(sandbox)
        run(given, "invoices")
        run(given, "invoices")
        (check,) = [c for c in doctor.examine().checks if c.name.endswith(": dialect")]
        assert check.is_ok
        assert "invoices: BigLedger does not take an order by updatedAt" in check.message
        assert "bounds on updatedAt" in check.message
        report = status.report(given)
        facts = next(iter(report["companies"].values()))["entities"]["invoices"]["dialect"]
        assert {fact["parameter"]: fact["spelling"] for fact in facts} == {
            "sort updatedAt": "none", "window updatedAt": "none",
        }  # fmt: skip


@pytest.fixture(scope="module")
def push_server() -> Iterator[httpx.Client]:
    with push_desk.server() as http:
        yield http


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    "readings",
    ["no-operators", "no-filters,no-sort", "filters-ignored,offset", "no-operators,no-pagination",
     "whole-lists,filters-ignored,no-detail"],
)  # fmt: skip
def test_a_push_with_a_lost_answer_sends_nothing_twice_whatever_look_ups_take(
    push_server, tmp_path, monkeypatch, readings
):
    with push_desk.opened(push_server, tmp_path, monkeypatch) as desk:
        push_server.post("/sandbox/readings", json={"readings": readings}).raise_for_status()
        try:
            rows = [{"name": f"New {n}", "email": f"new{n}@x.example"} for n in range(1, 6)]
            plan_id = desk.plan(rows).plan.plan_id
            desk.faults("only=writes,drop-after=1,times=1")
            assert desk.apply(plan_id).outcomes["held"] == 5
            desk.settled()
            done = desk.apply(plan_id)
            assert (done.outcomes["applied"], done.exit_code) == (5, 0)
            assert desk.plan(rows).counts["noop"] == 5
        finally:
            push_server.post("/sandbox/readings", json={"readings": ""}).raise_for_status()
        assert [len(desk.named(f"new{n}@x.example")) for n in range(1, 6)] == [1] * 5
