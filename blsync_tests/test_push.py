"""The push against a real server on loopback: what it plans, sends, holds and settles.

Removing what keeps rows from being lost or done twice turns these red, here and in the modules
`test_push_matrix` (m) and `test_push_endpoints` (e):

- the settle time: `test_a_row_without_answer_is_left_alone_until_the_settle_time_is_over`
- the second look-up: `test_a_list_that_lags_at_the_first_look_up_is_asked_again` (m)
- the intent's commit: `test_a_killed_apply_leaves_its_rows_held_and_creates_none_twice`,
  `test_an_apply_that_is_killed_goes_on_where_it_was` (m)
- the ledger's claim: `test_two_applies_at_once_send_each_row_once`
- what is held is looked for in other plans: `test_no_other_plan_touches_a_row_that_is_held`,
  `test_no_other_plan_sends_what_is_held` (m)
- the comparison before sending:
  `test_a_payment_made_by_others_after_the_plan_is_not_paid_once_more` (m),
  `test_what_lands_after_a_person_gave_it_up_is_not_done_again` (m)
- a payment is never sent again by itself: `test_no_fault_loses_a_row_or_does_it_twice` (m)
- the token: `test_a_lost_draft_is_not_taken_for_one_of_others_with_the_same_reference` (e)
- one in flight: `test_one_change_of_an_invoice_or_of_a_stock_is_in_flight_at_a_time` (e)
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from conftest import TinyServer, listed
from rig import commands, patient
from rig.commands import due
from rig.push_desk import Desk, rows_of, set_up

from blsync.errors import (
    ConfigError,
    Forbidden,
    InputFileError,
    SafetyLimit,
    ServerFault,
    Unauthorized,
    WrongClock,
)
from blsync.ledger import Ledger, plans
from blsync.ledger.plans import Operation
from blsync.ledger.states import OnConflict
from blsync.push.apply.results import outcomes_of
from blsync.push.endpoints import ENDPOINTS
from blsync.session.binding import bind_anew


@pytest.fixture
def shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose BigLedger does not answer: what is told here is told without asking it."""
    set_up(monkeypatch, tmp_path, "http://127.0.0.1:9/v1")
    return Desk(tmp_path, patient.client(trust_env=False), datetime.now(UTC))


def new_customers(count: int, **columns: str) -> str:
    header = ",".join(["email", "name", *columns])
    lines = [
        ",".join([f"new{n}@x.example", f"Kedai {n}", *columns.values()])
        for n in range(1, count + 1)
    ]
    return "\n".join([header, *lines]) + "\n"


def test_a_plan_tells_creates_updates_unchanged_and_rejected_rows_apart(desk: Desk) -> None:
    there = desk.seeded()
    same = f"{there['email'].upper()},{there['name']},{there['creditLimit']:.0f},"
    rows = ["email,name,creditLimit,paymentTerms", "new@x.example,Kedai Baru,5000.00,30", same]
    report = desk.plan("\n".join([*rows, "not-an-address,Kedai,1,1", "x@x.example,X,1.234,400"]))
    assert report.counts | {"create": 1, "noop": 1, "reject": 2} == report.counts
    assert report.outcomes["pending"] == 1
    assert report.exit_code == 0
    bad = rows_of(report)[4].error
    assert bad
    assert "paymentTerms '400'" in str(bad["message"])
    assert "creditLimit '1.234'" in str(bad["message"])
    assert desk.requests("POST /bulk") == 0


def test_an_update_sends_only_what_changes_and_keeps_the_rest_of_an_address(desk: Desk) -> None:
    before = desk.seeded()
    text = f"id,creditLimit,billingAddress.city,phone\n{before['id']},777.25,Taiping,(clear)\n"
    report = desk.plan(text)
    assert json.loads(report.operations[0].body).keys() == {
        "creditLimit",
        "billingAddress",
        "phone",
    }
    changes = report.to_json()["operations"][0]["changes"]
    assert changes["creditLimit"] == [before["creditLimit"], Decimal("777.25")]
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 1
    [after] = desk.customers(id=before["id"])
    expected = {
        **before,
        "creditLimit": Decimal("777.25"),
        "phone": None,
        "billingAddress": {**before["billingAddress"], "city": "Taiping"},
    }
    assert {**after, "updatedAt": None} == {**expected, "updatedAt": None}


def test_a_rejected_row_keeps_no_good_row_back(desk: Desk) -> None:
    text = "email,name,currency\na@x.example,A,MYR\nb@x.example,B,XXX\nbad,C,MYR\nd@x.example,D,\n"
    report = desk.apply(desk.plan(text).plan.plan_id)
    assert report.outcomes | {"applied": 2, "rejected": 1, "verified": 2} == report.outcomes
    assert report.exit_code == 3
    error = rows_of(report)[2].error
    assert error
    assert (error["code"], error["field"]) == ("INVALID_CHOICE", "currency")
    assert len(desk.named("a@x.example")) == len(desk.named("d@x.example")) == 1


def test_a_finished_plan_applied_again_sends_nothing(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(3)).plan.plan_id
    assert desk.apply(plan_id[:6]).plan.state == "applied"
    before = desk.requests()
    again = desk.apply(plan_id)
    assert (again.exit_code, again.outcomes["applied"]) == (0, 3)
    assert desk.requests() == before
    assert desk.plan(new_customers(3)).counts["noop"] == 3


def test_writes_cost_one_request_for_a_hundred_rows(desk: Desk) -> None:
    plan = desk.plan(new_customers(250))
    assert desk.requests("GET /customers") == 3
    desk.apply(plan.plan.plan_id)
    assert desk.requests("POST /bulk/customers") == 3
    assert desk.requests("GET /customers") == 6


def test_the_same_file_against_the_same_records_is_the_same_plan(desk: Desk) -> None:
    assert desk.plan(new_customers(2)).plan.plan_id == desk.plan(new_customers(2)).plan.plan_id
    assert desk.plan(new_customers(3)).plan.plan_id != desk.plan(new_customers(2)).plan.plan_id


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("email,nmae\na@x.example,A\n", ["'nmae' is unknown", "'name'", "creditLimit"]),
        ("name\nA\n", ["no column that names each customer", "'email'"]),
        ("", ["is empty"]),
        ("email,name\n", ["no rows"]),
        ("email,name\na@x.example,A,B\n", ["row 2 has 3 cells", "header has 2"]),
        ("email,email\na@x.example,b\n", ["'email' more than once"]),
        ('email,name\n"a@x.example,A\n', ["closing"]),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(
    shut: Desk, text: str, told: list[str]
) -> None:
    with pytest.raises(InputFileError) as caught:
        shut.plan(text)
    message = str(caught.value)
    assert all(part in message for part in told), message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_a_file_that_is_missing_or_of_another_kind_or_encoding_is_refused(shut: Desk) -> None:
    latin = shut.folder / "latin.csv"
    latin.write_bytes("email,name\na@x.example,Señor\n".encode("latin-1"))
    for path, told in (
        (shut.folder / "none.csv", "does not exist"),
        (shut.file("x", "book.ods"), "not read"),
        (latin, "not UTF-8 (line 2"),
        (shut.file("{}", "a.json"), "list of objects"),
        (shut.file('{"email": 1}\n{', "a.jsonl"), "line 2"),
    ):
        with pytest.raises(InputFileError, match=told.replace("(", r"\(")):
            shut.plan(path)


def test_a_duplicated_email_rejects_both_rows_and_each_names_the_other(desk: Desk) -> None:
    report = desk.plan("email,name\na@x.example,A\nb@x.example,B\nA@X.example,C\n")
    rows = rows_of(report)
    assert [rows[n].action for n in (1, 2, 3)] == ["reject", "create", "reject"]
    for number, other in ((1, 3), (3, 1)):
        error = rows[number].error
        assert error
        assert error["code"] == "DUPLICATE_VALUE"
        assert f"row {other + 1}" in str(error["message"])  # the header is row 1
        assert desk.word not in str(error["message"]).lower()


def test_two_rows_that_name_one_customer_in_two_ways_are_both_rejected(desk: Desk) -> None:
    there = desk.seeded()
    report = desk.plan(f"id,email,phone\n{there['id']},,1234\n,{there['email']},5678\n")
    assert report.counts["reject"] == 2


def test_modes_say_whether_a_record_must_or_must_not_exist(desk: Desk) -> None:
    email = desk.seeded()["email"]
    text = f"email,name\n{email},Other\nnew@x.example,Kedai\n"
    for mode, codes in (("create", ["DUPLICATE_VALUE", ""]), ("update", ["", "NOT_FOUND"])):
        report = desk.plan(text, mode=mode)
        assert [o.error["code"] if o.error else "" for o in report.operations] == codes


def test_a_record_that_changed_since_the_rows_basis_is_a_conflict(desk: Desk) -> None:
    there = desk.seeded()
    text = f"id,phone,base_updated_at\n{there['id']},12345,2020-01-01T00:00:00Z\n"
    actions = [desk.plan(text, on_conflict=c).operations[0].action for c in OnConflict]
    assert actions == ["conflict", "update", "noop"]
    fresh = text.replace("2020-01-01T00:00:00Z", there["updatedAt"])
    assert desk.plan(fresh).operations[0].action == "update"


def test_spreadsheet_csv_and_names_in_every_script_arrive_as_they_are(desk: Desk) -> None:
    names = [
        "Nur Aisyah binti Abd. Rahmān",
        "陈家明, 有限公司",
        "முருகன் & மகன்கள்",
        'The "Corner"\nShop',
    ]
    path = desk.folder / "sheet.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(["email", "name", "tags", "customFields.industry", "", ""])
        for n, name in enumerate(names):
            writer.writerow(
                [desk.own(f" s{n}@x.example "), name, "vip; north", "Food, drink", "", ""]
            )
        writer.writerow([""] * 6)
    assert desk.apply(desk.plan(path).plan.plan_id).outcomes["verified"] == 4
    held = [desk.named(f"s{n}@x.example")[0] for n in range(4)]
    assert [c["name"] for c in held] == names
    assert held[0]["tags"] == ["vip", "north"]
    assert held[0]["customFields"]["industry"] == "Food, drink"
    assert desk.plan(path).counts["noop"] == 4


def test_json_and_jsonl_carry_the_same_rows_with_money_exact(desk: Desk) -> None:
    record = (
        '{"email":"j@x.example","name":"J","creditLimit":9007199254740.93,"address":{"city":"X"}}'
    )
    one = desk.plan(desk.file(f"[{record}]", "a.json"))
    assert one.plan.plan_id == desk.plan(desk.file(record + "\n", "a.jsonl")).plan.plan_id
    desk.apply(one.plan.plan_id)
    assert desk.named("j@x.example")[0]["creditLimit"] == Decimal("9007199254740.93")


def test_rejected_rows_are_written_out_and_can_be_mended_and_planned(desk: Desk) -> None:
    rejects = desk.folder / "mend.csv"
    desk.plan("email;name;creditLimit\na@x.example;A;1\nb@x.example;B;1,234\n", rejects=rejects)
    text = rejects.read_text(encoding="utf-8-sig")
    assert text.count("\n") == 2
    assert "creditLimit '1,234' must be" in text
    report = desk.plan(desk.file(text.replace(";1,234;", ";1.50;", 1), "mended.csv"))
    assert report.counts["create"] == 1


def test_a_row_without_answer_is_left_alone_until_the_settle_time_is_over(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(5)).plan.plan_id
    desk.faults("drop-after=1")
    held = desk.apply(plan_id)
    assert (held.outcomes["held"], held.exit_code) == (5, 3)
    desk.faults()
    before = desk.requests()
    assert desk.apply(plan_id).outcomes["held"] == 5
    assert desk.requests() == before
    desk.settled()
    done = desk.apply(plan_id)
    assert (done.outcomes["applied"], done.exit_code) == (5, 0)
    assert desk.requests("POST /bulk/customers") == 1
    assert [len(desk.named(f"new{n}@x.example")) for n in range(1, 6)] == [1] * 5


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("fault", ["error=1", "html=1"])
def test_a_request_that_was_lost_is_sent_once_more_after_two_empty_look_ups(
    desk: Desk, fault: str
) -> None:
    plan_id = desk.plan(new_customers(5)).plan.plan_id
    desk.faults(fault)
    assert desk.apply(plan_id).outcomes["held"] == 5
    desk.faults()
    desk.settled()
    assert desk.apply(plan_id, waits=False).outcomes["held"] == 5
    assert desk.requests("POST /bulk/customers") == 1
    assert desk.apply(plan_id).exit_code == 0
    assert desk.requests("POST /bulk/customers") == 2
    assert desk.plan(new_customers(5)).counts["noop"] == 5


def test_an_update_without_answer_is_read_back_by_id(desk: Desk) -> None:
    there = desk.seeded()
    plan_id = desk.plan(f"email,phone\n{there['email']},+60 12\n").plan.plan_id
    desk.faults("only=writes,error-after=1")
    desk.apply(plan_id)
    desk.faults()
    desk.settled()
    assert desk.apply(plan_id).outcomes["applied"] == 1
    assert desk.requests("POST /bulk/customers") == 1


def test_a_lost_update_of_a_record_that_others_changed_meanwhile_is_not_sent_again(
    desk: Desk,
) -> None:
    there = desk.seeded()
    plan_id = desk.plan(f"email,phone\n{there['email']},+60 77\n").plan.plan_id
    desk.faults("only=writes,error=1")
    desk.apply(plan_id)
    desk.faults()
    desk.http.put(f"/v1/customers/{there['id']}", json={"phone": "+60 99"}).raise_for_status()
    desk.settled()
    report = desk.apply(plan_id)
    assert report.operations[0].error
    assert report.operations[0].error["code"] == "CONFLICT"
    assert desk.customers(id=there["id"])[0]["phone"] == "+60 99"


def test_a_clock_that_differs_from_the_servers_sends_nothing(desk: Desk) -> None:
    report = desk.plan("name,email\nKedai Jam,jam@x.example\n")
    for off in ("+7200s", "-7200s"):
        desk.faults(f"clock={off}")
        for act in (
            lambda: desk.apply(report.plan.plan_id),
            lambda: desk.plan("email\na@x.example"),
        ):
            with pytest.raises(WrongClock, match="Nothing was written or sent"):
                act()
    desk.faults()
    assert desk.requests("POST /bulk") == 0
    again = desk.apply(report.plan.plan_id)
    assert (again.exit_code, len(desk.named("jam@x.example"))) == (0, 1)


def test_a_row_that_a_clock_ahead_has_sent_is_left_alone_from_now_on_and_not_for_years(
    desk: Desk,
) -> None:
    now = desk.now
    desk.now += timedelta(days=730)
    plan_id = desk.plan("name,email\nKedai Lama,lama@x.example\n").plan.plan_id
    desk.faults("only=writes,drop-after=1")
    assert desk.apply(plan_id, waits=False).outcomes["held"] == 1
    desk.faults()
    desk.now = now
    assert due(desk.settings, clock=desk.clock) is not None
    desk.forget_requests()
    assert desk.settle(waits=False)[0].outcomes["held"] == 1
    assert desk.requests() == 0  # its settle time begins now
    assert due(desk.settings, clock=desk.clock) is None
    desk.settled()
    assert desk.settle(waits=False)[0].outcomes["verified"] == 1


def test_a_plan_that_a_clock_ahead_has_made_is_planned_again_and_supersedes_none(
    desk: Desk,
) -> None:
    now = desk.now
    desk.now += timedelta(days=730)
    rows = "name,email\nKedai Esok,esok@x.example\n"
    ahead = desk.plan(rows).plan.plan_id
    desk.now = now
    with pytest.raises(SafetyLimit, match="ahead of this clock"):
        desk.apply(ahead)
    other = desk.plan("name,email\nKedai Esok Baru,esok@x.example\n").plan.plan_id
    assert desk.apply(other).exit_code == 0
    assert desk.plan(rows, on_conflict="ours").plan.plan_id


def test_no_other_plan_touches_a_row_that_is_held(desk: Desk) -> None:
    other = desk.plan(new_customers(2, phone="12345")).plan.plan_id
    plan_id = desk.plan(new_customers(2)).plan.plan_id
    desk.faults("error=1")
    desk.apply(plan_id)
    desk.faults()
    assert desk.plan(new_customers(2)).counts["blocked"] == 2
    refused = desk.apply(other)
    assert (refused.outcomes["pending"], refused.exit_code) == (2, 3)
    assert desk.requests("POST /bulk/customers") == 1


@pytest.mark.deep
def test_many_batches_without_answer_lose_and_double_nothing(desk: Desk) -> None:
    text = new_customers(1000)
    plan_id = desk.plan(text).plan.plan_id
    desk.faults("drop-after=0.15,error=0.1,error-after=0.1,truncate=0.1")
    for _ in range(12):
        if desk.apply(plan_id).exit_code == 0:
            break
        desk.settled()
    desk.faults()
    assert desk.apply(plan_id).outcomes["applied"] == 1000
    assert desk.plan(text).counts["noop"] == 1000
    params = {"limit": "1", "email[endswith]": f"@{desk.word}.example"}
    total = desk.http.get("/v1/customers", params=params).json()["pagination"]["total"]
    assert total == 1000


_APPLY = """
import sys
from blsync import push, settings
from blsync.session import open_session
with open_session(settings.load()) as session:
    push.apply(session, sys.argv[1])
"""


def test_a_killed_apply_leaves_its_rows_held_and_creates_none_twice(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(150)).plan.plan_id
    desk.faults("latency=1s")
    apply = subprocess.Popen([sys.executable, "-c", _APPLY, plan_id], env=os.environ.copy())
    try:
        for _ in range(500):
            if commands.show(desk.settings, plan_id).outcomes["held"] and desk.requests(
                "POST /bulk"
            ):
                break
            time.sleep(0.02)
    finally:
        apply.send_signal(signal.SIGKILL)
        apply.wait()
    desk.faults()
    assert commands.show(desk.settings, plan_id).outcomes["held"] == 100
    desk.now = datetime.now(UTC)
    assert desk.apply(plan_id).outcomes | {"applied": 50, "held": 100} == (
        commands.show(desk.settings, plan_id).outcomes
    )
    desk.settled()
    assert desk.apply(plan_id).outcomes["applied"] == 150
    assert desk.plan(new_customers(150)).counts["noop"] == 150


def test_an_intent_that_was_never_sent_is_sent_after_the_settle_time(desk: Desk) -> None:
    report = desk.plan(new_customers(3))
    ledger = Ledger(desk.settings.ledger_url)
    plans.claim(ledger, report.plan.plan_id, report.operations, "died", desk.now)
    ledger.close()
    assert desk.apply(report.plan.plan_id).outcomes["held"] == 3
    assert desk.requests("POST /bulk/customers") == 0
    desk.settled()
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 3


def test_two_applies_at_once_send_each_row_once(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(150)).plan.plan_id
    said: list[str] = []
    both = [
        threading.Thread(target=desk.apply, args=(plan_id,), kwargs={"say": said.append})
        for _ in range(2)
    ]
    desk.faults("latency=100ms")
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert desk.requests("POST /bulk/customers") == 2
    assert any("Another apply" in line for line in said)
    report = commands.show(desk.settings, plan_id)
    ledger = Ledger(desk.settings.ledger_url)
    assert plans.claim(ledger, plan_id, report.operations, "second", desk.now) == []
    ledger.close()


def test_an_email_that_was_taken_meanwhile_is_adopted_only_if_it_is_as_wanted(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(2, phone="+60 11")).plan.plan_id
    for n, phone in ((1, "+60 11"), (2, "+60 22")):
        body = {"name": f"Kedai {n}", "email": desk.own(f"NEW{n}@x.example"), "phone": phone}
        desk.http.post("/v1/customers", json=body).raise_for_status()
    report = desk.apply(plan_id)
    rows = rows_of(report)
    assert [rows[n].state for n in (1, 2)] == ["applied", "rejected"]
    error = rows[2].error
    assert error
    assert error["code"] == "DUPLICATE_VALUE"
    assert "phone" in str(error["message"])


def test_too_many_rejections_stop_the_apply_and_keep_the_state(desk: Desk) -> None:
    lines = new_customers(220, currency="MYR").splitlines()
    lines[1:11] = [line.replace("MYR", "XXX") for line in lines[1:11]]
    plan_id = desk.plan("\n".join(lines)).plan.plan_id
    with pytest.raises(SafetyLimit, match="rejected 10 of the 100 rows"):
        desk.apply(plan_id)
    expected = {"applied": 90, "rejected": 10, "held": 0, "pending": 120, "verified": 90}
    assert commands.show(desk.settings, plan_id).outcomes == expected
    with pytest.raises(SafetyLimit):
        desk.apply(plan_id)
    assert desk.requests("POST /bulk/customers") == 1


def test_refused_credentials_or_scopes_stop_the_apply_with_nothing_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_id = desk.plan(new_customers(3)).plan.plan_id
    desk.faults("forbid=customers")
    with pytest.raises(Forbidden):
        desk.apply(plan_id)
    desk.faults()
    right = os.environ["BIGLEDGER_API_KEY"]
    monkeypatch.setenv("BIGLEDGER_API_KEY", "blg_test_sk_wrong")
    with pytest.raises(Unauthorized):
        desk.apply(plan_id)
    assert commands.show(desk.settings, plan_id).outcomes["pending"] == 3
    monkeypatch.setenv("BIGLEDGER_API_KEY", right)
    assert desk.apply(plan_id).outcomes["applied"] == 3


def test_a_request_refused_as_a_whole_is_halved_until_its_rows_get_through(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENDPOINTS, "customers", replace(ENDPOINTS["customers"], limit=150))
    report = desk.apply(desk.plan(new_customers(150)).plan.plan_id)
    assert report.outcomes["applied"] == 150
    assert desk.requests("POST /bulk/customers") == 3


def test_results_are_matched_by_index_and_an_odd_one_concerns_only_its_row() -> None:
    sent = [Operation(n, f"k{n}", "create", "held") for n in range(1, 7)]
    results = [
        {"index": 4, "success": True, "data": {}},
        {"index": 3, "success": False, "error": {"code": "X", "message": "k4 is odd"}},
        {"index": 1, "success": True, "data": {"id": "b"}},
        {"index": 1, "success": True, "data": {"id": "c"}},
        {"index": 0, "success": True, "data": {"id": "a"}},
        {"index": 99, "success": True, "data": {"id": "z"}},
        {"index": 5, "success": "yes"},
    ]
    raw = msgspec.Raw(json.dumps({"results": results}).encode())
    outcomes, strays = outcomes_of(ENDPOINTS["customers"], sent, raw)
    states = ["applied", "held", "held", "rejected", "held", "held"]
    assert [outcome.state for outcome in outcomes] == states
    assert outcomes[0].remote_id == "a"
    assert strays == 1


def test_messages_and_progress_name_no_person(desk: Desk) -> None:
    said: list[str] = []
    email = desk.seeded()["email"]
    text = f"email,name,phone\nsecret@x.example,Secret Person,1E+10\n{email},Secret Person,\n"
    report = desk.plan(
        text + "other@x.example,Secret Person,\nOther@x.example,S,\n", say=said.append
    )
    desk.apply(report.plan.plan_id, say=said.append)
    errors = [str(o.error["message"]) for o in report.operations if o.error]
    assert len(errors) == 3
    for line in [*said, *errors]:
        assert desk.word not in line.lower()
        assert email not in line
        assert "Secret" not in line


def test_a_dry_run_sends_nothing(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(3)).plan.plan_id
    before = desk.requests()
    said: list[str] = []
    assert desk.apply(plan_id, dry_run=True, say=said.append).outcomes["pending"] == 3
    assert desk.requests() == before
    assert "3 rows in 1 requests" in said[0]


def test_every_attempt_is_in_the_ledger_and_every_plan_in_the_list(desk: Desk) -> None:
    plan_id = desk.plan(new_customers(1)).plan.plan_id
    desk.faults("error=1")
    desk.apply(plan_id)
    desk.faults()
    desk.settled()
    desk.apply(plan_id)
    ledger = Ledger(desk.settings.ledger_url)
    assert [a.outcome for a in plans.attempts_of(ledger, plan_id)] == ["lost", "applied"]
    assert all(a.request_id for a in plans.attempts_of(ledger, plan_id))
    ledger.close()
    [listed] = commands.list_plans(desk.settings)
    assert (listed["plan_id"], listed["state"], listed["applied"]) == (plan_id, "applied", 1)


def test_what_is_not_there_is_told_with_what_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="There is no plan 'ffff'"):
        commands.show(desk.settings, "ffff")
    company = desk.settings.companies()[0]
    with pytest.raises(ConfigError, match="Available: customers, invoices"):
        commands.plan(desk.settings, company, "custommers", desk.file(new_customers(1)))
    with pytest.raises(ConfigError, match="--mode"):
        desk.plan(new_customers(1), mode="merge")
    plan_id = desk.plan(new_customers(1)).plan.plan_id
    monkeypatch.setenv("BIGLEDGER_BASE_URL", "https://api.bigledger.com/v1")
    with pytest.raises(ConfigError, match="Records of two servers"):
        desk.apply(plan_id)
    bind_anew(desk.settings)
    with pytest.raises(ConfigError, match="was compared with"):
        desk.apply(plan_id)


@pytest.mark.parametrize("told", ["a\0b", "x" * 201, True, ["a"]], ids=range(4))
def test_a_record_whose_id_cannot_be_kept_is_neither_a_match_nor_none(
    tiny_server: Callable[..., TinyServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: object,
) -> None:
    record = {"id": told, "email": "a@x.example", "name": "A"}
    server = tiny_server(lambda _: listed([record]))
    set_up(monkeypatch, tmp_path, server.base_url)
    desk = Desk(tmp_path, patient.client(trust_env=False), datetime.now(UTC), word="x")
    with pytest.raises(ServerFault, match="/customers"):
        desk.plan("email,name\na@x.example,A\n")
