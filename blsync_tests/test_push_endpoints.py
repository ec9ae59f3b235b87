"""Each endpoint's own rules: what a row is rejected for, what is sent, and in how many requests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rig.push_desk import (
    ADJUSTMENTS,
    CUSTOMERS,
    DRAFTS,
    INVOICES,
    KINDS,
    OPTIONS,
    PAYMENTS,
    POSTINGS,
    Desk,
    Kind,
    Row,
    amount,
    entry_rows,
    errors_of,
    invoice_rows,
    opened,
    rows_of,
    sent_invoices,
    server,
)

from blsync.errors import ConfigError
from blsync.push.compare import from_text
from blsync.push.token import marked, unmarked


def one(desk: Desk, kind: Kind, **more: Any) -> Row:
    """Return a good row of a kind, with some fields set otherwise, or left out where None."""
    row = {**kind.rows(desk, 1)[0], **more}
    return {name: value for name, value in row.items() if value is not None}


def body(desk: Desk, row: Row, to: str) -> Row:
    """Plan one row and return what it would send."""
    [operation] = desk.plan([row], to).operations
    assert operation.error is None, operation.error
    sent: Row = from_text(operation.body)
    return sent


LINE = {"description": "Work", "quantity": 1, "unitPrice": 1}
RULES: list[tuple[Kind, Row, str, str | None, list[str]]] = [
    (INVOICES, {"customerId": "cust_x"}, "NOT_FOUND", "customerId", ["'cust_x'", "one customer"]),
    (
        *(INVOICES, {"customerId": None, "customer": {"email": "who@x.example"}}, "NOT_FOUND"),
        *("customer.email", ["must name one customer", "create that record first"]),
    ),
    (INVOICES, {"customerId": None}, "REQUIRED_FIELD", "customerId", ["needed", "fill it in"]),
    (
        *(INVOICES, {"items": [LINE, {**LINE, "itemCode": "NO-1"}]}, "NOT_FOUND"),
        *("items[1].itemCode", ["items[1].itemCode 'NO-1'", "one item"]),
    ),
    (
        *(INVOICES, {"items": [{**LINE, "itemId": "item_x"}]}, "NOT_FOUND"),
        *("items[0].itemId", ["'item_x'"]),
    ),
    (INVOICES, {"items": []}, "MIN_VALUE", "items", ["at least one line"]),
    (
        *(INVOICES, {"items": [{**LINE, "quantity": 0}]}, "MIN_VALUE"),
        *("items[0].quantity", ["a quantity above 0"]),
    ),
    (
        *(INVOICES, {"items": [LINE, {**LINE, "unitPrice": "1.005"}]}, "INVALID_FORMAT"),
        *("items[1].unitPrice", ["at most 2 decimals", "1.005"]),
    ),
    (
        *(INVOICES, {"items": [{"quantity": 1}]}, "INVALID_FORMAT"),
        *("items[0]", ["itemId, an itemCode or a description"]),
    ),
    (
        *(INVOICES, {"items": [{"description": "Work", "quantity": 1}]}, "INVALID_FORMAT"),
        *("items[0]", ["needs a unitPrice"]),
    ),
    (
        *(INVOICES, {"items": [{**LINE, "discountAmount": 2}]}, "INVALID_FORMAT"),
        *("items[0]", ["discountAmount above quantity times unitPrice"]),
    ),
    (
        *(INVOICES, {"invoiceDate": "2026-03-02", "dueDate": "2026-03-01"}, "DATE_CONSTRAINT"),
        *("dueDate", ["2026-03-01 must be the invoiceDate 2026-03-02 or a day after"]),
    ),
    (INVOICES, {"invoiceDate": "2/3/2026"}, "INVALID_FORMAT", "invoiceDate", ["like 2026-03-31"]),
    (INVOICES, {"status": "sent"}, "INVALID_CHOICE", "status", ["'sent' must be draft"]),
    (INVOICES, {"invoiceDate": "2026-02-28"}, "PERIOD_CLOSED", "invoiceDate", ["closed on 2026"]),
    (DRAFTS, {"date": "2026-02-01"}, "PERIOD_CLOSED", "date", ["must lie in an open period"]),
    (DRAFTS, {"date": None}, "REQUIRED_FIELD", "date", ["needed to create a journal entry"]),
    (
        *(DRAFTS, {"lines": [{"accountNumber": "6030", "debit": 1}]}, "MIN_VALUE"),
        *("lines", ["at least two lines"]),
    ),
    (
        DRAFTS,
        {
            "lines": [
                {"accountNumber": "6030", "debit": "10.00"},
                {"accountNumber": "1010", "credit": "9.99"},
            ]
        },
        "INVALID_JOURNAL_ENTRY",
        "lines",
        ["debits 10.00 and credits 9.99 must be equal", "differ by 0.01"],
    ),
    (
        DRAFTS,
        {
            "lines": [
                {"accountNumber": "6030", "debit": 1, "credit": 1},
                {"accountNumber": "1010"},
            ]
        },
        "INVALID_FORMAT",
        "lines[0]",
        ["lines[0] needs a debit or a credit", "lines[1] needs a debit or a credit"],
    ),
    (
        DRAFTS,
        {"lines": [{"accountId": "acc_x", "debit": 1}, {"accountNumber": "1010", "credit": 1}]},
        "NOT_FOUND",
        "lines[0].accountId",
        ["'acc_x' must name one active account"],
    ),
    (
        DRAFTS,
        {"lines": [{"accountNumber": "6030", "debit": 1}, {"accountNumber": "99", "credit": 1}]},
        "NOT_FOUND",
        "lines[1].accountNumber",
        ["lines[1].accountNumber '99'"],
    ),
    (ADJUSTMENTS, {"itemId": "item_x"}, "NOT_FOUND", "itemId", ["'item_x' must name one item"]),
    (ADJUSTMENTS, {"locationId": "loc_x"}, "NOT_FOUND", "locationId", ["'loc_x'", "location"]),
    (ADJUSTMENTS, {"quantity": "-1"}, "MIN_VALUE", "quantity", ["'-1' must be a quantity above 0"]),
    (ADJUSTMENTS, {"reason": "stolen"}, "INVALID_CHOICE", "reason", ["'stolen'", "damaged"]),
    (ADJUSTMENTS, {"adjustmentType": "plus"}, "INVALID_CHOICE", "adjustmentType", ["decrease"]),
    (ADJUSTMENTS, {"date": "2026-02-01"}, "PERIOD_CLOSED", "date", ["2026-02-01"]),
    (ADJUSTMENTS, {"quantity": None}, "REQUIRED_FIELD", "quantity", ["stock adjustment"]),
    (PAYMENTS, {"invoiceId": "inv_x"}, "NOT_FOUND", "invoiceId", ["'inv_x' must name one invoice"]),
    (
        *(PAYMENTS, {"invoiceId": None, "invoiceNumber": "INV-0"}, "NOT_FOUND"),
        *("invoiceNumber", ["'INV-0'"]),
    ),
    (PAYMENTS, {"amount": "1000.01"}, "MAX_VALUE", "amount", ["'1000.01' must be at most 1000.00"]),
    (PAYMENTS, {"amount": 0}, "MIN_VALUE", "amount", ["an amount above 0"]),
    (PAYMENTS, {"accountNumber": "0"}, "NOT_FOUND", "accountNumber", ["one active account"]),
    (PAYMENTS, {"paymentDate": "2026-02-01"}, "PERIOD_CLOSED", "paymentDate", ["open period"]),
    (PAYMENTS, {"paymentDate": "2020-01-31"}, "DATE_CONSTRAINT", "paymentDate", ["or later"]),
]


@pytest.mark.deep_after(6)
@pytest.mark.parametrize(
    ("kind", "fields", "code", "field", "told"),
    RULES,
    ids=[f"{k}-{f}-{c}" for k, _, c, f, _ in RULES],
)
def test_a_row_that_breaks_a_rule_is_told_which_field_and_what_would_be_right(
    desk: Desk, kind: Kind, fields: Row, code: str, field: str, told: list[str]
) -> None:
    _close_february(desk)
    good, bad = kind.rows(desk, 2)
    bad = {n: v for n, v in {**bad, **fields}.items() if v is not None}
    report = desk.plan([good, bad], kind.endpoint)
    assert [o.action for o in report.operations] == ["create", "reject"], errors_of(report)
    [(given_code, given_field, message)] = errors_of(report)
    assert (given_code, given_field) == (code, field)
    assert all(part in message for part in told), message
    assert "who@" not in message
    desk.forget_requests()
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 1


def _close_february(desk: Desk) -> None:
    seeds = desk.folder / "seeds"
    seeds.mkdir(exist_ok=True)
    (seeds / "period_close.csv").write_text(
        "company_id,period,closed_at\n"
        f"{OPTIONS.company_id},2026-02-01,2026-03-05T10:00:00Z\n"
        f"{OPTIONS.company_id},2026-01-01,2999-01-01T00:00:00Z\n"
        f"other,{desk.today.replace(day=1)},2026-03-05T10:00:00Z\n"
    )


def test_a_period_that_is_to_be_closed_later_or_by_others_is_open(desk: Desk) -> None:
    _close_february(desk)
    rows = invoice_rows(desk, 2)
    rows[0]["invoiceDate"] = "2026-01-31"
    assert desk.plan(rows, "invoices").counts["create"] == 2


def test_an_account_that_is_inactive_takes_no_entry(desk: Desk) -> None:
    number = f"69{desk.word[-4:]}"
    account = {"accountNumber": number, "name": "Old", "type": "expense"}
    desk.write("/accounts", {**account, "category": "operating_expense", "isActive": False})
    [row] = entry_rows(desk, 1)
    row["lines"][0]["accountNumber"] = number
    assert errors_of(desk.plan([row], "journal-entries"))[0][1] == "lines[0].accountNumber"


def test_records_may_be_named_by_email_code_or_number_and_are_sent_by_id(desk: Desk) -> None:
    customer, stock = desk.seeded(), desk.records("/stock")[0]
    item = desk.records("/items", id=stock["itemId"])[0]
    row = one(desk, INVOICES, customerId=None, customer={"email": customer["email"].upper()})
    row["items"] = [{"itemCode": item["itemCode"], "quantity": 2, "unitPrice": 3}]
    sent = body(desk, row, "invoices")
    assert (sent["customerId"], sent.get("customer")) == (customer["id"], None)
    line = {"itemId": item["id"], "quantity": 2, "unitPrice": 3}
    assert sent["items"] == [{**line, "description": item["name"]}]
    sent = body(desk, entry_rows(desk, 1)[0], "journal-entries")
    ids = [desk.account(number)["id"] for number in ("6030", "1010")]
    assert [line.keys() for line in sent["lines"]] == [
        {"accountId", "debit"},
        {"accountId", "credit"},
    ]
    assert [line["accountId"] for line in sent["lines"]] == ids
    row = one(desk, ADJUSTMENTS, itemId=None, itemCode=item["itemCode"])
    assert body(desk, row, "inventory-adjustments")["itemId"] == item["id"]
    [invoice] = sent_invoices(desk, 1)
    paid = {"invoiceNumber": invoice["invoiceNumber"], "accountNumber": "1010", "amount": 1}
    sent = body(desk, {"reference": desk.word, **paid}, "payments")
    assert sent.keys() == {"reference", "invoiceId", "amount", "accountId", "paymentDate"}
    assert (sent["invoiceId"], sent["accountId"]) == (invoice["id"], ids[1])


def test_two_names_that_mean_different_records_are_refused(desk: Desk) -> None:
    first, second = sent_invoices(desk, 2)
    row = {"reference": desk.word, "amount": 1, "invoiceId": first["id"]}
    report = desk.plan([{**row, "invoiceNumber": second["invoiceNumber"]}], "payments")
    assert errors_of(report)[0][:2] == ("NOT_FOUND", "invoiceId")


def test_several_payments_of_an_invoice_together_pay_no_more_than_is_due(desk: Desk) -> None:
    [invoice] = sent_invoices(desk, 1, price=100)
    rows = [
        {"reference": f"{desk.word}-{n}", "invoiceId": invoice["id"], "amount": paid}
        for n, paid in enumerate((60, 50, 40), start=1)
    ]
    report = desk.plan(rows, "payments")
    assert [o.action for o in report.operations] == ["create", "reject", "create"]
    assert "'50.00' must be at most 40" in errors_of(report)[0][2]
    assert report.money == 100
    done = desk.apply(report.plan.plan_id)
    assert (done.outcomes["verified"], done.exit_code) == (2, 0)
    assert desk.records(f"/invoices/{invoice['id']}")["status"] == "paid"
    again = desk.plan(rows, "payments")
    assert [o.action for o in again.operations] == ["adopt", "reject", "adopt"]


def test_drafts_cancelled_and_paid_invoices_take_no_payment(desk: Desk) -> None:
    [draft] = desk.written("invoices", [one(desk, INVOICES)])
    cancelled, paid = sent_invoices(desk, 2, price=10)
    desk.write(f"/invoices/{cancelled['id']}", {"status": "cancelled"}, "PUT")
    desk.write(f"/invoices/{paid['id']}/payments", {"amount": 10})
    rows = [
        {"reference": f"{desk.word}-p{n}", "invoiceId": invoice["id"], "amount": 1}
        for n, invoice in enumerate((draft, cancelled, paid))
    ]
    told = errors_of(desk.plan(rows, "payments"))
    assert [code for code, _, _ in told] == ["BUSINESS_RULE_VIOLATION"] * 2 + ["MAX_VALUE"]
    assert ["draft" in told[0][2], "cancelled" in told[1][2]] == [True, True]


@pytest.mark.parametrize(
    ("kind", "apart"),
    [(PAYMENTS, "invoiceId"), (ADJUSTMENTS, "locationId"), (INVOICES, ""), (DRAFTS, "")],
    ids=lambda value: str(value),
)
def test_rows_of_one_natural_key_are_twins_unless_they_concern_different_records(
    desk: Desk, kind: Kind, apart: str
) -> None:
    first, second = kind.rows(desk, 2)
    twin = {**first, **({"amount": 7} if kind is PAYMENTS else {})}
    report = desk.plan([first, twin, second], kind.endpoint)
    assert [o.action for o in report.operations] == ["reject", "reject", "create"]
    (_, _, one_told), (_, _, other_told) = errors_of(report)
    assert "row 2" in one_told
    assert "row 1" in other_told
    if apart:
        report = desk.plan([first, {**second, "reference": first["reference"]}], kind.endpoint)
        assert report.counts["create"] == 2
        assert desk.apply(report.plan.plan_id).outcomes["verified"] == 2


def test_a_draft_invoice_is_changed_only_in_what_differs(desk: Desk) -> None:
    row = one(desk, INVOICES, notes="as agreed", purchaseOrder="PO-9")
    assert desk.apply(desk.plan([row], "invoices").plan.plan_id).exit_code == 0
    [before] = desk.records("/invoices", **{"reference[startswith]": desk.word})
    changed = {**row, "notes": "(clear)", "dueDate": desk.today + timedelta(days=9)}
    report = desk.plan([changed], "invoices")
    assert from_text(report.operations[0].body) == {
        "dueDate": str(changed["dueDate"]),
        "notes": None,
    }
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 1
    [after] = desk.records("/invoices", **{"reference[startswith]": desk.word})
    kept = {"id", "items", "purchaseOrder", "reference", "total", "customerId", "status"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    by_number = {"invoiceNumber": after["invoiceNumber"], "terms": "30 days"}
    assert from_text(desk.plan([by_number], "invoices").operations[0].body) == {"terms": "30 days"}


def test_invoices_and_entries_that_are_no_drafts_are_not_changed(desk: Desk) -> None:
    sent, paid = sent_invoices(desk, 2, price=10)
    desk.write(f"/invoices/{paid['id']}/payments", {"amount": 10})
    rows = [{"id": invoice["id"], "notes": "late"} for invoice in (sent, paid)]
    told = errors_of(desk.plan(rows, "invoices"))
    codes = [("BUSINESS_RULE_VIOLATION", "status"), ("PAID_INVOICE_IMMUTABLE", "status")]
    assert [(code, field) for code, field, _ in told] == codes
    assert all("only a draft can be changed" in message for _, _, message in told)
    [posting] = POSTINGS.rows(desk, 1)
    desk.apply(desk.plan([posting], "journal-entries").plan.plan_id)
    [(code, _, message)] = errors_of(
        desk.plan([{**posting, "description": "other"}], "journal-entries")
    )
    assert (code, "void it instead" in message) == ("BUSINESS_RULE_VIOLATION", True)


def test_an_entry_is_a_draft_unless_the_file_says_posted(desk: Desk) -> None:
    rows = [*DRAFTS.rows(desk, 1), {**POSTINGS.rows(desk, 2)[1]}]
    assert desk.apply(desk.plan(rows, "journal-entries").plan.plan_id).exit_code == 0

    def statuses() -> list[str]:
        found = desk.records("/journal-entries", **{"reference[startswith]": f"{desk.word}-"})
        return [e["status"] for e in sorted(found, key=lambda e: str(e["reference"]))]

    assert statuses() == ["draft", "posted"]
    report = desk.plan([{**rows[0], "status": "posted"}], "journal-entries")
    assert from_text(report.operations[0].body) == {"status": "posted"}
    desk.apply(report.plan.plan_id)
    assert statuses() == ["posted", "posted"]
    # A file that says nothing of the status does not undo what a person posted.
    assert desk.plan(rows, "journal-entries").counts["noop"] == 2


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [ADJUSTMENTS, PAYMENTS], ids=str)
def test_what_can_only_be_created_is_adopted_when_planned_again(desk: Desk, kind: Kind) -> None:
    rows = kind.rows(desk, 2)
    for mode in ("upsert", "create"):
        report = desk.plan(rows, kind.endpoint, mode=mode)
        assert desk.apply(report.plan.plan_id).exit_code == 0
    assert desk.plan(rows, kind.endpoint).counts["adopt"] == 2
    assert sum(map(len, kind.live(desk).values())) == 2
    assert desk.requests(f"POST /bulk/{kind.endpoint}") == 1
    with pytest.raises(ConfigError, match="--mode create") as caught:
        desk.plan(rows, kind.endpoint, mode="update")
    assert caught.value.exit_code == 2


def test_an_adjustment_that_exists_with_other_figures_is_rejected(desk: Desk) -> None:
    [row] = ADJUSTMENTS.rows(desk, 1)
    desk.apply(desk.plan([row], "inventory-adjustments").plan.plan_id)
    [(code, field, message)] = errors_of(
        desk.plan([{**row, "quantity": 2}], "inventory-adjustments")
    )
    assert (code, field) == ("DUPLICATE_VALUE", "reference")
    assert "quantity" in message


def test_a_decrease_leaves_at_the_average_cost_and_is_verified(desk: Desk) -> None:
    stock = next(row for row in desk.records("/stock") if row["currentStock"] > 1)
    row = one(desk, ADJUSTMENTS, adjustmentType="decrease", unitCost=9999, reason="lost")
    row |= {"itemId": stock["itemId"], "locationId": stock["locationId"]}
    report = desk.apply(desk.plan([row], "inventory-adjustments").plan.plan_id)
    assert (report.outcomes["verified"], report.exit_code) == (1, 0)
    assert desk.plan([row], "inventory-adjustments").counts["adopt"] == 1


def test_a_decrease_of_more_than_there_is_is_refused_with_the_servers_words(desk: Desk) -> None:
    row = one(desk, ADJUSTMENTS, adjustmentType="decrease", quantity=10**6)
    report = desk.apply(desk.plan([row], "inventory-adjustments").plan.plan_id)
    assert (report.outcomes["rejected"], report.exit_code) == (1, 3)
    assert errors_of(report)[0][2]


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (INVOICES, "/invoices"),
        (DRAFTS, "/journal-entries"),
        (ADJUSTMENTS, "/inventory/adjustments"),
    ],
    ids=str,
)
def test_the_token_tells_our_reference_from_one_that_others_wrote(
    desk: Desk, kind: Kind, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [row] = kind.rows(desk, 1)
    report = desk.plan([row], kind.endpoint)
    desk.apply(report.plan.plan_id)
    [record] = desk.records(path, **{"reference[startswith]": desk.word})
    key = report.operations[0].natural_key
    assert record["reference"] == marked(row["reference"], OPTIONS.company_id, kind.endpoint, key)
    assert unmarked(record["reference"]) == row["reference"]
    again = {**row, "reference": record["reference"]}  # as an export of BigLedger has it
    counts = desk.plan([again], kind.endpoint).counts
    assert counts["noop"] + counts["adopt"] == 1
    monkeypatch.setenv("BLSYNC_PUSH_REFERENCE_TOKEN", "false")
    plain = kind.rows(desk, 2)[1]
    desk.apply(desk.plan([plain], kind.endpoint).plan.plan_id)
    assert len(desk.records(path, reference=plain["reference"])) == 1


def test_a_lost_draft_is_not_taken_for_one_of_others_with_the_same_reference(desk: Desk) -> None:
    [row] = invoice_rows(desk, 1)
    plan_id = desk.plan([row], "invoices").plan.plan_id
    desk.faults("only=writes,reset=1")
    desk.apply(plan_id)
    desk.faults()
    desk.written("invoices", [row])
    desk.settled()
    report = desk.apply(plan_id)
    assert (report.outcomes["verified"], report.exit_code) == (1, 0)
    assert len(INVOICES.live(desk)[row["reference"]]) == 2


def test_payments_carry_the_reference_as_the_bank_knows_it(desk: Desk) -> None:
    [row] = PAYMENTS.rows(desk, 1)
    assert body(desk, row, "payments")["reference"] == row["reference"]


@pytest.mark.deep_after(2)
@pytest.mark.parametrize(
    ("kind", "count", "posts", "look_ups"),
    [
        (CUSTOMERS, 101, 2, 3),  # one of them for the time: nothing else is read before
        (INVOICES, 51, 2, 3),
        (DRAFTS, 101, 2, 4),
        (PAYMENTS, 101, 2, 4),
    ],
    ids=str,
)
def test_rows_are_sent_in_batches_of_the_endpoints_size(
    desk: Desk, kind: Kind, count: int, posts: int, look_ups: int
) -> None:
    rows = _many(desk, kind, count)
    plan_id = desk.plan(rows, kind.endpoint).plan.plan_id
    desk.forget_requests()
    assert desk.apply(plan_id).outcomes["verified"] == count
    assert desk.requests("POST /bulk") == posts
    assert desk.requests("GET") == look_ups
    assert _total(desk, kind) == count


def _many(desk: Desk, kind: Kind, count: int) -> list[Row]:
    """Return rows of one kind that differ in what tells them apart alone."""
    first = kind.rows(desk, 1)[0]
    if kind is CUSTOMERS:
        return [{**first, "email": f"r{n}@{desk.word}.example"} for n in range(count)]
    rows = [{**first, "reference": f"{desk.word}-{n}"} for n in range(count)]
    if kind is PAYMENTS:
        invoices = [invoice for n in (50, 50, 1) for invoice in sent_invoices(desk, n)]
        return [{**r, "invoiceId": i["id"]} for r, i in zip(rows, invoices, strict=True)]
    return rows


def _total(desk: Desk, kind: Kind) -> int:
    path, filters = "/journal-entries", {"reference[startswith]": f"{desk.word}-"}
    if kind is CUSTOMERS:
        path, filters = "/customers", {"email[endswith]": f"@{desk.word}.example"}
    elif kind is INVOICES:
        path = "/invoices"
    answer = desk.http.get(f"/v1{path}", params={"limit": "1", **filters}).json()
    total: int = answer["pagination"]["total"]
    return total


@pytest.mark.deep
def test_201_adjustments_are_sent_in_two_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        server(replace(OPTIONS, items=150, invoices=60)) as http,
        opened(http, tmp_path, monkeypatch) as desk,
    ):
        places = desk.records("/stock", limit="200")
        cursor = http.get("/v1/stock", params={"limit": "200"}).json()["pagination"]["nextCursor"]
        places += desk.records("/stock", limit="200", cursor=cursor)
        rows = [
            {
                "reference": f"{desk.word}-1",
                "itemId": place["itemId"],
                "locationId": place["locationId"],
                "adjustmentType": "increase",
                "quantity": 1,
                "unitCost": 1,
            }
            for place in places[:201]
        ]
        assert len(rows) == 201
        plan_id = desk.plan(rows, "inventory-adjustments").plan.plan_id
        assert desk.apply(plan_id).outcomes["verified"] == 201
        assert desk.requests("POST /bulk") == 2


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", [PAYMENTS, ADJUSTMENTS], ids=str)
def test_one_change_of_an_invoice_or_of_a_stock_is_in_flight_at_a_time(
    desk: Desk, kind: Kind
) -> None:
    first, second = kind.rows(desk, 2)
    rows = [first, {**first, "reference": f"{desk.word}-7"}, second]
    plan_id = desk.plan(rows, kind.endpoint).plan.plan_id
    desk.faults("only=writes,drop-after=1,times=1")
    report = desk.apply(plan_id)
    assert [o.state for o in report.operations] == ["held", "pending", "held"]
    assert (desk.requests(f"POST /bulk/{kind.endpoint}"), report.exit_code) == (1, 3)
    desk.settled()
    report = desk.apply(plan_id)
    assert (report.outcomes["verified"], report.exit_code) == (3, 0)
    assert desk.requests(f"POST /bulk/{kind.endpoint}") == 2
    total = sum(sum(amounts) for amounts in kind.live(desk).values())
    assert total == amount(1) * 2 + amount(2)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_plan_tells_the_money_that_moves(desk: Desk, kind: Kind) -> None:
    report = desk.plan(kind.rows(desk, 3), kind.endpoint)
    expected = 0 if kind.endpoint == "customers" else sum(amount(n) for n in (1, 2, 3))
    assert report.money == expected
    assert json.loads(json.dumps(report.to_json(), default=str))["money"] == str(expected)


def test_an_invoices_money_is_net_of_discounts(desk: Desk) -> None:
    lines = [
        {**LINE, "quantity": "2.5", "unitPrice": "10.00", "discountPercent": 10},
        {**LINE, "unitPrice": 5, "discountAmount": "0.50"},
    ]
    report = desk.plan([one(desk, INVOICES, items=lines, shippingCost="1.25")], "invoices")
    assert report.money == Decimal("28.25")
    desk.apply(report.plan.plan_id)
    [record] = desk.records("/invoices", **{"reference[startswith]": desk.word})
    assert record["subtotal"] + record["shippingCost"] == Decimal("28.25")


def test_customers_are_created_changed_and_put_out_of_use(desk: Desk) -> None:
    rows = CUSTOMERS.rows(desk, 2)
    desk.apply(desk.plan(rows).plan.plan_id)
    report = desk.plan([{"email": row["email"], "status": "inactive"} for row in rows])
    assert [from_text(o.body) for o in report.operations] == [{"status": "inactive"}] * 2
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 2
    found = desk.customers(**{"email[endswith]": f"@{desk.word}.example"})
    assert {customer["status"] for customer in found} == {"inactive"}


def test_a_row_says_all_that_is_wrong_with_it_at_once(desk: Desk) -> None:
    bad = {"reference": "r" * 81, "items": [{"quantity": 0, "unitPrice": "1,234"}]}
    report = desk.plan([bad], "invoices")
    message = rows_of(report)[1].error
    assert message
    for part in ("reference", "items[0].quantity", "items[0].unitPrice '1,234'"):
        assert part in str(message["message"])


def priced_item(desk: Desk, price: str, name: str = "Rattan chair") -> Row:
    """Make an item of the desk's own, sold at that price."""
    item = {"itemCode": f"{desk.word}-{price}", "name": name, "type": "service"}
    return desk.write("/items", {**item, "pricing": {"sellingPrice": float(price)}})


def test_a_line_that_names_an_item_alone_is_sent_with_its_description_and_price(desk: Desk) -> None:
    item = priced_item(desk, "12.35")
    lines = [
        {"itemCode": item["itemCode"], "quantity": 2},
        {"itemId": item["id"], "quantity": 1, "unitPrice": 3},
        {"itemId": item["id"], "quantity": 1, "description": "In teak"},
        {"description": "Work", "quantity": 1, "unitPrice": 5},
    ]
    row = one(desk, INVOICES, items=lines)
    sent = body(desk, row, "invoices")["items"]
    told = [(line["description"], Decimal(line["unitPrice"])) for line in sent]
    chair, price = "Rattan chair", Decimal("12.35")
    assert told == [(chair, price), (chair, Decimal(3)), ("In teak", price), ("Work", Decimal(5))]
    report = desk.plan([row], "invoices")
    assert report.money == Decimal("45.05")
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 1


def test_a_price_that_moved_since_changes_no_invoice_that_does_not_ask_for_it(desk: Desk) -> None:
    item = priced_item(desk, "7.5")
    row = one(desk, INVOICES, items=[{"itemId": item["id"], "quantity": 2}])
    desk.apply(desk.plan([row], "invoices").plan.plan_id)
    desk.write(f"/items/{item['id']}", {"pricing": {"sellingPrice": 8}}, "PUT")
    assert desk.plan([row], "invoices").counts["noop"] == 1
    more = {**row, "items": [{"itemId": item["id"], "quantity": 3}]}
    report = desk.plan([more], "invoices")
    [line] = from_text(report.operations[0].body)["items"]
    assert (line["quantity"], line["unitPrice"]) == (3, Decimal("7.5"))
    assert desk.apply(report.plan.plan_id).exit_code == 0


def test_a_price_in_another_currency_than_the_customers_is_left_to_the_server(desk: Desk) -> None:
    email = f"usd@{desk.word}.example"
    [customer] = desk.written("customers", [{"email": email, "name": "Acme", "currency": "USD"}])
    item = priced_item(desk, "4.5")
    line = {"itemId": item["id"], "quantity": 2}
    row = one(desk, INVOICES, customerId=customer["id"], items=[line])
    [sent] = body(desk, row, "invoices")["items"]
    assert ("unitPrice" in sent, sent["description"]) == (False, "Rattan chair")


def warnings_of(desk: Desk, row: Row, to: str) -> list[str]:
    """Plan one row, which is sent all the same, and return what it is warned of."""
    report = desk.plan([row], to)
    assert report.counts["create"] + report.counts["update"] == 1
    shown = report.to_json()["operations"][0]["warnings"]
    assert shown == list(report.operations[0].warnings)
    return [text.partition(";")[0] for text in shown]


def test_what_a_stricter_server_refuses_is_sent_with_a_warning(desk: Desk) -> None:
    tomorrow = desk.today + timedelta(days=1)
    dates = [
        (desk.today, desk.today, [f"dueDate {desk.today} is not after the invoiceDate"]),
        (desk.today, tomorrow, []),
        (None, desk.today, [f"dueDate {desk.today} is not after the invoiceDate"]),
        (tomorrow, None, [f"invoiceDate {tomorrow} lies in the future"]),
        (None, None, []),
    ]
    for day, due, told in dates:
        row = one(desk, INVOICES, invoiceDate=day, dueDate=due)
        assert warnings_of(desk, row, "invoices") == told, (day, due)
    for length, told in ((100, []), (101, ["name is longer than 100 characters"])):
        row = one(desk, CUSTOMERS, name="x" * length)
        assert warnings_of(desk, row, "customers") == told


def test_an_update_is_warned_of_what_it_changes_alone(desk: Desk) -> None:
    row = one(desk, INVOICES, dueDate=desk.today)
    desk.apply(desk.plan([row], "invoices").plan.plan_id)
    assert warnings_of(desk, {**row, "notes": "By lorry"}, "invoices") == []
    later = desk.today + timedelta(days=1)
    assert warnings_of(desk, {**row, "dueDate": later}, "invoices") == []
    moved = {**row, "invoiceDate": later, "dueDate": later}
    assert len(warnings_of(desk, moved, "invoices")) == 2


@pytest.mark.parametrize("kind", ["plain", "whole"])
def test_already_exists_is_a_conflict_however_it_is_worded(desk: Desk, kind: str) -> None:
    rows = CUSTOMERS.rows(desk, 3)
    plan_id = desk.plan(rows, "customers").plan.plan_id
    same, other = rows[0], {**rows[1], "creditLimit": 7}
    desk.written("customers", [same, other])
    desk.faults(f"duplicates={kind}")
    report = desk.apply(plan_id)
    states = [(o.state, o.remote_id is not None) for o in report.operations]
    assert states == [("applied", True), ("rejected", True), ("applied", True)]
    [(code, _, message)] = errors_of(report)
    assert code == "DUPLICATE_VALUE"
    assert "another value in creditLimit" in message


@pytest.mark.parametrize("kind", ["plain", "whole"])
def test_an_update_to_what_another_record_has_already_is_a_conflict(desk: Desk, kind: str) -> None:
    first, second = desk.written("customers", CUSTOMERS.rows(desk, 2))
    row = {"id": second["id"], "email": f"new@{desk.word}.example"}
    plan_id = desk.plan([row], "customers").plan.plan_id
    desk.write(f"/customers/{first['id']}", {"email": row["email"]}, "PUT")
    desk.faults(f"duplicates={kind}")
    report = desk.apply(plan_id)
    [(code, field, _)] = errors_of(report)
    assert (report.exit_code, code, field) == (3, "CONFLICT", "email")
