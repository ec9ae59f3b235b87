import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import pairwise
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
    ids,
    page,
    truth,
    under,
)
from typer.testing import CliRunner

from blsync.cli.app import app
from blsync.sandbox import Options, create_app, fault_table
from blsync.sandbox.faults.faults import FAULTS, Faults


@pytest.fixture(scope="module")
def shop() -> Iterator[Api]:
    """One that tests may write to; none may count on what others left."""
    with api(SMALL) as client:
        yield client


def test_unknown_faults_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="latency, error, error-after"):
        Faults("earthquake=1")
    for wrong in ("error=2", "latency=fast", "expire-cursors=-1", "forbid=moon"):
        with pytest.raises(ValueError, match=wrong.split("=")[0]):
            create_app(Options(invoices=0, customers=1, items=3, months=1, faults=wrong))
    assert "drop-after" in FAULTS


def test_faults_strike_before_or_after_acting() -> None:
    with faulty("error=1") as client:
        record = {"name": "Maybe", "email": "maybe@example.com"}

        def exists() -> bool:
            return bool(client.walk("/customers", email="maybe@example.com"))

        answer = client.http.post("/customers", json=record)
        assert error_of(answer) == (503, "SERVICE_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        client.control("faults", {"faults": "html=1"})
        answer = client.http.post("/customers", json=record)
        assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
        client.control("faults", {"faults": ""})
        assert not exists()
        client.control("faults", {"faults": "error-after=1"})
        assert error_of(client.http.post("/customers", json=record))[0] == 500
        client.control("faults", {"faults": ""})
        assert exists()


def test_answers_break_off_or_never_come_though_the_server_acted() -> None:
    with faulty("truncate=1") as client:
        with pytest.raises((ValueError, httpx.DecodingError)):
            client.get("/customers").json()
        client.control("faults", {"faults": "drop-after=1"})
        with pytest.raises(httpx.RemoteProtocolError):
            client.http.post("/customers", json={"name": "Acted", "email": "acted@example.com"})
        client.control("faults", {"faults": "latency=1ms"})
        assert client.walk("/customers", email="acted@example.com")


def test_a_forbidden_entity_leaves_the_others_open() -> None:
    with faulty("forbid=journal_entries+stock") as client:
        for path in ("/journal-entries", "/stock", "/inventory/stock"):
            answer = client.get(path)
            assert error_of(answer) == (403, "FORBIDDEN")
            assert answer.json()["error"]["details"][0]["required_scope"].startswith("read:")
        assert client.post("/bulk/journal-entries", {"operations": []})[0] == 403
        assert client.data("/accounts")


def test_cursors_expire_after_so_many_pages() -> None:
    with faulty("expire-cursors=2") as client:
        cursor: dict[str, str] = {}
        for expected in (200, 200, 200, 400):
            answer = client.get("/customers", limit=1, **cursor)
            assert answer.status_code == expected
            if expected == 200:
                cursor = {"cursor": answer.json()["pagination"]["nextCursor"]}
        assert answer.json()["error"]["code"] == "INVALID_CURSOR"


def test_odd_records_are_listed_but_do_not_disturb_the_books() -> None:
    with faulty("odd-records=4") as client:
        records = client.walk("/customers")
        assert len(records) == 12
        assert sum("id" not in record for record in records) == 1
        assert any(record["creditLimit"] == "fifty thousand" for record in records)
        client.control("night")
        client.control("faults", {"faults": ""})
        assert_books_hold(client)


def walked(
    client: Api, path: str = "/customers", pages: int = 60, **query: Any
) -> list[list[dict[str, Any]]]:
    """Walk without minding what is odd about it; the records of each page."""
    result, cursor = [], {}
    while len(result) < pages:
        body = page(client, path, **query, **cursor)
        result.append(body["data"])
        if not body["pagination"]["hasMore"]:
            return result
        cursor = {"cursor": body["pagination"]["nextCursor"]}
    raise AssertionError(f"no end after {pages} pages")


def test_the_table_of_faults_names_every_fault() -> None:
    rows = [line.split()[0].partition("=")[0] for line in fault_table().splitlines() if line]
    assert set(FAULTS) <= set(rows)
    wrong_values = ("no-total=1", "retry-after=soon", "null-fields=", "late-commit=5", "clamp=few")
    for wrong in (*wrong_values, "clock=5"):
        with pytest.raises(ValueError, match=wrong.split("=")[0]):
            Faults(wrong)


def test_answers_tell_no_time_or_one_that_is_off(shop: Api) -> None:
    for fault, off in (("clock=+7200s", 7200), ("clock=-240s", -240)):
        with under(shop, fault):
            answer = shop.get("/company")
        told = datetime.fromisoformat(answer.json()["meta"]["timestamp"])
        for at in (told, parsedate_to_datetime(answer.headers["date"])):
            assert abs((at - datetime.now(UTC)).total_seconds() - off) < 3
    with under(shop, "clock=none"):
        answer = shop.get("/company")
    assert "date" not in answer.headers
    assert list(answer.json()["meta"]) == ["requestId"]


def test_connections_close_and_answers_refuse_before_anything_is_done(shop: Api) -> None:
    record = {"name": "Never", "email": "never@example.com"}
    with under(shop, "reset=1"), pytest.raises(httpx.TransportError):
        shop.post("/customers", record)
    with under(shop, "refuse=1"):
        status, body = shop.post("/customers", record)
    assert (status, body["success"], body["error"]["code"]) == (200, False, "INTERNAL_ERROR")
    assert not shop.walk("/customers", email="never@example.com")


def test_a_key_is_revoked_in_the_middle_until_other_faults_are_set(shop: Api) -> None:
    with under(shop, "revoke-after=2"):
        codes = [shop.get("/company").status_code for _ in range(4)]
        assert codes == [200, 200, 401, 401]
        assert error_of(shop.get("/company")) == (401, "UNAUTHORIZED")
    assert shop.get("/company").status_code == 200


def test_a_smaller_largest_page_is_refused_or_clamped(shop: Api) -> None:
    with under(shop, "max-limit=20"):
        assert error_of(shop.get("/customers", limit=21)) == (400, "BAD_REQUEST")
        assert page(shop, limit=20)["pagination"]["limit"] == 20
        assert page(shop)["pagination"]["limit"] == 20
    with under(shop, "clamp=4"):
        for query in ({"limit": 500}, {"limit": 5}, {}):
            body = page(shop, **query)
            assert (len(body["data"]), body["pagination"]["limit"]) == (4, 4)
        assert page(shop, limit=3)["pagination"]["limit"] == 3


def test_an_unsorted_list_is_complete_and_in_no_order_of_time(shop: Api) -> None:
    with under(shop, "unsorted"):
        found = ids(walked(shop, "/invoices", limit=30, sort="updatedAt:asc"))
        again = ids(walked(shop, "/invoices", limit=50, sort="updatedAt:desc"))
    in_order = [r["id"] for r in shop.walk("/invoices", sort="updatedAt:asc")]
    assert found == again
    assert sorted(found) == sorted(in_order)
    assert sum(found.index(a) < found.index(b) for a, b in pairwise(in_order)) < 120


def test_offset_cursors_skip_what_slides_forward(shop: Api) -> None:
    query = {"sort": "updatedAt:asc", "limit": 10}
    for faults, lost in (("offset-cursors", 1), ("", 0)):
        with under(shop, faults):
            before = ids(walked(shop, **query))
            first = page(shop, **query)
            moved = shop.control("touch", {"entity": "customers", "ids": before[:1]})
            assert moved["ids"] == before[:1]
            cursor, rest = first["pagination"]["nextCursor"], []
            while cursor:
                body = page(shop, **query, cursor=cursor)
                rest += ids([body["data"]])
                cursor = body["pagination"]["nextCursor"]
        assert len(set(before) - set(before[:10]) - set(rest)) == lost


def test_cursors_are_repeated_for_ever_or_get_lost(shop: Api) -> None:
    with under(shop, "repeat-cursor=2"):
        cursors, cursor = [], {}
        for _ in range(5):
            about = page(shop, limit=5, **cursor)["pagination"]
            assert about["hasMore"]
            cursors.append(about["nextCursor"])
            cursor = {"cursor": about["nextCursor"]}
        assert cursors[0] != cursors[1]
        assert len(set(cursors[1:])) == 1
    with under(shop, "lose-cursor=2"):
        cursor = {"cursor": page(shop, limit=5)["pagination"]["nextCursor"]}
        about = page(shop, limit=5, **cursor)["pagination"]
        assert (about["hasMore"], about["nextCursor"]) == (True, None)


@pytest.mark.parametrize("more", ["", ",offset-cursors"])
def test_empty_pages_come_before_each_page(shop: Api, more: str) -> None:
    expected = [r["id"] for r in shop.walk("/customers", sort="name:desc")]
    with under(shop, f"empty-pages=2{more}"):
        pages = walked(shop, limit=10, sort="name:desc")
    sizes = [len(records) for records in pages]
    assert sizes[:6] == [0, 0, 10, 0, 0, 10]
    assert ids(pages) == expected


@pytest.mark.parametrize("more", ["", ",offset-cursors", ",unsorted"])
def test_twins_come_again_on_the_next_page(shop: Api, more: str) -> None:
    expected = {r["id"] for r in shop.walk("/customers")}
    with under(shop, f"twins=0.2{more}"):
        pages = walked(shop, limit=10, sort="updatedAt:asc")
    assert all(ids([one])[-2:] == ids([other])[:2] for one, other in pairwise(pages))
    assert set(ids(pages)) == expected
    with under(shop, "twins=1"):
        assert set(ids(walked(shop, limit=2))) == expected


def test_listed_records_change_while_lists_are_walked(shop: Api) -> None:
    for path, entity in (("/customers", "customers"), ("/stock", "stock"), ("/items", "items")):
        before = {str(r): r["updatedAt"] for r in truth(shop, entity)}
        with under(shop, "churn=1"):
            for _ in range(3):
                page(shop, path, limit=1)
        changed = [r for r in truth(shop, entity) if str(r) not in before]
        assert 0 < len(changed) <= 3
    found = {"name[startswith]": "nobody"}
    newest = page(shop, sort="updatedAt:desc", limit=1)["data"]
    with under(shop, "churn=1"):
        page(shop, **found)
        page(shop, "/journal-entries")
    assert page(shop, sort="updatedAt:desc", limit=1)["data"] == newest


def test_quota_headers_are_missing_or_stale(shop: Api) -> None:
    with under(shop, "no-quota-headers"):
        headers = shop.get("/company").headers
        assert not [name for name in headers if name.startswith("x-ratelimit")]
    with under(shop, "reset-past"):
        reset = int(shop.get("/company").headers["x-ratelimit-reset"])
        assert 55 < datetime.now(UTC).timestamp() - reset < 65


def test_retry_after_comes_in_every_spelling_and_other_programs_use_the_quota() -> None:
    with api(Options(invoices=0, customers=2, items=3, months=1, per_hour=100)) as client:
        client.get("/company")
        client.control("faults", {"faults": "other-program=40"})
        assert client.get("/company").headers["x-ratelimit-remaining"] == "58"
        told = {}
        for spelling in ("date", "zero", "none"):
            client.control("faults", {"faults": f"other-program=1000,retry-after={spelling}"})
            answer = client.get("/company")
            assert error_of(answer) == (429, "RATE_LIMIT_EXCEEDED")
            told[spelling] = answer.headers.get("retry-after")
        wait = parsedate_to_datetime(told["date"] or "") - datetime.now(UTC)
        assert timedelta(seconds=3500) < wait <= timedelta(seconds=3601)
        assert (told["zero"], told["none"]) == ("0", None)
        stats = patient.get(f"{client.handle.url}/sandbox/stats").json()
        assert (stats["requests"], stats["refused"], stats["max_per_window"]) == (5, 3, 2)


def test_records_carry_undocumented_null_or_text_fields(shop: Api) -> None:
    invoice, customer = shop.data("/invoices", limit=1)[0], shop.data("/customers", limit=1)[0]
    one = f"/invoices/{invoice['id']}"
    with under(shop, "extra-fields"):
        for path in LISTS:
            extra = shop.data(f"/{path}", limit=1)[0]
            assert extra["integration"]["batch"] == {"number": 7, "isManual": False}
            assert extra["loyaltyTier"] == "gold"
        assert shop.data(one).items() > invoice.items()
    with under(shop, "null-fields=phone+dueDate"):
        assert shop.data(one) == {**invoice, "dueDate": None}
        assert shop.data("/customers", limit=1) == [{**customer, "phone": None}]
    with under(shop, "text-numbers"):
        texts = shop.data(one)
        assert texts["total"] == str(invoice["total"])
        assert texts["items"][0]["lineTotal"] == str(invoice["items"][0]["lineTotal"])
        assert texts["items"][0]["quantity"] == invoice["items"][0]["quantity"]
        assert shop.data("/customers", limit=1)[0]["creditLimit"] == str(customer["creditLimit"])
        assert isinstance(shop.data("/accounts", limit=1)[0]["balance"]["net"], Decimal)
    assert shop.data(one) == invoice


def test_late_commits_are_left_out_of_lists_and_totals(shop: Api) -> None:
    (moved,) = shop.control("touch", {"entity": "invoices", "count": 1})["ids"]
    rent, bank = shop.account("rent"), shop.account("bank")
    lines = [{"accountId": rent, "debit": 5}, {"accountId": bank, "credit": 5}]
    entry = shop.post("/journal-entries", {"date": "2026-11-03", "lines": lines})[1]["data"]
    shop.control("touch", {"entity": "stock", "count": 1})
    for path, key in (("/invoices", moved), ("/journal-entries", entry["id"]), ("/stock", None)):
        everything = page(shop, path)["pagination"]["total"]
        with under(shop, "late-commit=60s"):
            records = shop.walk(path)
            assert len(records) < everything
            assert key is None or key not in ids([records])
        with under(shop, "late-commit=1ms"):
            assert len(shop.walk(path)) == everything


def test_pages_need_not_tell_the_total(shop: Api) -> None:
    with under(shop, "no-total"):
        assert set(page(shop)["pagination"]) == {"hasMore", "nextCursor", "limit"}


def test_the_whole_truth_holds_what_no_list_shows(shop: Api) -> None:
    accounts = truth(shop, "accounts")
    assert {a["isActive"] for a in accounts} == {True, False}
    with under(shop, "late-commit=99999999s,null-fields=name,odd-records=1"):
        assert truth(shop, "accounts") == accounts
        assert len(truth(shop, "customers")) == 1 + len(shop_keys(shop, "customers"))
    answer = patient.get(f"{shop.handle.url}/sandbox/records", params={"entity": "moons"})
    assert answer.status_code == 400


def shop_keys(client: Api, entity: str) -> set[str]:
    return {r["id"] for r in truth(client, entity) if not r["id"].startswith("cust_odd")}


def test_the_command_tells_every_fault() -> None:
    text = CliRunner().invoke(app, ["sandbox", "--faults", "help"]).output
    assert fault_table() in text
    assert "--faults help" in CliRunner().invoke(app, ["sandbox", "--help"]).output


def create(*emails: str) -> dict[str, Any]:
    """Word a bulk request that creates customers."""
    data = [{"name": f"Customer {email}", "email": email} for email in emails]
    return {"operations": [{"operation": "create", "data": record} for record in data]}


def emails_like(client: Api, end: str) -> list[str]:
    emails = [str(r.get("email") or "") for r in truth(client, "customers")]
    return sorted(email for email in emails if email.endswith(end))


def works(client: Api, method: str, path: str, body: Any = None) -> bool:
    """Tell whether a request gets a whole answer of success within a second."""
    try:
        answer = client.http.request(method, path, json=body, timeout=1)
        return bool(answer.status_code == 200 and answer.json()["success"])
    except (httpx.TransportError, httpx.DecodingError, ValueError):
        return False


@pytest.mark.parametrize(
    "fault",
    [
        *("error=1", "error-after=1", "html=1", "refuse=1", "truncate=1", "reset=1"),
        *("drop-after=1", "latency=3s"),
    ],
)
def test_request_faults_can_be_held_to_writes_or_to_reads(shop: Api, fault: str) -> None:
    write = ("POST", "/bulk/customers", create("x"))
    for only, writes_work in (("writes", False), ("reads", True)):
        with under(shop, f"{fault},only={only}"):
            assert works(shop, "GET", "/customers") is not writes_work
            assert works(shop, *write) is writes_work
    assert works(shop, *write)


def test_times_counts_the_requests_that_are_struck(shop: Api) -> None:
    write = ("POST", "/bulk/customers", create("x"))
    for _ in range(2):
        with under(shop, "only=writes,drop-after=1,times=2"):
            told = [(works(shop, *write), works(shop, "GET", "/customers")) for _ in range(4)]
            assert told == [(False, True), (False, True), (True, True), (True, True)]
    with under(shop, "error-after=1,latency=1ms,times=2"):
        assert [works(shop, *write) for _ in range(3)] == [False, False, True]
    with under(shop, "reject-rows=1,times=1"):
        failed = [shop.post(*write[1:])[1]["data"]["results"][0]["success"] for _ in range(2)]
        assert failed == [False, False]
        assert len(shop.bulk("customers", {"name": "T", "email": "t@times.example"})) == 1
        assert emails_like(shop, "@times.example") == ["t@times.example"]


def test_part_of_a_bulk_request_is_committed_without_an_answer(shop: Api) -> None:
    addresses = [f"{number}@part.example" for number in range(5)]
    with under(shop, "part=1,error-after=1"), pytest.raises(httpx.RemoteProtocolError):
        shop.post("/bulk/customers", create(*addresses))
    assert emails_like(shop, "@part.example") == addresses[:2]
    assert_books_hold(shop)


def test_a_late_write_lands_after_the_connection_has_closed(shop: Api) -> None:
    invoice = shop.data("/invoices", **{"status[in]": "sent,overdue", "limit": 1})[0]
    rent, bank = shop.account("rent"), shop.account("bank")
    lines = [{"accountId": rent, "debit": 5}, {"accountId": bank, "credit": 5}]
    entry = {"date": "2026-11-03", "status": "posted", "lines": lines, "reference": "LATE-1"}
    payment = {"invoiceId": invoice["id"], "amount": 0.01, "reference": "LATE-2"}
    with under(shop, "late-write=4s"):
        for name, data in (("journal-entries", entry), ("payments", payment)):
            with pytest.raises(httpx.RemoteProtocolError):
                shop.bulk(name, data)
        with pytest.raises(httpx.RemoteProtocolError):
            shop.post("/bulk/customers", create("a@late.example", "b@late.example"))
    late = {"reference[in]": "LATE-1,LATE-2"}
    assert shop.walk("/journal-entries", **late) == []
    assert emails_like(shop, "@late.example") == []
    assert shop.bulk("customers", {"name": "First", "email": "B@late.example"})[0]["success"]
    for _ in range(1200):  # a minute at most; what is asserted below fails if it never comes
        if emails_like(shop, "a@late.example"):
            break
        time.sleep(0.05)
    assert len(shop.walk("/journal-entries", **late)) == 2
    assert emails_like(shop, "@late.example") == ["B@late.example", "a@late.example"]
    assert shop.data(f"/invoices/{invoice['id']}")["amountPaid"] > invoice["amountPaid"]
    assert_books_hold(shop)


def test_bulk_results_are_missing_doubled_strays_or_in_another_order(shop: Api) -> None:
    def indexes(faults: str, domain: str) -> list[int]:
        addresses = [f"{number}@{domain}.example" for number in range(6)]
        with under(shop, faults):
            data = shop.post("/bulk/customers", create(*addresses))[1]["data"]
        assert (data["processed"], data["successful"]) == (6, 6)
        assert emails_like(shop, f"@{domain}.example") == addresses
        for result in data["results"]:
            if result["index"] < 6:
                assert result["data"]["email"] == addresses[result["index"]]
        return [result["index"] for result in data["results"]]

    every = list(range(6))
    missing = indexes("missing-results=2", "missing")
    assert len(missing) == 4
    assert missing == sorted(set(missing))
    doubled = indexes("double-results=2", "double")
    assert (sorted(set(doubled)), len(doubled)) == (every, 8)
    assert indexes("stray-results=2", "stray") == [*every, 6, 7]
    shuffled = indexes("shuffle-results", "shuffle")
    assert sorted(shuffled) == every != shuffled
    both = indexes("missing-results=9,stray-results=1,times=1", "both")
    assert both == [6]


def test_operations_are_rejected_each_by_itself(shop: Api) -> None:
    addresses = [f"{number:02}@reject.example" for number in range(40)]
    with under(shop, "reject-rows=0.4"):
        results = shop.post("/bulk/customers", create(*addresses))[1]["data"]["results"]
    codes = {r["error"]["code"] for r in results if not r["success"]}
    assert codes == {"VALIDATION_ERROR"}
    created = [addresses[r["index"]] for r in results if r["success"]]
    assert 0 < len(created) < 40
    assert emails_like(shop, "@reject.example") == created


def test_poison_spoils_the_whole_of_a_bulk_request(shop: Api) -> None:
    addresses = [f"{name}@poison.example" for name in ("good", "毒", "fine")]
    with under(shop, "poison=毒@,only=reads,times=0"):
        status, body = shop.post("/bulk/customers", create(*addresses))
        assert (status, body["error"]["code"]) == (422, "VALIDATION_ERROR")
        assert "details" not in body["error"]
        assert emails_like(shop, "@poison.example") == []
        assert shop.post("/bulk/customers", create(addresses[0], addresses[2]))[0] == 200
    with under(shop, "poison=毒@,poison-status=413"):
        assert shop.post("/bulk/customers", create(addresses[1]))[0] == 413
    assert emails_like(shop, "@poison.example") == sorted([addresses[0], addresses[2]])


def test_lists_show_late_what_bulk_writes_created_or_paid(shop: Api) -> None:
    customer = shop.data("/customers", limit=1)[0]["id"]
    sale = {"customerId": customer, "items": [{"description": "W", "quantity": 1, "unitPrice": 9}]}
    rent, bank = shop.account("rent"), shop.account("bank")
    lines = [{"accountId": rent, "debit": 5}, {"accountId": bank, "credit": 5}]
    row = shop.data("/stock", limit=1)[0]
    found = {"limit": 5, "reference[in]": "LAG-1"}
    with under(shop, "late-commit=60s"):
        (issued,) = shop.bulk("invoices", {**sale, "status": "sent", "reference": "LAG-1"})
        paid = {"invoiceId": issued["data"]["id"], "amount": 9, "reference": "LAG-1"}
        for name, data in (
            ("journal-entries", {"date": "2026-11-03", "lines": lines, "reference": "LAG-1"}),
            ("payments", paid),
            (
                "inventory-adjustments",
                {
                    **{key: row[key] for key in ("itemId", "locationId")},
                    **{"adjustmentType": "increase", "quantity": 1, "reference": "LAG-1"},
                },
            ),
            ("customers", {"name": "Lag", "email": "lag@lag.example"}),
        ):
            assert shop.bulk(name, data)[0]["success"]
        for path in ("/invoices", "/journal-entries", "/stock-adjustments"):
            assert page(shop, path, **found)["data"] == []
        assert page(shop, **{"email[in]": "lag@lag.example"})["pagination"]["total"] == 0
    totals = {
        path: page(shop, path, **found)["pagination"]["total"]
        for path in ("/invoices", "/journal-entries", "/stock-adjustments")
    }
    assert totals == {"/invoices": 1, "/journal-entries": 3, "/stock-adjustments": 1}
    assert page(shop, **{"email[in]": "lag@lag.example"})["pagination"]["total"] == 1
