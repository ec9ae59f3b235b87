"""Keys as people paste them: one record stays one, whatever nobody sees is in its key."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from rig.push_desk import Desk, Row, errors_of

from blsync.errors import SafetyLimit
from blsync.push import PlanReport
from blsync.push.token import unmarked


def actions(report: PlanReport) -> list[str]:
    return [operation.action for operation in report.operations]


def invoice(desk: Desk, reference: str, **columns: object) -> Row:
    return {
        "reference": reference,
        "customerId": desk.seeded()["id"],
        "invoiceDate": desk.today,
        "items": [{"description": "Work", "quantity": 1, "unitPrice": 10}],
        **columns,
    }


DRESSED = {
    "a word joiner inside": "{0}\u2060{1}",
    "a soft hyphen and a direction mark": "\u200e{0}\u00ad{1}\u200f",
    "a byte-order mark before it": "\ufeff{0}{1}",
    "MAILTO in capitals": "MAILTO:{0}{1}",
    "curly quotes": "\u201c{0}{1}\u201d",
    "angle brackets": "<{0}{1}>",
    "a no-break space behind it": "{0}{1}\u00a0",
    "a variation selector": "{0}{1}\ufe0f",
    "mailto in quotes": "'mailto:{0}{1}'",
}


@pytest.mark.parametrize("dress", DRESSED)
def test_an_email_in_wrappers_or_with_invisible_characters_updates_its_customer(
    desk: Desk, dress: str
) -> None:
    there = desk.seeded()
    written = DRESSED[dress].format(there["email"][:5], there["email"][5:])
    report = desk.plan([{"email": written, "name": f"Under {dress}"}])
    assert actions(report) == ["update"]
    assert report.operations[0].remote_id == there["id"]


def test_full_width_letters_are_the_plain_ones_of_a_key(desk: Desk) -> None:
    there = desk.seeded()
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in there["email"])
    assert actions(desk.plan([{"email": wide, "name": "Wide"}])) == ["update"]


def test_a_new_customer_is_sent_under_the_email_that_is_meant(desk: Desk) -> None:
    report = desk.plan([{"email": "mailto:\u200bNew@x.example", "name": "New"}])
    desk.apply(report.plan.plan_id)
    [created] = desk.named("new@x.example")
    assert created["email"].casefold() == desk.own("new@x.example")


@pytest.mark.parametrize("twin", ["{}\u2060", "\u200f{}", "'{}'", "{}\u00ad", "'{}", '="{}"'])
def test_references_that_only_look_the_same_are_twins(desk: Desk, twin: str) -> None:
    reference = f"{desk.word}-PO 1"
    lines = f"{desk.seeded()['email']},{desk.today},Work,1,10"
    text = "reference,customer.email,invoiceDate,items.description,items.quantity,items.unitPrice\n"
    odd = twin.format(reference)
    odd = f'"{odd.replace(chr(34), chr(34) * 2)}"'
    for first, second in ((reference, odd), (odd, reference)):
        report = desk.plan(f"{text}{first},{lines}\n{second},{lines}\n", "invoices", mode="create")
        assert actions(report) == ["reject", "reject"]
        assert all(code in ("DUPLICATE_VALUE", "INVALID_FORMAT") for code, *_ in errors_of(report))


def test_a_reference_pushed_plain_is_found_again_with_characters_that_nobody_sees(
    desk: Desk,
) -> None:
    desk.apply(desk.plan([invoice(desk, f"{desk.word}-A 7")], "invoices").plan.plan_id)
    again = desk.plan([invoice(desk, f"{desk.word}-A\u00a07\u200b")], "invoices", mode="create")
    assert actions(again) == ["adopt"]


@pytest.mark.parametrize("other", ["case", "width"])
def test_a_reference_in_other_letters_is_not_sent_twice(desk: Desk, other: str) -> None:
    reference = f"{desk.word}-Bil-8"
    wide = "".join(chr(ord(c) + 0xFEE0) if c != "-" else c for c in reference)
    first, second = (reference, reference.upper()) if other == "case" else (wide, reference)
    desk.apply(desk.plan([invoice(desk, first)], "invoices", mode="create").plan.plan_id)
    again = desk.plan([invoice(desk, second)], "invoices", mode="create")
    assert actions(again) == ["adopt"]


def test_of_two_plans_of_one_reference_in_other_letters_only_the_newer_is_sent(desk: Desk) -> None:
    old = desk.plan([invoice(desk, f"{desk.word}-\u00c9-9")], "invoices", mode="create").plan
    desk.now += timedelta(seconds=1)
    desk.plan([invoice(desk, f"{desk.word}-\u00e9-9")], "invoices", mode="create")
    with pytest.raises(SafetyLimit):
        desk.apply(old.plan_id)


def test_a_reference_that_is_a_number_is_a_text_of_its_digits(desk: Desk) -> None:
    row = invoice(desk, "") | {"reference": 40012}
    [operation] = desk.plan([row], "invoices", mode="create").operations
    assert (operation.action, operation.natural_key) == ("create", "40012")


def test_a_code_with_invisible_characters_names_the_record_that_has_it(desk: Desk) -> None:
    number = "6030"
    lines = [
        {"accountNumber": f"\u200b{number}\u200e", "debit": 5},
        {"accountNumber": "'1010", "credit": 5},
    ]
    row = {"reference": f"{desk.word}-J", "date": desk.today, "lines": lines}
    assert actions(desk.plan([row], "journal-entries")) == ["create"]


def test_orders_whose_numbers_a_spreadsheet_shortened_alike_never_become_one(desk: Desk) -> None:
    text = (
        "reference,date,lines.accountNumber,lines.debit,lines.credit\n"
        f"4.40012E+11,{desk.today},6030,5,\n4.40012E+11,{desk.today},1010,,5\n"
    )
    report = desk.plan(text, "journal-entries", mode="create")
    assert actions(report) == ["reject", "reject"]
    assert all("a spreadsheet made a number of it" in told for *_, told in errors_of(report))


def test_a_reference_that_only_looks_like_one_with_a_token_is_its_own(desk: Desk) -> None:
    plain, alike = f"{desk.word}-9", f"{desk.word}-9~deadbeef"
    rows = [invoice(desk, plain), invoice(desk, alike)]
    report = desk.plan(rows, "invoices", mode="create")
    assert actions(report) == ["create", "create"]
    desk.apply(report.plan.plan_id)
    params = {"reference[startswith]": plain}
    found = sorted(unmarked(r["reference"]) for r in desk.records("/invoices", **params))
    assert found == [plain, alike]
    assert actions(desk.plan(rows, "invoices", mode="create")) == ["adopt", "adopt"]


def test_a_reference_as_it_was_sent_names_its_record_again(desk: Desk) -> None:
    row = invoice(desk, f"{desk.word}-10")
    desk.apply(desk.plan([row], "invoices").plan.plan_id)
    [there] = desk.records("/invoices", **{"reference[startswith]": f"{desk.word}-10"})
    again = desk.plan([{**row, "reference": there["reference"]}], "invoices", mode="create")
    assert actions(again) == ["adopt"]
    changed = {**row, "id": there["id"], "reference": there["reference"], "notes": "changed"}
    [update] = desk.plan([changed], "invoices").operations
    assert (update.action, list(json.loads(update.changes))) == ("update", ["notes"])
