"""What batches alone take: suppliers, items, accounts and bills, from a sheet to their end."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from rig import commands
from rig.push_desk import (
    BATCH_KINDS,
    Desk,
    Kind,
    Row,
    account_rows,
    bill_rows,
    errors_of,
    item_rows,
    supplier_rows,
)

from blsync import push
from blsync.errors import ConfigError, InputFileError
from blsync.push.compare import to_text
from blsync.push.template import write_template


@pytest.fixture(autouse=True)
def batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "batch")


SHEETS = {
    "suppliers": "Email,Name,Payment Terms.Terms Days,Credit Limit,Address.City\n"
    "a@x.example,Kilang Satu,30,1000.00,Klang\nb@x.example,Kilang Dua,14,,\n",
    "items": "Item Code,Name,Type,Category,Selling Price,Tax Code,Reorder Level\n"
    "WORD-A,Paku,inventory,Hardware,1.50,SST-10,40\nWORD-B,Kerja,service,,80.00,,\n",
    "accounts": "Account Number,Name,Type,Category,Parent Number\n"
    "WORD-A,Petrol,expense,operating_expense,6000\nWORD-B,Tol,expense,operating_expense,6000\n",
    "bills": "Supplier Invoice Number,supplier.email,Bill Date,items.description,items.quantity,"
    "items.unitPrice,items.accountCode\n"
    "WORD-A,SUPPLIER,2026-03-31,Rent,1,1200.00,6030\n"
    ",,,Water,1,80.50,6030\n"
    "WORD-B,SUPPLIER,2026-03-31,Rent,1,1200.00,6030\n",
}


def sheet(desk: Desk, endpoint: str) -> Path:
    supplier = next(o for o in desk.records("/suppliers") if o["email"] and o["status"] == "active")
    text = SHEETS[endpoint].replace("WORD", desk.word).replace("SUPPLIER", supplier["email"])
    return desk.file(text, f"{endpoint}.csv")


@pytest.mark.parametrize("endpoint", SHEETS)
def test_a_sheet_is_planned_sent_verified_and_does_nothing_a_second_time(
    desk: Desk, endpoint: str
) -> None:
    planned = desk.plan(sheet(desk, endpoint), endpoint)
    assert (errors_of(planned), planned.counts["create"]) == ([], 2)
    done = desk.apply(planned.plan.plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 2)
    again = desk.plan(sheet(desk, endpoint), endpoint)
    assert again.counts["noop"] == 2
    posts = desk.posts()
    assert desk.apply(again.plan.plan_id).exit_code == 0
    assert desk.posts() == posts


def test_bulk_requests_take_none_of_them_and_say_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan_id = desk.plan(sheet(desk, "suppliers"), "suppliers").plan.plan_id
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "bulk")
    company = desk.settings.companies()[0]
    desk.forget_requests()
    for asked in (
        lambda: desk.plan(sheet(desk, "suppliers"), "suppliers"),
        lambda: desk.apply(plan_id),
        lambda: write_template(desk.settings, company, "suppliers", tmp_path / "s.xlsx"),
    ):
        with pytest.raises(ConfigError, match="suppliers are pushed in batches alone") as caught:
            asked()
        assert caught.value.exit_code == 2
    assert desk.posts() == 0


@pytest.mark.parametrize("kind", BATCH_KINDS, ids=str)
def test_each_has_a_template_that_is_planned_as_it_is(
    desk: Desk, kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "form.xlsx"
    company = desk.settings.companies()[0]
    write_template(desk.settings, company, kind.endpoint, path)
    book = openpyxl.load_workbook(path)
    headers = [cell.value for cell in book.worksheets[0][1]]
    needed = push.endpoint_named(kind.endpoint).required
    assert sum(str(header).endswith(" *") for header in headers) >= len(needed) - 1
    with pytest.raises(InputFileError, match=r"no rows below its header.*the example"):
        desk.plan(path, kind.endpoint)
    page: Any = book.worksheets[0]
    supplier = next(o for o in desk.records("/suppliers") if o["email"] and o["status"] == "active")
    for column, value in flat(kind.rows(desk, 1)[0]).items():
        at = next(
            c.column for c in page[1] if c.comment and c.comment.text.startswith(f"{column}:")
        )
        page.cell(row=3, column=at, value=supplier["email"] if value == "SUPPLIER" else value)
    book.save(path)
    report = desk.plan(path, kind.endpoint)
    assert (errors_of(report), report.counts["create"]) == ([], 1)


def flat(row: Row) -> Row:
    """Write a row as a sheet has it, its one line and its parts in columns."""
    found: Row = {}
    for name, value in row.items():
        inner = value[0] if isinstance(value, list) else value
        if isinstance(inner, dict):
            found |= {f"{name}.{part}": each for part, each in inner.items()}
        elif name != "supplierId":
            found[name] = inner
        else:
            found["supplier.email"] = "SUPPLIER"
    return found


CHANGES: dict[str, tuple[Row, Row]] = {
    "suppliers": (
        {"paymentTerms": {"termsDays": 60}, "phone": "+60 3-1234 5678"},
        {"paymentTerms": {"termsDays": 14}, "phone": None},
    ),
    "items": (
        {"sellingPrice": 9, "category": "Repairs", "reorderLevel": 7},
        {"sellingPrice": Decimal("2.05"), "category": "Services", "reorderLevel": 1},
    ),
    "accounts": ({"name": "Petrol and tolls"}, {"name": "Account 1"}),
    "bills": ({"notes": "checked", "dueDate": "2027-12-31"}, {"notes": None}),
}


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("kind", BATCH_KINDS, ids=str)
def test_what_is_changed_is_compared_sent_alone_and_taken_back(desk: Desk, kind: Kind) -> None:
    [row] = kind.rows(desk, 1)
    assert desk.apply(desk.plan([row], kind.endpoint).plan.plan_id).exit_code == 0
    endpoint = push.endpoint_named(kind.endpoint)
    key = {name: row[name] for name in (endpoint.natural_key, *endpoint.parts)}
    changed, _ = CHANGES[kind.endpoint]
    report = desk.plan([{**key, **changed}], kind.endpoint)
    assert report.counts["update"] == 1
    plan_id = report.plan.plan_id
    done = desk.apply(plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 1)
    assert desk.plan([{**key, **changed}], kind.endpoint).counts["noop"] == 1
    undo = desk.undo(plan_id)
    if kind.endpoint == "bills":  # a due date cannot be emptied, and was there before
        assert undo.counts["update"] == 1
    back = desk.apply(undo.plan.plan_id)
    assert (back.exit_code, back.outcomes["verified"]) == (0, 1)
    assert desk.plan([row], kind.endpoint).counts["noop"] == 1


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("kind", BATCH_KINDS, ids=str)
def test_what_was_created_is_deleted_where_batches_can_and_left_to_a_person_where_not(
    desk: Desk, kind: Kind
) -> None:
    plan_id = desk.plan(kind.rows(desk, 2), kind.endpoint).plan.plan_id
    assert desk.apply(plan_id).exit_code == 0
    undo = desk.undo(plan_id)
    if kind.endpoint in ("accounts", "bills"):
        assert undo.counts["blocked"] == 2
        assert {code for code, _, _ in errors_of(undo)} == {"NEEDS_A_PERSON"}
        assert len(kind.live(desk)) == 2
        return
    assert undo.counts["delete"] == 2
    assert desk.apply(undo.plan.plan_id).exit_code == 0
    assert kind.live(desk) == {}


@pytest.mark.parametrize(
    ("endpoint", "row", "code", "told"),
    [
        ("suppliers", {"email": "taken", "creditLimit": -1}, "MIN_VALUE", "creditLimit"),
        ("items", {"itemCode": "X", "name": "x"}, "REQUIRED_FIELD", "type is needed"),
        ("accounts", {"accountNumber": "X", "name": "x", "type": "cost"}, None, "must be asset"),
        ("bills", {"supplierInvoiceNumber": "X"}, "REQUIRED_FIELD", "supplierId is needed"),
    ],
    ids=["suppliers", "items", "accounts", "bills"],
)
def test_what_is_wrong_with_a_row_is_told_in_the_plan(
    desk: Desk, endpoint: str, row: Row, code: str | None, told: str
) -> None:
    if row.get("email") == "taken":
        row = {**row, "email": f"r@{desk.word}.example", "name": "x"}
    report = desk.plan([row], endpoint)
    [(found, _, message)] = errors_of(report)
    assert told in message
    assert code in (None, found) or endpoint == "suppliers"


def test_bank_details_of_a_supplier_are_refused_and_nowhere_kept(desk: Desk) -> None:
    secret = "562000111222"
    [row] = supplier_rows(desk, 1)
    for given in ({**row, "bankDetails": {"accountNumber": secret}},):
        with pytest.raises(InputFileError, match="bank details are neither planned nor kept"):
            desk.plan([given], "suppliers")
    header = "email,name,Bank Details.Account Number\n"
    with pytest.raises(InputFileError, match=r"Delete the column 'Bank Details.Account Number'"):
        desk.plan(f"{header}a@x.example,A,{secret}\n", "suppliers")
    made = desk.write(
        "/suppliers",
        {"name": "Kilang", "email": row["email"], "bankDetails": {"accountNumber": secret}},
    )
    said: list[str] = []
    report = desk.plan([{"email": row["email"], "creditLimit": 5}], "suppliers")
    done = desk.apply(report.plan.plan_id, say=said.append)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 1)
    gone = desk.plan([{"email": row["email"]}], "suppliers", mode="delete")
    held: list[Any] = [report.to_json(), done.to_json(), gone.to_json(), said]
    assert secret not in to_text(held)
    for folder, _, names in os.walk(desk.folder / "data"):
        for name in names:
            assert secret.encode() not in (Path(folder) / name).read_bytes(), name
    assert desk.records(f"/suppliers/{made['id']}")["creditLimit"] == 5


def test_a_supplier_whose_bank_details_are_seen_is_not_deleted(desk: Desk) -> None:
    [row] = supplier_rows(desk, 1)
    made = desk.write(
        "/suppliers", {"name": "K", "email": row["email"], "bankDetails": {"accountNumber": "1"}}
    )
    report = desk.plan([{"id": made["id"]}], "suppliers", mode="delete")
    shown = desk.records("/suppliers", email=row["email"])
    assert report.counts["delete" if "bankDetails" not in shown[0] else "reject"] == 1


def test_a_number_of_a_bill_is_one_suppliers_own(desk: Desk) -> None:
    [row] = bill_rows(desk, 1)
    other = desk.write("/suppliers", {"name": "Kilang", "email": f"o@{desk.word}.example"})
    theirs = {**row, "supplierId": other["id"]}
    report = desk.plan([row, theirs], "bills")
    assert report.counts["create"] == 2
    done = desk.apply(report.plan.plan_id)
    assert (done.exit_code, done.outcomes["verified"]) == (0, 2)
    changed = {**row, "notes": "twice"}
    assert desk.plan([changed], "bills", mode="create").counts["reject"] == 1


def test_a_bill_entered_by_others_after_the_plan_is_not_entered_twice(desk: Desk) -> None:
    rows = bill_rows(desk, 2)
    plan_id = desk.plan(rows, "bills").plan.plan_id
    desk.write("/bills", {**rows[0], "billDate": str(rows[0]["billDate"]),
                          "items": [{**rows[0]["items"][0], "unitPrice": 2.05}]})  # fmt: skip
    report = desk.apply(plan_id)
    assert (report.exit_code, report.outcomes["verified"]) == (0, 2)
    found = desk.records("/bills", **{"supplierInvoiceNumber[startswith]": f"{desk.word}-"})
    assert len(found) == 2


def test_a_bill_that_is_owed_is_not_changed(desk: Desk) -> None:
    [row] = bill_rows(desk, 1)
    done = desk.apply(desk.plan([row], "bills").plan.plan_id)
    desk.write(f"/bills/{done.operations[0].remote_id}/approve", {})
    report = desk.plan([{**row, "notes": "late"}], "bills")
    assert errors_of(report)[0][:2] == ("BUSINESS_RULE_VIOLATION", "status")


def test_a_bill_waits_for_the_plan_that_creates_its_supplier(desk: Desk) -> None:
    parent = desk.plan(supplier_rows(desk, 1), "suppliers").plan.plan_id
    [row] = bill_rows(desk, 1)
    del row["supplierId"]
    row["supplier"] = {"email": f"r1@{desk.word}.example"}
    assert errors_of(desk.plan([row], "bills"))[0][0] == "PARENT_PENDING"
    assert desk.apply(parent).exit_code == 0
    assert desk.plan([row], "bills").counts["create"] == 1


def test_a_taken_item_code_or_account_number_is_found_and_compared(desk: Desk) -> None:
    for rows, endpoint in ((item_rows(desk, 1), "items"), (account_rows(desk, 1), "accounts")):
        assert desk.apply(desk.plan(rows, endpoint).plan.plan_id).exit_code == 0
        other = [{**rows[0], "name": "Another"}]
        assert desk.plan(other, endpoint, mode="create").counts["reject"] == 1
        assert desk.plan(other, endpoint).counts["update"] == 1


def test_settle_and_show_work_for_each_of_them(desk: Desk) -> None:
    plans = {}
    for kind in BATCH_KINDS:
        plans[kind] = desk.plan(kind.rows(desk, 2), kind.endpoint).plan.plan_id
    desk.faults("only=writes,drop-after=1")
    for plan_id in plans.values():
        assert desk.apply(plan_id).outcomes["held"] == 2
    desk.faults()
    desk.settled()
    assert {report.exit_code for report in desk.settle()} == {0}
    for plan_id in plans.values():
        assert commands.show(desk.settings, plan_id).outcomes["verified"] == 2
