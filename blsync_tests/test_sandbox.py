import socket
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from rig import patient
from rig.sandbox_api import (
    LISTS,
    SMALL,
    Api,
    api,
    assert_books_hold,
    error_of,
    faulty,
    instant,
    truth,
)

from blsync.sandbox import Options, serve
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.values import loads
from blsync.sandbox.http.limits import Limits, Stats
from blsync.sandbox.http.oauth import Tokens
from blsync.sandbox.http.query import OPERATORS


@pytest.fixture(scope="module")
def read_only() -> Iterator[Api]:
    with api(SMALL) as client:
        yield client


@pytest.fixture(scope="module")
def shop() -> Iterator[Api]:
    """One that tests may write to; none may count on what others left."""
    with api(SMALL) as client:
        yield client


def test_the_seeded_books_obey_the_accounting_laws(read_only: Api) -> None:
    assert_books_hold(read_only)


def test_the_books_obey_the_laws_after_nights_and_bulk_writes(shop: Api) -> None:
    for seed in range(3):
        shop.control("night", {"seed": seed, "invoices": 10})
    invoice = shop.data("/invoices", **{"status[in]": "sent,overdue", "limit": 1})[0]
    row = shop.data("/stock", **{"currentStock[gt]": 5, "limit": 1})[0]
    place = {"itemId": row["itemId"], "locationId": row["locationId"]}
    rent, bank = shop.account("rent"), shop.account("bank")
    lines = [{"accountId": rent, "debit": 9.99}, {"accountId": bank, "credit": 9.99}]
    customer = shop.data("/customers", limit=1)[0]["id"]
    sale = [{"itemId": row["itemId"], "quantity": 1.5, "discountPercent": 2.5, "taxCode": "SST"}]
    for results in (
        shop.bulk("payments", {"invoiceId": invoice["id"], "amount": 0.01, "reference": "LAW-1"}),
        shop.bulk(
            "inventory-adjustments",
            {**place, "adjustmentType": "decrease", "quantity": 0.75},
            {**place, "adjustmentType": "increase", "quantity": 3, "unitCost": 1.2345},
        ),
        shop.bulk("journal-entries", {"date": "2026-11-02", "status": "posted", "lines": lines}),
        shop.bulk("invoices", {"customerId": customer, "status": "sent", "items": sale}),
    ):
        assert all(result["success"] for result in results), results
    assert_books_hold(shop)


def test_a_night_touches_everything_a_nightly_pull_must_notice() -> None:
    with api(SMALL) as client:
        newest = client.data("/invoices", sort="updatedAt:desc", limit=1)[0]["updatedAt"]
        before = {path: client.get(f"/{path}").json()["pagination"]["total"] for path in LISTS}
        counts = client.control("night", {"seed": 4, "invoices": 10})
        for done in ("customers_created", "invoices_backdated", "payments", "entries_posted"):
            assert counts[done] > 0
        for done in ("entries_voided", "customers_deactivated", "items_repriced"):
            assert counts[done] > 0
        after = {path: client.get(f"/{path}").json()["pagination"]["total"] for path in LISTS}
        assert after["invoices"] == before["invoices"] + 10
        assert after["journal-entries"] > before["journal-entries"]
        changed = client.walk("/invoices", **{"updatedAt[gt]": newest})
        assert len(changed) > 10
        voided = client.walk("/journal-entries", **{"createdAt[gt]": newest, "reversesId[ne]": ""})
        reversals = [entry for entry in voided if entry["reversesId"]]
        original = client.data(f"/journal-entries/{reversals[0]['reversesId']}")
        assert original["status"] == "void"
        assert original["postedAt"] < reversals[0]["postedAt"]


def test_the_same_seed_and_day_give_the_same_books() -> None:
    texts = []
    for _ in range(2):
        with api(SMALL) as client:
            invoices = client.walk("/invoices")
            for invoice in invoices:
                for field in ("createdAt", "updatedAt", "einvoice"):
                    del invoice[field]
            texts.append(invoices)
    assert texts[0] == texts[1]


def test_nothing_changed_later_than_now_or_before_the_import(read_only: Api) -> None:
    for path in LISTS:
        for record in read_only.walk(f"/{path}"):
            for field in ("createdAt", "updatedAt", "postedAt"):
                if record.get(field):
                    moment = instant(record[field])
                    assert timedelta(0) < datetime.now(UTC) - moment < timedelta(days=46)


def test_the_books_hold_every_kind_of_document(read_only: Api) -> None:
    invoices = read_only.walk("/invoices")
    assert {i["status"] for i in invoices} >= {"draft", "sent", "overdue", "paid", "cancelled"}
    entries = read_only.walk("/journal-entries")
    assert {e["status"] for e in entries} == {"draft", "posted", "void"}
    names = " ".join(c["name"] for c in read_only.walk("/customers"))
    assert any("\u4e00" <= letter <= "\u9fff" for letter in names)
    assert any("\u0b80" <= letter <= "\u0bff" for letter in names)
    spellings = [entry["createdAt"] for entry in entries]
    assert any(text.endswith("+08:00") for text in spellings)
    assert any("." in text for text in spellings)
    assert any(len(text) == len("2026-11-20T00:00:00Z") for text in spellings)


@pytest.mark.deep
def test_a_database_file_is_taken_up_again(tmp_path: Any) -> None:
    options = Options(invoices=20, customers=5, items=5, months=2, limits=False)
    options = Options(**{**vars(options), "database": tmp_path / "books.sqlite"})
    with api(options) as client:
        status, body = client.post("/customers", {"name": "Stays", "phone": "1"})
        assert status == 201
    with api(options) as client:
        assert client.data(f"/customers/{body['data']['id']}")["name"] == "Stays"
        client.control("night")
        assert_books_hold(client)
    assert sqlite3.connect(options.database).execute("select count(*) from meta").fetchone()[0]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [7, 100])
def test_a_walk_meets_every_record_once(read_only: Api, path: str, limit: int) -> None:
    records = read_only.walk(
        f"/{path}", limit=limit, sort="updatedAt:asc" if path in LISTS[:5] else "createdAt:desc"
    )
    keys = [r.get("id") or (r["itemId"], r["locationId"]) for r in records]
    assert len(set(keys)) == len(keys) > 0


def test_a_walk_by_change_time_is_in_order_whatever_the_spelling(read_only: Api) -> None:
    for path, field in (
        ("customers", "updatedAt"),
        ("stock", "updatedAt"),
        ("journal-entries", "createdAt"),
    ):
        moments = [
            instant(r[field]) for r in read_only.walk(f"/{path}", limit=9, sort=f"{field}:asc")
        ]
        assert moments == sorted(moments)


def test_a_window_of_change_time_takes_any_spelling(read_only: Api) -> None:
    records = read_only.walk("/invoices", sort="updatedAt:asc")
    start, end = instant(records[20]["updatedAt"]), instant(records[60]["updatedAt"])
    expected = [r["id"] for r in records if start <= instant(r["updatedAt"]) < end]
    zone = instant("2026-01-01T00:00:00+08:00").tzinfo
    for spelled in (str.strip, lambda t: t.replace("+00:00", "Z")):
        window = {
            "updatedAt[gte]": spelled(start.astimezone(zone).isoformat()),
            "updatedAt[lt]": spelled(end.isoformat()),
        }
        assert [
            r["id"] for r in read_only.walk("/invoices", sort="updatedAt:asc", **window)
        ] == expected


def test_drafts_match_no_window_of_posting_time(read_only: Api) -> None:
    found = read_only.walk("/journal-entries", **{"postedAt[lt]": "2099-01-01T00:00:00Z"})
    assert {e["status"] for e in found} == {"posted", "void"}


def _expected(records: list[dict[str, Any]], operator: str, value: Decimal) -> list[str]:
    tests = {
        "eq": lambda v: v == value,
        "ne": lambda v: v != value,
        "gt": lambda v: v > value,
        "gte": lambda v: v >= value,
        "lt": lambda v: v < value,
        "lte": lambda v: v <= value,
        "in": lambda v: v == value,
        "nin": lambda v: v != value,
    }
    return sorted(r["id"] for r in records if tests[operator](r["total"]))


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"])
def test_number_operators_compare_exactly(read_only: Api, operator: str) -> None:
    records = read_only.walk("/invoices")
    value = sorted(r["total"] for r in records)[50]
    found = read_only.walk("/invoices", **{f"total[{operator}]": str(value)})
    assert sorted(r["id"] for r in found) == _expected(records, operator, value)


@pytest.mark.parametrize(
    ("query", "test"),
    [
        ({"status": "sent"}, lambda r: r["status"] == "sent"),
        ({"status[in]": "sent,draft"}, lambda r: r["status"] in ("sent", "draft")),
        ({"status[nin]": "paid"}, lambda r: r["status"] != "paid"),
        ({"overdue": "true"}, lambda r: r["status"] == "overdue"),
        ({"customerName": "SDN"}, lambda r: "sdn" in r["customer"]["name"].lower()),
        ({"invoiceNumber[endswith]": "1"}, lambda r: r["invoiceNumber"].endswith("1")),
        ({"reference[startswith]": "so-00001"}, lambda r: r["reference"].startswith("SO-00001")),
        (
            {"fromDate": "2026-09-01", "toDate": "2026-09-30"},
            lambda r: r["invoiceDate"][:7] == "2026-09",
        ),
        ({"dateFrom": "2026-10-01"}, lambda r: r["invoiceDate"] >= "2026-10-01"),
        ({"invoiceDateTo": "2026-06-30"}, lambda r: r["invoiceDate"] <= "2026-06-30"),
        ({"search": "INV-2026-0001"}, lambda r: "INV-2026-0001" in r["invoiceNumber"]),
        (
            {"search": "9", "searchFields": "purchaseOrder"},
            lambda r: "9" in (r["purchaseOrder"] or ""),
        ),
        ({"einvoice.status": "accepted"}, lambda r: r["einvoice"]["status"] == "accepted"),
        ({"items.taxCode": "SST-5"}, lambda r: any(x["taxCode"] == "SST-5" for x in r["items"])),
    ],
)
def test_filters_find_what_they_say(read_only: Api, query: dict[str, str], test: Any) -> None:
    expected = sorted(r["id"] for r in read_only.walk("/invoices") if test(r))
    assert expected
    assert sorted(r["id"] for r in read_only.walk("/invoices", **query)) == expected


def test_both_spellings_of_sorting_agree(read_only: Api) -> None:
    one = [r["id"] for r in read_only.walk("/invoices", limit=11, sort="total:desc")]
    other = [r["id"] for r in read_only.walk("/invoices", limit=13, sort="total", order="desc")]
    assert one == other
    both = read_only.walk("/invoices", limit=9, sort="status:asc,total:desc")
    keys = [(record["status"], -record["total"]) for record in both]
    assert keys == sorted(keys)


def test_a_walk_sorted_by_an_optional_field_meets_records_without_it(read_only: Api) -> None:
    records = read_only.walk("/invoices", limit=10, sort="purchaseOrder:asc")
    assert records[0]["purchaseOrder"] is None
    assert records[-1]["purchaseOrder"] is not None


def test_inactive_accounts_are_left_out_unless_asked_for(read_only: Api) -> None:
    assert all(a["isActive"] for a in read_only.walk("/accounts"))
    inactive = read_only.walk("/accounts", active="false")
    assert {a["accountNumber"] for a in inactive} >= {"1040"}
    assert not any(a["isActive"] for a in inactive)
    both = read_only.walk("/accounts", **{"isActive[in]": "true,false"})
    assert len(both) == len(inactive) + len(read_only.walk("/accounts"))
    closed = next(a for a in inactive if a["accountNumber"] == "1040")
    assert read_only.walk("/journal-entries", accountId=closed["id"])


@pytest.mark.parametrize("path", LISTS)
def test_a_limit_above_the_maximum_is_refused(read_only: Api, path: str) -> None:
    most = 200 if path in ("items", "stock") else 100
    assert read_only.get(f"/{path}", limit=most).json()["pagination"]["limit"] == most
    assert read_only.get(f"/{path}").json()["pagination"]["limit"] == 50
    for wrong in (most + 1, 0, -1, "many", "9" * 5000):
        assert error_of(read_only.get(f"/{path}", limit=wrong)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "red"},
        {"status[like]": "x"},
        {"total[gte]": "much"},
        {"total[contains]": "1"},
        {"invoiceDate": "1/2/2026"},
        {"fromDate": "20260101"},
        {"updatedAt[gte]": "yesterday"},
        {"updatedAt[gte]": "2026-01-01T00:00:00 08:00"},
        {"overdue": "perhaps"},
        {"sort": "colour"},
        {"sort": "total:up"},
        {"search": "x", "searchFields": "total"},
    ],
)
def test_what_a_list_does_not_know_is_refused(read_only: Api, query: dict[str, str]) -> None:
    assert error_of(read_only.get("/invoices", **query)) == (400, "BAD_REQUEST")


def test_cursors_of_another_query_or_maker_are_refused(read_only: Api) -> None:
    page = read_only.get("/invoices", limit=5, sort="total:asc").json()
    cursor = page["pagination"]["nextCursor"]
    for query in ({"sort": "total:desc"}, {"sort": "total:asc", "status": "paid"}, {}):
        answer = read_only.get("/invoices", limit=5, cursor=cursor, **query)
        assert error_of(answer) == (400, "INVALID_CURSOR")
    for forged in ("x", "%%%", "bnVsbA", "W10", cursor + "A", "é"):
        answer = read_only.get("/invoices", limit=5, sort="total:asc", cursor=forged)
        assert error_of(answer) == (400, "INVALID_CURSOR")


def test_a_cursor_keeps_its_place_while_records_come_and_go(shop: Api) -> None:
    first = shop.get("/customers", limit=5).json()
    seen = {r["id"] for r in first["data"]}
    shop.post("/customers", {"name": "In between", "phone": "123"})
    rest = shop.get("/customers", limit=100, cursor=first["pagination"]["nextCursor"]).json()
    assert not seen & {r["id"] for r in rest["data"]}


def test_records_are_found_by_id_and_missing_ones_by_their_own_code(read_only: Api) -> None:
    codes = {"customers": "CUSTOMER_NOT_FOUND", "accounts": "ACCOUNT_NOT_FOUND"}
    for path in LISTS:
        if path == "stock":
            continue
        record = read_only.data(f"/{path}", limit=1)[0]
        assert read_only.data(f"/{path}/{record['id']}") == record
        code = codes.get(path, "NOT_FOUND")
        assert error_of(read_only.get(f"/{path}/none")) == (404, code)


def test_both_addresses_and_both_prefixes_serve_the_same(read_only: Api) -> None:
    for one, other in (
        ("/stock", "/inventory/stock"),
        ("/stock-adjustments", "/inventory/adjustments"),
        ("/reports/stock-valuation", "/inventory/reports/valuation"),
    ):
        assert read_only.data(one) == read_only.data(other)
    url = f"{read_only.handle.url}/api/v1/customers"
    answer = patient.get(url, headers=read_only.http.headers)
    assert loads(answer.content)["data"] == read_only.data("/customers")


def test_verify_and_company_tell_who_one_is(read_only: Api) -> None:
    data = read_only.data("/auth/verify")
    assert data["authenticated"] is True
    assert data["company"]["id"] == read_only.handle.company_id
    assert "read:accounts" in data["permissions"]
    assert read_only.data("/company")["currency"] == "MYR"


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer blg_live_sk_x", "Bearer blg_test_sk_other"])
def test_other_keys_are_refused(read_only: Api, key: str) -> None:
    answer = read_only.http.get("/company", headers={"Authorization": key})
    assert error_of(answer) == (401, "UNAUTHORIZED")


def test_another_company_is_refused(read_only: Api) -> None:
    answer = read_only.http.get("/company", headers={"X-Company-Id": "company_other"})
    assert error_of(answer) == (422, "INVALID_COMPANY")


def test_a_missing_scope_is_named() -> None:
    options = Options(invoices=0, customers=2, items=3, months=1, permissions=("read:accounts",))
    with api(options) as client:
        assert client.data("/accounts")
        answer = client.get("/customers")
        assert error_of(answer) == (403, "FORBIDDEN")
        detail = answer.json()["error"]["details"][0]
        assert detail == {"required_scope": "read:customers", "current_scopes": ["read:accounts"]}
        status, body = client.post("/accounts", {})
        assert (status, body["error"]["details"][0]["required_scope"]) == (403, "write:accounts")


def test_every_answer_carries_the_documented_headers(read_only: Api) -> None:
    answer = read_only.http.get("/customers", headers={"X-Request-ID": "req_mine"})
    assert answer.headers["x-request-id"] == answer.json()["meta"]["requestId"] == "req_mine"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-response-time"].endswith("ms")
    assert answer.headers["content-encoding"] == "gzip"
    plain = read_only.http.get("/customers", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["data"] == answer.json()["data"]
    for name in ("limit", "remaining", "reset"):
        assert int(plain.headers[f"x-ratelimit-{name}"]) > 0


def test_unknown_addresses_and_methods_answer_in_the_envelope(read_only: Api) -> None:
    assert error_of(read_only.get("/nothing")) == (404, "NOT_FOUND")
    assert error_of(read_only.http.patch("/customers")) == (405, "METHOD_NOT_ALLOWED")
    assert error_of(read_only.http.post("/customers", content=b"{")) == (400, "BAD_REQUEST")
    assert error_of(read_only.http.post("/customers", content=b"[]")) == (400, "BAD_REQUEST")
    assert error_of(read_only.http.post("/customers", content=b'{"a":NaN}')) == (400, "BAD_REQUEST")


def test_the_documentation_needs_no_internet(read_only: Api) -> None:
    page = patient.get(f"{read_only.handle.url}/docs").text
    assert "https://" not in page
    assert (
        patient.get(f"{read_only.handle.url}/docs-assets/swagger-ui-bundle.js").status_code == 200
    )
    schema = patient.get(f"{read_only.handle.url}/openapi.json").json()
    assert schema["openapi"].startswith("3.0")
    assert {"/v1/customers", "/v1/bulk/{name}", "/sandbox/night"} <= set(schema["paths"])


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_eleventh_request_of_a_second_is_refused_until_the_first_is_a_second_old() -> None:
    clock = Clock()
    limits = Limits(Options(), clock)
    for _ in range(10):
        limits.enter()
    clock.now += 0.5
    with pytest.raises(ApiError) as refusal:
        limits.enter()
    assert refusal.value.status == 429
    assert refusal.value.headers == {"Retry-After": "1"}
    clock.now += 0.5
    limits.enter()
    assert limits.headers()["X-RateLimit-Remaining"] == "989"


@pytest.mark.parametrize(("window", "wait"), [("sliding", 3600), ("fixed", 2800)])
def test_the_hour_window_slides_or_restarts(window: Any, wait: int) -> None:
    clock = Clock()
    clock.now = clock.now // 3600 * 3600 + 800
    limits = Limits(Options(per_hour=2, hour_window=window), clock)
    limits.enter()
    clock.now += 1
    limits.enter()
    with pytest.raises(ApiError) as refusal:
        limits.enter()
    detail = refusal.value.details[0]
    assert (detail["limit"], detail["remaining"], detail["retryAfter"]) == (2, 0, wait - 1)
    assert int(limits.headers()["X-RateLimit-Reset"]) == clock.now + wait - 1
    clock.now += wait - 1
    limits.enter()
    assert limits.remaining == (0 if window == "sliding" else 1)


def test_the_busiest_second_is_counted() -> None:
    clock = Clock()
    stats = Stats(clock)
    for step in (0, 0.2, 0.3, 0.6, 0.2):
        clock.now += step
        stats.count("GET /x")
    assert stats.report()["max_per_second"] == 3


def test_limits_are_on_by_default_and_refusals_are_counted() -> None:
    with api(Options(invoices=0, customers=2, items=3, months=1, per_hour=3)) as client:
        answers = [client.get("/company") for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
        assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0", "0"]
        assert error_of(answers[4]) == (429, "RATE_LIMIT_EXCEEDED")
        assert 3500 < int(answers[4].headers["retry-after"]) <= 3600
        stats = patient.get(f"{client.handle.url}/sandbox/stats").json()
        assert (stats["requests"], stats["refused"]) == (5, 2)
        assert stats["routes"] == {"GET /company": 5}
        assert client.control("reset-stats")["requests"] == 0


def test_a_duplicate_is_a_conflict_that_names_the_existing_record(shop: Api) -> None:
    for path, field, record in (
        ("customers", "email", {"name": "One", "email": "one@example.com"}),
        ("items", "itemCode", {"name": "One", "itemCode": "ONE-1", "type": "service"}),
        (
            "accounts",
            "accountNumber",
            {
                "accountNumber": "6999",
                "name": "One",
                "type": "expense",
                "category": "other_expense",
            },
        ),
    ):
        status, first = shop.post(f"/{path}", record)
        assert status == 201
        status, body = shop.post(f"/{path}", record)
        assert (status, body["error"]["code"]) == (409, "CONFLICT")
        detail = body["error"]["details"][0]
        assert (detail["field"], detail["existingId"]) == (field, first["data"]["id"])
        assert shop.send("DELETE", f"/{path}/{first['data']['id']}")[0] == 200
        assert shop.get(f"/{path}/{first['data']['id']}").status_code == 404


def test_what_has_transactions_is_not_deleted(shop: Api) -> None:
    invoice = shop.data("/invoices", status="paid", limit=1)[0]
    for path, code in (
        (f"/accounts/{shop.account('rent')}", "ACCOUNT_IN_USE"),
        (f"/customers/{invoice['customerId']}", "BUSINESS_RULE_VIOLATION"),
        (f"/items/{invoice['items'][0]['itemId']}", "BUSINESS_RULE_VIOLATION"),
        (f"/invoices/{invoice['id']}", "BUSINESS_RULE_VIOLATION"),
    ):
        status, body = shop.send("DELETE", path)
        assert (status, body["error"]["code"]) == (422, code)


def test_an_invoice_goes_from_draft_through_part_payment_to_immutable(shop: Api) -> None:
    customer = shop.data("/customers", status="active", limit=1)[0]
    line = {"description": "Work", "quantity": 3, "unitPrice": 33.33, "taxCode": "SST-8"}
    status, body = shop.post(
        "/invoices",
        {
            "customerId": customer["id"],
            "invoiceDate": "2026-11-01",
            "dueDate": "2026-12-01",
            "items": [line],
            "reference": "WAY",
        },
    )
    invoice = body["data"]
    assert (status, invoice["status"], invoice["total"]) == (201, "draft", Decimal("107.99"))
    path = f"/invoices/{invoice['id']}"
    assert shop.post(f"{path}/payment", {"amount": 1})[1]["error"]["details"][0]["rule"]
    assert shop.send("PUT", path, {"items": [{**line, "quantity": 1}]})[1]["data"]["total"] == 36
    assert shop.post(f"{path}/send")[1]["data"]["status"] == "sent"
    assert shop.send("PUT", path, {"items": [line]})[0] == 422
    payment = {"amount": 6, "reference": "WAY-1", "paymentDate": "2026-11-02"}
    assert shop.post(f"{path}/payment", payment)[0] == 201
    assert shop.data(path)["paymentStatus"] == "partial"
    status, body = shop.post(f"{path}/payments", {"amount": 30.01})
    assert (status, body["error"]["details"][0]["code"]) == (422, "MAX_VALUE")
    status, body = shop.send("PUT", path, {"status": "cancelled"})
    assert body["error"]["details"][0]["rule"] == "INVOICE_HAS_PAYMENTS"
    assert shop.post(f"{path}/payments", {"amount": 30})[0] == 201
    paid = shop.data(path)
    assert (paid["status"], paid["amountDue"]) == ("paid", 0)
    status, body = shop.send("PUT", path, {"notes": "late"})
    assert body["error"]["details"][0]["rule"] == "PAID_INVOICE_IMMUTABLE"
    assert len(shop.walk("/journal-entries", reference="WAY-1")) == 1


def test_a_cancelled_invoice_is_reversed_and_its_goods_come_back(shop: Api) -> None:
    row = shop.data("/stock", **{"currentStock[gt]": 10, "limit": 1})[0]
    customer = shop.data("/customers", status="active", limit=1)[0]
    sale = {"customerId": customer["id"], "items": [{"itemId": row["itemId"], "quantity": 4}]}
    before = shop.data(f"/items/{row['itemId']}")["inventory"]["currentStock"]
    invoice = shop.post("/invoices", {**sale, "status": "sent"})[1]["data"]
    assert shop.data(f"/items/{row['itemId']}")["inventory"]["currentStock"] == before - 4
    status, body = shop.send("PUT", f"/invoices/{invoice['id']}", {"status": "cancelled"})
    assert (status, body["data"]["status"]) == (200, "cancelled")
    assert shop.data(f"/items/{row['itemId']}")["inventory"]["currentStock"] == before
    entries = shop.walk("/journal-entries", reference=invoice["invoiceNumber"])
    assert {e["status"] for e in entries} == {"posted", "void"}
    assert shop.data(f"/customers/{customer['id']}")["totalSales"] == customer["totalSales"]
    assert_books_hold(shop)


def test_more_than_there_is_cannot_be_sold_or_taken_and_leaves_no_trace(shop: Api) -> None:
    row = shop.data("/stock", limit=1)[0]
    customer = shop.data("/customers", limit=1)[0]["id"]
    before = {p: shop.get(f"/{p}").json()["pagination"]["total"] for p in LISTS}
    sale = {"customerId": customer, "status": "sent"}
    items = [{"itemId": row["itemId"], "quantity": 1_000_000}]
    take = {"itemId": row["itemId"], "locationId": row["locationId"], "quantity": 1_000_000}
    for results in (
        shop.bulk("invoices", {**sale, "items": items}),
        shop.bulk("inventory-adjustments", {**take, "adjustmentType": "decrease"}),
    ):
        assert results[0]["error"]["details"][0]["rule"] == "INSUFFICIENT_STOCK"
    assert {p: shop.get(f"/{p}").json()["pagination"]["total"] for p in LISTS} == before


def test_a_draft_entry_is_changed_posted_and_voided(shop: Api) -> None:
    rent, bank = shop.account("rent"), shop.account("bank")
    lines = [{"accountId": rent, "debit": 5}, {"accountId": bank, "credit": 5}]
    before = shop.data("/reports/profit-loss")["netProfit"]
    entry = shop.post("/journal-entries", {"date": "2026-11-03", "lines": lines})[1]["data"]
    path = f"/journal-entries/{entry['id']}"
    assert (entry["status"], entry["postedAt"]) == ("draft", None)
    assert shop.send("PUT", path, {"reference": "CHANGED"})[1]["data"]["reference"] == "CHANGED"
    assert shop.data("/reports/profit-loss")["netProfit"] == before
    posted = shop.post(f"{path}/post")[1]["data"]
    assert instant(posted["postedAt"]) > instant(posted["createdAt"])
    assert shop.data("/reports/profit-loss")["netProfit"] == before - 5
    assert shop.send("PUT", path, {"reference": "AGAIN"})[0] == 422
    assert shop.post(f"{path}/post")[0] == 422
    void = shop.post(f"{path}/void", {"reason": "twice", "voidDate": "2026-11-04"})[1]["data"]
    assert (void["status"], void["postedAt"]) == ("void", posted["postedAt"])
    assert len(shop.walk("/journal-entries", reversesId=entry["id"])) == 1
    assert shop.data("/reports/profit-loss")["netProfit"] == before


def test_entries_that_cannot_stand_are_refused(shop: Api) -> None:
    rent, bank = shop.account("rent"), shop.account("bank")
    closed = shop.data("/accounts", active="false", accountNumber="1040")[0]["id"]
    pair = [{"accountId": rent, "debit": 5}, {"accountId": bank, "credit": 5}]
    for lines, code in (
        ([pair[0], {"accountId": bank, "credit": 4}], "INVALID_JOURNAL_ENTRY"),
        (pair[:1], "INVALID_JOURNAL_ENTRY"),
        ([], "INVALID_JOURNAL_ENTRY"),
        ([pair[0], {"accountId": "acc_none", "credit": 5}], "ACCOUNT_NOT_FOUND"),
        ([pair[0], {"accountId": closed, "credit": 5}], "BUSINESS_RULE_VIOLATION"),
        ([pair[0], {"accountId": bank, "credit": 5, "debit": 5}], "VALIDATION_ERROR"),
        ([{"accountId": rent, "debit": 5.001}, pair[1]], "VALIDATION_ERROR"),
        ("text", "VALIDATION_ERROR"),
    ):
        result = shop.bulk("journal-entries", {"date": "2026-11-03", "lines": lines})[0]
        assert (result["success"], result["error"]["code"]) == (False, code)
    sale = shop.data("/journal-entries", createdBy="system", status="posted", limit=1)[0]
    status, body = shop.post(f"/journal-entries/{sale['id']}/void", {})
    assert (status, body["error"]["details"][0]["rule"]) == (422, "ENTRY_OF_DOCUMENT")


def test_a_draft_adjustment_moves_stock_only_when_posted(shop: Api) -> None:
    row = shop.data("/stock", **{"currentStock[gt]": 10, "limit": 1})[0]
    where = {"itemId": row["itemId"], "locationId": row["locationId"]}
    status, body = shop.post(
        "/stock-adjustments",
        {
            "locationId": row["locationId"],
            "status": "draft",
            "reason": "damaged",
            "items": [{"itemId": row["itemId"], "adjustmentQuantity": -2}],
        },
    )
    adjustment = body["data"]
    assert (status, adjustment["status"], adjustment["type"]) == (201, "draft", "negative")
    assert shop.data("/stock", **where)[0]["currentStock"] == row["currentStock"]
    path = f"/inventory/adjustments/{adjustment['id']}"
    assert shop.post(f"{path}/post")[1]["data"]["postedAt"] is not None
    assert shop.data("/stock", **where)[0]["currentStock"] == row["currentStock"] - 2
    status, body = shop.send("PUT", "/inventory/stock", {**where, "newQuantity": 3})
    assert (status, body["data"]["currentStock"]) == (200, 3)
    assert_books_hold(shop)


def test_past_receivables_are_those_of_the_day(shop: Api) -> None:
    invoice = shop.data("/invoices", status="paid", **{"lastPaymentDate[lt]": "2026-11-01"})[0]
    earlier = date.fromisoformat(invoice["lastPaymentDate"]) - timedelta(days=1)
    day = max(earlier.isoformat(), invoice["invoiceDate"])
    aged = shop.data("/reports/aged-receivables", asOfDate=day)
    assert invoice["customerId"] in {c["customerId"] for c in aged["customers"]}
    for customer in aged["customers"]:
        parts = ("current", "days31to60", "days61to90", "over90days")
        assert customer["totalOwing"] == sum(customer[part] for part in parts)


def test_the_busiest_window_is_counted() -> None:
    clock = Clock()
    stats = Stats(clock, window_seconds=10)
    for step in (0, 4, 4, 4, 9):
        clock.now += step
        stats.admit()
    assert stats.report()["max_per_window"] == 3


def test_touched_records_change_and_nothing_else_does(shop: Api) -> None:
    for entity in ("customers", "invoices", "items", "stock", "accounts"):
        before = {str(r) for r in truth(shop, entity)}
        assert len(shop.control("touch", {"entity": entity, "count": 3, "seed": 5})["ids"]) == 3
        changed = [r for r in truth(shop, entity) if str(r) not in before]
        assert len(changed) == 3
        assert all(datetime.now(UTC) - instant(r["updatedAt"]) < timedelta(0, 5) for r in changed)
        assert len({instant(r["updatedAt"]) for r in changed}) == 3
    one, other = (
        shop.control("touch", {"entity": "invoices", "share": 0.05, "seed": 6}) for _ in range(2)
    )
    assert one == other
    assert_books_hold(shop)


def test_many_records_share_one_change_time(shop: Api) -> None:
    tied = shop.control("ties", {"entity": "invoices", "count": 120})["ids"]
    newest = [r for r in truth(shop, "invoices") if r["id"] in set(tied)]
    assert len({instant(r["updatedAt"]) for r in newest}) == 1
    assert len({r["updatedAt"] for r in newest}) == 2
    moment = newest[0]["updatedAt"]
    found = shop.walk("/invoices", **{"updatedAt[gte]": moment, "sort": "updatedAt:asc"})
    assert sorted(r["id"] for r in found) == sorted(tied)


def test_control_requests_that_cannot_be_done_say_why(shop: Api) -> None:
    for path, body, status in (
        ("touch", {"entity": "journal_entries", "count": 1}, 400),
        ("ties", {"entity": "stock_adjustments", "count": 1}, 400),
        ("touch", {"entity": "customers", "count": 10_000}, 400),
        ("touch", {"entity": "customers"}, 400),
        ("delete", {"entity": "customers", "count": 1, "ids": []}, 400),
        ("delete", {"entity": "customers", "ids": ["cust_none"]}, 404),
        ("delete", {"entity": "moons", "count": 1}, 422),
    ):
        answer = patient.post(f"{shop.handle.url}/sandbox/{path}", json=body)
        assert answer.status_code == status, answer.text


@pytest.mark.deep
def test_hard_deletes_leave_no_trace_and_nights_go_on() -> None:
    with faulty("") as client:
        for entity, count in (
            ("customers", 2),
            ("invoices", 5),
            ("items", 1),
            ("stock", 3),
            ("accounts", 2),
            ("journal_entries", 4),
            ("stock_adjustments", 1),
        ):
            before = truth(client, entity)
            gone = client.control("delete", {"entity": entity, "count": count, "seed": 3})["ids"]
            left = truth(client, entity)
            assert (len(set(gone)), len(left)) == (count, len(before) - count)
            kept = {r.get("id") or f"{r['itemId']}|{r['locationId']}" for r in left}
            assert not kept & set(gone)
        trial = client.data("/reports/trial-balance")
        entries = client.walk("/journal-entries", **{"status[ne]": "draft"})
        debits: dict[str, Decimal] = {}
        for line in (line for entry in entries for line in entry["lines"]):
            net = line["debit"] - line["credit"]
            debits[line["accountId"]] = debits.get(line["accountId"], Decimal(0)) + net
        told = {a["accountId"]: a["debit"] - a["credit"] for a in trial["accounts"]}
        assert told == {key: net for key, net in debits.items() if net}
        counts = [client.control("night", {"seed": seed}) for seed in range(4)]
        assert all(count["invoices_created"] for count in counts)
        for entry in client.walk("/journal-entries"):
            assert sum(line["debit"] - line["credit"] for line in entry["lines"]) == 0


def test_what_a_night_cannot_finish_without_deleted_records_it_gives_up_whole() -> None:
    with faulty("odd-records=4") as client:
        client.control("delete", {"entity": "customers", "count": 4, "seed": 1})
        counts = [client.control("night", {"seed": seed, "invoices": 20}) for seed in range(2)]
        assert sum(count.get("given_up", 0) for count in counts) > 0
        assert client.send("PUT", "/customers/cust_odd00000", {"name": "Nobody"})[0] == 404
        client.control("faults", {"faults": ""})
        assert_books_hold(client)


def test_an_email_of_a_deleted_customer_is_free_again(shop: Api) -> None:
    record = {"name": "Back", "email": "back@example.com"}
    created = shop.post("/customers", record)[1]["data"]
    shop.control("delete", {"entity": "customers", "ids": [created["id"]]})
    assert shop.get(f"/customers/{created['id']}").status_code == 404
    assert shop.post("/customers", record)[0] == 201


def refresh(client: Api, token: str, **more: str) -> httpx.Response:
    form = {
        "grant_type": "refresh_token",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "refresh_token": token,
        **more,
    }
    return patient.post(client.handle.token_url, json=form)


def with_token(client: Api, token: str) -> httpx.Response:
    return client.http.get("/company", headers={"Authorization": f"Bearer {token}"})


def test_an_access_token_opens_the_api_and_the_refresh_token_rotates(shop: Api) -> None:
    shop.control("reset-stats")
    first = refresh(shop, "blg_oauth_rt_sandbox").json()
    assert (first["token_type"], first["expires_in"]) == ("Bearer", 3600)
    assert first["access_token"].startswith("blg_oauth_at_")
    assert with_token(shop, first["access_token"]).status_code == 200
    second = refresh(shop, first["refresh_token"]).json()
    assert len({"blg_oauth_rt_sandbox", first["refresh_token"], second["refresh_token"]}) == 3
    for token in (first["access_token"], second["access_token"]):
        assert with_token(shop, token).status_code == 200
    assert error_of(with_token(shop, "blg_oauth_at_other")) == (401, "UNAUTHORIZED")
    third = refresh(shop, first["refresh_token"])  # its answer may have got lost
    assert third.status_code == 200
    assert refresh(shop, second["refresh_token"]).json() == {"error": "invalid_grant"}
    routes = patient.get(f"{shop.handle.url}/sandbox/stats").json()["routes"]
    assert routes == {"POST /oauth/token": 4, "GET /company": 4}


def test_tokens_are_refused_to_strangers(shop: Api) -> None:
    for more, status, error in (
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"refresh_token": "blg_oauth_rt_dead"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ):
        answer = refresh(shop, "blg_oauth_rt_sandbox", **more)
        assert (answer.status_code, answer.json()) == (status, {"error": error})
    answer = patient.post(shop.handle.token_url, content=b"{")
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


def test_access_tokens_expire_and_refresh_tokens_may_serve_once() -> None:
    clock = Clock()
    options = Options(token_lifetime=60, refresh_twice=False)
    tokens = Tokens(options, clock)
    form = {
        "grant_type": "refresh_token",
        "client_id": options.oauth_client_id,
        "client_secret": options.oauth_client_secret,
        "refresh_token": options.oauth_refresh_token,
    }
    status, body = tokens.grant(form)
    assert (status, body["expires_in"]) == (200, 60)
    assert tokens.grant(form) == (400, {"error": "invalid_grant"})
    clock.now += 59
    assert tokens.accepts(body["access_token"])
    clock.now += 1
    assert not tokens.accepts(body["access_token"])


def test_a_taken_port_is_said_clearly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} .* is taken"):
            serve(Options(invoices=0), port=port)


def test_options_no_company_can_have_are_refused() -> None:
    for wrong in ({"items": 1}, {"customers": 0}, {"invoices": -1}, {"api_key": "blg_live_sk_x"}):
        with pytest.raises(ValueError, match=r"at least|test keys"):
            Options(**wrong)


def test_every_documented_operator_is_known() -> None:
    documented = "eq ne gt gte lt lte in nin contains startswith endswith"
    assert set(OPERATORS) == set(documented.split())
