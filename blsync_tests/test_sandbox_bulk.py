from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from rig.sandbox_api import SMALL, Api, api, assert_books_hold, instant


@pytest.fixture(scope="module")
def shop() -> Iterator[Api]:
    """One that tests may write to; none may count on what others left."""
    with api(SMALL) as client:
        yield client


def test_bulk_records_stand_each_for_themselves(shop: Api) -> None:
    customer = shop.data("/customers", sort="customerNumber", limit=1)[0]
    operations = [
        {"operation": "create", "data": {"name": "陈 New", "email": "bulk1@example.com"}},
        {"operation": "create", "data": {"name": "Twin", "email": "BULK1@example.com"}},
        {"operation": "update", "id": customer["id"], "data": {"creditLimit": 15000}},
        {"operation": "update", "id": "cust_none", "data": {"creditLimit": 1}},
        {"operation": "create", "data": {"name": "", "email": "nonsense", "paymentTerms": 400}},
        {"operation": "explode"},
        "text",
    ]
    status, body = shop.post("/bulk/customers", {"operations": operations})
    data = body["data"]
    assert (status, data["processed"], data["successful"], data["failed"]) == (200, 7, 2, 5)
    codes = [r["error"]["code"] for r in data["results"] if not r["success"]]
    assert codes == ["VALIDATION_ERROR", "CUSTOMER_NOT_FOUND"] + 3 * ["VALIDATION_ERROR"]
    twin = data["results"][1]["error"]
    assert twin["message"] == "Email already exists"
    assert twin["details"][0]["existingId"] == data["results"][0]["data"]["id"]
    fields = {d["field"]: d["code"] for d in data["results"][4]["error"]["details"]}
    assert fields == {
        "name": "REQUIRED_FIELD",
        "email": "INVALID_EMAIL_FORMAT",
        "paymentTerms": "MAX_VALUE",
    }
    changed = shop.data(f"/customers/{customer['id']}")
    assert changed["creditLimit"] == 15000
    assert instant(changed["updatedAt"]) > instant(customer["updatedAt"])
    assert shop.walk("/customers", **{"email[in]": "bulk1@example.com,none@example.com"})


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("customers", 100),
        ("invoices", 50),
        ("inventory-adjustments", 200),
        ("journal-entries", 100),
        ("payments", 100),
    ],
)
def test_too_many_operations_are_refused_as_a_whole(shop: Api, name: str, most: int) -> None:
    operations = [{"operation": "create", "data": {}}] * (most + 1)
    status, body = shop.post(f"/bulk/{name}", {"operations": operations})
    assert (status, body["error"]["code"]) == (422, "VALIDATION_ERROR")
    status, body = shop.post(f"/bulk/{name}", {"operations": operations[1:]})
    assert (status, body["data"]["failed"]) == (200, most)


def operate(client: Api, name: str, *operations: dict[str, Any]) -> list[Any]:
    """Send operations; for each the record, or the code and the rule or field it failed by."""
    status, body = client.post(f"/bulk/{name}", {"operations": list(operations)})
    assert status == 200, body
    told = []
    for result in body["data"]["results"]:
        if result["success"]:
            told.append(result["data"])
        else:
            detail = (result["error"].get("details") or [{}])[0]
            told.append((result["error"]["code"], detail.get("rule") or detail.get("field")))
    return told


def created(record: dict[str, Any]) -> dict[str, Any]:
    return {"operation": "create", "data": record}


def updated(record_id: str, **changes: Any) -> dict[str, Any]:
    return {"operation": "update", "id": record_id, "data": changes}


@pytest.mark.parametrize("operations", [None, [], "text", {}])
def test_a_bulk_request_without_operations_is_refused(shop: Api, operations: Any) -> None:
    status, body = shop.post("/bulk/payments", {"operations": operations})
    assert (status, body["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert shop.post("/bulk/moons", {"operations": [{}]})[0] == 404


def test_customers_are_created_changed_and_deactivated_in_one_request(shop: Api) -> None:
    old = shop.data("/customers", status="active", limit=2, sort="customerNumber:desc")
    taken = old[1]["email"].upper()
    new, changed, off, clash, gone = operate(
        shop,
        "customers",
        created({"name": "Only a phone", "phone": "+60 3-1234 5678", "paymentTerms": 30}),
        updated(old[0]["id"], phone="1", creditLimit=99.5),
        updated(old[1]["id"], status="inactive"),
        updated(old[0]["id"], email=taken, phone="2"),
        updated("cust_none", phone="1"),
    )
    assert (new["email"], new["paymentTerms"], new["status"]) == (None, 30, "active")
    assert (changed["phone"], changed["creditLimit"]) == ("1", Decimal("99.5"))
    assert (off["status"], off["name"]) == ("inactive", old[1]["name"])
    assert (clash, gone[0]) == (("VALIDATION_ERROR", "email"), "CUSTOMER_NOT_FOUND")
    assert shop.data(f"/customers/{old[0]['id']}") == changed


def test_invoices_are_created_as_drafts_and_only_drafts_change_freely(shop: Api) -> None:
    customer = shop.data("/customers", status="active", limit=1)[0]["id"]
    paid = shop.data("/invoices", status="paid", limit=1)[0]
    sent = shop.data("/invoices", **{"status[in]": "sent,overdue", "limit": 1})[0]
    line = {"description": "Work", "quantity": 2, "unitPrice": 10}
    sale = {"customerId": customer, "invoiceDate": "2026-11-02", "items": [line]}
    first, second, *refused = operate(
        shop,
        "invoices",
        created({**sale, "dueDate": "2026-11-09", "reference": "BULK-1"}),
        created({**sale, "reference": "BULK-2"}),
        created({**sale, "dueDate": "2026-11-01"}),
        created({**sale, "items": []}),
        created({**sale, "items": [{**line, "quantity": 0}]}),
        created({**sale, "items": [{**line, "unitPrice": -1}]}),
        created({**sale, "items": [{**line, "itemId": "item_none"}]}),
        created({**sale, "customerId": "cust_none"}),
        updated(paid["id"], notes="late"),
        updated(sent["id"], items=[line]),
        updated("inv_none", notes="x"),
    )
    assert (first["status"], first["total"], first["dueDate"]) == ("draft", 20, "2026-11-09")
    assert refused == [
        ("VALIDATION_ERROR", "dueDate"),
        ("VALIDATION_ERROR", "items"),
        ("VALIDATION_ERROR", "items[0].quantity"),
        ("VALIDATION_ERROR", "items[0].unitPrice"),
        ("NOT_FOUND", "itemId"),
        ("CUSTOMER_NOT_FOUND", "customerId"),
        ("BUSINESS_RULE_VIOLATION", "PAID_INVOICE_IMMUTABLE"),
        ("BUSINESS_RULE_VIOLATION", "ISSUED_INVOICE_LOCKED"),
        ("NOT_FOUND", "invoiceId"),
    ]
    found = shop.walk("/invoices", **{"reference[in]": "BULK-1,BULK-2,BULK-3"})
    assert {i["id"] for i in found} == {first["id"], second["id"]}
    more = operate(shop, "invoices", updated(first["id"], items=[line, line], notes="twice"))
    assert (more[0]["total"], more[0]["notes"], more[0]["reference"]) == (40, "twice", "BULK-1")
    assert_books_hold(shop)


def test_what_an_update_is_refused_for_leaves_no_trace(shop: Api) -> None:
    customers = shop.data("/customers", status="active", limit=2)
    line = {"description": "Work", "quantity": 2, "unitPrice": 10}
    (draft,) = operate(
        shop, "invoices", created({"customerId": customers[0]["id"], "items": [line]})
    )
    (issued,) = operate(
        shop,
        "invoices",
        created({"customerId": customers[0]["id"], "items": [line], "status": "sent"}),
    )
    operate(shop, "payments", created({"invoiceId": issued["id"], "amount": 1}))
    before = [shop.data(f"/invoices/{invoice['id']}") for invoice in (draft, issued)]
    unknown = [{**line, "itemId": "item_none"}]
    assert operate(
        shop,
        "invoices",
        updated(draft["id"], customerId=customers[1]["id"], items=unknown),
        updated(issued["id"], status="cancelled", notes="away"),
    ) == [("NOT_FOUND", "itemId"), ("BUSINESS_RULE_VIOLATION", "INVOICE_HAS_PAYMENTS")]
    assert [shop.data(f"/invoices/{invoice['id']}") for invoice in (draft, issued)] == before
    (draft,) = operate(shop, "invoices", updated(draft["id"], notes="kept"))
    assert draft["customerId"] == customers[0]["id"]


def test_journal_entries_are_drafts_unless_asked_to_be_posted(shop: Api) -> None:
    rent, bank = shop.account("rent"), shop.account("bank")
    lines = [{"accountId": rent, "debit": 5}, {"accountId": bank, "credit": 5}]
    entry = {"date": "2026-11-03", "lines": lines}
    unbalanced = [lines[0], {"accountId": bank, "credit": 5.01}]
    draft, posted, tilted, nowhere, absent = operate(
        shop,
        "journal-entries",
        created({**entry, "reference": "BULK-3"}),
        created({**entry, "reference": "BULK-4", "status": "posted"}),
        created({**entry, "lines": unbalanced}),
        created({**entry, "lines": [lines[0], {"accountId": "acc_none", "credit": 5}]}),
        updated("je_none", reference="x"),
    )
    assert (draft["status"], draft["postedAt"], posted["status"]) == ("draft", None, "posted")
    assert tilted[0] == "INVALID_JOURNAL_ENTRY"
    assert (nowhere[0], absent[0]) == ("ACCOUNT_NOT_FOUND", "NOT_FOUND")
    found = shop.walk("/journal-entries", **{"reference[in]": "BULK-3,BULK-4"})
    assert {e["reference"]: e["status"] for e in found} == {"BULK-3": "draft", "BULK-4": "posted"}
    assert operate(
        shop,
        "journal-entries",
        updated(posted["id"], reference="x"),
        updated(draft["id"], lines=unbalanced),
    ) == [("BUSINESS_RULE_VIOLATION", "POSTED_ENTRY_IMMUTABLE"), ("INVALID_JOURNAL_ENTRY", "lines")]
    (changed,) = operate(shop, "journal-entries", updated(draft["id"], description="Rent"))
    assert (changed["description"], changed["lines"]) == ("Rent", draft["lines"])
    assert_books_hold(shop)


def test_adjustments_move_stock_at_once_and_never_below_nothing(shop: Api) -> None:
    row = shop.data("/stock", **{"currentStock[gt]": 5, "limit": 1})[0]
    service = shop.data("/items", type="service", limit=1)
    place = {"itemId": row["itemId"], "locationId": row["locationId"], "date": "2026-11-03"}
    less = {**place, "adjustmentType": "decrease", "reason": "damaged"}
    held = row["currentStock"]
    down, up, *refused = operate(
        shop,
        "inventory-adjustments",
        created({**less, "quantity": 2, "reference": "BULK-5"}),
        created({**place, "adjustmentType": "increase", "quantity": 0.5, "reference": "BULK-6"}),
        created({**less, "quantity": held}),
        created({**less, "quantity": 0}),
        created({**less, "quantity": 1, "itemId": "item_none"}),
        created({**less, "quantity": 1, "locationId": "loc_none"}),
        *[created({**less, "quantity": 1, "itemId": item["id"]}) for item in service],
        updated("adj_none", quantity=1),
    )
    assert (down["status"], down["date"], down["reason"]) == ("posted", "2026-11-03", "damaged")
    assert up["items"][0]["adjustmentQuantity"] == Decimal("0.5")
    assert refused == [
        ("BUSINESS_RULE_VIOLATION", "INSUFFICIENT_STOCK"),
        ("VALIDATION_ERROR", "quantity"),
        ("NOT_FOUND", "itemId"),
        ("VALIDATION_ERROR", "locationId"),
        *[("BUSINESS_RULE_VIOLATION", "ITEM_NOT_TRACKED") for _ in service],
        ("VALIDATION_ERROR", "operation"),
    ]
    key = {name: row[name] for name in ("itemId", "locationId")}
    assert shop.data("/stock", **key)[0]["currentStock"] == held - Decimal("1.5")
    found = shop.walk("/stock-adjustments", **{"reference[in]": "BULK-5,BULK-6"})
    assert {a["id"] for a in found} == {down["id"], up["id"]}
    assert_books_hold(shop)


def test_payments_reach_the_invoice_and_the_journal_and_never_exceed_what_is_due(
    shop: Api,
) -> None:
    customer = shop.data("/customers", status="active", limit=1)[0]["id"]
    sale = {
        "customerId": customer,
        "invoiceDate": "2026-11-02",
        "items": [{"description": "Work", "quantity": 1, "unitPrice": 100}],
    }
    issued, draft = operate(
        shop, "invoices", created({**sale, "status": "sent"}), created({**sale})
    )
    pay = {"invoiceId": issued["id"], "paymentDate": "2026-11-04", "amount": 40}
    part, *refused, rest, late = operate(
        shop,
        "payments",
        created({**pay, "reference": "BULK-7", "paymentMethod": "duitnow"}),
        created({**pay, "amount": 60.01}),
        created({**pay, "amount": 0}),
        created({**pay, "paymentDate": "2026-11-01"}),
        created({**pay, "invoiceId": draft["id"]}),
        created({**pay, "invoiceId": "inv_none"}),
        created({"amount": 1}),
        created({**pay, "accountId": shop.account("rent")}),
        created({**pay, "amount": 60, "reference": "BULK-8", "paymentDate": "2026-11-05"}),
        created({**pay, "amount": 1}),
    )
    assert (part["reference"], part["amount"], rest["amount"]) == ("BULK-7", 40, 60)
    assert refused == [
        ("VALIDATION_ERROR", "amount"),
        ("VALIDATION_ERROR", "amount"),
        ("VALIDATION_ERROR", "paymentDate"),
        ("BUSINESS_RULE_VIOLATION", "DRAFT_INVOICE_UNPAYABLE"),
        ("NOT_FOUND", "invoiceId"),
        ("VALIDATION_ERROR", "invoiceId"),
        ("VALIDATION_ERROR", "accountId"),
    ]
    assert late == ("BUSINESS_RULE_VIOLATION", "PAID_INVOICE_IMMUTABLE")
    paid = shop.data(f"/invoices/{issued['id']}")
    assert (paid["amountPaid"], paid["amountDue"], paid["status"]) == (100, 0, "paid")
    assert paid["lastPaymentDate"] == "2026-11-05"
    entries = shop.walk("/journal-entries", **{"reference[in]": "BULK-7,BULK-8"})
    assert {e["reference"]: e["totalDebit"] for e in entries} == {"BULK-7": 40, "BULK-8": 60}
    assert_books_hold(shop)
