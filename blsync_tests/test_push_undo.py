"""A plan is taken back by another one, and records are deleted that a sheet names, never others."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from rig.push_desk import (
    ADJUSTMENTS,
    CUSTOMER_UPDATES,
    CUSTOMERS,
    DRAFTS,
    INVOICE_UPDATES,
    INVOICES,
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
    server,
)

from blsync.errors import ConfigError, SafetyLimit
from blsync.push.token import unmarked

ROWS = 3
CREATED = (CUSTOMERS, INVOICES, DRAFTS)
POSTED = (ADJUSTMENTS, POSTINGS)


def applied(desk: Desk, kind: Kind, count: int = ROWS) -> str:
    """Plan rows of a kind and apply them; return the plan's id."""
    plan_id = desk.plan(kind.rows(desk, count), kind.endpoint).plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    desk.forget_requests()
    return plan_id


def sent(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def entries(desk: Desk) -> dict[str, Row]:
    """Return the desk's journal entries by their references without tokens."""
    found = desk.records("/journal-entries", **{"reference[startswith]": f"{desk.word}-"})
    return {unmarked(str(entry["reference"])): entry for entry in found}


def stock(desk: Desk, row: Row) -> Row:
    return desk.records("/stock", itemId=row["itemId"], locationId=row["locationId"])[0]


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", CREATED, ids=str)
def test_what_a_plan_created_is_deleted_and_taken_back_twice_deletes_nothing_more(
    desk: Desk, kind: Kind
) -> None:
    plan_id = applied(desk, kind)
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"delete": ROWS}
    assert desk.requests("POST /bulk") == 0
    assert len(kind.live(desk)) == ROWS
    report = desk.apply(undo.plan.plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, ROWS)
    assert kind.live(desk) == {}
    again = desk.undo(plan_id)
    assert sent(again.counts) == {"noop": ROWS}
    assert desk.apply(again.plan.plan_id).exit_code == 0
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert desk.requests("POST /bulk") == 1


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [CUSTOMER_UPDATES, INVOICE_UPDATES], ids=str)
def test_what_a_plan_changed_has_its_values_again(desk: Desk, kind: Kind) -> None:
    plan_id = applied(desk, kind)
    before = {name: [Decimal(1)] for name in kind.live(desk)}
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"update": ROWS}
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert kind.live(desk) == before
    assert sent(desk.undo(plan_id).counts) == {"noop": ROWS}


def test_each_field_is_restored_that_nobody_has_changed_since(desk: Desk) -> None:
    there = desk.written(
        "customers",
        [
            {
                "email": f"a{n}@{desk.word}.example",
                "name": f"Kedai {n}",
                "creditLimit": 10,
                "paymentTerms": 7,
                "billingAddress": {"city": "Ipoh", "street": "Jalan 1"},
            }
            for n in (1, 2, 3)
        ],
    )
    rows = [
        {
            "id": c["id"],
            "creditLimit": 500,
            "paymentTerms": 30,
            "phone": "+60 3-1234 5678",
            "billingAddress.city": "Taiping",
        }
        for c in there
    ]
    plan_id = desk.plan(rows).plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    desk.write(f"/customers/{there[1]['id']}", {"creditLimit": 7, "website": "a.example"}, "PUT")
    theirs = {"creditLimit": 8, "paymentTerms": 9, "phone": "1"}
    city = {"billingAddress": {"city": "Kajang", "street": "Jalan 1"}}
    desk.write(f"/customers/{there[2]['id']}", theirs | city, "PUT")

    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"update": 2, "conflict": 1}
    (_, part, none) = undo.operations
    assert "creditLimit has changed since" in part.warnings[0]
    assert "creditLimit" not in part.changes
    assert none.error
    assert none.error["code"] == "CONFLICT"
    assert desk.apply(undo.plan.plan_id).outcomes["verified"] == 2
    after = {c["id"]: c for c in desk.customers(**{"email[endswith]": f"@{desk.word}.example"})}
    one, two, three = (after[c["id"]] for c in there)
    same = {"paymentTerms": 7, "phone": None, "billingAddress": there[0]["billingAddress"]}
    assert {name: one[name] for name in same} == same
    assert one["creditLimit"] == 10
    assert {name: two[name] for name in same} == same
    assert (two["creditLimit"], two["website"]) == (7, "a.example")
    assert (three["creditLimit"], three["billingAddress"]["city"]) == (8, "Kajang")


def test_a_changed_invoice_gets_its_lines_back_with_what_the_sheet_did_not_say(desk: Desk) -> None:
    line = {
        "description": "Work",
        "quantity": 2,
        "unitPrice": 50,
        "discountPercent": 10,
        "taxCode": "SST",
        "taxRate": 6,
    }
    body = {"customerId": desk.seeded()["id"], "reference": f"{desk.word}-1", "items": [line]}
    [before] = desk.written("invoices", [body])
    row = {"id": before["id"], "items": [{"description": "Other", "quantity": 1, "unitPrice": 9}]}
    plan_id = desk.plan([row], "invoices").plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    assert desk.records(f"/invoices/{before['id']}")["subtotal"] == 9
    assert desk.apply(desk.undo(plan_id).plan.plan_id).exit_code == 0
    after = desk.records(f"/invoices/{before['id']}")
    names = ("subtotal", "totalDiscount", "totalTax", "total")
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert after["items"][0]["taxCode"] == "SST"


def test_a_posted_entry_is_reversed_by_one_with_its_lines_on_the_other_side(desk: Desk) -> None:
    plan_id = applied(desk, POSTINGS, 2)
    first = entries(desk)[f"{desk.word}-1"]
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"create": 2}
    assert desk.apply(undo.plan.plan_id).outcomes["verified"] == 2
    reversal = entries(desk)[f"{desk.word}-1-UNDO"]
    assert (reversal["status"], reversal["date"]) == ("posted", first["date"])
    assert [(n["accountId"], n["debit"], n["credit"]) for n in reversal["lines"]] == [
        (n["accountId"], n["credit"], n["debit"]) for n in first["lines"]
    ]
    again = desk.undo(plan_id)
    assert sent(again.counts) == {"adopt": 2}
    assert len(entries(desk)) == 4


def test_a_reversal_is_dated_today_where_the_month_of_the_entry_is_closed(desk: Desk) -> None:
    day = (desk.today.replace(day=1) - timedelta(days=1)).isoformat()
    [row] = POSTINGS.rows(desk, 1)
    plan_id = desk.plan([{**row, "date": day}], "journal-entries").plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    company = desk.settings.companies()[0].company_id
    seeds = desk.settings.seeds
    seeds.mkdir(exist_ok=True)
    closed = f"company_id,period,closed_at\n{company},{day[:7]},{desk.today}T00:00:00Z\n"
    (seeds / "period_close.csv").write_text(closed)
    desk.now += timedelta(days=1)
    assert desk.apply(desk.undo(plan_id).plan.plan_id).exit_code == 0
    today = desk.now.astimezone(desk.settings.zone).date().isoformat()
    assert entries(desk)[f"{desk.word}-1-UNDO"]["date"] == today


def test_an_adjustment_is_taken_back_by_one_the_other_way(desk: Desk) -> None:
    rows = ADJUSTMENTS.rows(desk, 2)
    rows[1] |= {"adjustmentType": "decrease"}
    del rows[1]["unitCost"]
    before = [stock(desk, row) for row in rows]
    plan_id = desk.plan(rows, "inventory-adjustments").plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    assert stock(desk, rows[0])["currentStock"] == before[0]["currentStock"] + 1
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"create": 2}
    assert "average cost" in undo.operations[0].warnings[0]
    assert desk.apply(undo.plan.plan_id).outcomes["verified"] == 2
    after = [stock(desk, row) for row in rows]
    assert [a["currentStock"] for a in after] == [b["currentStock"] for b in before]
    assert after[1]["stockValue"] == before[1]["stockValue"]
    assert sent(desk.undo(plan_id).counts) == {"adopt": 2}


def test_a_payment_is_named_as_needing_a_person(desk: Desk) -> None:
    plan_id = applied(desk, PAYMENTS)
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"blocked": ROWS}
    assert {code for code, _, _ in errors_of(undo)} == {"NEEDS_A_PERSON"}
    assert "refund it in BigLedger" in errors_of(undo)[0][2]
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert desk.requests() == 0


def test_what_others_have_changed_or_used_since_is_not_deleted_and_says_why(desk: Desk) -> None:
    invoices = applied(desk, INVOICES)
    ids = {n: str(o.remote_id) for n, o in rows_of(desk.undo(invoices)).items()}
    desk.write(f"/invoices/{ids[1]}/send", {})
    desk.write(f"/invoices/{ids[2]}", {"notes": "called"}, "PUT")
    undo = desk.undo(invoices)
    assert sent(undo.counts) == {"delete": 1, "conflict": 2}
    told = [message for _, _, message in errors_of(undo)]
    assert "the invoice is sent and only a draft can be deleted" in told[0]
    assert "has changed since the plan created it (updatedAt)" in told[1]
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert len(INVOICES.live(desk)) == 2

    drafts = applied(desk, DRAFTS, 2)
    entry = desk.undo(drafts).operations[0].remote_id
    desk.write(f"/journal-entries/{entry}/post", {})
    assert sent(desk.undo(drafts).counts) == {"delete": 1, "conflict": 1}

    customers = applied(desk, CUSTOMERS, 2)
    buyer = str(desk.undo(customers).operations[0].remote_id)
    line = {"description": "Work", "quantity": 1, "unitPrice": 5}
    desk.written("invoices", [{"customerId": buyer, "status": "sent", "items": [line]}])
    undo = desk.undo(customers)
    assert sent(undo.counts) == {"delete": 1, "blocked": 1}
    assert "set status to inactive instead" in errors_of(undo)[0][2]


def test_what_others_change_after_the_undo_was_planned_is_left_alone(desk: Desk) -> None:
    undo = desk.undo(applied(desk, CUSTOMERS))
    changed, gone = (str(o.remote_id) for o in undo.operations[:2])
    desk.write(f"/customers/{changed}", {"phone": "12345"}, "PUT")
    desk.http.request("DELETE", f"/v1/customers/{gone}").raise_for_status()
    report = desk.apply(undo.plan.plan_id)
    assert [o.state for o in report.operations] == ["rejected", "applied", "applied"]
    assert errors_of(report)[0][:2] == ("CONFLICT", "updatedAt")
    assert list(CUSTOMERS.live(desk)) == [f"r1@{desk.word}.example"]


def test_of_a_plan_half_applied_only_what_was_applied_is_taken_back(desk: Desk) -> None:
    rows = CUSTOMERS.rows(desk, 4)
    plan_id = desk.plan(rows).plan.plan_id
    desk.faults("part=1,times=1")
    assert desk.apply(plan_id).outcomes["held"] == 4
    desk.faults()
    held = desk.undo(plan_id)
    assert sent(held.counts) == {"blocked": 4}
    assert {code for code, _, _ in errors_of(held)} == {"HELD_ELSEWHERE"}
    desk.settled()
    desk.faults("reject-rows=1")
    report = desk.apply(plan_id)
    desk.faults()
    assert (report.outcomes["applied"], report.outcomes["rejected"]) == (2, 2)
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"delete": 2}
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert CUSTOMERS.live(desk) == {}


def test_what_was_there_before_the_plan_is_not_taken_back_as_if_it_were_ours(desk: Desk) -> None:
    rows = CUSTOMERS.rows(desk, 2)
    plan_id = desk.plan(rows).plan.plan_id
    desk.written("customers", [rows[0]])
    assert desk.apply(plan_id).exit_code == 0
    undo = desk.undo(plan_id)
    assert sent(undo.counts) == {"delete": 1, "noop": 1}
    assert errors_of(undo)[0][0] == "NOT_OURS"
    desk.apply(undo.plan.plan_id)
    assert list(CUSTOMERS.live(desk)) == [rows[0]["email"]]


def test_an_undo_is_not_undone_and_nothing_applied_is_nothing_to_take_back(desk: Desk) -> None:
    plan_id = desk.plan(CUSTOMERS.rows(desk, 1)).plan.plan_id
    with pytest.raises(ConfigError, match=f"blsync push reject {plan_id}"):
        desk.undo(plan_id)
    desk.apply(plan_id)
    undo = desk.undo(plan_id).plan
    assert (undo.undoes, undo.mode, undo.source) == (plan_id, "undo", f"undo of {plan_id}")
    desk.apply(undo.plan_id)
    with pytest.raises(ConfigError, match=f"itself the undo of plan {plan_id}") as caught:
        desk.undo(undo.plan_id)
    assert caught.value.exit_code == 2
    # The sheet can be pushed again, and the new plan be taken back again.
    again = desk.plan(CUSTOMERS.rows(desk, 1)).plan.plan_id
    assert desk.apply(again).exit_code == 0
    assert desk.apply(desk.undo(again).plan.plan_id).exit_code == 0
    assert CUSTOMERS.live(desk) == {}


def test_rejected_rows_of_an_undo_are_planned_anew_by_a_retry(desk: Desk) -> None:
    plan_id = applied(desk, CUSTOMERS, 2)
    undo = desk.undo(plan_id).plan.plan_id
    desk.faults("reject-rows=1,times=1")
    assert desk.apply(undo).outcomes["rejected"] == 2
    desk.faults()
    again = desk.retry(undo)
    assert again.plan.undoes == plan_id
    assert sent(again.counts) == {"delete": 2}
    assert desk.apply(again.plan.plan_id).exit_code == 0
    assert CUSTOMERS.live(desk) == {}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", CREATED, ids=str)
def test_a_sheet_deletes_the_records_that_it_names_and_no_other(desk: Desk, kind: Kind) -> None:
    rows = kind.rows(desk, ROWS)
    applied_plan = desk.plan(rows, kind.endpoint).plan.plan_id
    desk.apply(applied_plan)
    name = "email" if kind is CUSTOMERS else "reference"
    sheet = [{name: row[name]} for row in rows[:2]]
    plan = desk.plan(sheet, kind.endpoint, mode="delete")
    assert sent(plan.counts) == {"delete": 2}
    shown = plan.to_json()["operations"][0]["changes"]
    assert shown["status"] == ["active" if kind is CUSTOMERS else "draft", None]
    assert len(kind.live(desk)) == ROWS
    report = desk.apply(plan.plan.plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 2)
    assert list(kind.live(desk)) == [rows[2][name]]
    again = desk.plan(sheet, kind.endpoint, mode="delete")
    assert sent(again.counts) == {"noop": 2}

    # And a delete is taken back from the record as it was.
    undo = desk.undo(plan.plan.plan_id)
    assert sent(undo.counts) == {"create": 2}
    assert desk.apply(undo.plan.plan_id).outcomes["verified"] == 2
    assert kind.live(desk) == {str(row[name]): [amount(n)] for n, row in enumerate(rows, start=1)}
    assert sent(desk.undo(plan.plan.plan_id).counts) == {"adopt": 2}


def test_a_delete_of_what_is_not_there_or_may_not_go_is_rejected_before_anything_is_sent(
    desk: Desk,
) -> None:
    rows = invoice_rows(desk, 2)
    ids = [record["id"] for record in desk.written("invoices", rows)]
    desk.write(f"/invoices/{ids[1]}/send", {})
    sheet = [{"reference": rows[1]["reference"]}, {"reference": f"{desk.word}-none"}]
    plan = desk.plan(sheet, "invoices", mode="delete")
    assert sent(plan.counts) == {"reject": 2}
    assert [code for code, _, _ in errors_of(plan)] == ["BUSINESS_RULE_VIOLATION", "NOT_FOUND"]
    with pytest.raises(ConfigError, match="a payment cannot be deleted"):
        desk.plan([{"reference": "x"}], "payments", mode="delete")
    with pytest.raises(ConfigError, match="none of create, update, upsert, delete"):
        desk.plan(sheet, "invoices", mode="undo")


def test_a_delete_keeps_to_the_version_that_its_row_was_based_on(desk: Desk) -> None:
    [there] = desk.written("customers", CUSTOMERS.rows(desk, 1))
    row = {"email": there["email"], "base_updated_at": "2020-01-01T00:00:00Z"}
    assert sent(desk.plan([row], mode="delete").counts) == {"conflict": 1}
    theirs = desk.plan([row], mode="delete", on_conflict="theirs")
    assert sent(theirs.counts) == {"noop": 1}
    row["base_updated_at"] = there["updatedAt"]
    plan = desk.plan([row], mode="delete")
    assert sent(plan.counts) == {"delete": 1}
    desk.write(f"/customers/{there['id']}", {"phone": "12345"}, "PUT")
    report = desk.apply(plan.plan.plan_id)
    assert (report.exit_code, errors_of(report)[0][0]) == (3, "CONFLICT")
    assert len(CUSTOMERS.live(desk)) == 1


def test_more_deletes_than_the_settings_allow_are_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = desk.undo(applied(desk, CUSTOMERS)).plan.plan_id
    monkeypatch.setenv("BLSYNC_PUSH_MAX_DELETES", "2")
    desk.forget_requests()
    with pytest.raises(SafetyLimit, match=r"3 deletes \(BLSYNC_PUSH_MAX_DELETES is 2\)") as caught:
        desk.apply(undo)
    assert (caught.value.exit_code, desk.requests()) == (4, 0)
    monkeypatch.setenv("BLSYNC_PUSH_MAX_DELETES", "3")
    assert desk.apply(undo).exit_code == 0


def test_a_server_that_forgets_references_has_its_own_drafts_taken_back_by_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(OPTIONS) as http, opened(http, tmp_path, monkeypatch, is_known=False) as desk:
        before = desk.records("/invoices")
        desk.faults("forget=reference")
        plan_id = desk.plan(INVOICES.rows(desk, 2), "invoices").plan.plan_id
        desk.apply(plan_id)
        assert len(desk.records("/invoices")) == len(before) + 2
        undo = desk.undo(plan_id)
        assert sent(undo.counts) == {"delete": 2}
        assert desk.apply(undo.plan.plan_id).outcomes["verified"] == 2
        assert len(desk.records("/invoices")) == len(before)
