"""`push plan --check`: BigLedger says what it would refuse, and writes nothing."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from rig.push_desk import (
    CUSTOMER_UPDATES,
    CUSTOMERS,
    INVOICES,
    KINDS,
    PAYMENTS,
    Desk,
    Kind,
    amount,
    customer_rows,
    entry_rows,
    errors_of,
    invoice_rows,
    payment_rows,
    sent_invoices,
)

from blsync.errors import ConfigError, ServerFault
from blsync.push.endpoints import ENDPOINTS


@pytest.mark.parametrize("dialect", ["bulk", "batch"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.deep_after(3)
def test_a_check_writes_nothing_and_the_plan_is_sent_as_ever(
    desk: Desk, kind: Kind, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", dialect)
    rows = kind.rows(desk, 4)
    before = kind.live(desk)
    unchecked = desk.plan(rows, kind.endpoint)
    desk.forget_requests()
    report = desk.plan(rows, kind.endpoint, has_check=True)
    assert kind.live(desk) == before
    assert report.plan.plan_id == unchecked.plan.plan_id
    assert desk.requests("POST /batch") == desk.posts() == 2
    assert any("was asked about 4 rows" in note for note in report.notes)
    done = desk.apply(report.plan.plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 4)


def test_what_the_server_would_refuse_is_rejected_in_the_plan_with_its_reason(desk: Desk) -> None:
    rows = customer_rows(desk, 4)
    desk.faults("strict")
    rows[1]["name"] = "x" * 150
    mend = desk.folder / "mend.csv"
    report = desk.plan(rows, has_check=True, rejects=mend)
    assert (report.counts["create"], report.counts["reject"]) == (3, 1)
    [(code, field, message)] = errors_of(report)
    assert (code, field) == ("MAX_LENGTH", "name")
    assert "more than 100 characters" in message
    with mend.open(encoding="utf-8-sig") as file:
        [row] = csv.DictReader(file)
    assert (row["email"], message in row["_reason"]) == (rows[1]["email"], True)
    assert desk.customers(**{"email[endswith]": f"@{desk.word}.example"}) == []
    desk.faults()
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 3


def test_a_request_that_is_refused_as_a_whole_is_asked_again_in_halves(desk: Desk) -> None:
    desk.faults(f"poison={amount(3)}")
    report = desk.plan(customer_rows(desk, 5), has_check=True)
    assert (report.counts["create"], report.counts["reject"]) == (4, 1)
    assert errors_of(report)[0][0] == "VALIDATION_ERROR"


def test_a_payment_that_would_be_refused_is_not_counted_on_by_the_next_of_its_invoice(
    desk: Desk,
) -> None:
    [invoice] = sent_invoices(desk, 1)
    rows = [
        {"reference": f"{desk.word}-{n}", "invoiceId": invoice["id"], "amount": amount(n)}
        for n in (1, 2, 3)
    ]
    desk.faults(f"poison={amount(2)}")
    report = desk.plan(rows, "payments", has_check=True)
    assert [o.action for o in report.operations] == ["create", "reject", "create"]
    desk.faults()
    done = desk.apply(report.plan.plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 2)
    assert desk.records(f"/invoices/{invoice['id']}")["amountPaid"] == amount(1) + amount(3)


@pytest.mark.parametrize("kind", [CUSTOMERS, CUSTOMER_UPDATES, INVOICES, PAYMENTS], ids=str)
@pytest.mark.deep_after(2)
def test_a_server_that_carries_a_check_out_is_found_out_by_one_row(desk: Desk, kind: Kind) -> None:
    rows = kind.rows(desk, 4)
    before = kind.live(desk)
    desk.forget_requests()
    desk.faults("deaf-to-checks")
    with pytest.raises(ServerFault, match=r"it has carried out row .*Nothing more was asked"):
        desk.plan(rows, kind.endpoint, has_check=True)
    desk.faults()
    live = kind.live(desk)
    changed = [name for name in live if live[name] != before.get(name)]
    assert (len(changed), desk.posts()) == (1, 1)
    report = desk.plan(rows, kind.endpoint)
    assert desk.apply(report.plan.plan_id).exit_code == 0
    assert [len(amounts) for amounts in kind.live(desk).values()] == [1] * 4


@pytest.mark.deep
def test_deletes_are_checked_and_rows_that_batches_do_not_take_are_told(desk: Desk) -> None:
    created = desk.plan(customer_rows(desk, 2)).plan.plan_id
    assert desk.apply(created).exit_code == 0
    gone = [{"email": row["email"]} for row in customer_rows(desk, 2)]
    report = desk.plan(gone, mode="delete", has_check=True)
    assert report.counts["delete"] == 2
    assert len(desk.customers(**{"email[endswith]": f"@{desk.word}.example"})) == 2
    assert desk.apply(report.plan.plan_id).exit_code == 0
    drafts = desk.plan(entry_rows(desk, 1), "journal-entries").plan.plan_id
    assert desk.apply(drafts).exit_code == 0
    desk.forget_requests()
    row = {"reference": f"{desk.word}-1", "description": "Rent of March"}
    report = desk.plan([row], "journal-entries", has_check=True)
    assert report.counts["update"] == 1
    assert "not checked: 1 rows, as /batch/journal-entries takes only create" in report.notes
    assert desk.posts() == 0


def test_a_server_without_batches_cannot_be_asked_and_no_plan_is_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ENDPOINTS["invoices"]
    elsewhere = replace(kind, batch=replace(kind.batch, path="/batch/nothing"))
    monkeypatch.setitem(ENDPOINTS, "invoices", elsewhere)
    with pytest.raises(ConfigError, match="which this server does not have") as caught:
        desk.plan(invoice_rows(desk, 1), "invoices", has_check=True)
    assert caught.value.exit_code == 2
    assert desk.plan(invoice_rows(desk, 1), "invoices").counts["create"] == 1
    assert desk.plan(payment_rows(desk, 1), "payments", has_check=True).counts["create"] == 1
