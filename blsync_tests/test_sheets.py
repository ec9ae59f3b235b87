"""A sheet as a person makes it goes through a push: the file, the plan, BigLedger."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import openpyxl
import pytest
from rig import commands, office, typed_sheets
from rig.push_desk import Desk, Row, errors_of, opened, rows_of, sent_invoices, server
from rig.typed_sheets import TYPED, TypedSheet, live

from blsync import push
from blsync.cli.app import app
from blsync.errors import ConfigError, InputFileError
from blsync.push import ReadingOptions
from blsync.push.template import write_template


@pytest.fixture(scope="module")
def sandbox() -> Iterator[httpx.Client]:
    with server() as http:
        yield http


@pytest.mark.parametrize("make", TYPED, ids=lambda make: make.__name__)
def test_a_workbook_as_a_person_types_it_is_planned_at_the_first_try_and_applied_to_the_cent(
    desk: Desk, make: Callable[[Desk], TypedSheet]
) -> None:
    typed = make(desk)
    report = desk.plan(typed.path, typed.endpoint)
    assert errors_of(report) == []
    assert report.counts["create"] == len(typed.meant)
    told = {(r["column"], r["cell"], r["read_as"]) for r in report.to_json()["readings"]}
    assert told >= set(typed.read), told
    for note in typed.notes:
        assert note in " ".join(report.notes)
    applied = desk.apply(report.plan.plan_id)
    assert (applied.exit_code, applied.outcomes["verified"]) == (0, len(typed.meant))
    there = live(desk, typed)
    for key, values in typed.meant.items():
        for name, value in values.items():
            has = there[key][name]
            assert (Decimal(has) if isinstance(value, Decimal) else has) == value, (key, name)
    again = desk.plan(typed.path, typed.endpoint)
    assert again.counts["create"] == 0


def test_a_plan_tells_people_what_was_read_whom_it_names_and_what_to_do_next(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = typed_sheets.invoices(desk)
    app(["push", "plan", "invoices", str(typed.path)], standalone_mode=False)
    told = " ".join(capsys.readouterr().out.split())
    plan_id = commands.list_plans(desk.settings)[0]["plan_id"]
    customer = desk.seeded()
    item = desk.records("/items")[0]
    assert "read: invoiceDate: 2 cells read, day first, as the column proves" in told
    assert "read: 'Unit Price' is items.unitPrice (header: the last part of its name)" in told
    for part in (customer["name"].split()[0], item["itemCode"], "total: 2,661.00", "2 lines"):
        assert part in told
    assert f"company: company_sandbox, at {desk.settings.companies()[0].base_url}" in told
    assert told.rstrip().endswith(f"next: blsync push apply {plan_id}")
    app(["push", "show", plan_id, "--json"], standalone_mode=False)
    shown = json.loads(capsys.readouterr().out)
    assert [o["sheet_row"] for o in shown["operations"]] == [2, 4]
    assert [o["row"] for o in shown["operations"]] == [1, 3]
    assert shown["operations"][0]["names"]["customerId"] == customer["name"]
    assert [r["column"] for r in shown["readings"] if "first" in r["rule"]] == ["invoiceDate"]


def test_what_may_mean_two_things_is_rejected_with_both_or_decided_by_an_option(
    desk: Desk,
) -> None:
    [invoice] = sent_invoices(desk, 1)
    day = desk.today.replace(day=min(desk.today.day, 12), month=1)
    text = (
        "reference,Invoice No,Amount,Date\n"
        f'{desk.word}-1,{invoice["invoiceNumber"]},"1,234",{day:%d/%m/%Y}\n'
    )
    if day.day == day.month:
        day = day.replace(day=2)
        text = text.replace("01/01/", "02/01/")
    [(_, _, told)] = errors_of(desk.plan(text, "payments"))
    assert "1234 or 1.234" in told or "1.234 or 1234" in told
    assert f"{day.isoformat()} (dmy)" in told
    assert "--dates dmy, mdy or ymd" in told
    reading = ReadingOptions(dates="dmy", decimals="comma")
    [(code, field, _)] = errors_of(desk.plan(text, "payments", reading=reading))
    assert (code, field) != ("INVALID_FORMAT", "paymentDate")
    for wrong in (ReadingOptions(dates="dym"), ReadingOptions(decimals="dot")):
        with pytest.raises(ConfigError, match="is none of"):
            desk.plan(text, "payments", reading=wrong)


def test_a_map_is_remembered_for_the_next_sheet_with_the_same_headers(desk: Desk) -> None:
    first = f"Cust Email,Company\na@{desk.word}.example,A\n"
    second = f"company,Cust  Email,_row\nB,b@{desk.word}.example,1\n"
    other = f"Cust Email,Company,Phone\nc@{desk.word}.example,C,1\n"
    with pytest.raises(InputFileError, match="no column that names each customer"):
        desk.plan(first)
    mapped = desk.plan(first, reading=ReadingOptions(maps=("Cust Email=email",)))
    assert mapped.counts["create"] == 1
    again = desk.plan(second)
    assert again.counts["create"] == 1
    assert "as --map said before" in str(again.readings)
    with pytest.raises(InputFileError):
        desk.plan(other)
    known = desk.settings.data / "push" / "headers.json"
    known.write_text("[]")
    with pytest.raises(ConfigError, match=r"headers\.json is not what --map wrote"):
        desk.plan(second)


def test_rejects_keep_the_sheets_own_headers_and_need_no_more_said(desk: Desk) -> None:
    text = (
        "Cust Email;Company;Limit;Remarks\n"
        f"a@{desk.word}.example;A;1,50;x\nb@{desk.word}.example;;2,50;call\n"
    )
    mend = desk.folder / "mend.csv"
    desk.plan(text, reading=ReadingOptions(maps=("Cust Email=email",)), rejects=mend)
    header, row = mend.read_text("utf-8-sig").splitlines()
    assert header == "Cust Email;Company;Limit;Remarks;_row;_reason"
    assert row.startswith(f'b@{desk.word}.example;;2.50;call;3;"name is needed')
    mend.write_text(f"{header}\n{row.replace(';;', ';B;', 1)}\n")
    assert desk.plan(mend).counts["create"] == 1


def test_rows_whose_key_could_not_be_read_are_not_told_that_they_are_the_same(
    desk: Desk,
) -> None:
    places = desk.records("/stock")[:3]
    lines = ["reference,itemId,locationId,adjustmentType,quantity"]
    lines += [f"{desk.word}-1,{p['itemId']},{p['locationId']},increase,many" for p in places]
    errors = errors_of(desk.plan("\n".join(lines), "inventory-adjustments"))
    assert [(code, field) for code, field, _ in errors] == [("INVALID_FORMAT", "quantity")] * 3
    assert not [told for _, _, told in errors if "the same as" in told]


def test_a_day_in_the_future_is_a_warning_and_one_before_its_invoice_is_refused(
    desk: Desk,
) -> None:
    paid, early = sent_invoices(desk, 2)
    ahead = desk.today.replace(year=desk.today.year + 1)
    before = desk.today.replace(year=desk.today.year - 1)
    text = (
        "reference,invoiceId,amount,paymentDate\n"
        f"{desk.word}-1,{paid['id']},5,{ahead}\n{desk.word}-2,{early['id']},5,{before}\n"
    )
    report = desk.plan(text, "payments")
    one, two = (rows_of(report)[n] for n in (1, 2))
    assert one.warnings == (f"paymentDate {ahead} lies in the future; a stricter server refuses "
                            "that",)  # fmt: skip
    assert "must be the invoiceDate" in str((two.error or {})["message"])


def test_all_that_is_wrong_with_a_row_is_told_at_once(desk: Desk) -> None:
    text = (
        "Count No,SKU,Warehouse,Qty,Date\n"
        f"{desk.word}-1,NONE-1,nowhere,-3,31/11/2026\n{desk.word}-2,NONE-1,nowhere,2,\n"
    )
    first, second = (told for _, _, told in errors_of(desk.plan(text, "inventory-adjustments")))
    for part in ("quantity '-3'", "itemCode 'NONE-1'", "locationId 'nowhere'", "date '31/11/2026'"):
        assert part in first
    for told in (first, second):
        assert "adjustmentType is needed" in told
    entry = f"Voucher No,Date,Account,Dr,Cr\n{desk.word}-1,{desk.today},6030,1O0,\n,,NONE-1,,100\n"
    [(_, _, told)] = errors_of(desk.plan(entry, "journal-entries"))
    assert "lines[0].debit (row 2) '1O0'" in told
    assert "lines[1].accountNumber (row 3) 'NONE-1' must name one" in told


def test_an_invoice_may_name_its_customer_by_number(desk: Desk) -> None:
    customer = desk.seeded()
    text = (
        "Ref,Debtor Code,Date,Description,Qty,Price\n"
        f"{desk.word}-1,{customer['customerNumber']},{desk.today},Work,2,5.50\n"
        f"{desk.word}-2,NONE-1,{desk.today},Work,2,5.50\n"
    )
    report = desk.plan(text, "invoices")
    [(_, field, _)] = errors_of(report)
    assert field == "customer.customerNumber"
    assert desk.apply(report.plan.plan_id).outcomes["verified"] == 1
    [made] = desk.records("/invoices", **{"reference[startswith]": f"{desk.word}-"})
    assert (made["customerId"], made["subtotal"]) == (customer["id"], 11)


# Templates


def filled(desk: Desk, endpoint: str) -> list[Row]:
    """Return a row to be written into each template, under its own headers."""
    day, word = typed_sheets.day_before(desk), desk.word
    item, stock = desk.records("/items")[0], desk.records("/stock")[0]
    codes = {each["id"]: each["itemCode"] for each in desk.records("/items")}
    rows: dict[str, list[Row]] = {
        "customers": [
            {"Email *": f"t@{word}.example", "Name *": "T", "Status": "active",
             "Billing Address Postal Code": "05400", "Payment Terms (days)": 30,
             "Credit Limit": 1500.5},
        ],
        "invoices": [
            {"Customer Email *": desk.seeded()["email"], "Reference *": f"{word}-1",
             "Invoice Date": day, "Items Item Code": item["itemCode"], "Items Quantity *": 2,
             "Items Unit Price": 10.5, "Items Tax Rate (%)": 6},
            {"Items Description": "Delivery", "Items Quantity *": 1, "Items Unit Price": 5},
        ],
        "payments": [
            {"Reference *": f"{word}-1", "Payment Method": "cheque", "Amount *": 10.25,
             "Payment Date": desk.today},
        ],
        "journal-entries": [
            {"Reference *": f"{word}-1", "Date *": day, "Lines Account Number *": "6030",
             "Lines Debit": 9.5},
            {"Lines Account Number *": "1010", "Lines Credit": 9.5},
        ],
        "inventory-adjustments": [
            {"Reference *": f"{word}-1", "Item Code *": codes[stock["itemId"]],
             "Location Id *": stock["locationId"], "Adjustment Type *": "increase",
             "Quantity *": 3, "Unit Cost": 1.25, "Reason": "found", "Date": day},
        ],
    }  # fmt: skip
    if endpoint == "payments":
        [invoice] = sent_invoices(desk, 1)
        rows["payments"][0]["Invoice Number *"] = invoice["invoiceNumber"]
    return rows[endpoint]


def fill_in(path: Path, rows: list[Row]) -> None:
    book = openpyxl.load_workbook(path)
    page: Any = book.worksheets[0]
    columns = {cell.value: cell.column for cell in page[1]}
    for number, row in enumerate(rows, start=3):
        for header, value in row.items():
            page.cell(number, columns[header], value)
    book.save(path)


def plans_without_a_word(desk: Desk, path: Path, endpoint: str) -> None:
    report = desk.plan(path, endpoint)
    assert errors_of(report) == []
    assert report.counts["create"] == 1
    assert report.readings == []
    assert report.notes == (f"{path.name}: row 2 is left out: the example.",)
    applied = desk.apply(report.plan.plan_id)
    assert (applied.exit_code, applied.outcomes["verified"]) == (0, 1)


@pytest.mark.deep_after(3)
@pytest.mark.parametrize("endpoint", push.ENDPOINTS)
def test_a_template_that_was_filled_in_plans_without_a_word(desk: Desk, endpoint: str) -> None:
    path = desk.folder / f"{endpoint}.xlsx"
    app(["push", "template", endpoint, "--output", str(path)], standalone_mode=False)
    with pytest.raises(InputFileError, match=r"no rows below its header.*the example"):
        desk.plan(path, endpoint)
    fill_in(path, filled(desk, endpoint))
    plans_without_a_word(desk, path, endpoint)


def as_typed(value: Any) -> str:
    """Return what a person's hands type for a value, where days are written day first."""
    if isinstance(value, date):
        return f"{value:%d/%m/%Y}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


@pytest.fixture(scope="module")
def typed_in_office(
    sandbox: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Have the template of every endpoint filled in by LibreOffice; endpoint → what it saved.

    In the folder `twins` above it the same values are written without that program.
    """
    folder = tmp_path_factory.mktemp("office")
    with pytest.MonkeyPatch.context() as patch, opened(sandbox, folder, patch) as desk:
        company = desk.settings.companies()[0]
        publish_names(desk)
        typed: dict[Path, dict[tuple[int, int], str]] = {}
        for endpoint in push.ENDPOINTS:
            path = folder / f"{endpoint}.xlsx"
            is_listed = endpoint == "inventory-adjustments"
            write_template(desk.settings, company, endpoint, path, with_data=is_listed)
            page: Any = openpyxl.load_workbook(path).worksheets[0]
            columns = {cell.value: cell.column for cell in page[1]}
            rows = filled(desk, endpoint)
            typed[path] = {
                (number, columns[header]): as_typed(value)
                for number, row in enumerate(rows, start=3)
                for header, value in row.items()
            }
            twin = folder / "twins" / path.name
            twin.parent.mkdir(exist_ok=True)
            fill_in(Path(shutil.copy(path, twin)), rows)
    return dict(zip(push.ENDPOINTS, office.type_into(folder, typed), strict=True))


@pytest.mark.deep
@pytest.mark.skipif(
    office.program() is None,
    reason="there is no LibreOffice on PATH: apt-get install libreoffice-calc-nogui",
)
@pytest.mark.parametrize("endpoint", push.ENDPOINTS)
def test_a_template_that_was_filled_in_with_libreoffice_plans_without_a_word(
    desk: Desk, typed_in_office: dict[str, Path], endpoint: str
) -> None:
    path = typed_in_office[endpoint]
    twin = desk.plan(path.parent.parent / "twins" / path.name, endpoint)
    assert desk.plan(path, endpoint).plan.plan_id == twin.plan.plan_id
    plans_without_a_word(desk, path, endpoint)


def test_a_template_marks_what_is_needed_and_offers_the_choices(desk: Desk) -> None:
    path = desk.folder / "t.xlsx"
    company = desk.settings.companies()[0]
    write_template(desk.settings, company, "payments", path)
    page: Any = openpyxl.load_workbook(path).worksheets[0]
    headers = [cell.value for cell in page[1]]
    assert headers[:3] == ["Invoice Number *", "Amount *", "Reference *"]
    assert "written like 5000.00" in page["B1"].comment.text
    lists = [found.formula1 for found in page.data_validations.dataValidation]
    assert '"bank_transfer,duitnow,fpx,cheque,cash,credit_card,e_wallet,other"' in lists
    with pytest.raises(ConfigError, match=r"name it \.xlsx"):
        write_template(desk.settings, company, "payments", desk.folder / "t.csv")


# Thirty rows by somebody who has read the template and the messages


def thirty(desk: Desk, endpoint: str) -> tuple[list[str], list[Row]]:
    """Return a header and thirty rows, three of them with a slip of the pen."""
    day = typed_sheets.day_before(desk)
    word, customer = desk.word, desk.seeded()["email"]
    codes = {each["id"]: each["itemCode"] for each in desk.records("/items")}
    numbers = range(30)
    if endpoint == "customers":
        rows = [
            {"Email": f"c{n}@{word}.example", "Name": f"Kedai {n}", "Status": "Active",
             "Credit Limit": f"{n + 1},500.00"} for n in numbers
        ]  # fmt: skip
        rows[3]["Email"], rows[4]["Status"] = "c3", "sleeping"
    elif endpoint == "invoices":
        rows = [
            {"Customer Email": customer, "Reference": f"{word}-{n}",
             "Invoice Date": f"{day:%d/%m/%Y}", "Item Code": codes[min(codes)], "Quantity": n + 1,
             "Unit Price": f"RM {n + 1}.50"} for n in numbers
        ]  # fmt: skip
        rows[3]["Item Code"], rows[4]["Quantity"] = "NONE-1", "ten"
    elif endpoint == "payments":
        rows = [
            {"Invoice Number": invoice["invoiceNumber"], "Amount": f"{n + 1}.00",
             "Reference": f"{word}-{n}", "Payment Date": f"{desk.today:%d-%b-%y}",
             "Payment Method": "Cheque"} for n, invoice in enumerate(sent_invoices(desk, 30))
        ]  # fmt: skip
        rows[3]["Payment Method"], rows[4]["Amount"] = "barter", "9,999.00"
    elif endpoint == "journal-entries":
        rows = [
            line
            for n in numbers
            for line in (
                {"Date": f"{day:%d/%m/%Y}", "Reference": f"{word}-{n}", "Account": "6030",
                 "Debit": f"{n + 1}.00", "Credit": ""},
                {"Date": "", "Reference": "", "Account": "1010", "Debit": "",
                 "Credit": f"{n + 1}.00"},
            )
        ]  # fmt: skip
        rows[6]["Account"], rows[9]["Credit"] = "9999999", "7.00"
    else:
        places = desk.records("/stock")
        rows = [
            {"Reference": f"{word}-{n}", "Item Code": codes[place["itemId"]],
             "Location": place["locationId"], "Type": "Increase", "Quantity": n + 1,
             "Unit Cost": "1.25", "Reason": "Found", "Date": f"{day:%d/%m/%Y}"}
            for n in numbers
            for place in [places[n % len(places)]]
        ]  # fmt: skip
        rows[3]["Location"], rows[4]["Quantity"] = "loc_none", "-3"
    return list(rows[0]), rows


MENDED: dict[str, dict[int, Row]] = {
    "customers": {0: {"Email": "c3@{word}.example"}, 1: {"Status": "inactive"}},
    "invoices": {0: {"Item Code": "{code}"}, 1: {"Quantity": "10"}},
    "payments": {0: {"Payment Method": "cash"}, 1: {"Amount": "9.00"}},
    "journal-entries": {0: {"Account": "6030"}, 3: {"Credit": "5.00"}},
    "inventory-adjustments": {0: {"Location": "{place}"}, 1: {"Quantity": "3"}},
}
"""Endpoint → row of the rejects → what somebody writes there who has read the reason."""


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("endpoint", push.ENDPOINTS)
def test_thirty_rows_by_somebody_who_reads_the_messages_are_verified_after_one_mend(
    desk: Desk, endpoint: str
) -> None:
    header, rows = thirty(desk, endpoint)
    path, mend = desk.folder / "thirty.csv", desk.folder / "mend.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    report = desk.plan(path, endpoint, rejects=mend)
    assert report.counts["create"] == 28, errors_of(report)
    assert report.counts["reject"] == 2
    first = desk.apply(report.plan.plan_id)
    codes = sorted(each["id"] for each in desk.records("/items"))
    known = {
        "word": desk.word,
        "code": next(r["itemCode"] for r in desk.records("/items") if r["id"] == codes[0]),
        "place": desk.records("/stock")[3]["locationId"],
    }
    with mend.open(encoding="utf-8-sig", newline="") as file:
        again = list(csv.DictReader(file))
    assert all(row["_reason"] for row in again if row["_row"] and row["Reference" if "Reference" in
               row else "Email"])  # fmt: skip
    for number, values in MENDED[endpoint].items():
        again[number] |= {name: value.format(**known) for name, value in values.items()}
    with mend.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(again[0]))
        writer.writeheader()
        writer.writerows(again)
    mended = desk.plan(mend, endpoint)
    assert errors_of(mended) == []
    second = desk.apply(mended.plan.plan_id)
    assert first.outcomes["verified"] + second.outcomes["verified"] == 30


@pytest.fixture
def published(desk: Desk) -> str:
    """Publish the names of the sandbox's records; return an item's code."""
    return publish_names(desk)


def publish_names(desk: Desk) -> str:
    """Write the items and a location of the sandbox where the marts would have them."""
    company = desk.settings.companies()[0].company_id
    desk.settings.data.mkdir(parents=True, exist_ok=True)
    items = [(company, r["itemCode"], r["name"], "pcs", 1) for r in desk.records("/items")]
    with duckdb.connect(str(desk.settings.data / "blsync.duckdb")) as db:
        db.execute("create schema finance")
        db.execute(
            "create table finance.items (company_id text, item_code text, item_name text, "
            "unit text, selling_price decimal(18, 2), is_deleted bool default false, "
            "is_active bool default true)"
        )
        db.executemany(
            "insert into finance.items(company_id, item_code, item_name, unit, selling_price) "
            "values (?, ?, ?, ?, ?)",
            [*items, ("another", "SECRET-1", "of another company", "pcs", 1)],
        )
        db.execute(
            "create table finance.stock_on_hand as select "
            f"'{company}' as company_id, 'loc_main' as location_id"
        )
    return items[0][1]


def test_a_template_with_data_lists_what_the_companys_marts_know(
    desk: Desk, published: str
) -> None:
    path = desk.folder / "adjust.xlsx"
    company = desk.settings.companies()[0]
    sheets = write_template(desk.settings, company, "inventory-adjustments", path, with_data=True)
    assert sheets == ["inventory-adjustments", "_guide", "_items", "_locations"]
    book: Any = openpyxl.load_workbook(path)
    codes = [row[0] for row in book["_items"].iter_rows(min_row=2, values_only=True)]
    assert sorted(codes) == sorted(r["itemCode"] for r in desk.records("/items"))
    lists = [found.formula1 for found in book.worksheets[0].data_validations.dataValidation]
    assert f"'_items'!$A$2:$A${len(codes) + 1}" in lists
    fill_in(path, filled(desk, "inventory-adjustments"))
    plans_without_a_word(desk, path, "inventory-adjustments")


def test_a_name_that_nobody_has_is_told_with_the_nearest_known_of_the_company(
    desk: Desk, published: str
) -> None:
    place = desk.records("/stock")[0]["locationId"]
    slip = f"{published}X"
    rows = [
        {"reference": f"{desk.word}-{n}", "itemCode": code, "locationId": place,
         "adjustmentType": "increase", "quantity": 1}
        for n, code in enumerate((slip, "SECRET-2"))
    ]  # fmt: skip
    near, far = (told for _, _, told in errors_of(desk.plan(rows, "inventory-adjustments")))
    assert f"itemCode '{slip}' must name one item" in near
    assert f"the nearest known are '{published}'" in near
    assert "SECRET-1" not in far
