"""A client of the sandbox that knows nothing but HTTP, and the laws its books must obey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx

from blsync.sandbox import Handle, Options, running
from blsync.sandbox.books.values import loads
from rig import patient

TODAY = date(2026, 11, 20)
SMALL = Options(invoices=160, customers=25, items=30, months=8, limits=False, today=TODAY)
LISTS = (
    "customers",
    "invoices",
    "items",
    "stock",
    "accounts",
    "journal-entries",
    "stock-adjustments",
)
SYSTEM = {"receivable": "1110", "inventory": "1210", "rent": "6030", "bank": "1010"}


class Api:
    """A client that knows nothing but HTTP; numbers arrive as Decimals."""

    def __init__(self, handle: Handle, **headers: str) -> None:
        self.handle = handle
        self.http = patient.client(
            base_url=handle.base_url,
            headers={
                "Authorization": f"Bearer {handle.api_key}",
                "X-Company-Id": handle.company_id,
                **headers,
            },
        )

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query)

    def data(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return loads(answer.content)["data"]

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.http.request(method, path, json=body)
        return answer.status_code, loads(answer.content)

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        return self.send("POST", path, body)

    def walk(self, path: str, limit: int = 100, **query: Any) -> list[dict[str, Any]]:
        records, cursor = [], {}
        while True:
            page = loads(self.get(path, limit=limit, **query, **cursor).content)
            records += page["data"]
            assert page["pagination"]["hasMore"] == (page["pagination"]["nextCursor"] is not None)
            if not page["pagination"]["hasMore"]:
                assert page["pagination"]["total"] == len(records)
                return records
            cursor = {"cursor": page["pagination"]["nextCursor"]}

    def control(self, path: str, body: Any = None) -> Any:
        return patient.post(f"{self.handle.url}/sandbox/{path}", json=body).json()

    def bulk(self, name: str, *data: Any) -> list[dict[str, Any]]:
        operations = [{"operation": "create", "data": record} for record in data]
        status, body = self.post(f"/bulk/{name}", {"operations": operations})
        assert status == 200
        return sorted(body["data"]["results"], key=lambda result: result["index"])

    def account(self, role: str) -> str:
        return self.data("/accounts", accountNumber=SYSTEM[role])[0]["id"]


@contextmanager
def api(options: Options) -> Iterator[Api]:
    with running(options) as handle:
        client = Api(handle)
        yield client
        client.http.close()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["success"] is False
    assert body["meta"]["requestId"] == answer.headers["x-request-id"]
    return answer.status_code, body["error"]["code"]


def assert_books_hold(client: Api) -> None:
    """Check the accounting laws from the records and, on several dates, from the reports."""
    entries = [e for e in client.walk("/journal-entries") if e["status"] != "draft"]
    per_day: dict[str, Decimal] = {}
    for entry in entries:
        debit = sum(line["debit"] for line in entry["lines"])
        assert debit == sum(line["credit"] for line in entry["lines"]) == entry["totalDebit"]
        for line in entry["lines"]:
            key = f"{line['accountNumber']} {entry['date']}"
            per_day[key] = per_day.get(key, Decimal(0)) + line["debit"] - line["credit"]
    days = sorted({entry["date"] for entry in entries})
    for day in (days[0], days[len(days) // 2], days[-min(20, len(days))], days[-1]):
        _assert_reports_agree(client, day, per_day)
    for account in client.walk("/accounts", **{"isActive[in]": "true,false"}):
        number = account["accountNumber"]
        net = sum(value for key, value in per_day.items() if key.split()[0] == number)
        assert account["balance"]["net"] == net, number
    _assert_stock_and_receivables(client)


def _assert_reports_agree(client: Api, day: str, per_day: dict[str, Decimal]) -> None:
    trial = client.data("/reports/trial-balance", asOfDate=day)
    assert trial["balanced"]
    assert trial["totalDebit"] == trial["totalCredit"]
    balances = {a["accountNumber"]: a["debit"] - a["credit"] for a in trial["accounts"]}
    expected: dict[str, Decimal] = {}
    for key, value in per_day.items():
        number, dated = key.split()
        if dated <= day:
            expected[number] = expected.get(number, Decimal(0)) + value
    assert balances == {number: value for number, value in expected.items() if value}
    sheet = client.data("/reports/balance-sheet", asOfDate=day)
    assert sheet["balanced"]
    assert sheet["assets"]["totalAssets"] == sheet["totalLiabilitiesAndEquity"]
    earned = client.data("/reports/profit-loss", periodFrom="2000-01-01", periodTo=day)
    assert sheet["equity"]["accounts"][-1]["accountName"] == "Current Earnings"
    assert sheet["equity"]["accounts"][-1]["balance"] == earned["netProfit"]
    aged = client.data("/reports/aged-receivables", asOfDate=day)
    assert aged["summary"]["totalOutstanding"] == balances.get(SYSTEM["receivable"], 0)
    valued = client.data("/reports/stock-valuation", asOfDate=day)
    assert valued["summary"]["totalValue"] == balances.get(SYSTEM["inventory"], 0)


def _assert_stock_and_receivables(client: Api) -> None:
    stock = client.walk("/stock")
    inventory = client.data("/accounts", accountNumber=SYSTEM["inventory"])[0]
    assert sum(row["stockValue"] for row in stock) == inventory["balance"]["net"]
    for item in client.walk("/items"):
        held = sum(row["currentStock"] for row in stock if row["itemId"] == item["id"])
        assert item["inventory"]["currentStock"] == held
    owed: dict[str, Decimal] = {}
    for invoice in client.walk("/invoices"):
        assert invoice["subtotal"] == sum(line["lineTotal"] for line in invoice["items"])
        total = invoice["subtotal"] + invoice["totalTax"] + invoice["shippingCost"]
        assert invoice["total"] == total
        assert invoice["amountDue"] == total - invoice["amountPaid"]
        if invoice["status"] in ("sent", "overdue"):
            key = invoice["customerId"]
            owed[key] = owed.get(key, Decimal(0)) + invoice["amountDue"]
    for customer in client.walk("/customers"):
        assert customer["currentBalance"] == owed.get(customer["id"], 0)
    receivable = client.data("/accounts", accountNumber=SYSTEM["receivable"])[0]
    assert receivable["balance"]["net"] == sum(owed.values())
    aged = client.data("/reports/aged-receivables")
    assert {c["customerId"]: c["totalOwing"] for c in aged["customers"]} == owed


def faulty(faults: str, **more: Any) -> Any:
    small = {"invoices": 30, "customers": 8, "items": 6, "months": 2, "limits": False}
    return api(Options(faults=faults, **{**small, **more}))


@contextmanager
def under(client: Api, faults: str) -> Iterator[None]:
    """Put faults in force for a while."""
    assert client.control("faults", {"faults": faults}) == {"faults": faults}
    try:
        yield
    finally:
        client.control("faults", {"faults": ""})


def page(client: Api, path: str = "/customers", **query: Any) -> dict[str, Any]:
    answer = client.get(path, **query)
    assert answer.status_code == 200, answer.text
    return dict(loads(answer.content))


def ids(pages: list[list[dict[str, Any]]]) -> list[str]:
    return [record["id"] for records in pages for record in records]


def truth(client: Api, entity: str) -> list[dict[str, Any]]:
    answer = patient.get(f"{client.handle.url}/sandbox/records", params={"entity": entity})
    assert answer.status_code == 200
    return list(loads(answer.content))
