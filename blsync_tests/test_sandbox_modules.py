"""The sandbox's optional modules: their books hold together, their lists and doors are as said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rig import patient
from rig.module_laws import MODULES, Ledger, assert_modules_hold, walk
from rig.sandbox_api import (
    SMALL,
    TODAY,
    Api,
    api,
    assert_books_hold,
    error_of,
    instant,
    truth,
    under,
)

from blsync.sandbox import Options

BOOKS = replace(SMALL, bills=60, transfers=40, pos_transactions=120, suppliers=12)
OTHERS = tuple(entity for entity in MODULES if entity != "suppliers")


@pytest.fixture(scope="module")
def read_only() -> Iterator[Api]:
    with api(BOOKS) as client:
        yield client


@pytest.fixture(scope="module")
def shop() -> Iterator[Api]:
    """One that tests may write to; none may count on what others left."""
    with api(BOOKS) as client:
        yield client


def created(client: Api, path: str, body: Any = None) -> dict[str, Any]:
    status, answer = client.post(path, body)
    assert status in (200, 201), answer
    data: dict[str, Any] = answer["data"]
    return data


def refusal(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    return status, body["error"]["code"]


def in_stock(client: Api, place: str, least: int) -> dict[str, Any]:
    rows = client.data("/stock", **{"currentStock[gte]": least, "locationId": place, "limit": 1})
    found: dict[str, Any] = rows[0]
    return found


# The books


def test_the_books_of_the_modules_obey_their_laws(read_only: Api) -> None:
    assert_books_hold(read_only)
    assert_modules_hold(read_only)


def test_the_books_of_the_modules_obey_their_laws_night_after_night() -> None:
    with api(BOOKS) as client:
        for seed in range(4):
            assert client.control("night", {"seed": seed, "invoices": 6})["invoices_created"] == 6
            assert_modules_hold(client)
        assert_books_hold(client)


@pytest.mark.deep
@pytest.mark.parametrize("seed", [2, 3])
def test_other_books_obey_the_laws_too(seed: int) -> None:
    with api(replace(BOOKS, seed=seed, months=3)) as client:
        client.control("night", {"seed": seed})
        assert_modules_hold(client)


def test_without_an_account_for_it_what_is_in_transit_stays_in_inventory() -> None:
    with api(replace(BOOKS, transit_account=False, months=3)) as client:
        for seed in range(2):
            client.control("night", {"seed": seed})
        under_way = walk(client, "stock_transfers", **{"status[in]": "shipped,received"})
        assert under_way
        assert_modules_hold(client, has_transit_account=False)


def test_the_smallest_company_has_the_modules_too() -> None:
    with api(Options(invoices=0, customers=2, items=3, months=1, limits=False)) as client:
        client.control("night", {"seed": 1})
        for entity in MODULES:
            walk(client, entity)
        assert_books_hold(client)


def test_the_same_seed_and_day_give_the_same_documents() -> None:
    times = ("createdAt", "updatedAt", "sentAt", "approvedAt", "acceptedAt", "convertedToOrderAt")
    books = []
    for _ in range(2):
        with api(replace(BOOKS, months=3)) as client:
            records = {entity: walk(client, entity, sort="id:asc") for entity in MODULES}
        for entity in ("einvoices", "stock_transfers"):
            for record in records[entity]:
                record.clear() if entity == "einvoices" else record.pop("approvals")
                record.pop("shipping", None)
        for listed in records.values():
            for record in listed:
                for name in times:
                    record.pop(name, None)
        books.append(records)
    assert books[0] == books[1]


def test_the_modules_hold_every_kind_of_document() -> None:
    with api(replace(BOOKS, bills=400, sales_orders=80, quotes=60)) as client:
        _assert_every_kind(client)


def _assert_every_kind(client: Api) -> None:
    def statuses(entity: str) -> set[str]:
        return {record["status"] for record in walk(client, entity)}

    assert statuses("purchase_orders") >= {"received", "partially_received"}
    assert statuses("purchase_orders") & {"sent", "confirmed"}
    assert statuses("bills") >= {"open", "paid", "partially_paid"}
    assert statuses("sales_orders") >= {"confirmed", "shipped", "delivered", "cancelled"}
    assert statuses("quotes") >= {"sent", "rejected", "expired", "converted"}
    assert statuses("einvoices") >= {"accepted", "rejected", "cancelled"}
    assert statuses("stock_transfers") >= {"completed", "cancelled"}
    assert statuses("pos_transactions") == {"completed", "voided"}
    assert statuses("pos_sessions") == {"open", "closed"}
    bills = walk(client, "bills")
    assert {bill["purchaseOrderId"] is None for bill in bills} == {True, False}
    sales = walk(client, "pos_transactions")
    assert any(sale["rounding"] for sale in sales)
    assert any(sale["type"] == "return" for sale in sales)
    assert all(sale["total"] <= 0 for sale in sales if sale["type"] == "return")
    filed = Counter(einvoice["invoiceId"] for einvoice in walk(client, "einvoices"))
    assert max(filed.values()) > 1
    short = [
        transfer["transferNumber"]
        for transfer in walk(client, "stock_transfers", status="completed")
        if any(line["quantityReceived"] < line["quantityShipped"] for line in transfer["items"])
    ]
    written_off = {a["reference"] for a in client.walk("/stock-adjustments")}
    assert short
    assert written_off >= set(short)
    assert Ledger(client).balance("5030")


def test_tills_deliver_late_and_bank_days_later() -> None:
    with api(replace(BOOKS, pos_transactions=600)) as client:
        sessions = {session["id"]: session for session in walk(client, "pos_sessions")}
        started: dict[str, datetime] = {}
        for session in sessions.values():
            place = session["registerId"] + session["businessDate"]
            started[place] = instant(session["createdAt"])
        late = [
            sale
            for sale in walk(client, "pos_transactions")
            if instant(sale["createdAt"])
            > started[sale["registerId"] + sale["businessDate"]] + timedelta(hours=2)
        ]
        assert 0 < len(late) < 30
        ledger = Ledger(client)
        taken = {s["sessionNumber"]: s["businessDate"] for s in sessions.values()}
        banked = [e for e in ledger.entries if (e["reference"] or "").startswith("BNK-")]
        days = {taken[e["reference"].removeprefix("BNK-")] < e["date"] for e in banked}
        assert days == {True}
        assert ledger.balance("7010", reference="BNK-") > 0
        posted = Counter(e["reference"] for e in ledger.entries if e["reference"] in taken)
        assert max(posted.values()) > 1


# Lists


@pytest.mark.parametrize("entity", list(MODULES))
def test_a_list_and_its_details_show_the_same_records(read_only: Api, entity: str) -> None:
    listed = walk(read_only, entity, sort="updatedAt:asc")
    assert {record["id"] for record in listed} == {r["id"] for r in truth(read_only, entity)}
    moments = [instant(record["updatedAt"]) for record in listed]
    assert moments == sorted(moments)
    alone = read_only.data(f"/{MODULES[entity]}/{listed[0]['id']}")
    assert alone.items() >= listed[0].items()
    window = {"updatedAt[gte]": listed[3]["updatedAt"], "updatedAt[lt]": listed[-1]["updatedAt"]}
    expected = [r for r in listed if moments[3] <= instant(r["updatedAt"]) < moments[-1]]
    assert walk(read_only, entity, sort="updatedAt:asc", **window) == expected


def test_suppliers_page_by_offset_and_the_others_by_cursor(read_only: Api) -> None:
    first = read_only.get("/suppliers").json()["pagination"]
    assert first == {"hasMore": False, "limit": 20, "nextOffset": None, "total": 12}
    page = read_only.get("/suppliers", limit=5, offset=5, sort="name:asc").json()
    assert page["pagination"]["nextOffset"] == 10
    names = [supplier["name"] for supplier in walk(read_only, "suppliers", sort="name:asc")]
    assert [supplier["name"] for supplier in page["data"]] == names[5:10]
    assert error_of(read_only.get("/suppliers", cursor="abc"))[0] == 400
    assert error_of(read_only.get("/suppliers", limit=101))[0] == 400
    for entity in OTHERS:
        assert error_of(read_only.get(f"/{MODULES[entity]}", offset=1))[0] == 400


def test_bank_details_are_told_by_a_supplier_alone(read_only: Api) -> None:
    listed = walk(read_only, "suppliers")
    assert all("bankDetails" not in supplier for supplier in listed)
    alone = read_only.data(f"/suppliers/{listed[0]['id']}")
    assert alone["bankDetails"]["accountNumber"].isdigit()


@pytest.mark.parametrize(
    ("entity", "query", "test"),
    [
        ("suppliers", {"country": "MY"}, lambda r: r["address"]["country"] == "MY"),
        ("purchase_orders", {"totalMin": 900}, lambda r: r["total"] >= 900),
        ("bills", {"dueToDate": "2026-09-30"}, lambda r: r["dueDate"] <= "2026-09-30"),
        ("bills", {"fromDate": "2026-09-01"}, lambda r: r["billDate"] >= "2026-09-01"),
        (
            "sales_orders",
            {"requiredDateFrom": "2026-10-01", "priority": "normal"},
            lambda r: r["requiredDate"] >= "2026-10-01" and r["priority"] == "normal",
        ),
        ("einvoices", {"portal": "myinvois", "status": "rejected"}, lambda r: r["status"] != "x"),
        ("stock_transfers", {"status": "completed"}, lambda r: r["status"] == "completed"),
        ("pos_transactions", {"payments.method": "card"}, lambda r: True),
    ],
)
def test_the_documented_filters_of_the_modules_find_what_they_say(
    read_only: Api, entity: str, query: dict[str, Any], test: Any
) -> None:
    found = walk(read_only, entity, **query)
    everything = walk(read_only, entity)
    assert found
    assert all(test(record) for record in found)
    if "status" in query:
        assert len(found) == sum(r["status"] == query["status"] for r in everything)


def test_einvoices_are_found_by_customer_and_by_the_day_they_were_made(read_only: Api) -> None:
    einvoice = walk(read_only, "einvoices")[0]
    invoice = read_only.data(f"/invoices/{einvoice['invoiceId']}")
    found = walk(read_only, "einvoices", customerId=invoice["customerId"])
    assert einvoice["id"] in {one["id"] for one in found}
    day = (instant(einvoice["createdAt"]) + timedelta(hours=8)).date().isoformat()
    that_day = walk(read_only, "einvoices", dateFrom=day, dateTo=day)
    assert einvoice["id"] in {one["id"] for one in that_day}
    assert 0 < len(that_day) < len(walk(read_only, "einvoices"))
    assert error_of(read_only.get("/einvoice", dateFrom="yesterday"))[0] == 400


# Nights


def test_a_night_moves_every_module() -> None:
    with api(BOOKS) as client:
        before = {entity: walk(client, entity) for entity in MODULES}
        newest = max(instant(r["updatedAt"]) for listed in before.values() for r in listed)
        counts = Counter[str]()
        for seed in range(3):
            counts.update(client.control("night", {"seed": seed}))
        assert not counts["given_up"]
        for done in (
            *("purchase_orders_placed", "goods_received", "bills_entered", "bills_paid"),
            *("sales_orders_entered", "quotes_made", "quotes_converted", "einvoices_sent_again"),
            *("transfers_asked_for", "transfers_shipped", "tills_opened", "tills_closed"),
            *("takings_banked", "sales_delivered_late", "sales_voided_late", "tenders_corrected"),
        ):
            assert counts[done] > 0, done
        for entity in MODULES:
            changed = [r for r in walk(client, entity) if instant(r["updatedAt"]) > newest]
            assert changed, entity


def test_a_payment_moves_its_bill(shop: Api) -> None:
    bill = walk(shop, "bills", status="open")[0]
    created(shop, f"/bills/{bill['id']}/payment", {"amount": 1, "reference": "PART"})
    after = shop.data(f"/bills/{bill['id']}")
    assert instant(after["updatedAt"]) > instant(bill["updatedAt"])
    assert after["status"] == "partially_paid"
    assert after["balanceDue"] == bill["balanceDue"] - 1


# Absent, forbidden, vanishing


@pytest.mark.parametrize("entity", list(MODULES))
def test_a_module_is_absent_or_forbidden_and_comes_back(shop: Api, entity: str) -> None:
    path = f"/{MODULES[entity]}"
    other = next(one for one in MODULES if one != entity)
    with under(shop, f"absent={entity}"):
        assert error_of(shop.get(path)) == (404, "NOT_FOUND")
        assert error_of(shop.get(f"{path}/any")) == (404, "NOT_FOUND")
        assert shop.get(f"/{MODULES[other]}").status_code == 200
    with under(shop, f"forbid={entity}"):
        answer = shop.get(path)
        assert error_of(answer) == (403, "FORBIDDEN")
        scope = answer.json()["error"]["details"][0]["required_scope"]
        assert scope in ("read:accounts", "read:invoices", "read:inventory")
        assert scope in shop.data("/auth/verify")["permissions"]
    assert shop.get(path).status_code == 200


def test_only_a_module_can_be_absent(shop: Api) -> None:
    refused = patient.post(f"{shop.handle.url}/sandbox/faults", json={"faults": "absent=customers"})
    assert refused.status_code == 400
    assert "not optional" in refused.json()["error"]["message"]


def test_a_report_is_absent_with_its_module(shop: Api) -> None:
    with under(shop, "absent=bills+pos_sessions"):
        assert error_of(shop.get("/reports/aged-payables")) == (404, "NOT_FOUND")
        assert error_of(shop.get("/pos/reports/daily")) == (404, "NOT_FOUND")
        assert shop.get("/reports/cash-flow").status_code == 200
    assert shop.get("/reports/aged-payables").status_code == 200


def test_books_can_do_without_the_modules() -> None:
    with api(replace(SMALL, modules=False)) as client:
        for path in MODULES.values():
            assert error_of(client.get(f"/{path}")) == (404, "NOT_FOUND")
        assert "purchase_orders_placed" not in client.control("night", {"seed": 1})
        assert_books_hold(client)
        entries = client.walk("/journal-entries")
        assert any((entry["reference"] or "").startswith("SPAY-2026") for entry in entries)


def test_suppliers_vanish_while_they_are_walked(shop: Api) -> None:
    for number in range(6):
        created(shop, "/suppliers", {"name": f"Gone {number}", "email": f"gone{number}@b.my"})
    before = {supplier["id"] for supplier in truth(shop, "suppliers")}
    with under(shop, "vanish=1"):
        seen = [supplier["id"] for supplier in walk(shop, "suppliers", sort="createdAt:asc")]
    gone = before - {supplier["id"] for supplier in truth(shop, "suppliers")}
    assert len(gone) == 1
    assert len(seen) == len(set(seen))
    with under(shop, "vanish=1"):
        first = shop.get("/suppliers", sort="createdAt:desc", limit=3, offset=0).json()
        second = shop.get("/suppliers", sort="createdAt:desc", limit=3, offset=3).json()
    assert second["pagination"]["total"] == first["pagination"]["total"] - 1
    assert_modules_hold(shop)


# Doors


def test_an_order_is_received_in_parts_billed_at_another_price_and_paid(shop: Api) -> None:
    ledger = Ledger(shop)
    supplier = created(shop, "/suppliers", {"name": "Baru", "email": "baru@example.my"})
    item = in_stock(shop, "loc_shah_alam", 1)["itemId"]
    lines = [{"itemId": item, "quantity": 10, "unitPrice": 2.5}]
    order = created(
        shop, "/purchase-orders", {"supplierId": supplier["id"], "items": lines, "notes": "x"}
    )
    path = f"/purchase-orders/{order['id']}"
    part = {"items": [{"itemId": item, "receivedQuantity": 4}]}
    assert refusal(shop.post(f"{path}/receive", part))[0] == 422
    created(shop, f"{path}/approve")
    before = shop.data("/stock", itemId=item, locationId="loc_shah_alam")[0]
    created(shop, f"{path}/send")
    assert refusal(shop.post(f"{path}/send")) == (422, "PO_ALREADY_SENT")
    created(shop, f"{path}/confirm")
    assert created(shop, f"{path}/receive", part)["status"] == "partially_received"
    row = shop.data("/stock", itemId=item, locationId="loc_shah_alam")[0]
    assert row["currentStock"] == before["currentStock"] + 4
    assert row["onOrderStock"] == before["onOrderStock"] + 6
    bill = created(
        shop,
        "/bills",
        {
            "supplierId": supplier["id"],
            "purchaseOrderId": order["id"],
            "supplierInvoiceNumber": "S-1",
            "status": "open",
            "items": [{"itemId": item, "quantity": 4, "unitPrice": 2.75}],
        },
    )
    assert bill["items"][0]["accountCode"] == "2015"
    freight = {"description": "x", "quantity": 1, "unitPrice": 1, "accountCode": "6040"}
    again = {"supplierId": supplier["id"], "supplierInvoiceNumber": "s-1", "items": [freight]}
    assert refusal(shop.post("/bills", again)) == (409, "INVALID_SUPPLIER_INVOICE")
    after = Ledger(shop)
    assert after.balance("2015") == ledger.balance("2015")
    assert after.balance("5030") == ledger.balance("5030") + 1
    assert after.balance("2010") == ledger.balance("2010") - 11
    payment = f"/bills/{bill['id']}/payment"
    assert refusal(shop.post(payment, {"amount": 12}))[0] == 422
    created(shop, payment, {"amount": 11, "reference": "CHQ-9"})
    assert refusal(shop.post(payment, {"amount": 1})) == (422, "BILL_ALREADY_PAID")
    created(shop, f"{path}/receive", {"items": [{"itemId": item, "receivedQuantity": 7}]})
    assert refusal(shop.post(f"{path}/receive", part)) == (422, "PO_ITEMS_FULLY_RECEIVED")
    assert_modules_hold(shop)


def test_bills_of_an_order_with_one_item_twice_fill_its_lines_in_order(shop: Api) -> None:
    supplier = walk(shop, "suppliers")[0]["id"]
    item = in_stock(shop, "loc_shah_alam", 1)["itemId"]
    lines = [
        {"itemId": item, "quantity": 3, "unitPrice": 10},
        {"itemId": item, "quantity": 5, "unitPrice": 20},
    ]
    order = created(shop, "/purchase-orders", {"supplierId": supplier, "items": lines})
    path = f"/purchase-orders/{order['id']}"
    created(shop, f"{path}/send")
    before = Ledger(shop)
    received = [
        {"itemId": line["id"], "receivedQuantity": line["quantity"]} for line in order["items"]
    ]
    created(shop, f"{path}/receive", {"items": received})
    assert Ledger(shop).balance("2015") == before.balance("2015") - 130
    for quantity, left in ((4, 80), (4, 0)):
        billed = [{"itemId": item, "quantity": quantity, "unitPrice": 10}]
        body = {"supplierId": supplier, "purchaseOrderId": order["id"], "status": "open"}
        created(shop, "/bills", {**body, "items": billed})
        assert Ledger(shop).balance("2015") == before.balance("2015") - left


def test_an_order_is_invoiced_in_parts_and_a_cancelled_invoice_waits_again(shop: Api) -> None:
    customer = shop.data("/customers", status="active", limit=1)[0]["id"]
    item = in_stock(shop, "loc_shah_alam", 6)["itemId"]
    order = created(
        shop,
        "/sales-orders",
        {"customerId": customer, "items": [{"itemId": item, "quantity": 5}], "shippingCost": 8},
    )
    path, line = f"/sales-orders/{order['id']}", order["items"][0]["id"]
    convert = f"{path}/convert-to-invoice"
    part = {"partialItems": [{"itemId": line, "quantity": 2}]}
    assert refusal(shop.post(convert, part))[0] == 422
    assert shop.send("PATCH", f"{path}/status", {"status": "confirmed"})[0] == 200
    first = created(shop, convert, part)
    assert first["salesOrderId"] == order["id"]
    assert first["reference"] == order["orderNumber"]
    assert first["shippingCost"] == 8
    assert shop.data(path)["fulfillment"]["status"] == "partial"
    too_much = {"partialItems": [{"itemId": line, "quantity": 4}]}
    assert refusal(shop.post(convert, too_much)) == (422, "VALIDATION_ERROR")
    rest = created(shop, convert)
    assert rest["items"][0]["quantity"] == 3
    assert rest["shippingCost"] == 0
    assert shop.data(path)["status"] == "shipped"
    assert shop.send("PUT", f"/invoices/{rest['id']}", {"status": "cancelled"})[0] == 200
    waiting = shop.data(path)
    assert waiting["status"] == "confirmed"
    assert waiting["fulfillment"]["remainingQuantity"] == 3
    assert_modules_hold(shop)


def test_a_quote_becomes_an_order_unless_it_has_expired(shop: Api) -> None:
    customer = shop.data("/customers", status="active", limit=1)[0]["id"]
    items = [{"description": "Wiring", "quantity": 1000, "unitPrice": 22.5, "discountPercent": 10}]
    quote = created(shop, "/quotes", {"customerId": customer, "items": items})
    assert quote["subtotal"] == 20250
    assert "itemCode" not in quote["items"][0]
    created(shop, f"/quotes/{quote['id']}/send", {"to": ["a@b.my"]})
    created(shop, f"/quotes/{quote['id']}/accept", {"acceptedBy": "Puan Siti"})
    order = created(shop, f"/quotes/{quote['id']}/convert-to-order")
    assert order["status"] == "confirmed"
    after = shop.data(f"/quotes/{quote['id']}")
    assert (after["status"], after["salesOrderId"]) == ("converted", order["id"])
    day = (TODAY - timedelta(days=60)).isoformat()
    late = created(
        shop,
        "/quotes",
        {"customerId": customer, "quoteDate": day, "validUntil": day, "items": items},
    )
    created(shop, f"/quotes/{late['id']}/send")
    status, body = shop.post(f"/quotes/{late['id']}/convert-to-order")
    assert (status, body["error"]["code"]) == (422, "QUOTE_CONVERSION_FAILED")
    assert body["error"]["details"][0]["validUntil"] == day


def test_an_einvoice_is_filed_once_told_of_and_cancelled(shop: Api) -> None:
    customer = shop.data("/customers", status="active", limit=1)[0]["id"]
    lines = [{"description": "Advice", "quantity": 1, "unitPrice": 100, "taxCode": "SST-8"}]
    body = {"customerId": customer, "items": lines}
    draft = created(shop, "/invoices", body)
    asked = {"invoiceId": draft["id"], "format": "UBL21"}
    assert created(shop, "/einvoice/validate", asked)["isValid"] is False
    assert refusal(shop.post("/einvoice/create", asked)) == (400, "INVALID_INVOICE_DATA")
    created(shop, f"/invoices/{draft['id']}/send")
    assert created(shop, "/einvoice/validate", asked)["summary"]["canSubmit"] is True
    einvoice = created(shop, "/einvoice/create", asked)
    assert einvoice["status"] == "created"
    sent = created(shop, "/einvoice/submit", {"einvoiceId": einvoice["id"], "portal": "myinvois"})
    status, again = shop.post("/einvoice/submit", {"einvoiceId": einvoice["id"]})
    assert (status, again["error"]["code"]) == (409, "EINVOICE_ALREADY_SUBMITTED")
    assert again["error"]["details"][0]["submissionId"] == sent["submissionId"]
    assert refusal(shop.post("/einvoice/create", asked))[1] == "EINVOICE_ALREADY_SUBMITTED"
    assert shop.data(f"/invoices/{draft['id']}")["einvoice"]["status"] == "accepted"
    told = shop.data(f"/einvoice/{einvoice['id']}/status")
    assert told["nextActions"] == ["cancel", "download"]
    assert [step["status"] for step in told["timeline"]] == ["validated", "submitted", "accepted"]
    assert shop.get(f"/einvoice/{einvoice['id']}/document/xml").text.startswith("<?xml")
    reason = {"reason": "data_error", "reasonCode": "02"}
    assert created(shop, f"/einvoice/{einvoice['id']}/cancel", reason)["status"] == "cancelled"
    top_level = created(shop, "/einvoice/create", {**asked, "autoSubmit": True})
    assert top_level["status"] == "accepted"
    assert shop.send("PUT", f"/invoices/{draft['id']}", {"status": "cancelled"})[0] == 200
    assert shop.data(f"/einvoice/{top_level['id']}")["status"] == "cancelled"


def test_what_a_transfer_loses_is_written_off_when_it_is_completed(shop: Api) -> None:
    row = in_stock(shop, "loc_shah_alam", 5)
    body = {
        "fromLocationId": "loc_shah_alam",
        "toLocationId": "loc_penang",
        "items": [{"itemId": row["itemId"], "quantity": 5}],
    }

    def held() -> Decimal:
        rows = shop.data("/stock", itemId=row["itemId"])
        return sum((one["currentStock"] for one in rows), Decimal(0))

    before = held()
    transfer = created(shop, "/stock-transfers", body)
    path = f"/inventory/transfers/{transfer['id']}/status"
    for status, more in (
        ("approved", {}),
        ("shipped", {"shipping": {"method": "courier", "trackingNumber": "T1"}}),
        ("received", {"items": [{"id": transfer["items"][0]["id"], "quantityReceived": 3}]}),
    ):
        assert shop.send("PATCH", path, {"status": status, **more})[0] == 200
    assert held() == before - 5
    assert_modules_hold(shop)
    assert shop.send("PATCH", path, {"status": "completed"})[0] == 200
    assert held() == before - 2
    written_off = shop.data("/stock-adjustments", reference=transfer["transferNumber"])
    assert [one["reason"] for one in written_off] == ["lost"]
    assert shop.send("PATCH", path, {"status": "cancelled"})[0] == 422
    assert_modules_hold(shop)


def test_suppliers_are_changed_kept_unique_and_deleted_only_without_documents(shop: Api) -> None:
    new = created(shop, "/suppliers", {"name": "Satu", "email": "Satu@example.my"})
    taken = {"name": "Dua", "email": "satu@EXAMPLE.my"}
    assert refusal(shop.post("/suppliers", taken)) == (409, "CONFLICT")
    bank = {"accountNumber": "123", "bankName": "Maybank"}
    assert shop.send("PUT", f"/suppliers/{new['id']}", {"bankDetails": bank})[0] == 200
    assert shop.data(f"/suppliers/{new['id']}")["bankDetails"] == bank
    assert shop.send("DELETE", f"/suppliers/{new['id']}")[0] == 200
    busy = walk(shop, "bills")[0]["supplierId"]
    status, body = shop.send("DELETE", f"/suppliers/{busy}")
    assert (status, body["error"]["details"][0]["rule"]) == (422, "SUPPLIER_HAS_TRANSACTIONS")
