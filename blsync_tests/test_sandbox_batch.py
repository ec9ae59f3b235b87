"""The sandbox's `/batch`: sizes, actions, options, jobs, limits, and books that hold afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rig.sandbox_api import SMALL, Api, api, assert_books_hold, under

from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.http.limits import BatchLimits

SIZES = {
    "customers": 500,
    "suppliers": 500,
    "invoices": 100,
    "bills": 100,
    "items": 1000,
    "journal-entries": 100,
    "stock-adjustments": 500,
    "payments": 200,
    "accounts": 200,
}
ACTIONS = {
    **{key: {"create", "update", "delete"} for key in ("customers", "suppliers", "items")},
    **{key: {"create", "update"} for key in ("invoices", "bills", "accounts")},
    **{key: {"create"} for key in ("journal-entries", "stock-adjustments", "payments")},
}


@pytest.fixture(scope="module")
def client() -> Iterator[Api]:
    with api(replace(SMALL, invoices=40, months=2)) as opened:
        yield opened


def operation(action: str, reference: str, **data: Any) -> dict[str, Any]:
    return {"operation": action, "referenceId": reference, "data": data}


def batch(client: Api, name: str, *operations: dict[str, Any], **options: bool) -> dict[str, Any]:
    body = {"operations": list(operations), "options": options}
    status, answer = client.post(f"/batch/{name}", body)
    assert status == 200, answer
    return dict(answer["data"])


def customers(word: str, count: int) -> list[dict[str, Any]]:
    return [
        operation("create", f"r{n}", name=f"Kedai {n}", email=f"{word}{n}@b.example")
        for n in range(count)
    ]


def emails(client: Api, word: str) -> int:
    found = client.get("/customers", limit=1, **{"email[startswith]": word}).json()
    return int(found["pagination"]["total"])


@pytest.mark.parametrize(("name", "most"), SIZES.items())
def test_each_entity_takes_as_many_operations_as_documented(
    client: Api, name: str, most: int
) -> None:
    one = operation("create", "r")
    assert client.post(f"/batch/{name}", {"operations": [one] * (most + 1)})[0] == 422
    answer = batch(client, name, *[one] * most, validateOnly=True)
    assert answer["totalRecords"] == most


@pytest.mark.parametrize(("name", "actions"), ACTIONS.items())
def test_each_entity_takes_the_documented_actions_alone(
    client: Api, name: str, actions: set[str]
) -> None:
    for action in ("create", "update", "delete"):
        answer = batch(client, name, operation(action, "r", id="nobody"))
        error = answer["results"][0]["error"]
        fields = {detail.get("field") for detail in error["details"]}
        assert ("operation" in fields) == (action not in actions), (name, action)


def test_what_is_only_validated_is_answered_as_if_done_and_leaves_no_trace(client: Api) -> None:
    before = client.data("/customers", limit=1, sort="createdAt:desc")
    made = customers("dry", 3) + customers("dry", 1)
    answer = batch(client, "customers", *made, validateOnly=True)
    assert (answer["successfulRecords"], answer["failedRecords"]) == (3, 1)
    assert all("id" not in result.get("data", {}) for result in answer["results"])
    assert emails(client, "dry") == 0
    done = batch(client, "customers", *customers("dry", 3))
    assert [result["referenceId"] for result in done["results"]] == ["r0", "r1", "r2"]
    number = int(done["results"][0]["data"]["customerNumber"].rpartition("-")[2])
    assert number == int(before[0]["customerNumber"].rpartition("-")[2]) + 1
    assert_books_hold(client)


def test_a_batch_that_does_not_go_on_after_an_error_skips_the_rest(client: Api) -> None:
    [first, second, third] = customers("stop", 3)
    taken = operation("create", "taken", **first["data"])
    answer = batch(client, "customers", first, taken, second, third, continueOnError=False)
    counts = {name: answer[name] for name in ("processedRecords", "skippedRecords")}
    assert counts == {"processedRecords": 2, "skippedRecords": 2}
    error = answer["results"][1]["error"]
    assert (error["code"], error["message"]) == ("VALIDATION_ERROR", "Email already exists")
    assert error["context"]["rowNumber"] == 2
    assert emails(client, "stop") == 1


def test_a_rolled_back_batch_leaves_the_books_as_they_were_in_every_kind(client: Api) -> None:
    made = batch(client, "customers", *customers("back", 2))
    ids = [result["data"]["id"] for result in made["results"]]
    invoice = client.data("/invoices", status="sent", limit=1)[0]
    row = client.data("/stock", limit=1)[0]
    options = {"continueOnError": False, "rollbackOnError": True}
    wrong = operation("create", "wrong", name="")
    steps = {
        "customers": [operation("update", "a", id=ids[0], name="Other"),
                      operation("delete", "b", id=ids[1])],
        "payments": [operation("create", "a", invoiceId=invoice["id"], amount=1)],
        "stock-adjustments": [operation("create", "a", itemId=row["itemId"], quantity=1,
                                        locationId=row["locationId"],
                                        adjustmentType="increase", unitCost=2)],
        "accounts": [operation("create", "a", accountNumber="6999", name="X", type="expense",
                               category="operating_expense")],
    }  # fmt: skip
    for name, operations in steps.items():
        answer = batch(client, name, *operations, wrong, **options)
        assert answer["status"] == "rolled_back"
        assert {r["error"]["code"] for r in answer["results"]} == {"ROLLED_BACK"}
    assert [client.data(f"/customers/{one}")["name"] for one in ids] == ["Kedai 0", "Kedai 1"]
    assert client.data(f"/invoices/{invoice['id']}")["amountPaid"] == invoice["amountPaid"]
    assert client.data("/accounts", accountNumber="6999") == []
    again = operation("create", "a", **steps["accounts"][0]["data"])
    assert batch(client, "accounts", again)["successfulRecords"] == 1
    assert_books_hold(client)


def test_options_that_exclude_each_other_or_are_no_booleans_are_refused(client: Api) -> None:
    for options in ({"continueOnError": True, "rollbackOnError": True}, {"rollbackOnError": True}):
        body = {"operations": customers("opt", 1), "options": options}
        assert client.post("/batch/customers", body)[0] == 422
    body = {"operations": customers("opt", 1), "options": {"async": "yes"}}
    assert client.post("/batch/customers", body)[0] == 422
    assert emails(client, "opt") == 0


def test_a_batch_and_a_bulk_request_write_the_same(client: Api) -> None:
    line = {"description": "Work", "quantity": 2, "unitPrice": 10.5, "taxCode": "SST-8"}
    body = {"customerId": client.data("/customers", limit=1)[0]["id"], "items": [line]}
    one = client.bulk("invoices", body)[0]["data"]
    other = batch(client, "invoices", operation("create", "r", **body))["results"][0]["data"]
    own = {"id", "invoiceNumber", "items", "createdAt", "updatedAt"}
    assert {n: v for n, v in one.items() if n not in own} == {
        n: v for n, v in other.items() if n not in own
    }


def test_a_job_is_queued_then_done_and_tells_of_each_record(client: Api) -> None:
    body = {"operations": customers("job", 150), "options": {"async": True}}
    with under(client, "slow-jobs=300ms"):
        status, answer = client.post("/batch/customers", body)
        job = answer["data"]["jobId"]
        assert (status, answer["data"]["status"]) == (202, "queued")
        assert client.data(f"/batch/jobs/{job}")["status"] == "processing"
        assert client.get(f"/batch/jobs/{job}/results").status_code == 404
        deadline = time.monotonic() + 60
        while client.data(f"/batch/jobs/{job}")["status"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert client.data(f"/batch/jobs/{job}")["progress"]["successfulRecords"] == 150
    assert len(client.data(f"/batch/jobs/{job}/results")["results"]) == 150
    assert client.get("/batch/jobs/job_nobody").status_code == 404
    assert client.data("/batch/metrics")["currentMonth"]["totalRecords"] >= 150


def test_no_more_than_three_jobs_run_at_once(client: Api) -> None:
    with under(client, "slow-jobs=1s"):
        bodies = [
            {"operations": customers(f"three{n}", 101), "options": {"async": True}}
            for n in range(4)
        ]
        statuses = [client.post("/batch/customers", body)[0] for body in bodies]
        assert statuses == [202, 202, 202, 429]


def test_ten_batches_a_minute_and_five_large_ones() -> None:
    now = [1000.0]
    limits = BatchLimits(lambda: now[0])
    for _ in range(5):
        limits.enter(is_large=True)
    with pytest.raises(ApiError) as caught:
        limits.enter(is_large=True)
    assert caught.value.headers["Retry-After"] == "60"
    for _ in range(5):
        limits.enter(is_large=False)
    assert limits.remaining == 0
    with pytest.raises(ApiError):
        limits.enter(is_large=False)
    now[0] += 60
    limits.enter(is_large=True)


def test_an_item_is_flat_in_a_batch_and_nested_in_the_list(client: Api) -> None:
    data = {
        "itemCode": "FLAT-1", "name": "Lamp", "type": "inventory", "category": "Lighting",
        "unitOfMeasure": "box", "costPrice": 2.5, "sellingPrice": 4, "taxCode": "SST-10",
        "reorderLevel": 3, "reorderQuantity": 9, "trackSerial": False, "trackBatch": False,
    }  # fmt: skip
    made = batch(client, "items", operation("create", "r", **data))["results"][0]["data"]
    item = client.data(f"/items/{made['id']}")
    assert (item["unit"], item["category"]["name"]) == ("box", "Lighting")
    assert (item["pricing"]["costPrice"], item["tax"]["salesTaxCode"]) == (2.5, "SST-10")
    assert (item["inventory"]["reorderPoint"], item["inventory"]["reorderQuantity"]) == (3, 9)
    batch(client, "items", operation("update", "r", id=made["id"], sellingPrice=5))
    assert client.data(f"/items/{made['id']}")["pricing"]["sellingPrice"] == 5
    batch(client, "items", operation("delete", "r", id=made["id"]))
    assert client.get(f"/items/{made['id']}").status_code == 404


def test_a_bill_is_changed_while_it_is_a_draft_and_its_number_is_taken_once(client: Api) -> None:
    supplier = next(s for s in client.data("/suppliers", limit=100) if s["status"] == "active")
    line = {"description": "Rent", "quantity": 1, "unitPrice": 10, "accountCode": "6030"}
    body = {"supplierId": supplier["id"], "supplierInvoiceNumber": "B-1", "items": [line]}
    answer = batch(
        client, "bills", operation("create", "a", **body), operation("create", "b", **body)
    )
    first, second = answer["results"]
    assert second["error"]["code"] == "INVALID_SUPPLIER_INVOICE"
    bill = first["data"]["id"]
    changed = {"items": [{**line, "unitPrice": 30}], "supplierInvoiceNumber": "B-2"}
    batch(client, "bills", operation("update", "r", id=bill, **changed))
    assert client.data(f"/bills/{bill}")["total"] == 30
    assert batch(client, "bills", operation("create", "r", **body))["successfulRecords"] == 1
    client.post(f"/bills/{bill}/approve", {})
    late = batch(client, "bills", operation("update", "r", id=bill, **changed | {"items": [line]}))
    assert late["results"][0]["error"]["details"][0]["rule"] == "OPEN_BILL_LOCKED"
    assert_books_hold(client)


def test_a_batch_is_refused_where_the_key_lacks_the_permission_or_the_module() -> None:
    with api(replace(SMALL, invoices=10, months=1, modules=False)) as without:
        assert without.post("/batch/suppliers", {"operations": customers("x", 1)})[0] == 404
        assert without.post("/batch/nothing", {"operations": customers("x", 1)})[0] == 404
        with under(without, "forbid=customers"):
            assert without.post("/batch/customers", {"operations": customers("x", 1)})[0] == 403
